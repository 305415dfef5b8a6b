/**
 * One TCP connection, from accept to destroy (RFC 7766, RFC 9210). Replies are sent in the order in which they become
 * ready. A client that has closed its half still gets the answers to all its queries.
 *
 * Invariants: the memory that a client can take is bounded. The connection stops reading while `outstandingQueries` are
 * unanswered or the client has `unreadOctets` of output to read; a query without a reply no longer counts after
 * `queryMs`. Every connection ends: the server destroys it, because a peer may ignore a FIN.
 */
import type { Socket } from 'node:net';
import { frame, Reassembly } from '../../dns/framing.ts';
import type { DnsClient, Respond } from '../../dns/message.ts';
import { MAX_MESSAGE_OCTETS } from '../../dns/wire.ts';
import type { FairScheduler } from '../../timing/fairScheduler.ts';
import { type ConnectionOffer, replyOptionsFor, withReplyOptions } from './replyOptions.ts';
import type { StreamTable } from './streamTable.ts';

export interface ConnectionLimits {
  /** The longest time without a whole query from the client and without output that it reads. */
  readonly idleMs: number;
  /** The time for a message to arrive, from its first octet to its last. */
  readonly messageMs: number;
  /** A query without a reply after this time counts as unanswered. */
  readonly queryMs: number;
  readonly outstandingQueries: number;
  /**
   * At this much output that the client has not read, reading stops; at `OVERRUN_FACTOR` times as much the connection
   * is cut.
   */
  readonly unreadOctets: number;
}

export interface ConnectionCounters {
  queries: number;
  replies: number;
  /** Queries without a reply after `queryMs`. */
  unanswered: number;
  /** Connections that the server cut, by cause; `overrun` is output far above the limit, `failed` an error. */
  malformed: number;
  slow: number;
  idle: number;
  overrun: number;
  failed: number;
}

/** The replies to a query with several; the connection takes them as fast as the client reads them. */
export interface QueryReplies {
  /** `undefined` after the last one; `broken`: the client cannot get the rest, and the connection ends. */
  next(): Uint8Array | undefined | 'broken';
  /** Called once no more replies are taken: after the last one, or when the connection has ended before. */
  close(): void;
}

/** The replies to a query for a zone; `undefined` for any other message. */
export type OpenReplies = (message: Uint8Array, client: DnsClient) => QueryReplies | undefined;

export interface ConnectionContext {
  readonly respond: Respond;
  /** Gets each message before `respond`. */
  readonly openReplies: OpenReplies | undefined;
  /** Answers queries before `respond` gets them; undefined: `respond` gets all. */
  readonly table: StreamTable | undefined;
  readonly limits: ConnectionLimits;
  readonly offer: ConnectionOffer;
  readonly counters: ConnectionCounters;
  readonly scheduler: FairScheduler;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** As much as a few queries: longer chunks wait for their turn. */
const MOST_OCTETS_AT_ONCE = 512;

/** Times `unreadOctets`. */
const OVERRUN_FACTOR = 4;

export class TcpConnection {
  readonly client: DnsClient;
  readonly #socket: Socket;
  readonly #context: ConnectionContext;
  readonly #input = new Reassembly();
  /** When each query without a reply arrived, the oldest first; the key is its number on this connection. */
  readonly #outstanding = new Map<number, number>();
  #lastQuery = 0;
  #activeMs: number;
  #partialSinceMs: number | undefined;
  /**
   * The replies to a query with several, which are being sent. Later messages wait, except the queries that
   * `#answerAtOnce` answers: their replies, and late ones to earlier queries, go out between two of these. A client
   * tells replies by their ID (RFC 7766 §7).
   */
  #replies: QueryReplies | undefined;
  #finishing = false;
  /** Reading has ended: the client closed its half, or the server is finishing. */
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

  /** The time of the last activity, on the scale of `nowMs`; undefined while a query waits for its reply. */
  get idleSinceMs(): number | undefined {
    const isBusy = this.#outstanding.size > 0 || this.#replies !== undefined;
    return isBusy ? undefined : this.#activeMs;
  }

  /**
   * For the scheduler: takes the messages that the table answers, up to a few, or else one other message, if one has
   * arrived and the limits allow it.
   */
  step(): boolean {
    if (this.#socket.destroyed || !this.#mayTakeMore()) return false; // #wake comes when that changes
    if (this.#replies !== undefined) return this.#sendNext(this.#replies);
    if (this.#answerFromTable()) return true;
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

  /** Enforces the time limits; the connection table calls it periodically. */
  checkTimes(): void {
    const { limits, nowMs } = this.#context;
    const now = nowMs();
    this.#dropQueries(now - limits.queryMs);
    const partialMs = now - (this.#partialSinceMs ?? now);
    if (now - this.#activeMs > limits.idleMs) this.#endIdle();
    else if (partialMs > limits.messageMs && this.#mayTakeMore()) this.#cut('slow');
  }

  /** Answers the queries received so far, then closes. */
  finish(): void {
    this.#finishing = true;
    this.#wake();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #receive(chunk: Buffer): void {
    if (this.#inputOver) return;
    this.#input.push(chunk);
    if (this.#answerAtOnce(chunk.length)) return;
    this.#socket.pause(); // until #readOn, when the chunk is used up
    this.#wake();
  }

  /**
   * A client over TLS sends each query in a record of its own, and Node gives each record alone: to pause and to wait for
   * a turn would cost more than the answer. False if octets of the chunk are left.
   */
  #answerAtOnce(octets: number): boolean {
    const { offer } = this.#context;
    if (!offer.isEncrypted || octets > MOST_OCTETS_AT_ONCE || !this.#mayTakeMore()) return false;
    this.#cork();
    this.#answerFromTable();
    return this.#input.isDrained;
  }

  #endInput(): void {
    this.#inputOver = true;
    this.#partialSinceMs = undefined; // a message that has begun cannot be completed
    this.#wake();
  }

  /** False if the table answers no query now. */
  #answerFromTable(): boolean {
    const { table, counters, limits, offer, nowMs } = this.#context;
    if (table === undefined) return false;
    const room = limits.unreadOctets - this.#socket.writableLength;
    const answered = table.answer(this.#input, this.client, room, offer);
    if (answered === 0) return false;
    this.#activeMs = nowMs();
    this.#partialSinceMs = undefined;
    counters.queries += answered;
    counters.replies += answered;
    this.#socket.write(table.takeReplies(), this.#onWritten);
    return true;
  }

  #take(message: Uint8Array): void {
    const { respond, openReplies, counters, offer, nowMs } = this.#context;
    this.#lastQuery += 1;
    const query = this.#lastQuery;
    this.#activeMs = nowMs();
    this.#partialSinceMs = undefined;
    counters.queries += 1;
    this.#replies = openReplies?.(message, this.client);
    if (this.#replies !== undefined) return;
    this.#outstanding.set(query, this.#activeMs);
    const options = replyOptionsFor(message, offer);
    respond(message, this.client, (reply) => this.#reply(query, withReplyOptions(reply, options)));
  }

  #sendNext(replies: QueryReplies): boolean {
    const reply = replies.next();
    if (reply === 'broken') {
      this.#cut('failed');
      return false;
    }
    if (reply === undefined) {
      replies.close();
      this.#replies = undefined;
    } else {
      this.#socket.write(frame(reply), this.#onWritten);
      this.#context.counters.replies += 1;
    }
    return true;
  }

  #reply(query: number, reply: Uint8Array): void {
    if (!this.#outstanding.delete(query)) return; // it counts as unanswered, or the client has gone
    const { counters, limits } = this.#context;
    const unread = this.#socket.writableLength + reply.length;
    if (reply.length > MAX_MESSAGE_OCTETS || unread > limits.unreadOctets * OVERRUN_FACTOR) {
      this.#cut('overrun');
    } else {
      this.#cork();
      this.#socket.write(frame(reply), this.#onWritten);
      counters.replies += 1;
      this.#wake();
    }
  }

  readonly #onWritten = () => {
    this.#activeMs = this.#context.nowMs();
  };

  /** Sends replies that become ready together in one segment, and over TLS in one record. */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
    const uncork = (): void => {
      this.#corked = false;
      this.#socket.uncork();
    };
    // Between two records of one segment Node runs all ticks.
    if (this.#context.offer.isEncrypted) setImmediate(uncork);
    else process.nextTick(uncork);
  }

  #readOn(pendingOctets: number): void {
    // Octets in the socket's buffer arrived before the server began to finish, so they are still answered.
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

  #dropQueries(arrivedBeforeMs: number): void {
    for (const [query, arrivedMs] of this.#outstanding) {
      if (arrivedMs > arrivedBeforeMs) return;
      this.#outstanding.delete(query);
      this.#context.counters.unanswered += 1;
      this.#wake();
    }
  }

  #wake(): void {
    this.#context.scheduler.add(this);
  }

  /** A client that reads is told that the connection ends, which over TLS takes a message (RFC 8446 §6.1). */
  #endIdle(): void {
    if (this.#socket.writableLength > 0) this.#cut('idle');
    else if (!this.#socket.writableEnded) {
      this.#context.counters.idle += 1;
      this.#socket.destroySoon();
    }
  }

  #cut(cause: 'malformed' | 'slow' | 'idle' | 'overrun' | 'failed'): void {
    if (this.#socket.destroyed) return;
    this.#context.counters[cause] += 1;
    this.#socket.destroy();
  }

  #forget(): void {
    this.#outstanding.clear();
    this.#replies?.close();
    this.#replies = undefined;
    this.#context.scheduler.remove(this);
  }
}
