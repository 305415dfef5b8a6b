/**
 * The open TCP connections, within the limits. A connection of a client that has `connectionsPerClient` waits a moment for
 * one of them to close.
 */
import type { Socket } from 'node:net';
import { clientAddress } from '../../dns/address.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { FairScheduler } from '../../timing/fairScheduler.ts';
import type { StreamService } from './connectionListener.ts';
import { OpenConnections, type OpenCounters, type OpenLimits } from './openConnections.ts';
import type { ConnectionOffer } from './replyOptions.ts';
import type { StreamTable } from './streamTable.ts';
import {
  type ConnectionContext,
  type ConnectionCounters,
  type ConnectionLimits,
  type OpenReplies,
  TcpConnection,
} from './tcpConnection.ts';
import { WaitingConnections } from './waitingConnections.ts';

export interface TcpLimits extends ConnectionLimits, OpenLimits {
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

export type TcpCounters = OpenCounters & ConnectionCounters;

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
  readonly #transport: ConnectionTableOptions['transport'];
  readonly #context: ConnectionContext;
  readonly #open: OpenConnections<TcpConnection>;
  readonly #waiting: WaitingConnections;

  constructor(respond: Respond, limits: TcpLimits, options: ConnectionTableOptions) {
    const { transport, table, openReplies } = options;
    this.#transport = transport;
    const shortestMs = Math.min(limits.idleMs, limits.messageMs, limits.queryMs);
    this.#open = new OpenConnections(limits, shortestMs / CHECKS_PER_LIMIT, this.counters);
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
    if (this.#open.hasShare(address)) this.#admitNow(socket, address);
    else this.#waiting.add(socket, address);
  }

  #admitWaiting(address: string): void {
    const next = this.#open.hasShare(address) ? this.#waiting.take(address) : undefined;
    if (next !== undefined) this.#admitNow(next, address);
  }

  #admitNow(socket: Socket, address: string): void {
    const { remotePort, localAddress, localPort } = socket;
    if (remotePort === undefined || !this.#open.makeRoom()) return void socket.destroy();
    this.#add(socket, {
      transport: this.#transport,
      address,
      port: remotePort,
      localAddress: localAddress && clientAddress(localAddress),
      localPort,
    });
  }

  finishAll(): void {
    this.#open.finishAll();
  }

  destroyAll(): void {
    this.#waiting.destroyAll();
    this.#open.destroyAll();
  }

  #add(socket: Socket, client: DnsClient): void {
    const connection = new TcpConnection(socket, client, this.#context);
    const { address } = client;
    this.#open.add(connection, socket, address, () => this.#admitWaiting(address));
  }
}

function monotonicMs(): number {
  return performance.now();
}
