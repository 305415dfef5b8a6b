/**
 * ambassador/proxy/carry/: What a proxy needs of the system: it accepts clients, connects to backends, moves octets.
 * Imports: ambassador, dataplane/listeners, dataplane/sockets, dns, kernel, timing.
 * Used by: ambassador/proxy, app/ambassador.
 *
 * The proxy decides who connects where and for how long; a `Carrier` never does. `NetCarrier` uses Node's sockets.
 * `SpliceCarrier` has the kernel move the octets, from a thread of its own.
 */
import type { SocketAddress } from '../../../dns/address.ts';
import type { Balance } from '../../choice.ts';
import type { Backend } from '../../route.ts';

export interface Carrier {
  /** The octets that this carrier has passed on. */
  readonly octets: Readonly<CarriedOctets>;
  readonly kind: CarrierKind;
  /**
   * Accepts connections until the listener is closed. Rejects with the system's error (`code`: EADDRINUSE …).
   * `onError`: the system could not accept a connection; the listener continues.
   */
  listen(
    at: StreamAddress,
    onClient: (client: AcceptedClient) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): Promise<StreamSocket>;
  /**
   * Whether clients may be connected by a plan now. At most `MAX_BEGUN` of them are there at a time that the owner has
   * not heard of. A carrier that never follows plans has neither this nor `StreamSocket.plan`.
   */
  permit?(isPermitted: boolean): void;
  /** How many of them there are at most now. */
  readonly begunClients?: number;
  /** Call this when all listeners are closed and all connections have ended; the carrier can be used no more. */
  close(): Promise<void>;
}

/** `net`: Node's sockets. `splice`: the kernel moves the octets. */
export type CarrierKind = 'net' | 'splice';

export interface CarriedOctets {
  toBackends: number;
  toClients: number;
}

export type StreamAddress =
  /** An IPv6 wildcard address takes no IPv4 connections. */
  | { readonly kind: 'port'; readonly address: string; readonly port: number }
  | { readonly kind: 'path'; readonly path: string }
  /** A bound socket of this process; the carrier closes it. */
  | { readonly kind: 'descriptor'; readonly fd: number };

export interface StreamSocket {
  /** The bound address; undefined for a Unix socket. */
  readonly address: SocketAddress | undefined;
  /** Clients from this source address may be connected by the plan, without their owner being asked. */
  plan?(source: string, plan: ConnectPlan): void;
  /** Ends all plans; clients that were connected meanwhile may still follow one. */
  unplan?(): void;
  /** Accepts no more connections; those that wait in the kernel are reset. Accepted ones go on. */
  close(): Promise<void>;
}

/** How to choose the first backend of a client. */
export interface ConnectPlan {
  /** Not empty. */
  readonly backends: readonly Backend[];
  readonly balance: Balance;
}

export const MAX_BEGUN = 64;

/**
 * A connection of a client. Until a backend has accepted, nothing is read from it: what the client sends waits in the
 * kernel. Its owner connects it or resets it.
 */
export interface AcceptedClient {
  /** In `DnsClient`'s form; undefined for a client of a Unix socket. */
  readonly peer: SocketAddress | undefined;
  /** The address and port that the client connected to; undefined for a Unix socket, or if the client has gone. */
  localEnd(): SocketAddress | undefined;
  /** The attempt that the carrier has begun by a plan; its owner follows it before it connects to another backend. */
  readonly begun?: BegunAttempt;
  /**
   * Connects to a backend. If it accepts, sends it the header, then passes octets on both ways until both sides have
   * ended, or one side was reset or lost: then the other side is reset.
   */
  connect(
    backend: SocketAddress,
    header: Uint8Array | undefined,
    follow: AttemptFollower,
  ): ConnectAttempt;
  /** Resets it, and its backend if it has one; then `onClosed` follows. */
  reset(): void;
}

/** What the owner of a client hears of an attempt. Each is called at most once, and after `connect` has returned. */
export interface AttemptFollower {
  onConnected(): void;
  onFailed(reason: ConnectFailure): void;
  /**
   * Both sockets are closed. Follows `onConnected`, or comes instead of it and of `onFailed` if the carrier has lost the
   * client. Nothing follows it.
   */
  onClosed(): void;
}

export interface BegunAttempt {
  readonly backend: SocketAddress;
  /** Plans have ended since, so the backend may not be one of the client's any more. */
  readonly isOutdated: boolean;
  follow(follower: AttemptFollower): ConnectAttempt;
}

export interface ConnectAttempt {
  /** Ends the attempt, which is heard of no more. Returns false if a backend has accepted: `onConnected` follows. */
  cancel(): boolean;
}

export type ConnectFailure =
  | 'refused'
  | 'unreachable'
  | 'timeout'
  /** This process or machine has no descriptor, port or memory left for it. */
  | 'exhausted'
  | 'failed';

/** What the system's error says about a backend. */
export function connectFailureOf({ code }: NodeJS.ErrnoException): ConnectFailure {
  switch (code) {
    case 'ECONNREFUSED':
    case 'ECONNRESET':
      return 'refused';
    case 'EHOSTUNREACH':
    case 'ENETUNREACH':
    case 'EHOSTDOWN':
    case 'ENETDOWN':
    case 'EACCES': // a firewall of this host
    case 'EPERM':
      return 'unreachable';
    case 'ETIMEDOUT':
      return 'timeout';
    case 'EMFILE':
    case 'ENFILE':
    case 'ENOBUFS':
    case 'ENOMEM':
    case 'EAGAIN':
    case 'EADDRNOTAVAIL':
      return 'exhausted';
    default:
      return 'failed';
  }
}

/** The kernel probes a silent peer after this time, and gives the connection up if it does not answer. */
export const KEEPALIVE_MS = 60_000;
