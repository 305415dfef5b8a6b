/**
 * The open TCP connections: who may join them, and the clock that they are held to.
 *
 * When `connections` are open, a new one takes the place of the one that has been idle longest: a flood of idle
 * connections then only pushes out its own. If every one has a query waiting, the new one is closed instead.
 */
import type { Socket } from 'node:net';
import { clientAddress } from '../dns/address.ts';
import type { Respond } from '../dns/message.ts';
import { FairScheduler } from '../timing/fairScheduler.ts';
import {
  type ConnectionContext,
  type ConnectionCounters,
  type ConnectionLimits,
  TcpConnection,
} from './tcpConnection.ts';

export interface TcpLimits extends ConnectionLimits {
  /** Open at once, in all. */
  readonly connections: number;
  /** Open at once from one client address. */
  readonly connectionsPerClient: number;
  /** Messages taken from all connections together in one time slice. */
  readonly messagesPerSlice: number;
  /** After this time a slice takes no further message. */
  readonly sliceMs: number;
  /** How long `close` waits for answers to be ready and taken. */
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
  queryMs: 5_000, // the forwarder, the slowest to answer, needs at most 4 s
  closeMs: 2_000,
};

export interface TcpCounters extends ConnectionCounters {
  accepted: number;
  /** Open now. */
  open: number;
  /** Closed on accept because all connections were busy. */
  refused: number;
  /** Closed on accept because their client has `connectionsPerClient` already. */
  refusedPerClient: number;
  /** Closed while idle, for a new one's sake. */
  evicted: number;
}

const CLOCK_TICKS_PER_LIMIT = 10;

/** Takes over accepted sockets. `respond` gets the queries of all of them. */
export class ConnectionTable {
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
  readonly #context: ConnectionContext;
  readonly #open = new Set<TcpConnection>();
  readonly #openByAddress = new Map<string, number>();
  #clock: NodeJS.Timeout | undefined;

  constructor(respond: Respond, limits: TcpLimits) {
    this.#limits = limits;
    const { messagesPerSlice: steps, sliceMs } = limits;
    const scheduler = new FairScheduler({ steps, sliceMs, nowMs: monotonicMs });
    this.#context = { respond, limits, counters: this.counters, scheduler, nowMs: monotonicMs };
  }

  admit(socket: Socket): void {
    socket.on('error', () => {}); // before anything else: a reset may be on its way
    const { remoteAddress, remotePort } = socket;
    if (remoteAddress === undefined || remotePort === undefined) return void socket.destroy();
    const address = clientAddress(remoteAddress);
    if (!this.#hasRoomFor(address)) return void socket.destroy();
    this.#add(socket, address, remotePort);
  }

  finishAll(): void {
    for (const connection of this.#open) connection.finish();
  }

  destroyAll(): void {
    for (const connection of this.#open) connection.destroy();
  }

  #hasRoomFor(address: string): boolean {
    if ((this.#openByAddress.get(address) ?? 0) >= this.#limits.connectionsPerClient) {
      this.counters.refusedPerClient += 1;
      return false;
    }
    if (this.#open.size < this.#limits.connections || this.#evictLongestIdle()) return true;
    this.counters.refused += 1;
    return false;
  }

  #evictLongestIdle(): boolean {
    let longestIdle: TcpConnection | undefined;
    let since = Number.POSITIVE_INFINITY;
    for (const connection of this.#open) {
      const idleSince = connection.idleSinceMs ?? Number.POSITIVE_INFINITY;
      if (idleSince >= since) continue;
      since = idleSince;
      longestIdle = connection;
    }
    if (longestIdle === undefined) return false;
    longestIdle.destroy();
    this.#remove(longestIdle);
    this.counters.evicted += 1;
    return true;
  }

  #add(socket: Socket, address: string, port: number): void {
    const client = { transport: 'tcp', address, port } as const;
    const connection = new TcpConnection(socket, client, this.#context);
    this.#open.add(connection);
    this.#openByAddress.set(address, (this.#openByAddress.get(address) ?? 0) + 1);
    this.counters.accepted += 1;
    this.counters.open = this.#open.size;
    socket.on('close', () => this.#remove(connection));
    this.#clock ??= this.#startClock();
  }

  /** Also called twice for one connection: when it is evicted, and when its socket has closed. */
  #remove(connection: TcpConnection): void {
    if (!this.#open.delete(connection)) return;
    const { address } = connection.client;
    const left = (this.#openByAddress.get(address) ?? 1) - 1;
    if (left === 0) this.#openByAddress.delete(address);
    else this.#openByAddress.set(address, left);
    this.counters.open = this.#open.size;
    if (this.#open.size === 0) this.#stopClock();
  }

  /** One timer for all of them: a timer per connection would be set anew for every message. */
  #startClock(): NodeJS.Timeout {
    const { idleMs, messageMs, queryMs } = this.#limits;
    const tickMs = Math.min(idleMs, messageMs, queryMs) / CLOCK_TICKS_PER_LIMIT;
    return setInterval(() => {
      for (const connection of this.#open) connection.checkTimes();
    }, tickMs);
  }

  #stopClock(): void {
    clearInterval(this.#clock);
    this.#clock = undefined;
  }
}

function monotonicMs(): number {
  return performance.now();
}
