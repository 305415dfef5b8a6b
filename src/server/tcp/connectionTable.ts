/**
 * The open TCP connections: admits new ones within the limits, and checks all of them for timeouts.
 *
 * When `connections` are open, a new connection replaces the one that has been idle longest, so a flood of idle
 * connections evicts no connection that was active more recently than the flood's own. If all of them have a pending
 * query, the new one is closed. A connection of a client that has `connectionsPerClient` waits a moment for one of them to
 * close.
 */
import type { Socket } from 'node:net';
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { FairScheduler } from '../../timing/fairScheduler.ts';
import type { StreamService } from './connectionListener.ts';
import type { ConnectionOffer } from './replyOptions.ts';
import type { StreamTable } from './streamTable.ts';
import {
  type ConnectionContext,
  type ConnectionCounters,
  type ConnectionLimits,
  type OpenReplies,
  TcpConnection,
} from './tcpConnection.ts';

export interface TcpLimits extends ConnectionLimits {
  /** The most connections that are open at a time. */
  readonly connections: number;
  /** The most connections that are open at a time from one client address. */
  readonly connectionsPerClient: number;
  /** Messages taken from all connections together in one time slice. */
  readonly messagesPerSlice: number;
  /** After this time a slice takes no further message. */
  readonly sliceMs: number;
  /** How long `close` waits for answers, and for clients to read them. */
  readonly closeMs: number;
}

export const DEFAULT_TCP_LIMITS: TcpLimits = {
  connections: 150,
  connectionsPerClient: 20,
  messagesPerSlice: 32,
  sliceMs: 5,
  outstandingQueries: 64,
  unreadOctets: 256 * 1024,
  idleMs: 10_000,
  messageMs: 2_000,
  queryMs: 5_000, // the slowest answers are the forwarder's, within 4 s
  closeMs: 2_000,
};

export interface TcpCounters extends ConnectionCounters {
  accepted: number;
  /** Open now. */
  open: number;
  /** Closed on accept because all connections were busy. */
  refused: number;
  /** Closed because the client had `connectionsPerClient`, and none of them closed in time. */
  refusedPerClient: number;
  /** Closed while idle, for a new connection. */
  evicted: number;
}

/** Checks for timeouts in the shortest of the time limits. */
const CHECKS_PER_LIMIT = 10;

export interface ConnectionTableOptions {
  readonly transport: 'tcp' | 'dot';
  /** Answers queries that the answer table holds; without it `respond` answers everything. */
  readonly table?: StreamTable | undefined;
  /** See `ConnectionContext`. */
  readonly openReplies?: OpenReplies | undefined;
}

/** Owns the accepted sockets; `respond` gets the queries of all of them. */
export class ConnectionTable implements StreamService {
  readonly counters: TcpCounters = {
    accepted: 0,
    open: 0,
    refused: 0,
    refusedPerClient: 0,
    evicted: 0,
    queries: 0,
    replies: 0,
    unanswered: 0,
    malformed: 0,
    slow: 0,
    idle: 0,
    overrun: 0,
    failed: 0,
  };
  readonly #limits: TcpLimits;
  readonly #transport: ConnectionTableOptions['transport'];
  readonly #context: ConnectionContext;
  readonly #open = new Set<TcpConnection>();
  readonly #openByAddress = new Map<string, number>();
  readonly #waiting: WaitingConnections;
  #isFinishing = false;
  #checks: NodeJS.Timeout | undefined;

  constructor(respond: Respond, limits: TcpLimits, options: ConnectionTableOptions) {
    const { transport, table, openReplies } = options;
    this.#limits = limits;
    this.#transport = transport;
    this.#waiting = new WaitingConnections(limits.connections, () => {
      this.counters.refusedPerClient += 1;
    });
    const { messagesPerSlice: steps, sliceMs } = limits;
    const scheduler = new FairScheduler({ steps, sliceMs, nowMs: monotonicMs });
    const offer: ConnectionOffer = { idleMs: limits.idleMs, isEncrypted: transport === 'dot' };
    this.#context = {
      ...{ respond, openReplies, table, limits, offer },
      ...{ counters: this.counters, scheduler, nowMs: monotonicMs },
    };
  }

  admit(socket: Socket): void {
    socket.on('error', () => {}); // at once: a reset may already be pending
    if (socket.remoteAddress === undefined) return void socket.destroy();
    const address = clientAddress(socket.remoteAddress);
    if (this.#hasShare(address)) this.#admitNow(socket, address);
    else this.#waiting.add(socket, address);
  }

  #hasShare(address: string): boolean {
    return (this.#openByAddress.get(address) ?? 0) < this.#limits.connectionsPerClient;
  }

  #admitWaiting(address: string): void {
    const next = this.#hasShare(address) ? this.#waiting.take(address) : undefined;
    if (next !== undefined) this.#admitNow(next, address);
  }

  #admitNow(socket: Socket, address: string): void {
    const { remotePort, localAddress, localPort } = socket;
    if (remotePort === undefined || !this.#hasRoom()) return void socket.destroy();
    this.#add(socket, {
      transport: this.#transport,
      address,
      port: remotePort,
      localAddress: localAddress && clientAddress(localAddress),
      localPort,
    });
  }

  finishAll(): void {
    this.#isFinishing = true;
    for (const connection of this.#open) connection.finish();
  }

  destroyAll(): void {
    this.#waiting.destroyAll();
    for (const connection of this.#open) connection.destroy();
  }

  #hasRoom(): boolean {
    if (this.#open.size < this.#limits.connections || this.#evictLongestIdle()) return true;
    this.counters.refused += 1;
    return false;
  }

  #evictLongestIdle(): boolean {
    const longestIdle = longestIdleOf(this.#open);
    if (longestIdle === undefined) return false;
    longestIdle.destroy();
    this.#remove(longestIdle);
    this.counters.evicted += 1;
    return true;
  }

  #add(socket: Socket, client: DnsClient): void {
    const { address } = client;
    const connection = new TcpConnection(socket, client, this.#context);
    this.#open.add(connection);
    this.#openByAddress.set(address, (this.#openByAddress.get(address) ?? 0) + 1);
    this.counters.accepted += 1;
    this.counters.open = this.#open.size;
    socket.on('close', () => {
      this.#remove(connection);
      this.#admitWaiting(address);
    });
    this.#checks ??= this.#startChecks();
    if (this.#isFinishing) connection.finish();
  }

  /** Called twice for an evicted connection: at the eviction, and when its socket has closed. */
  #remove(connection: TcpConnection): void {
    if (!this.#open.delete(connection)) return;
    const { address } = connection.client;
    const left = (this.#openByAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#openByAddress.delete(address);
    else this.#openByAddress.set(address, left);
    this.counters.open = this.#open.size;
    if (this.#open.size === 0) this.#stopChecks();
  }

  /** One timer for all connections, since a timer for each would be set again at every message. */
  #startChecks(): NodeJS.Timeout {
    const { idleMs, messageMs, queryMs } = this.#limits;
    const intervalMs = Math.min(idleMs, messageMs, queryMs) / CHECKS_PER_LIMIT;
    return setInterval(() => {
      for (const connection of this.#open) connection.checkTimes();
    }, intervalMs);
  }

  #stopChecks(): void {
    clearInterval(this.#checks);
    this.#checks = undefined;
  }
}

function monotonicMs(): number {
  return performance.now();
}

/** Less than a client waits for its answer. */
const WAIT_MS = 500;

interface Waiting {
  readonly address: string;
  readonly timer: NodeJS.Timeout;
  readonly onClose: () => void;
}

/**
 * Connections of clients that have as many open as they may. When this thread was blocked, the kernel passes many new
 * connections on at once, although each would have been answered and closed before the next one came. So such a
 * connection waits a short time for one of its client's to close before it is refused.
 */
class WaitingConnections {
  readonly #most: number;
  readonly #onRefused: () => void;
  /** The oldest first. */
  readonly #waiting = new Map<Socket, Waiting>();

  /** `onRefused` is called for each connection that waited in vain, or found `most` waiting. */
  constructor(most: number, onRefused: () => void) {
    this.#most = most;
    this.#onRefused = onRefused;
  }

  /** Keeps the connection of the client with that address until `take`, or refuses it. */
  add(socket: Socket, address: string): void {
    if (this.#waiting.size >= this.#most) {
      this.#refuse(socket);
      return;
    }
    const onClose = () => this.#remove(socket);
    socket.on('close', onClose);
    const timer = setTimeout(() => this.#refuse(socket), WAIT_MS);
    this.#waiting.set(socket, { address, timer, onClose });
  }

  /** The client's connection that has waited longest. */
  take(address: string): Socket | undefined {
    for (const [socket, waiting] of this.#waiting) {
      if (waiting.address !== address) continue;
      this.#remove(socket);
      return socket;
    }
    return undefined;
  }

  destroyAll(): void {
    for (const socket of this.#waiting.keys()) {
      this.#remove(socket);
      socket.destroy();
    }
  }

  #refuse(socket: Socket): void {
    this.#remove(socket);
    socket.destroy();
    this.#onRefused();
  }

  #remove(socket: Socket): void {
    const waiting = this.#waiting.get(socket);
    if (waiting === undefined) return;
    this.#waiting.delete(socket);
    clearTimeout(waiting.timer);
    socket.off('close', waiting.onClose);
  }
}

/** The connection that has been idle for longest; `undefined` if none is idle. */
export function longestIdleOf<T extends { readonly idleSinceMs: number | undefined }>(
  connections: Iterable<T>,
): T | undefined {
  let longestIdle: T | undefined;
  let since = Number.POSITIVE_INFINITY;
  for (const connection of connections) {
    const idleSince = connection.idleSinceMs ?? Number.POSITIVE_INFINITY;
    if (idleSince >= since) continue;
    since = idleSince;
    longestIdle = connection;
  }
  return longestIdle;
}
