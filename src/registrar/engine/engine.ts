/**
 * registrar/engine/: The engine: its API, events and sockets, and the read-only proxy. The only folder that imports dockerode.
 * Imports: dns, timing.
 * Used by: app, app/process, app/registrar, cli/commands, registrar, registrar/describe, registrar/leadership,
 *   registrar/observe, registrar/reconcile, registrar/registrator.
 *
 * A Docker engine as the registrar sees it. Read only: every call is a GET, so that a filtering socket proxy can stand
 * in front. `connectEngine` (dockerode.ts) is the real one.
 */
import type { ContainerId } from './containerId.ts';

/** The parts of `GET /containers/{id}/json` that matter here; as Docker sends them, any of them may be absent. */
export interface Inspection {
  readonly Id: string;
  /** With a leading slash. */
  readonly Name?: string;
  readonly State?: {
    readonly Status?: string;
    readonly Running?: boolean;
    readonly Paused?: boolean;
    readonly Restarting?: boolean;
    readonly StartedAt?: string;
    readonly Health?: {
      readonly Status?: string;
      readonly Log?: readonly HealthResult[] | null;
    } | null;
  };
  readonly Config?: {
    readonly Hostname?: string;
    readonly Image?: string;
    readonly Env?: readonly string[] | null;
    readonly Labels?: Readonly<Record<string, string>> | null;
    readonly ExposedPorts?: Readonly<Record<string, unknown>> | null;
    readonly StopSignal?: string;
    readonly StopTimeout?: number;
    readonly Healthcheck?: { readonly Test?: readonly string[] | null } | null;
  };
  readonly HostConfig?: {
    readonly NetworkMode?: string;
    readonly PortBindings?: Readonly<Record<string, readonly PortBinding[] | null>> | null;
    readonly PublishAllPorts?: boolean;
  };
  readonly NetworkSettings?: {
    readonly IPAddress?: string;
    readonly GlobalIPv6Address?: string;
    readonly Ports?: Readonly<Record<string, readonly PortBinding[] | null>> | null;
    readonly Networks?: Readonly<Record<string, EndpointSettings | null>> | null;
  };
}

/** One of the last few runs of a HEALTHCHECK. */
export interface HealthResult {
  readonly Start?: string;
  readonly ExitCode?: number;
}

export interface PortBinding {
  readonly HostIp?: string;
  readonly HostPort?: string;
}

export interface EndpointSettings {
  readonly NetworkID?: string;
  readonly IPAddress?: string;
  readonly GlobalIPv6Address?: string;
}

export interface EngineEvent {
  readonly type: 'container' | 'network';
  /** `start`, `die`, `kill`, `pause`, `health_status: healthy`, `connect`, ... */
  readonly action: string;
  /** Of a network event: the container that joined or left. */
  readonly containerId: ContainerId;
  /** Of `kill`: the number as text. */
  readonly signal: string | undefined;
  /** The daemon's clock; nanoseconds as text, being above 2^53. */
  readonly timeNano: string;
}

export interface EngineInfo {
  /** The same for the engine's whole life; cloned machines have it in common. */
  readonly id: string;
  /** False: the engine has no id, and `id` is made of its name and folder. */
  readonly isOwnId: boolean;
  /** The name of its host. */
  readonly name: string;
  /** Swarm's address of this node, if it is one. */
  readonly nodeAddress: string | undefined;
  /** The folder in which it stores everything. */
  readonly rootDir: string | undefined;
  /** The release of the kernel that it runs on. */
  readonly kernel: string | undefined;
  /** Its clock at the answer; `undefined`: it does not tell. Events and lives have times of this clock. */
  readonly timeNano: bigint | undefined;
}

/** The network that containers join unless they are told otherwise. */
export interface DefaultBridge {
  /** Docker's is another one after each start of dockerd, unless containers outlived dockerd. */
  readonly id: string | undefined;
  /** The host's IPv4 address on it, which the containers' default route leads to. */
  readonly gateway: string | undefined;
  /** The name of the host's interface on it. */
  readonly device: string | undefined;
}

/** A running container in the list; enough to see whether it must be inspected again. */
export interface ListedContainer {
  readonly id: ContainerId;
  readonly state: string;
  /** `healthy`, `unhealthy` or `starting`; undefined where the list does not say. */
  readonly health?: string | undefined;
  /** Changes whenever the container's networks or published ports do. */
  readonly fingerprint: string;
}

/** For one reader. */
export interface EventStream extends AsyncIterable<EngineEvent> {
  /** Fulfilled once the daemon has subscribed us: what a list shows after that, the events follow up. */
  readonly opened: Promise<void>;
}

export interface Engine {
  /** For logs. */
  readonly label: string;
  info(): Promise<EngineInfo>;
  /** `undefined`: the engine was told to have none. */
  defaultBridge(): Promise<DefaultBridge | undefined>;
  /** Running containers (also paused and restarting ones, by their `state`). */
  list(): Promise<readonly ListedContainer[]>;
  /** `undefined`: there is no such container any more. */
  inspect(id: ContainerId): Promise<Inspection | undefined>;
  /**
   * Container and network events as they happen, from `sinceNano` on if given. Subscribes at once. Never stalls the
   * daemon: whatever comes is read at once and queued here. Ends only by throwing an `EngineError` or, silently, when
   * `signal` is aborted.
   */
  events(sinceNano: string | undefined, signal: AbortSignal): EventStream;
  /** The signals in a span of time that the daemon remembers: Docker keeps its last 256 events of any kind. */
  signals(sinceNano: bigint, untilNano: bigint): Promise<readonly EngineEvent[]>;
  /** Rejects when the daemon does not answer in time. */
  ping(): Promise<void>;
  close(): void;
}

export class EngineError extends Error {
  /** `unreachable`: try again; `denied`: a proxy or the socket's permissions refuse. */
  readonly code: 'unreachable' | 'denied' | 'failed';
  constructor(code: EngineError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'EngineError';
    this.code = code;
  }
}
