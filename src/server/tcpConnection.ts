/**
 * One TCP client, from accept to destroy (RFC 7766, RFC 9210). Replies go out in the order in which they become ready.
 * A client that has closed its half still gets every answer that it is owed.
 *
 * Invariant: what a client can make us hold is bounded. Reading stops while `outstandingQueries` are unanswered or
 * `unreadOctets` of output wait for it; a query that never gets a reply stops counting after `queryMs`. And every
 * connection ends: destroyed, since a peer is free to ignore a FIN.
 */
import type { Socket } from 'node:net';
import { frame, Reassembly } from '../dns/framing.ts';
import type { DnsClient, Respond } from '../dns/message.ts';
import { MAX_MESSAGE_OCTETS } from '../dns/wire.ts';
import type { FairScheduler } from '../timing/fairScheduler.ts';

export interface ConnectionLimits {
  /** Longest time without a whole query arriving or output being taken. */
  readonly idleMs: number;
  /** Time for a message to arrive, from its first octet to its last. */
  readonly messageMs: number;
  /** After so long a query is taken to be one that gets no reply. */
  readonly queryMs: number;
  readonly outstandingQueries: number;
  /** Output not yet taken by the client at which we stop reading from it; at four times as much we hang up. */
  readonly unreadOctets: number;
}

export interface ConnectionCounters {
  queries: number;
  replies: number;
  /** Queries that were given up after `queryMs`. */
  unanswered: number;
  /** Connections closed by us, by cause; `overrun` is output far above the limit, `failed` a socket error. */
  malformed: number;
  slow: number;
  idle: number;
  overrun: number;
  failed: number;
}

export interface ConnectionContext {
  readonly respond: Respond;
  readonly limits: ConnectionLimits;
  readonly counters: ConnectionCounters;
  readonly scheduler: FairScheduler;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

const HANG_UP_FACTOR = 4;

export class TcpConnection {
  readonly client: DnsClient;
  readonly #socket: Socket;
  readonly #context: ConnectionContext;
  readonly #input = new Reassembly();
  /** When each query that has no reply yet was asked, oldest first; the key is its number on this connection. */
  readonly #outstanding = new Map<number, number>();
  #lastQuery = 0;
  #activeMs: number;
  #partialSinceMs: number | undefined;
  #finishing = false;
  /** Nothing more will be read: the client closed its half, or we are finishing. */
  #inputOver = false;
  #corked = false;

  constructor(socket: Socket, client: DnsClient, context: ConnectionContext) {
    this.#socket = socket;
    this.client = client;
    this.#context = context;
    this.#activeMs = context.nowMs();
    socket.on('data', (chunk) => this.#receive(chunk));
    socket.on('end', () => this.#endInput());
    socket.on('drain', () => this.#wake());
    socket.on('error', () => {
      context.counters.failed += 1; // 'close' follows
    });
    socket.on('close', () => this.#forget());
  }

  /** Since when nothing has happened, in `nowMs` terms; undefined while a query waits for its reply. */
  get idleSinceMs(): number | undefined {
    return this.#outstanding.size > 0 ? undefined : this.#activeMs;
  }

  /** Takes one message, if there is one and the limits allow it. The scheduler calls this. */
  step(): boolean {
    if (this.#socket.destroyed || !this.#mayTakeMore()) return false; // #wake comes when that changes
    const next = this.#input.next();
    switch (next.kind) {
      case 'message':
        this.#take(next.message);
        return true;
      case 'incomplete':
        this.#readOn(next.pendingOctets);
        return false;
      case 'malformed':
        this.#cut('malformed');
        return false;
    }
  }

  /** Enforces the time limits. To be called every now and then. */
  checkTimes(): void {
    const { limits, nowMs } = this.#context;
    const now = nowMs();
    this.#giveUpQueries(now - limits.queryMs);
    const partialMs = now - (this.#partialSinceMs ?? now);
    if (now - this.#activeMs > limits.idleMs) this.#cut('idle');
    else if (partialMs > limits.messageMs && this.#mayTakeMore()) this.#cut('slow');
  }

  /** Answers what has been received, then closes. */
  finish(): void {
    this.#finishing = true;
    this.#wake();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#inputOver) return;
    this.#socket.pause(); // until the chunk is used up: see #readOn
    this.#input.push(chunk);
    this.#wake();
  }

  #endInput(): void {
    this.#inputOver = true;
    this.#partialSinceMs = undefined; // what has begun will not end: nobody waits for it
    this.#wake();
  }

  #take(message: Uint8Array): void {
    const { respond, counters, nowMs } = this.#context;
    this.#lastQuery += 1;
    const query = this.#lastQuery;
    this.#activeMs = nowMs();
    this.#partialSinceMs = undefined;
    this.#outstanding.set(query, this.#activeMs);
    counters.queries += 1;
    respond(message, this.client, (reply) => this.#reply(query, reply));
  }

  #reply(query: number, reply: Uint8Array): void {
    if (!this.#outstanding.delete(query)) return; // given up, or the client has gone
    const { counters, limits } = this.#context;
    const unread = this.#socket.writableLength + reply.length;
    if (reply.length > MAX_MESSAGE_OCTETS || unread > limits.unreadOctets * HANG_UP_FACTOR) {
      this.#cut('overrun');
    } else {
      this.#cork();
      this.#socket.write(frame(reply), this.#taken);
      counters.replies += 1;
      this.#wake();
    }
  }

  readonly #taken = () => {
    this.#activeMs = this.#context.nowMs();
  };

  /** Puts the replies that become ready together into one segment. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    process.nextTick(() => {
      this.#corked = false;
      this.#socket.uncork();
    });
  }

  #readOn(pendingOctets: number): void {
    // What the socket object has buffered was received before we began to finish: it is still answered.
    if (this.#finishing && this.#socket.readableLength === 0) this.#inputOver = true;
    if (this.#inputOver && this.#outstanding.size === 0 && !this.#socket.writableEnded) {
      this.#socket.end();
    }
    if (pendingOctets > 0 && !this.#inputOver) this.#partialSinceMs ??= this.#context.nowMs();
    this.#socket.resume();
  }

  #mayTakeMore(): boolean {
    const { limits } = this.#context;
    return (
      this.#outstanding.size < limits.outstandingQueries &&
      this.#socket.writableLength < limits.unreadOctets
    );
  }

  #giveUpQueries(askedBeforeMs: number): void {
    for (const [query, askedMs] of this.#outstanding) {
      if (askedMs > askedBeforeMs) return;
      this.#outstanding.delete(query);
      this.#context.counters.unanswered += 1;
      this.#wake();
    }
  }

  #wake(): void {
    this.#context.scheduler.add(this);
  }

  #cut(cause: 'malformed' | 'slow' | 'idle' | 'overrun'): void {
    if (this.#socket.destroyed) return;
    this.#context.counters[cause] += 1;
    this.#socket.destroy();
  }

  #forget(): void {
    this.#outstanding.clear();
    this.#context.scheduler.remove(this);
  }
}
