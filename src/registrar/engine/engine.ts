/**
 * registrar/engine/: Talks to the container engine and proxies it read-only. The only folder that imports dockerode.
 * Imports: dns, timing.
 * Used by: app, app/process, app/registrar, cli/commands, cli/host, cli/linking, registrar, registrar/describe,
 *   registrar/leadership, registrar/links, registrar/observe, registrar/reconcile, registrar/registrator,
 *   tools/doctor/ambassador.
 *
 * `Engine` is what the registrar uses of Docker or Podman. Every call is a GET, so that a filtering proxy may stand in
 * front of the socket. `connectEngine` (dockerode.ts) makes the real one.
 */
import type { ContainerId } from './containerId.ts';

/** The members of `GET /containers/{id}/json` that the registrar reads, as the engine sends them. */
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
    readonly Pid?: number;
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

/** One run of a HEALTHCHECK; the engine keeps the last few. */
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
  /** For a network event the container that joined or left. */
  readonly containerId: ContainerId;
  /** For `kill`: the signal's number as text, or Podman's name for the signal. */
  readonly signal: string | undefined;
  /** By the engine's clock, in nanoseconds since 1970; text, because the number exceeds 2^53. */
  readonly timeNano: string;
}

export interface EngineInfo {
  /** Never changes. Clones of a machine share it. */
  readonly id: string;
  /** False for an engine without a constant id: `id` is then derived from its name and data folder. */
  readonly isOwnId: boolean;
  /** The engine's host name. */
  readonly name: string;
  /** The address of a Swarm node. */
  readonly nodeAddress: string | undefined;
  /** The engine's data folder. */
  readonly rootDir: string | undefined;
  /** The release of the engine's kernel. */
  readonly kernel: string | undefined;
  /**
   * The engine's clock at the answer, in nanoseconds since 1970. The times of events and of containers are by this
   * clock.
   */
  readonly timeNano: bigint | undefined;
  readonly platform: EnginePlatform;
}

/** The parts of an engine on which it depends who can reach its containers. */
export interface EnginePlatform {
  /** `rootless`: Docker of a user, in a network namespace of its own; `desktop`: Docker in a virtual machine. */
  readonly kind: 'docker' | 'rootless' | 'desktop' | 'podman';
  readonly version: string | undefined;
  /** What writes Docker's firewall rules: `iptables`, `nftables` ...; undefined before Docker 28. */
  readonly firewall: string | undefined;
}

/** The network that containers join by default. */
export interface DefaultBridge {
  /** Changes at each start of dockerd, unless containers outlived dockerd. */
  readonly id: string | undefined;
  /** The host's IPv4 address on it, which is the containers' default gateway. */
  readonly gateway: string | undefined;
  /** The name of the host's interface on it. */
  readonly device: string | undefined;
}

/** A running container in a list, with the facts that decide whether to inspect it again. */
export interface ListedContainer {
  readonly id: ContainerId;
  readonly state: string;
  /** `healthy`, `unhealthy` or `starting`; undefined where the list contains no health. */
  readonly health?: string | undefined;
  /** Changes with the container's state, health, names, networks and published ports. */
  readonly fingerprint: string;
}

/** For one consumer. */
export interface EventStream extends AsyncIterable<EngineEvent> {
  /** Fulfilled when the engine sends events: every change after a list that is requested now arrives as an event. */
  readonly opened: Promise<void>;
}

export interface Engine {
  /** For logs. */
  readonly label: string;
  info(): Promise<EngineInfo>;
  /** `undefined` if the engine is configured without one. */
  defaultBridge(): Promise<DefaultBridge | undefined>;
  /** The driver of a network: `bridge`, `overlay`, `macvlan`; `undefined` if the network does not exist. */
  networkDriver(networkId: string): Promise<string | undefined>;
  /** The running containers, including paused and restarting ones. */
  list(): Promise<readonly ListedContainer[]>;
  /** `undefined` if the container does not exist. */
  inspect(id: ContainerId): Promise<Inspection | undefined>;
  /**
   * Subscribes at once to container and network events, from `sinceNano` on if it is given. The socket is read without
   * waiting for the consumer, so that the engine never waits. The stream ends by throwing an `EngineError`, or without
   * an error when `signal` is aborted.
   */
  events(sinceNano: string | undefined, signal: AbortSignal): EventStream;
  /** The signals that were sent in a span of time and that the engine remembers: Docker keeps its last 256 events. */
  signals(sinceNano: bigint, untilNano: bigint): Promise<readonly EngineEvent[]>;
  /** Rejects when the engine does not answer in time. */
  ping(): Promise<void>;
  close(): void;
}

export class EngineError extends Error {
  /** `unreachable`: no answer, worth a retry; `denied`: refused by a proxy or by the socket's permissions. */
  readonly code: 'unreachable' | 'denied' | 'failed';
  constructor(code: EngineError['code'], message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'EngineError';
    this.code = code;
  }
}
