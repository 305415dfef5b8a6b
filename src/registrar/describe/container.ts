/**
 * Turns an inspection, whose members may be absent or of any type, into a `Container`: all fields exist, have their
 * type and a fixed order. Code that uses a `Container` may trust the types, and does not depend on the order of the
 * JSON's members.
 */
import type { RegistrarSettings } from '../../config/registrarSettings.ts';
import { addressFamily } from '../../dns/address.ts';
import { asContainerId, type ContainerId } from '../engine/containerId.ts';
import type { Inspection } from '../engine/engine.ts';
import { asList, asObject, asText, type JsonObject } from '../engine/json.ts';

export interface Container {
  /** Hexadecimal digits, 64 in Docker; empty if the inspection has no valid id. */
  readonly id: ContainerId;
  /** Without the leading slash. */
  readonly name: string;
  /** `running`, `paused`, `restarting`, `exited`, ...; `unknown` for any other word. */
  readonly state: string;
  readonly startedAt: string;
  /** The id of its first process on the engine's host; `undefined` while it has none. */
  readonly pid: number | undefined;
  readonly health: 'none' | 'starting' | 'healthy' | 'unhealthy';
  /** As requested: `registry:5000/rails:4@sha256:...`. */
  readonly image: string;
  readonly env: ReadonlyMap<string, string>;
  readonly labels: ReadonlyMap<string, string>;
  readonly exposed: readonly Port[];
  /** Requested with `-p`. On the host's network the engine lists these ports, but does not bind them. */
  readonly requested: readonly Port[];
  /** Whether `-P` requests all exposed ports. */
  readonly publishesAll: boolean;
  /** Bound on the host by the engine. */
  readonly published: readonly PublishedPort[];
  /** `default`, `bridge`, `host`, `none`, `container:<id>`, or a network's name. */
  readonly networkMode: string;
  readonly networks: readonly ContainerNetwork[];
  /** How long a stop without its own timeout may take; unlimited below 0. `undefined`: Docker's default. */
  readonly stopTimeoutSeconds: number | undefined;
}

export type HealthPolicy = RegistrarSettings['health'];

export interface Port {
  /** 1..65535 */
  readonly number: number;
  readonly protocol: 'tcp' | 'udp';
}

export interface PublishedPort extends Port {
  readonly bindings: readonly { readonly hostIp: string; readonly hostPort: number }[];
}

/** A network of the container, with the container's addresses on it. */
export interface ContainerNetwork {
  readonly name: string;
  readonly id: string;
  readonly v4: string | undefined;
  readonly v6: string | undefined;
}

/** Only Podman has `stopping`. */
const STATES = 'created running paused restarting stopping removing exited dead'.split(' ');

/** Never throws. */
export function readContainer(inspection: Inspection): Container {
  const root = asObject(inspection);
  const config = asObject(root.Config);
  const hostConfig = asObject(root.HostConfig);
  const settings = asObject(root.NetworkSettings);
  const state = asObject(root.State);
  const published = asObject(settings.Ports);
  return {
    id: asContainerId(/^[0-9a-f]{12,64}$/.test(asText(root.Id)) ? asText(root.Id) : ''),
    name: asText(root.Name).replace(/^\//, ''),
    state: readState(state),
    startedAt: asText(state.StartedAt),
    pid: readPid(state.Pid),
    health: readHealth(state.Health, config.Healthcheck),
    image: asText(config.Image),
    env: readEnv(config.Env),
    labels: readLabels(config.Labels),
    exposed: readPorts(config.ExposedPorts),
    requested: readPorts(hostConfig.PortBindings),
    publishesAll: hostConfig.PublishAllPorts === true,
    published: readPorts(published)
      .map((port) => ({ ...port, bindings: readBindings(published[printPort(port)]) }))
      .filter((port) => port.bindings.length > 0),
    networkMode: asText(hostConfig.NetworkMode) || 'default',
    networks: readNetworks(settings),
    stopTimeoutSeconds: typeof config.StopTimeout === 'number' ? config.StopTimeout : undefined,
  };
}

/** `8080/tcp`, as Docker writes it. */
export function printPort({ number, protocol }: Port): string {
  return `${number}/${protocol}`;
}

function readState(state: JsonObject): string {
  if (state.Restarting === true) return 'restarting';
  if (state.Paused === true) return 'paused';
  const status = asText(state.Status);
  // Podman 5 reports this from the stop signal on.
  if (status === 'running' && state.Running === false) return 'stopping';
  if (status === '') return state.Running === true ? 'running' : 'unknown';
  return STATES.includes(status) ? status : 'unknown';
}

function readPid(pid: unknown): number | undefined {
  return Number.isSafeInteger(pid) && (pid as number) > 0 ? (pid as number) : undefined;
}

function readHealth(health: unknown, healthcheck: unknown): Container['health'] {
  const status = asText(asObject(health).Status);
  if (status === 'starting' || status === 'healthy' || status === 'unhealthy') return status;
  if (status === 'none') return 'none';
  // A HEALTHCHECK without a result has not passed.
  const [word = 'NONE'] = asList(asObject(healthcheck).Test);
  return word === 'NONE' ? 'none' : 'starting';
}

/** Of two variables with one name the last counts, as in the container's own process. */
function readEnv(env: unknown): Map<string, string> {
  const variables = new Map<string, string>();
  for (const variable of asList(env)) {
    const [, name, value] = /^([^=]+)=(.*)$/s.exec(asText(variable)) ?? [];
    if (name !== undefined && value !== undefined) variables.set(name, value);
  }
  return sorted(variables);
}

function readLabels(labels: unknown): Map<string, string> {
  const texts = Object.entries(asObject(labels)).filter(
    (label): label is [string, string] => typeof label[1] === 'string',
  );
  return sorted(new Map(texts));
}

function readPorts(ports: unknown): Port[] {
  const found: Port[] = [];
  for (const key of Object.keys(asObject(ports))) {
    const port = parsePort(key);
    if (port !== undefined) found.push(port);
  }
  return found.sort(comparePorts);
}

/** Reads `8080/tcp`; `undefined` for sctp and port 0. */
function parsePort(text: string): Port | undefined {
  const [, digits, protocol] = /^([1-9][0-9]{0,4})\/(tcp|udp)$/.exec(text) ?? [];
  const number = Number(digits);
  if ((protocol !== 'tcp' && protocol !== 'udp') || number > 65_535) return undefined;
  return { number, protocol };
}

export function comparePorts(a: Port, b: Port): number {
  return a.number - b.number || compareTexts(a.protocol, b.protocol);
}

function readBindings(bindings: unknown): PublishedPort['bindings'] {
  const found: { hostIp: string; hostPort: number }[] = [];
  for (const binding of asList(bindings)) {
    const { HostIp, HostPort } = asObject(binding);
    const hostPort = /^[0-9]{1,5}$/.test(asText(HostPort)) ? Number(HostPort) : 0;
    if (hostPort >= 1 && hostPort <= 65_535) found.push({ hostIp: asText(HostIp), hostPort });
  }
  return found;
}

function readNetworks(settings: JsonObject): ContainerNetwork[] {
  const networks = Object.entries(asObject(settings.Networks)).map(([name, endpoint]) =>
    readNetwork(name, asObject(endpoint)),
  );
  // Engines without user-defined networks report the address on the default bridge only here.
  if (networks.length === 0 && asText(settings.IPAddress) !== '')
    networks.push(readNetwork('bridge', settings));
  return networks.sort((a, b) => compareTexts(a.name, b.name));
}

function readNetwork(name: string, endpoint: JsonObject): ContainerNetwork {
  const v4 = asText(endpoint.IPAddress);
  const v6 = asText(endpoint.GlobalIPv6Address);
  return {
    name,
    id: asText(endpoint.NetworkID),
    v4: addressFamily(v4) === 4 ? v4 : undefined,
    v6: addressFamily(v6) === 6 ? v6 : undefined,
  };
}

/** Compares code units, independently of the locale. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function sorted(texts: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...texts].sort(([a], [b]) => compareTexts(a, b)));
}

/** Whether `-p` or `-P` requested the port; it may be unbound. */
export function isRequested({ requested, publishesAll, exposed }: Container, port: Port): boolean {
  const isPort = (one: Port) => printPort(one) === printPort(port);
  return requested.some(isPort) || (publishesAll && exposed.some(isPort));
}

/**
 * Networks on which clients cannot reach a container. Swarm's ingress has addresses, but no container listens there.
 */
const UNUSABLE_NETWORKS = ['ingress', 'docker_gwbridge', 'none', 'host'];

/** Whether clients may reach a container on the network. */
export function isUsable({ name }: Pick<ContainerNetwork, 'name'>): boolean {
  return !UNUSABLE_NETWORKS.includes(name);
}

/** Why the container's state keeps it out of DNS; `undefined` if it runs. A paused container answers no client. */
export function whyNotUp({ state }: Container): string | undefined {
  return state === 'running' ? undefined : `is ${state === 'unknown' ? 'not running' : state}`;
}

/** Whether the container has a process, so that no other container can have its addresses. */
export function hasAddresses({ state }: Pick<Container, 'state'>): boolean {
  return state === 'running' || state === 'paused' || state === 'stopping';
}

/**
 * Why the container's health keeps it out of DNS; `undefined` if it does not. `auto`: a HEALTHCHECK must pass if the
 * container has one; `require`: the container must have one, and it must pass; `ignore`: health does not count.
 */
export function whyNotHealthy({ health }: Container, policy: HealthPolicy): string | undefined {
  if (policy === 'ignore' || health === 'healthy') return undefined;
  if (health === 'starting') return 'has not passed its HEALTHCHECK yet';
  if (health === 'unhealthy') return 'is unhealthy';
  return policy === 'require' ? 'has no HEALTHCHECK, and health is required' : undefined;
}

/** The id or name of the container whose network this one joined. */
export function parentOf({ networkMode }: Pick<Container, 'networkMode'>): string | undefined {
  return networkMode.startsWith('container:') ? networkMode.slice('container:'.length) : undefined;
}

/** The same for an inspection. `describeContainer` takes the inspection of that container as `parent`. */
export function parentIdOf(inspection: Inspection): string | undefined {
  return parentOf(readContainer(inspection));
}
