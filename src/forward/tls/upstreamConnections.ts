/**
 * The connections to one upstream: one that carries all questions, and a second while the first is full. A connection
 * that ends under its questions costs them nothing but time: each is asked once more, on a new connection.
 *
 * An upstream that does not open connections, or that ends or ignores them, is not connected to for each question. After
 * a failure the next connection waits, twice as long after each, and the questions of that time fail at once.
 */
import { type AddedStreamOptions, withStreamOptions } from '../../dns/edns.ts';
import { frame } from '../../dns/framing.ts';
import type { Clock } from '../../timing/clock.ts';
import {
  type ExchangeOptions,
  encodeUpstreamQuery,
  exchangeWithin,
  type UpstreamQuery,
} from '../exchange/exchange.ts';
import type { ExchangeResult } from '../exchange/reply.ts';
import { Reachability, type TlsEvents } from './reachability.ts';
import { type ConnectionEnd, type PendingQuery, TlsConnection } from './tlsConnection.ts';
import type { TlsUpstream, Trust } from './trust.ts';

/** Counted over all upstreams. */
export interface TlsCounters {
  /** Connections that were opened. */
  opened: number;
  /** Of these, with the session of an earlier one. */
  resumed: number;
  /** Connections that could not be opened. */
  failed: number;
}

export interface UpstreamConnectionsOptions {
  readonly upstream: TlsUpstream;
  readonly trust: Trust;
  readonly clock: Clock;
  readonly randomInt: (below: number) => number;
  readonly counters: TlsCounters;
  readonly events: TlsEvents;
}

/** A connection with so many questions is full. */
const FULL = 100;
const MOST_CONNECTIONS = 2;
/** RFC 8467 §4.1: queries are padded to this many octets. The keepalive option asks for the server's time. */
const QUERY_OPTIONS: AddedStreamOptions = { keepalive: 'ask', paddedTo: 128 };

export class UpstreamConnections {
  readonly #options: UpstreamConnectionsOptions;
  readonly #connections = new Set<TlsConnection>();
  readonly #carriers = new Map<PendingQuery, TlsConnection>();
  readonly #reachability: Reachability;
  #session: Buffer | undefined;
  #isClosed = false;

  constructor(options: UpstreamConnectionsOptions) {
    this.#options = options;
    this.#reachability = new Reachability(options.upstream, options.clock, options.events);
  }

  /** Settles within `timeoutMs` and never rejects. */
  async exchange(query: UpstreamQuery, options: ExchangeOptions): Promise<ExchangeResult> {
    const startedMs = this.#options.clock.monotonicMs();
    const { upstream: to } = this.#options;
    let pending: PendingQuery | undefined;
    let seeReply: ((reply: Uint8Array) => void) | undefined;
    const result = await exchangeWithin(options, (settle) => {
      pending = {
        encode: (id) => frame(withStreamOptions(encodeUpstreamQuery(query, id), QUERY_OPTIONS)),
        sent: { question: query.question, transport: 'tcp' },
        onSent: (sent, from) => {
          seeReply = options.observer?.(sent, { transport: 'dot', from, to });
        },
        onReply: (reply) => seeReply?.(reply),
        settle: (settled) => {
          if (pending !== undefined) this.#carriers.delete(pending);
          if (settled.kind === 'reply') this.#reachability.replied();
          settle(settled);
        },
        isRepeated: false,
      };
      this.#place(pending);
    });
    const carrier = pending && this.#carriers.get(pending);
    if (pending !== undefined && carrier !== undefined) {
      this.#carriers.delete(pending);
      carrier.giveUp(pending, startedMs, result.kind === 'timeout');
    }
    return result;
  }

  /** Ends all connections. */
  close(): void {
    this.#isClosed = true;
    for (const connection of this.#connections) connection.destroy('shutting down');
  }

  #place(query: PendingQuery): void {
    const connection = this.#connectionForNext();
    if (connection === undefined) {
      query.settle(this.#reachability.fault);
      return;
    }
    this.#carriers.set(query, connection);
    connection.add(query);
  }

  #connectionForNext(): TlsConnection | undefined {
    const all = [...this.#connections];
    const sound = all.filter((connection) => !connection.isDoubtful);
    const free = sound.find(({ load }) => load < FULL);
    if (free !== undefined) return free;
    const opened = sound.length < MOST_CONNECTIONS ? this.#open(all) : undefined;
    return opened ?? leastLoaded(sound.length > 0 ? sound : all);
  }

  /** Undefined while a new connection has to wait, or if none can be made. A doubtful one gives its place to it. */
  #open(others: readonly TlsConnection[]): TlsConnection | undefined {
    if (this.#isClosed || !this.#reachability.mayOpen) return undefined;
    let connection: TlsConnection;
    try {
      connection = this.#newConnection();
    } catch (error) {
      this.#onUnopened(true, (error as Error).message);
      return undefined;
    }
    this.#connections.add(connection);
    if (others.length >= MOST_CONNECTIONS) {
      this.#reachability.postpone();
      leastLoaded(others.filter(({ isDoubtful }) => isDoubtful))?.destroy('no reply');
    }
    return connection;
  }

  #newConnection(): TlsConnection {
    const { counters } = this.#options;
    const connection: TlsConnection = new TlsConnection({
      ...this.#options,
      session: this.#session,
      onOpen: (isResumed) => {
        counters.opened++;
        if (isResumed) counters.resumed++;
      },
      onSession: (session) => {
        this.#session = session;
      },
      onEnd: (end, unanswered) => this.#onEnd(connection, end, unanswered),
    });
    return connection;
  }

  #onEnd(connection: TlsConnection, end: ConnectionEnd, unanswered: readonly PendingQuery[]): void {
    this.#connections.delete(connection);
    switch (end.kind) {
      case 'idle':
        return;
      case 'unopened':
        this.#onUnopened(end.isUntrusted, end.text);
        for (const query of unanswered) query.settle(this.#reachability.fault);
        return;
      case 'lost':
        this.#reachability.lost(end.text);
        for (const query of unanswered) this.#repeat(query);
    }
  }

  #onUnopened(isUntrusted: boolean, text: string): void {
    this.#session = undefined;
    if (this.#isClosed) return;
    this.#options.counters.failed++;
    this.#reachability.unopened(isUntrusted, text);
  }

  #repeat(query: PendingQuery): void {
    this.#carriers.delete(query);
    if (query.isRepeated) {
      this.#reachability.postpone();
      query.settle(this.#reachability.fault);
      return;
    }
    query.isRepeated = true;
    this.#place(query);
  }
}

function leastLoaded(connections: readonly TlsConnection[]): TlsConnection | undefined {
  return connections.toSorted((a, b) => a.load - b.load)[0];
}
