/**
 * Limits open HTTP connections in total and per client. A connection over the limit replaces an idle one of the same
 * client; otherwise it is a guest. Guests may use the health pages, so that no client can make the server look dead. A
 * guest that may write, by the token or as a trusted user of this host, becomes a member if there is room in total. Other
 * requests of guests get 503. When too many guests have sent no request, the oldest of them are closed first.
 */
import type { Socket } from 'node:net';
import { connectedClientOf } from './exchange/client.ts';
import type { RequestLimits } from './exchange/nodeExchange.ts';

export interface AdmissionLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly maxSurplus: number;
  /** Requests of one connection at once, as pipelining makes them. */
  readonly maxPipelined: number;
}

/** A guest has this time to ask something, unless too many come at once. */
const GRACE_MS = 300;
/** So many connections are accepted at once, before anything is read of them. */
const MAX_BURST = 512;

/** How many guests there may be for a moment that have asked nothing. */
export function mostSurplus(maxSurplus: number): number {
  return maxSurplus + 2 * burst(maxSurplus);
}

function burst(maxSurplus: number): number {
  return Math.min(MAX_BURST, 4 * maxSurplus);
}

interface TrackedConnection {
  readonly socket: Socket;
  readonly share: string;
  readonly openedMs: number;
  isSurplus: boolean;
  /** Requests that have begun and not ended. */
  busy: number;
  served: number;
}

export class ConnectionAdmission {
  readonly #limits: AdmissionLimits;
  readonly #connections = new Map<Socket, TrackedConnection>();
  /** Members only; in the order in which they came. */
  readonly #byShare = new Map<string, Set<TrackedConnection>>();
  /** Those that have asked nothing yet; in the order in which they came. */
  readonly #silentSurplus = new Set<TrackedConnection>();
  readonly #news = { opened: false };
  #admitted = 0;
  #isTrimming = false;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Whether any connection was opened since this was last asked. */
  hasNews(): boolean {
    const { opened } = this.#news;
    this.#news.opened = false;
    return opened;
  }

  opened(socket: Socket): void {
    this.#news.opened = true;
    const { share } = connectedClientOf(socket);
    const openedMs = performance.now();
    const connection = { socket, share, openedMs, isSurplus: false, busy: 0, served: 0 };
    this.#connections.set(socket, connection);
    socket.once('close', () => this.#closed(connection));
    if (this.#hasRoom(share)) this.#addAdmitted(connection);
    else this.#addSurplus(connection);
  }

  /** Whether the connection may make another request; one that has too many is closed. */
  mayAsk(socket: Socket): boolean {
    if (socket.destroyed) return false;
    const connection = this.#connections.get(socket);
    if (connection !== undefined && connection.busy < this.#limits.maxPipelined) return true;
    socket.destroy();
    return false;
  }

  /** A request begins; false: the connection has too many, although `mayAsk` was asked, and is closed. */
  began(socket: Socket): boolean {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return false;
    connection.busy++;
    this.#silentSurplus.delete(connection);
    if (connection.busy <= this.#limits.maxPipelined) return true;
    socket.destroy();
    return false;
  }

  ended(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    connection.busy--;
    connection.served++;
  }

  isSurplus(socket: Socket): boolean {
    return this.#connections.get(socket)?.isSurplus ?? true;
  }

  /** Whether a guest that is trusted has a place now. Its share does not count. */
  admit(socket: Socket): boolean {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return false;
    if (!connection.isSurplus) return true;
    if (this.#admitted >= this.#limits.maxConnections) return false;
    this.#addAdmitted(connection);
    return true;
  }

  #hasRoom(share: string): boolean {
    const own = this.#byShare.get(share);
    const { maxConnections, maxConnectionsPerClient } = this.#limits;
    const isFull = this.#admitted >= maxConnections || (own?.size ?? 0) >= maxConnectionsPerClient;
    return !isFull || this.#closeIdle(own);
  }

  /** Between two requests, so that its client has to reckon with it. */
  #closeIdle(connections: Iterable<TrackedConnection> = []): boolean {
    for (const connection of connections) {
      if (connection.busy > 0 || connection.served === 0) continue;
      this.#close(connection);
      return true;
    }
    return false;
  }

  #addAdmitted(connection: TrackedConnection): void {
    connection.isSurplus = false;
    this.#admitted++;
    const own = this.#byShare.get(connection.share);
    if (own === undefined) this.#byShare.set(connection.share, new Set([connection]));
    else own.add(connection);
  }

  #addSurplus(connection: TrackedConnection): void {
    connection.isSurplus = true;
    this.#silentSurplus.add(connection);
    const { maxSurplus } = this.#limits;
    const [first] = this.#silentSurplus;
    if (first !== undefined && this.#silentSurplus.size > mostSurplus(maxSurplus))
      this.#close(first);
    if (this.#silentSurplus.size > maxSurplus) this.#trimSoon();
  }

  #close(connection: TrackedConnection): void {
    connection.socket.destroy();
    this.#closed(connection);
  }

  #trimSoon(waitMs = 0): void {
    if (this.#isTrimming) return;
    this.#isTrimming = true;
    const trim = () => {
      this.#isTrimming = false;
      this.#trim();
    };
    // What has come on connections of this turn is read in the turn after.
    const afterReading = () => setImmediate(() => setImmediate(trim));
    if (waitMs === 0) afterReading();
    else setTimeout(afterReading, waitMs).unref();
  }

  /** Closes silent guests, the oldest first, until there are few enough or what is left is young and no crowd. */
  #trim(): void {
    const { maxSurplus } = this.#limits;
    const nowMs = performance.now();
    for (const guest of this.#silentSurplus) {
      if (this.#silentSurplus.size <= maxSurplus) return;
      const leftMs = guest.openedMs + GRACE_MS - nowMs;
      if (leftMs > 0 && this.#silentSurplus.size <= maxSurplus + burst(maxSurplus)) {
        this.#trimSoon(Math.ceil(leftMs));
        return;
      }
      this.#close(guest);
    }
  }

  /** Also called twice for one connection: when it gives way, and when its socket has closed. */
  #closed(connection: TrackedConnection): void {
    if (!this.#connections.delete(connection.socket)) return;
    this.#silentSurplus.delete(connection);
    if (connection.isSurplus) return;
    this.#admitted--;
    const own = this.#byShare.get(connection.share);
    own?.delete(connection);
    if (own?.size === 0) this.#byShare.delete(connection.share);
  }
}

/** How much the HTTP listener takes, in all and of one client, and how long it waits. */

export interface HttpLimits extends AdmissionLimits, RequestLimits {
  readonly maxHeaderOctets: number;
  /** A request, head and body, must have arrived within this time. */
  readonly requestTimeoutMs: number;
  readonly keepAliveMs: number;
  /** Requests that wait for a change, or follow them, at the same time. */
  readonly maxWaiting: number;
  readonly maxWaitingPerClient: number;
  /** Listings above some 64 KiB at the same time: all of such a one is held until it was sent. */
  readonly maxLongListings: number;
  readonly maxLongListingsPerClient: number;
  /** Snapshots, and single values, above some 64 KiB at the same time: a page of each is held. */
  readonly maxLongReplies: number;
  readonly maxLongRepliesPerClient: number;
  /** What waits for clients to read it, all together. */
  readonly maxUnreadOctets: number;
  /** How often a stream of changes shows that it is alive. */
  readonly heartbeatMs: number;
}

export const DEFAULT_HTTP_LIMITS: HttpLimits = {
  maxHeaderOctets: 16 * 1024,
  maxBodyOctets: 1024 * 1024,
  requestTimeoutMs: 10_000,
  keepAliveMs: 15_000,
  slowReaderMs: 10_000,
  lingerMs: 1_000,
  // A request that waits holds its connection, so there are more connections than places to wait.
  maxConnections: 1024 + 256,
  maxConnectionsPerClient: 64,
  maxSurplus: 128,
  maxPipelined: 16,
  maxWaiting: 1024,
  maxWaitingPerClient: 32,
  maxLongListings: 4,
  maxLongListingsPerClient: 2,
  maxLongReplies: 16,
  maxLongRepliesPerClient: 3,
  maxUnreadOctets: 64 * 1024 * 1024,
  heartbeatMs: 5_000,
};

/**
 * The limits of a process that may have so many files open, sockets included. Half of them are for HTTP at most; the
 * others are for DNS, for questions that are forwarded, and for the store.
 */
export function limitsWithin(files: number): Partial<HttpLimits> {
  const { maxConnections, maxConnectionsPerClient, maxSurplus, maxWaiting } = DEFAULT_HTTP_LIMITS;
  const share = Math.floor(files / 2);
  const connections = Math.min(maxConnections, Math.floor(share * 0.6));
  return {
    maxConnections: connections,
    maxConnectionsPerClient: Math.min(maxConnectionsPerClient, Math.ceil(connections / 4)),
    maxSurplus: Math.min(maxSurplus, Math.floor((share - connections) / (2 * mostSurplus(1)))),
    maxWaiting: Math.min(maxWaiting, Math.floor((connections * 4) / 5)),
  };
}
