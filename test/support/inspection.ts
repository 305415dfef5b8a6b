/** Builders of inspections as an engine with API 1.41 sends them, and of a registrar's context. */
import type { RegistrarContext } from '../../src/registrar/describe/context.ts';
import { asContainerId } from '../../src/registrar/engine/containerId.ts';
import type { Inspection, PortBinding } from '../../src/registrar/engine/engine.ts';

export const CONTAINER_ID = asContainerId('c0ffee123456'.padEnd(64, '7'));
export const STARTED_AT = '2026-01-02T03:04:05.678901234Z';

export interface ContainerSpec {
  readonly id?: string;
  readonly name?: string;
  readonly image?: string;
  readonly state?: string;
  readonly startedAt?: string;
  /** Status of the HEALTHCHECK; without it the container has none. */
  readonly health?: 'starting' | 'healthy' | 'unhealthy';
  readonly env?: Readonly<Record<string, string>> | readonly string[];
  readonly labels?: Readonly<Record<string, string>>;
  /** `8080/tcp` */
  readonly expose?: readonly string[];
  /** Bindings as in `docker ps`: `8080/tcp` to `0.0.0.0:18080` or `[::]:18080`. */
  readonly publish?: Readonly<Record<string, readonly string[]>>;
  /** Ports of `-p` that are not bound. */
  readonly request?: readonly string[];
  readonly networkMode?: string;
  /** IPv4 and optional IPv6 address by network. */
  readonly networks?: Readonly<Record<string, readonly [v4: string, v6?: string]>>;
}

/** A running container on the default bridge at 172.17.0.2, unless `spec` says otherwise. */
export function inspection(spec: ContainerSpec = {}): Inspection {
  const { state = 'running', env = {}, networkMode = 'default' } = spec;
  const publish = Object.entries(spec.publish ?? {});
  const bindings = Object.fromEntries(publish.map(([port, at]) => [port, at.map(binding)]));
  const requested = Object.fromEntries((spec.request ?? []).map((port) => [port, [binding('')]]));
  const exposed = [...(spec.expose ?? []), ...Object.keys({ ...bindings, ...requested })];
  const isUp = state === 'running';
  return {
    Id: spec.id ?? CONTAINER_ID,
    Name: `/${spec.name ?? 'web.1'}`,
    State: {
      Status: state,
      Running: isUp || state === 'paused' || state === 'restarting',
      Paused: state === 'paused',
      Restarting: state === 'restarting',
      StartedAt: spec.startedAt ?? STARTED_AT,
      ...(spec.health === undefined ? {} : { Health: { Status: spec.health } }),
    },
    Config: {
      Hostname: 'c0ffee123456',
      Image: spec.image ?? 'registry.example.org:5000/team/rails:4.2',
      Env: Array.isArray(env)
        ? env
        : Object.entries(env).map(([name, value]) => `${name}=${value}`),
      Labels: spec.labels ?? {},
      ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])),
      ...(spec.health === undefined ? {} : { Healthcheck: { Test: ['CMD', 'true'] } }),
    },
    HostConfig: {
      NetworkMode: networkMode,
      PortBindings: { ...bindings, ...requested },
      PublishAllPorts: false,
    },
    NetworkSettings: isUp ? networkSettings(spec, networkMode, bindings) : {},
  };
}

function networkSettings(
  spec: ContainerSpec,
  networkMode: string,
  bindings: Readonly<Record<string, readonly PortBinding[]>>,
): NonNullable<Inspection['NetworkSettings']> {
  const isOnBridge = networkMode === 'default' || networkMode === 'bridge';
  const networks = spec.networks ?? (isOnBridge ? { bridge: ['172.17.0.2'] as const } : {});
  const unbound = Object.fromEntries((spec.expose ?? []).map((port) => [port, null]));
  const endpoints = Object.entries(networks).map(([name, [v4, v6 = '']]) => {
    const endpoint = { NetworkID: networkId(name), IPAddress: v4, GlobalIPv6Address: v6 };
    return [name, endpoint] as const;
  });
  return {
    IPAddress: networks.bridge?.[0] ?? '',
    Ports: networkMode === 'host' ? {} : { ...unbound, ...bindings },
    Networks: Object.fromEntries(endpoints),
  };
}

/** The network's id in inspections. */
export function networkId(name: string): string {
  return Buffer.from(name).toString('hex').padEnd(64, '0');
}

function binding(at: string): PortBinding {
  const [, v6, v4, port = ''] = /^(?:\[(.*)\]|(.*)):([0-9]+)$/.exec(at) ?? [];
  return { HostIp: v6 ?? v4 ?? '', HostPort: port };
}

/** A registrar for skydns.local on the host 192.0.2.1 that registers only containers with names. */
export function registrarContext(changes: Partial<RegistrarContext> = {}): RegistrarContext {
  return {
    prefix: '/skydns/',
    optionPrefix: '',
    envPrefix: 'DNS_',
    labelPrefix: 'dns.',
    zones: [['skydns', 'local']],
    defaultZone: ['skydns', 'local'],
    environment: undefined,
    region: undefined,
    serviceDomain: undefined,
    ip: undefined,
    ipLabel: undefined,
    node: undefined,
    nodeMeta: [],
    exposedByDefault: false,
    mode: 'published',
    hostAddresses: { v4: '192.0.2.1' },
    networks: [],
    ownNetworks: [],
    recordTtlSeconds: 30,
    anyRr: false,
    wildcards: false,
    health: 'auto',
    stop: 'drain',
    stopTimeoutSeconds: 300,
    ptr: false,
    compat: [],
    ...changes,
  };
}

/** As `registrarContext`, with `--compat registrator` on the host `node1`. */
export function registratorContext(changes: Partial<RegistrarContext> = {}): RegistrarContext {
  return registrarContext({
    compat: ['registrator'],
    exposedByDefault: true,
    health: 'ignore',
    registrator: { hostName: 'node1', rawIds: false, tags: [] },
    ...changes,
  });
}
