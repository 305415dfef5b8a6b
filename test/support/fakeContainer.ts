/** A container of the fake engines, and the JSON that a real Docker daemon (20.10) gives for it. */
import { createHash } from 'node:crypto';
import { asContainerId, type ContainerId } from '../../src/registrar/engine/containerId.ts';

export interface FakeContainerSetup {
  /** Default: a new id. */
  readonly id?: string;
  readonly name?: string;
  readonly image?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly labels?: Readonly<Record<string, string>>;
  /** The value of `docker run -p`: `8080:80`, `127.0.0.1:8080:80/udp`. */
  readonly publish?: readonly string[];
  /** As `80/tcp`. Published ports are exposed too. */
  readonly exposed?: readonly string[];
  /** Default: `bridge`. `host`, `none` and `container:ID` have no addresses. */
  readonly network?: string;
  readonly ip?: string;
  readonly ip6?: string;
  /** The state of its HEALTHCHECK; without it the container has no HEALTHCHECK. */
  readonly health?: 'starting' | 'healthy' | 'unhealthy';
  readonly stopSignal?: string;
  readonly stopTimeout?: number;
}

export type FakeState = 'created' | 'running' | 'paused' | 'restarting' | 'exited';

interface FakeNetwork {
  readonly ip: string;
  readonly ip6: string;
  readonly endpointId: string;
}

let made = 0;

/** 64 hexadecimal digits, different at each call. */
export function fakeId(): ContainerId {
  return asContainerId(createHash('sha256').update(`${process.pid}:${made++}`).digest('hex'));
}

export class FakeContainer {
  readonly id: ContainerId;
  readonly setup: FakeContainerSetup;
  name: string;
  state: FakeState = 'created';
  health: FakeContainerSetup['health'];
  /** The start times of passed HEALTHCHECKs in Docker's health log. */
  readonly passes: string[] = [];
  startedAt = '0001-01-01T00:00:00Z';
  readonly networks = new Map<string, FakeNetwork>();

  constructor(setup: FakeContainerSetup) {
    this.setup = setup;
    this.id = setup.id === undefined ? fakeId() : asContainerId(setup.id);
    this.name = setup.name ?? `fake-${this.id.slice(0, 12)}`;
    this.health = setup.health;
  }

  get isRunning(): boolean {
    return this.state === 'running' || this.state === 'paused' || this.state === 'restarting';
  }

  /** Connects the container to a network by a new endpoint. */
  join(network: string, ip: string, ip6 = ''): void {
    this.networks.set(network, { ip, ip6, endpointId: fakeId() });
  }

  /** `GET /containers/{id}/json`. */
  inspection(): object {
    const { setup } = this;
    const mode = setup.network ?? 'bridge';
    const bindings = this.#bindings();
    return {
      Id: this.id,
      Name: `/${this.name}`,
      Image: `sha256:${'0'.repeat(64)}`,
      RestartCount: 0,
      State: this.#stateJson(),
      HostConfig: {
        NetworkMode: mode === 'bridge' ? 'default' : mode,
        PortBindings: bindings,
        RestartPolicy: { Name: 'no', MaximumRetryCount: 0 },
        PublishAllPorts: false,
      },
      Config: this.#configJson(mode),
      NetworkSettings: this.#networkJson(mode === 'host' ? {} : bindings),
    };
  }

  /** An entry of `GET /containers/json`. */
  listing(): object {
    const health = this.health === undefined ? '' : ` (${healthText(this.health)})`;
    return {
      Id: this.id,
      Names: [`/${this.name}`],
      Image: this.setup.image ?? 'bb',
      Labels: this.setup.labels ?? {},
      State: this.state,
      Status: this.isRunning ? `Up 5 seconds${health}` : 'Exited (0) 5 seconds ago',
      Ports: Object.entries(this.#ports()).flatMap(([port, bindings]) =>
        bindings.map(({ HostIp, HostPort }) => ({
          IP: HostIp,
          PrivatePort: Number.parseInt(port, 10),
          PublicPort: Number(HostPort),
          Type: port.split('/')[1],
        })),
      ),
      HostConfig: { NetworkMode: this.setup.network ?? 'default' },
      NetworkSettings: { Networks: this.#networksJson() },
      Mounts: [],
    };
  }

  /** The Attributes of Docker's events about it, which include all labels. */
  attributes(): Record<string, string> {
    return { image: this.setup.image ?? 'bb', name: this.name, ...this.setup.labels };
  }

  #stateJson(): object {
    return {
      Status: this.state,
      Running: this.isRunning,
      Paused: this.state === 'paused',
      Restarting: this.state === 'restarting',
      OOMKilled: false,
      Dead: false,
      Pid: this.state === 'running' || this.state === 'paused' ? 4711 : 0,
      ExitCode: 0,
      Error: '',
      StartedAt: this.startedAt,
      FinishedAt: '0001-01-01T00:00:00Z',
      ...(this.health && { Health: this.#healthJson(this.health) }),
    };
  }

  #healthJson(Status: string): object {
    const passes = this.passes.map((Start) => ({ ...HEALTH_RESULT, Start }));
    return { Status, FailingStreak: 0, Log: [HEALTH_RESULT, ...passes].slice(-5) };
  }

  #configJson(mode: string): object {
    const { setup } = this;
    const published = Object.keys(this.#bindings());
    const exposed = [...(setup.exposed ?? []), ...published];
    return {
      Hostname: mode === 'host' ? 'fakehost' : this.id.slice(0, 12),
      Image: setup.image ?? 'bb',
      Env: Object.entries(setup.env ?? {}).map(([name, value]) => `${name}=${value}`),
      Labels: setup.labels ?? {},
      ...(exposed.length > 0 && {
        ExposedPorts: Object.fromEntries(exposed.map((port) => [port, {}])),
      }),
      ...(setup.stopSignal && { StopSignal: setup.stopSignal }),
      ...(setup.stopTimeout !== undefined && { StopTimeout: setup.stopTimeout }),
      ...(setup.health && { Healthcheck: { Test: ['CMD', 'true'] } }),
    };
  }

  #networkJson(bindings: Record<string, Binding[]>): object {
    const bridge = this.isRunning ? this.networks.get('bridge') : undefined;
    const exposed = (this.setup.exposed ?? []).map((port) => [port, null]);
    return {
      IPAddress: bridge?.ip ?? '',
      GlobalIPv6Address: bridge?.ip6 ?? '',
      Ports: this.isRunning ? { ...Object.fromEntries(exposed), ...dualStack(bindings) } : {},
      Networks: this.#networksJson(),
    };
  }

  #networksJson(): object {
    return Object.fromEntries(
      [...this.networks].map(([name, { ip, ip6, endpointId }]) => [
        name,
        {
          NetworkID: createHash('sha256').update(name).digest('hex'),
          EndpointID: this.isRunning ? endpointId : '',
          IPAddress: this.isRunning ? ip : '',
          GlobalIPv6Address: this.isRunning ? ip6 : '',
        },
      ]),
    );
  }

  #ports(): Record<string, Binding[]> {
    return this.isRunning && this.setup.network !== 'host' ? dualStack(this.#bindings()) : {};
  }

  #bindings(): Record<string, Binding[]> {
    return Object.fromEntries((this.setup.publish ?? []).map(parsePublish));
  }
}

interface Binding {
  readonly HostIp: string;
  readonly HostPort: string;
}

function parsePublish(text: string): [string, Binding[]] {
  const parts = text.split(':');
  const [container = '', HostPort = '', HostIp = ''] = parts.reverse();
  return [container.includes('/') ? container : `${container}/tcp`, [{ HostIp, HostPort }]];
}

/** A port that is published without an address is listed for both families. */
function dualStack(bindings: Record<string, Binding[]>): Record<string, Binding[]> {
  const both = (binding: Binding): Binding[] =>
    binding.HostIp === '' ? ['0.0.0.0', '::'].map((HostIp) => ({ ...binding, HostIp })) : [binding];
  return Object.fromEntries(
    Object.entries(bindings).map(([port, list]) => [port, list.flatMap(both)]),
  );
}

const HEALTH_RESULT = {
  Start: '2026-01-01T00:00:00Z',
  End: '2026-01-01T00:00:01Z',
  ExitCode: 0,
  Output: 's3cret',
};

function healthText(health: string): string {
  return health === 'starting' ? 'health: starting' : health;
}
