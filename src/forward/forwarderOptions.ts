/** What a forwarder is made of, and the defaults. */
import type { Question } from '../dns/message.ts';
import type { Name } from '../dns/name.ts';
import type { Clock } from '../timing/clock.ts';
import type { TtlLimits } from './bailiwick.ts';
import type { ReplyCache, StoredReply } from './cache.ts';
import type { ExchangeObserver } from './exchange/exchange.ts';
import type { RandomInt } from './exchange/randomCase.ts';
import type { ForwardPolicy } from './health.ts';
import type { ForwardCounters } from './outcome.ts';
import type { UpstreamExchanges } from './queryUpstream.ts';
import type { TlsEvents } from './tls/reachability.ts';
import type { Upstream } from './upstream.ts';

export interface ForwarderOptions {
  /** The preferred one first. */
  readonly upstreams: readonly Upstream[];
  /** Names with fewer labels are refused; SkyDNS's default is 2. */
  readonly ndots: number;
  /**
   * The upstreams are those of a domain, and only questions about its names come: no rule about private names applies.
   * Default: none.
   */
  readonly domain?: UpstreamDomain | undefined;
  /** The CAs of upstreams over TLS, in PEM. Default: those of this system. */
  readonly upstreamCaPem?: string | undefined;
  /** Default `listed`. */
  readonly policy?: ForwardPolicy;
  /** Default `DEFAULT_TTL_LIMITS`. */
  readonly ttlLimits?: TtlLimits;
  /** How long an answer may be served after it has expired. Default 0: not at all. */
  readonly staleSeconds?: number;
  /** How long to listen to one upstream. Default 1,200. */
  readonly tryTimeoutMs?: number;
  /** Default 3,800: below the 4 s of Docker's resolver, so that it still receives our SERVFAIL. */
  readonly totalTimeoutMs?: number;
  /** Different questions pending at a time, shared between clients. Default 512. */
  readonly maxInFlight?: number;
  /** Callers that wait for those questions, shared between clients too. Default 4,096. */
  readonly maxWaiting?: number;
  /** Default 10,000 entries and 16 MiB. */
  readonly cacheEntries?: number;
  readonly cacheOctets?: number;
  /** Default: a cache of its own. */
  readonly cache?: SharedReplyCache | undefined;
  /**
   * Another cache, of replies to questions without CD and DO: the answer cache of `dataplane/cache`. What it has is copied
   * to the forwarder's own cache if that has no answer to the question, even if it has expired. Must not throw.
   */
  readonly stored?: ((question: Question) => StoredReply | undefined) | undefined;
  /** Default: new ones. */
  readonly counters?: ForwardCounters;
  /** Default `crypto.randomInt`. */
  readonly randomInt?: RandomInt;
  /** Default: the system's. */
  readonly clock?: Clock;
  /** Default: over sockets. */
  readonly exchanges?: UpstreamExchanges;
  /** About upstreams over TLS. Default: not reported. */
  readonly tlsEvents?: TlsEvents;
  /** Sees the queries to upstreams and the replies. */
  readonly observer?: ExchangeObserver | undefined;
}

/** A domain with upstreams of its own. */
export interface UpstreamDomain {
  readonly name: Name;
  /** Its questions are marked, and marked ones are not sent again: two stub zones may lead to each other. */
  readonly isStubZone: boolean;
  /**
   * The upstreams are name servers of a delegation. They are asked without RD, so that one that would ask others, even us,
   * refers to them instead.
   */
  readonly isDelegated?: true;
}

/** A cache that several forwarders use, each with keys of its own. */
interface SharedReplyCache {
  readonly replies: ReplyCache;
  /** In the forwarder's keys only; without blanks. */
  readonly tag: string;
}
