/**
 * ambassador/proxy/carry/: What a proxy needs of the system: it accepts clients, connects to backends, moves octets.
 * Imports: dns, timing.
 * Used by: ambassador/proxy.
 *
 * The proxy decides who connects where and for how long; a `Carrier` never does. `NetCarrier` uses Node's sockets. A
 * carrier that moves octets inside the kernel can replace it.
 */
import type { SocketAddress } from '../../../dns/address.ts';

export interface Carrier {
  /** The octets that this carrier has passed on. */
  readonly octets: Readonly<CarriedOctets>;
  /**
   * Accepts connections until the listener is closed. Rejects with the system's error (`code`: EADDRINUSE …).
   * `onError`: the system could not accept a connection; the listener continues.
   */
  listen(
    at: StreamAddress,
    onClient: (client: AcceptedClient) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): Promise<StreamSocket>;
}

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
  /** Accepts no more connections; those that wait in the kernel are reset. Accepted ones go on. */
  close(): Promise<void>;
}

/**
 * A connection of a client. Until it is carried, nothing is read from it: what the client sends waits in the kernel.
 * Its owner either has it carried or resets it.
 */
export interface AcceptedClient {
  /** In `DnsClient`'s form; undefined for a client of a Unix socket. */
  readonly peer: SocketAddress | undefined;
  /** The address and port that the client connected to; undefined for a Unix socket, or if the client has gone. */
  localEnd(): SocketAddress | undefined;
  /** Connects to a backend. `onEnd` is called once and later, unless the attempt is cancelled. */
  connect(backend: SocketAddress, onEnd: (outcome: ConnectOutcome) => void): ConnectAttempt;
  reset(): void;
}

export interface ConnectAttempt {
  cancel(): void;
}

export type ConnectOutcome =
  | { readonly kind: 'connected'; readonly backend: ConnectedBackend }
  | { readonly kind: 'failed'; readonly reason: ConnectFailure };

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

export interface ConnectedBackend {
  /**
   * Sends the header, then passes octets on both ways until both sides have ended, or one side was reset or lost: then
   * the other side is reset. `onClosed` is called once and later, when both sockets are closed.
   */
  carry(header: Uint8Array | undefined, onClosed: () => void): CarriedConnection;
}

export interface CarriedConnection {
  /** Resets both sides. */
  reset(): void;
}

/** The kernel probes a silent peer after this time, and gives the connection up if it does not answer. */
export const KEEPALIVE_MS = 60_000;
