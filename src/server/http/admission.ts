/**
 * Limits open HTTP connections, in total and for each client.
 *
 * A connection over a limit replaces an idle connection of the same client. If the client has none, the new connection
 * is a surplus connection: it may request only the health pages, so that no client can make the health checks fail. Its
 * other requests get 503. If it sends a request that may write (with the token, or as a trusted user of this host), the
 * server admits it while the total allows that. When too many surplus connections have sent no request, the oldest are
 * closed first.
 */
import type { Socket } from 'node:net';
import { connectedClientOf } from './exchange/client.ts';

export interface AdmissionLimits {
  readonly maxConnections: number;
  readonly maxConnectionsPerClient: number;
  readonly maxSurplus: number;
  /** Unanswered requests of one connection, as pipelining creates them. */
  readonly maxPipelined: number;
}

/** A surplus connection has this much time for its first request, unless too many arrive at once. */
const GRACE_MS = 300;
/** The kernel may pass this many connections before the process reads from any of them. */
const MAX_BURST = 512;

/** The maximum number of surplus connections without a request at any time. */
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
  /** Requests in progress. */
  inProgress: number;
  served: number;
}

export class ConnectionAdmission {
  readonly #limits: AdmissionLimits;
  readonly #connections = new Map<Socket, TrackedConnection>();
  /** Admitted connections in the order in which they opened. */
  readonly #byShare = new Map<string, Set<TrackedConnection>>();
  /** Surplus connections without a request, in the order in which they opened. */
  readonly #silentSurplus = new Set<TrackedConnection>();
  #wasOpened = false;
  #admitted = 0;
  #isTrimming = false;

  constructor(limits: AdmissionLimits) {
    this.#limits = limits;
  }

  /** Whether a connection was opened since the last call. */
  hasOpened(): boolean {
    const opened = this.#wasOpened;
    this.#wasOpened = false;
    return opened;
  }

  opened(socket: Socket): void {
    this.#wasOpened = true;
    const { share } = connectedClientOf(socket);
    const openedMs = performance.now();
    const connection = { socket, share, openedMs, isSurplus: false, inProgress: 0, served: 0 };
    this.#connections.set(socket, connection);
    socket.once('close', () => this.#closed(connection));
    if (this.#makeRoom(share)) this.#addAdmitted(connection);
    else this.#addSurplus(connection);
  }

  /** Whether the connection may send another request. Closes a connection that has too many. */
  mayRequest(socket: Socket): boolean {
    if (socket.destroyed) return false;
    const connection = this.#connections.get(socket);
    if (connection !== undefined && connection.inProgress < this.#limits.maxPipelined) return true;
    socket.destroy();
    return false;
  }

  /**
   * Counts a new request. False: the connection has too many, although `mayRequest` allowed this one, and is closed.
   */
  began(socket: Socket): boolean {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return false;
    connection.inProgress++;
    this.#silentSurplus.delete(connection);
    if (connection.inProgress <= this.#limits.maxPipelined) return true;
    socket.destroy();
    return false;
  }

  ended(socket: Socket): void {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return;
    connection.inProgress--;
    connection.served++;
  }

  isSurplus(socket: Socket): boolean {
    return this.#connections.get(socket)?.isSurplus ?? true;
  }

  /** Admits a trusted surplus connection without regard to its client's share. False if the server is full. */
  admit(socket: Socket): boolean {
    const connection = this.#connections.get(socket);
    if (connection === undefined) return false;
    if (!connection.isSurplus) return true;
    if (this.#admitted >= this.#limits.maxConnections) return false;
    this.#addAdmitted(connection);
    return true;
  }

  #makeRoom(share: string): boolean {
    const own = this.#byShare.get(share);
    const { maxConnections, maxConnectionsPerClient } = this.#limits;
    const isFull = this.#admitted >= maxConnections || (own?.size ?? 0) >= maxConnectionsPerClient;
    return !isFull || this.#closeIdle(own);
  }

  /** Closes a connection that is between two requests. Every HTTP client must expect such a close. */
  #closeIdle(connections: Iterable<TrackedConnection> = []): boolean {
    for (const connection of connections) {
      if (connection.inProgress > 0 || connection.served === 0) continue;
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
    const trimNow = () => {
      this.#isTrimming = false;
      this.#trim();
    };
    // Node reads requests of connections that open in this turn of the event loop in the next turn.
    const afterReading = () => setImmediate(() => setImmediate(trimNow));
    if (waitMs === 0) afterReading();
    else setTimeout(afterReading, waitMs).unref();
  }

  /**
   * Closes silent surplus connections, the oldest first, until at most `maxSurplus` are left. Waits until they are
   * `GRACE_MS` old, unless too many arrive at once.
   */
  #trim(): void {
    const { maxSurplus } = this.#limits;
    const nowMs = performance.now();
    for (const surplus of this.#silentSurplus) {
      if (this.#silentSurplus.size <= maxSurplus) return;
      const leftMs = surplus.openedMs + GRACE_MS - nowMs;
      if (leftMs > 0 && this.#silentSurplus.size <= maxSurplus + burst(maxSurplus)) {
        this.#trimSoon(Math.ceil(leftMs));
        return;
      }
      this.#close(surplus);
    }
  }

  /** Runs twice for some connections: when the server closes the connection, and when its socket has closed. */
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
