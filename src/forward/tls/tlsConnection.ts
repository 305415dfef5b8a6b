/**
 * One TLS connection to an upstream. It carries many questions at the same time, and their replies come in any order
 * (RFC 7766 §6.2.1.1). No question is written before the upstream is authenticated.
 */
import type { TLSSocket } from 'node:tls';
import type { SocketAddress } from '../../dns/address.ts';
import { readStreamOptions } from '../../dns/edns.ts';
import { Reassembly } from '../../dns/framing.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import { ownEnd } from '../exchange/exchange.ts';
import { type ExchangeResult, readReply, type SentQuery } from '../exchange/reply.ts';
import { isUntrusted, type TlsUpstream, type Trust } from './trust.ts';

/** A question on its way to the upstream. */
export interface PendingQuery {
  /** The framed query with this id. */
  encode(id: number): Uint8Array;
  readonly sent: Omit<SentQuery, 'id'>;
  /** Sees the query each time that it is sent; `from` is our end of the connection, if it has not ended. */
  onSent(query: Uint8Array, from: SocketAddress | undefined): void;
  /** Sees the reply's octets before `settle` is called. */
  onReply(reply: Uint8Array): void;
  /** Called once, unless the caller gives up before. */
  settle(result: ExchangeResult): void;
  /** Whether a connection that ended has carried it before. */
  isRepeated: boolean;
}

/** How a connection ended. */
export type ConnectionEnd =
  /** It never carried a question. */
  | { readonly kind: 'unopened'; readonly isUntrusted: boolean; readonly text: string }
  /** It was open, and the upstream or the network ended it. */
  | { readonly kind: 'lost'; readonly text: string }
  | { readonly kind: 'idle' };

export interface ConnectionOptions {
  readonly upstream: TlsUpstream;
  readonly trust: Trust;
  readonly session: Buffer | undefined;
  readonly clock: Clock;
  readonly randomInt: (below: number) => number;
  readonly onOpen: (isResumed: boolean) => void;
  readonly onSession: (session: Buffer) => void;
  /** Called once, with the questions that have no reply. */
  readonly onEnd: (end: ConnectionEnd, unanswered: readonly PendingQuery[]) => void;
}

/** For connecting and the handshake together. */
const OPEN_MS = 2_000;

/** RFC 7858 §3.4 leaves the time to the client if the server has sent none. */
const IDLE_MS = 10_000;
/** A longer time that a server offers gains nothing. */
const MAX_IDLE_MS = 600_000;

const IDS = 65_536;
/** The length in front of a message. */
const FRAME_OCTETS = 2;

export class TlsConnection {
  readonly #options: ConnectionOptions;
  readonly #socket: TLSSocket;
  readonly #input = new Reassembly();
  readonly #pending = new Map<number, PendingQuery>();
  /** Before the connection is open they have no id. */
  #unsent = new Set<PendingQuery>();
  #isOpen = false;
  #isEnded = false;
  #openTimer: Timer | undefined;
  #idleTimer: Timer | undefined;
  /** After an idle connection was closed. */
  #endTimer: Timer | undefined;
  #idleMs = IDLE_MS;
  /** When octets came last. */
  #readAtMs = Number.NEGATIVE_INFINITY;
  #isDoubtful = false;
  /** What failed, for the questions and for the log. */
  #fault: { readonly isUntrusted: boolean; readonly text: string } | undefined;

  /** Throws if the CAs cannot be read. */
  constructor(options: ConnectionOptions) {
    const { upstream, trust, session, clock } = options;
    this.#options = options;
    const { connect } = process.getBuiltinModule('node:tls');
    this.#socket = connect(trust.optionsFor(upstream, session));
    this.#socket.setNoDelay(true);
    this.#socket.on('secureConnect', () => this.#onOpen());
    this.#socket.on('session', options.onSession);
    this.#socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    this.#socket.on('error', (error) => this.#onError(error));
    this.#socket.on('close', () => {
      this.#endTimer?.cancel();
      this.#end();
    });
    this.#openTimer = clock.startTimer(OPEN_MS, () => {
      this.#fail(`no TLS connection within ${OPEN_MS / 1000} s`);
    });
  }

  /** Questions without a reply. */
  get load(): number {
    return this.#pending.size + this.#unsent.size;
  }

  /** A question has run out of time while nothing came: the connection may lead nowhere. It gets no new questions. */
  get isDoubtful(): boolean {
    return this.#isDoubtful;
  }

  /** Sends the question as soon as the connection is open. */
  add(query: PendingQuery): void {
    this.#idleTimer?.cancel();
    if (this.#isOpen) this.#write(query);
    else this.#unsent.add(query);
  }

  /** The caller no longer waits for the reply to a question of that time; `isLate`: because its time is over. */
  giveUp(query: PendingQuery, addedAtMs: number, isLate: boolean): void {
    this.#unsent.delete(query);
    for (const [id, each] of this.#pending) if (each === query) this.#pending.delete(id);
    if (isLate && this.#isOpen && this.#readAtMs < addedAtMs) this.#isDoubtful = true;
    this.#rest();
  }

  /** Ends the connection at once. */
  destroy(text: string): void {
    this.#fail(text);
  }

  #onOpen(): void {
    this.#isOpen = true;
    this.#openTimer?.cancel();
    this.#options.onOpen(this.#socket.isSessionReused());
    const waiting = this.#unsent;
    this.#unsent = new Set();
    this.#socket.cork();
    for (const query of waiting) this.#write(query);
    this.#socket.uncork();
    this.#rest();
  }

  #write(query: PendingQuery): void {
    const id = this.#freeId();
    this.#pending.set(id, query);
    const framed = query.encode(id);
    // Between its error and 'close' the socket has no address.
    query.onSent(framed.subarray(FRAME_OCTETS), ownEnd(this.#socket));
    this.#socket.write(framed);
  }

  #freeId(): number {
    let id = this.#options.randomInt(IDS);
    while (this.#pending.has(id)) id = (id + 1) % IDS;
    return id;
  }

  #onData(chunk: Buffer): void {
    this.#readAtMs = this.#options.clock.monotonicMs();
    this.#isDoubtful = false;
    this.#input.push(chunk);
    let next = this.#input.next();
    for (; next.kind === 'message'; next = this.#input.next()) this.#onMessage(next.message);
    if (next.kind === 'malformed') this.#fail('the upstream sent octets that are no DNS message');
    else this.#rest();
  }

  #onMessage(message: Uint8Array): void {
    const id = ((message[0] as number) << 8) | (message[1] as number);
    const query = this.#pending.get(id);
    const result = query && readReply(message, { ...query.sent, id });
    if (query === undefined || result === undefined) return;
    const { keepaliveMs } = readStreamOptions(message);
    if (keepaliveMs !== undefined) this.#idleMs = Math.min(keepaliveMs, MAX_IDLE_MS);
    this.#pending.delete(id);
    query.onReply(message);
    query.settle(result);
  }

  /** Starts the time after which an idle connection is closed. */
  #rest(): void {
    this.#idleTimer?.cancel();
    if (!this.#isOpen || this.#isEnded || this.load > 0) return;
    this.#idleTimer = this.#options.clock.startTimer(this.#idleMs, () => this.#close());
  }

  #close(): void {
    this.#finish({ kind: 'idle' });
    this.#socket.end();
    // A peer that does not end its side would keep the socket.
    this.#endTimer = this.#options.clock.startTimer(OPEN_MS, () => this.#socket.destroy());
  }

  #onError(error: NodeJS.ErrnoException): void {
    this.#fault ??= { isUntrusted: isUntrusted(this.#socket, error), text: error.message };
  }

  #fail(text: string): void {
    this.#fault ??= { isUntrusted: false, text };
    this.#socket.destroy();
    this.#end();
  }

  #end(): void {
    const { isUntrusted: untrusted = false, text = 'the upstream closed the connection' } =
      this.#fault ?? {};
    const end: ConnectionEnd = this.#isOpen
      ? { kind: 'lost', text }
      : { kind: 'unopened', isUntrusted: untrusted, text };
    this.#finish(end);
  }

  #finish(end: ConnectionEnd): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.#openTimer?.cancel();
    this.#idleTimer?.cancel();
    const unanswered = [...this.#pending.values(), ...this.#unsent];
    this.#pending.clear();
    this.#unsent.clear();
    this.#options.onEnd(end, unanswered);
  }
}
