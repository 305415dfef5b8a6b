/**
 * The open TCP connections: admits new ones within the limits, and checks all of them for timeouts.
 *
 * When `connections` are open, a new connection replaces the one that has been idle longest, so a flood of idle
 * connections evicts no connection that was active more recently than the flood's own. If all of them have a pending
 * query, the new one is closed.
 */
import type { Socket } from 'node:net';
import { clientAddress } from '../dns/address.ts';
import type { DnsClient, Respond } from '../dns/message.ts';
import { FairScheduler } from '../timing/fairScheduler.ts';
import type { StreamTable } from './streamTable.ts';
import {
  type ConnectionContext,
  type ConnectionCounters,
  type ConnectionLimits,
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
  /** Closed on accept because the client already had `connectionsPerClient`. */
  refusedPerClient: number;
  /** Closed while idle, for a new connection. */
  evicted: number;
}

/** Checks for timeouts in the shortest of the time limits. */
const CHECKS_PER_LIMIT = 10;

/** Owns the accepted sockets; `respond` gets the queries of all of them. */
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
  #checks: NodeJS.Timeout | undefined;

  constructor(respond: Respond, limits: TcpLimits, table?: StreamTable) {
    this.#limits = limits;
    const { messagesPerSlice: steps, sliceMs } = limits;
    const scheduler = new FairScheduler({ steps, sliceMs, nowMs: monotonicMs });
    this.#context = {
      ...{ respond, table, limits },
      ...{ counters: this.counters, scheduler, nowMs: monotonicMs },
    };
  }

  admit(socket: Socket): void {
    socket.on('error', () => {}); // at once: a reset may already be pending
    const { remoteAddress, remotePort, localAddress } = socket;
    if (remoteAddress === undefined || remotePort === undefined) return void socket.destroy();
    const address = clientAddress(remoteAddress);
    if (!this.#hasRoomFor(address)) return void socket.destroy();
    this.#add(socket, {
      transport: 'tcp',
      address,
      port: remotePort,
      localAddress: localAddress && clientAddress(localAddress),
    });
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

  #add(socket: Socket, client: DnsClient): void {
    const { address } = client;
    const connection = new TcpConnection(socket, client, this.#context);
    this.#open.add(connection);
    this.#openByAddress.set(address, (this.#openByAddress.get(address) ?? 0) + 1);
    this.counters.accepted += 1;
    this.counters.open = this.#open.size;
    socket.on('close', () => this.#remove(connection));
    this.#checks ??= this.#startChecks();
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
