/**
 * forward/tls/: Questions to upstreams over TLS: connections that stay open and carry many of them.
 * Imports: dns, forward/exchange, timing.
 * Used by: forward.
 *
 * DNS over TLS (RFC 7858) in the strict profile of RFC 8310: an upstream without a trusted certificate gets no
 * question, and no question goes to port 53 instead. Health is known from real questions, as with UDP.
 */
import type { Clock } from '../../timing/clock.ts';
import type { ExchangeOptions, UpstreamQuery } from '../exchange/exchange.ts';
import type { ExchangeResult } from '../exchange/reply.ts';
import type { TlsEvents } from './reachability.ts';
import { type TlsUpstream, Trust } from './trust.ts';
import { type TlsCounters, UpstreamConnections } from './upstreamConnections.ts';

/** Sends one query to one upstream over TLS. Settles within `timeoutMs` and never rejects. */
export type SendOverTls = (
  upstream: TlsUpstream,
  query: UpstreamQuery,
  options: ExchangeOptions,
) => Promise<ExchangeResult>;

export interface TlsUpstreamsOptions {
  /** CAs in PEM; undefined: those of this system. */
  readonly caPem: string | undefined;
  readonly clock: Clock;
  readonly randomInt: (below: number) => number;
  readonly counters: TlsCounters;
  readonly events: TlsEvents;
}

export function newTlsCounters(): TlsCounters {
  return { opened: 0, resumed: 0, failed: 0 };
}

/** The connections to all upstreams of a forwarder. */
export class TlsUpstreams {
  readonly #options: TlsUpstreamsOptions;
  readonly #trust: Trust;
  readonly #byText = new Map<string, UpstreamConnections>();

  constructor(options: TlsUpstreamsOptions) {
    this.#options = options;
    this.#trust = new Trust(options.caPem);
  }

  readonly exchange: SendOverTls = (upstream, query, options) =>
    this.#connectionsTo(upstream).exchange(query, options);

  close(): void {
    for (const connections of this.#byText.values()) connections.close();
  }

  #connectionsTo(upstream: TlsUpstream): UpstreamConnections {
    const { address, port, tlsName } = upstream;
    const text = `${address} ${port} ${tlsName}`;
    const known = this.#byText.get(text);
    if (known !== undefined) return known;
    const connections = new UpstreamConnections({ ...this.#options, upstream, trust: this.#trust });
    this.#byText.set(text, connections);
    return connections;
  }
}
