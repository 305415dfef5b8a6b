/**
 * forward/: Questions outside the zones: sends them to upstreams, judges and caches the replies.
 * Imports: dns, dns/presentation, forward/exchange, forward/tls, timing.
 * Used by: app, app/ambassador, app/answering, app/process, app/registrar, cli/host, cli/signing, config/options,
 *   forward/domains, server, server/http/exchange, server/listening, tools/doctor, tools/doctor/judge, tools/integrate,
 *   transfer.
 *
 * A question passes these steps in order: the rules for forwarding, the cache, the pending questions, the upstreams. An
 * answer that has expired is served only when the upstreams were asked in vain (RFC 8767): after 1.8 s without a usable
 * reply, at once when all of them are down, and then for 5 s or until one that was down replies. Meanwhile the pending
 * question goes on, and its answer replaces the stale one.
 *
 * Everything is bounded: the questions in flight, the callers that wait for them, the cache, and the time, which stays
 * below the 4 s after which Docker's resolver gives up.
 */
import { randomInt as cryptoRandomInt, randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { newServerId } from '../dns/edns.ts';
import { Ede, type Question } from '../dns/message.ts';
import { isSubdomainOf, type Name } from '../dns/name.ts';
import { systemClock } from '../timing/clock.ts';
import { withDeadline } from '../timing/deadline.ts';
import { Probes, Stragglers } from './background.ts';
import { DEFAULT_TTL_LIMITS, scrub, type TtlLimits } from './bailiwick.ts';
import { cacheKey, ReplyCache } from './cache.ts';
import type { UpstreamQuery } from './exchange/exchange.ts';
import { inCaseOf, randomizeCase, withoutCaseOf } from './exchange/randomCase.ts';
import type { ForwarderOptions, UpstreamDomain } from './forwarderOptions.ts';
import { UpstreamHealth } from './health.ts';
import { loopbackOutcome } from './loopbackNames.ts';
import {
  countOutcome,
  countQuery,
  type ForwardCounters,
  type Forwarded,
  type ForwardOptions,
  isFailure,
  newForwardCounters,
} from './outcome.ts';
import { eligibleFor, unaskedInDomain, unaskedOutcome } from './privateNames.ts';
import { socketExchanges, type UpstreamContext } from './queryUpstream.ts';
import { type QuestionContext, queryUpstreams } from './queryUpstreams.ts';
import {
  LOOPED,
  type OutgoingQuestion,
  SHUTTING_DOWN,
  SingleFlight,
  type WaitingCaller,
} from './singleFlight.ts';
import type { Upstream } from './upstream.ts';

export interface Forwarder {
  /**
   * The outcome if it needs no upstream: a refusal, NXDOMAIN for a name that no server has, a loopback address, a reply from the cache, or a
   * stale one whose question was sent in vain a moment ago.
   */
  peek(question: Question, options: ForwardOptions): Forwarded | undefined;
  /** Never rejects; settles within 4 s. */
  resolve(question: Question, options: ForwardOptions): Promise<Forwarded>;
  close(): Promise<void>;
}

export interface CachingForwarder extends Forwarder {
  /**
   * Asks the upstreams although the cache may have an answer, and replaces it by a usable reply. Callers of `resolve`
   * share the question. Undefined if no upstream gave a usable reply; the cache then keeps what it has. Never rejects.
   */
  prefetch(question: Question, options: ForwardOptions): Promise<Forwarded | undefined>;
  /**
   * Forgets the replies about a name and the names below it, or all replies. Replies to questions that were sent before
   * are not kept either. Returns the questions whose answers had not expired.
   */
  flush(name?: Name): readonly Question[];
  /** The replies to the pending questions about a name and the names below it will not be kept. */
  forget(name: Name): void;
}

/** RFC 8767 §5: a client waits so long for an upstream before it gets a stale answer. */
const STALE_AFTER_MS = 1_800;

/** No server would ever answer: each would pass the question on to the other. */
const STUBS_LOOPED: Forwarded = {
  kind: 'failed',
  reason: 'servfail',
  text: 'two stub zones lead to each other',
  ede: Ede.INVALID_DATA,
};

/** Identifies this process in the paths of questions, so that it detects loops; all its forwarders share it. */
const OWN_ID = newServerId(randomBytes);

export function createForwarder(options: ForwarderOptions): CachingForwarder {
  return new SocketForwarder(options);
}

class SocketForwarder implements CachingForwarder {
  readonly #ndots: number;
  readonly #upstreams: readonly Upstream[];
  readonly #closing = new AbortController();
  readonly #context: UpstreamContext;
  readonly #ttlLimits: TtlLimits;
  readonly #domain: UpstreamDomain | undefined;
  readonly #cache: ReplyCache;
  readonly #tag: string;
  readonly #singleFlight: SingleFlight;
  readonly #stored: ForwarderOptions['stored'];
  readonly #probes: Probes;
  readonly #stragglers = new Stragglers();
  readonly #counters: ForwardCounters;
  #recoveries = 0;

  constructor(options: ForwarderOptions) {
    const { ndots, maxInFlight = 512, maxWaiting = 4096, staleSeconds = 0 } = options;
    const { cacheEntries = 10_000, cacheOctets = 16 * 1024 * 1024 } = options;
    const limits = { maxEntries: cacheEntries, maxOctets: cacheOctets, staleSeconds };
    setMaxListeners(0, this.#closing.signal);
    this.#ndots = ndots;
    this.#upstreams = options.upstreams;
    this.#counters = options.counters ?? newForwardCounters();
    this.#context = contextOf(options, this.#counters, this.#closing.signal);
    this.#ttlLimits = options.ttlLimits ?? DEFAULT_TTL_LIMITS;
    this.#domain = options.domain;
    this.#cache = options.cache?.replies ?? new ReplyCache(limits);
    this.#tag = options.cache?.tag ?? '';
    this.#singleFlight = new SingleFlight({ maxInFlight, maxWaiting });
    this.#stored = options.stored;
    this.#probes = new Probes(this.#context);
  }

  peek(question: Question, options: ForwardOptions): Forwarded | undefined {
    const counters = this.#counters;
    const unasked = this.#unaskedOutcome(question);
    if (unasked !== undefined) {
      counters.requests++;
      counters.refused++;
      return unasked;
    }
    const known = this.#known(question, options);
    if (known === undefined) return undefined;
    counters.requests++;
    if (!isFailure(known) && !(known.kind === 'answered' && known.stale)) counters.cacheHits++;
    countOutcome(counters, known);
    return echoed(question, known);
  }

  async resolve(question: Question, options: ForwardOptions): Promise<Forwarded> {
    if (this.#closing.signal.aborted) return SHUTTING_DOWN;
    const known = this.peek(question, options);
    if (known !== undefined) return known;
    this.#counters.requests++;
    if (options.isStubMarked && this.#domain?.isStubZone) {
      countOutcome(this.#counters, STUBS_LOOPED);
      return STUBS_LOOPED;
    }
    if (options.path?.includes(OWN_ID)) {
      this.#counters.refused++;
      return LOOPED;
    }
    const caller = { key: this.#key(question, options), question, client: options.client };
    const outcome = this.#orStale(caller, this.#ask(caller, options));
    const now = () => this.#context.clock.monotonicMs();
    return echoed(question, await countQuery(this.#counters, now, outcome));
  }

  async prefetch(question: Question, options: ForwardOptions): Promise<Forwarded | undefined> {
    const isLoop = options.path?.includes(OWN_ID) === true;
    if (this.#closing.signal.aborted || isLoop || this.#unaskedOutcome(question)) return undefined;
    this.#counters.prefetches++;
    const caller = { key: this.#key(question, options), question, client: options.client };
    const outcome = await this.#ask(caller, options);
    if (outcome.kind !== 'answered' || outcome.flushed || isFailure(outcome)) return undefined;
    return echoed(question, outcome);
  }

  forget(name: Name): void {
    this.#singleFlight.forget((qname) => isSubdomainOf(qname, name));
  }

  flush(name: Name = []): readonly Question[] {
    this.forget(name);
    return this.#cache.flush(name, this.#context.clock.monotonicMs());
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#singleFlight.close(), this.#probes.ended(), this.#stragglers.close()]);
    this.#context.exchanges.close?.();
  }

  /** What the cache says without asking an upstream. */
  #known(question: Question, options: ForwardOptions): Forwarded | undefined {
    const { clock, health } = this.#context;
    const nowMs = clock.monotonicMs();
    const key = this.#key(question, options);
    if (!options.dnssecOk && !options.checkingDisabled && !this.#cache.has(key)) {
      const stored = this.#stored?.(question);
      if (stored !== undefined) this.#cache.restore(key, stored, nowMs);
    }
    const fresh = this.#cache.get(key, nowMs);
    if (fresh !== undefined) return fresh;
    if (this.#recoveries !== health.recoveries) {
      this.#recoveries = health.recoveries;
      this.#cache.retryAll();
    }
    return this.#cache.isPostponed(key, nowMs) ? this.#cache.getStale(key, nowMs) : undefined;
  }

  /** The outcome of the pending question with the caller's key, which is sent if none is pending. */
  #ask(caller: WaitingCaller, options: ForwardOptions): Promise<Forwarded> {
    const { clock, totalTimeoutMs } = this.#context;
    // The deadline counts from here, even if the caller first waits for another client's question.
    const deadlineMs = clock.monotonicMs() + totalTimeoutMs;
    return this.#singleFlight.join(caller, () =>
      this.#send(caller.key, caller.question, options, deadlineMs),
    );
  }

  /** The outcome, or the stale answer if there is one and the outcome is a failure or late. */
  async #orStale({ key, question }: WaitingCaller, asked: Promise<Forwarded>): Promise<Forwarded> {
    const { clock, health } = this.#context;
    if (this.#cache.getStale(key, clock.monotonicMs()) === undefined) return asked;
    const isHopeless = this.#eligible(question).every((upstream) => health.isDown(upstream));
    const inTime = isHopeless
      ? undefined
      : await withDeadline(asked, STALE_AFTER_MS, () => undefined, { clock });
    if (inTime !== undefined && !isFailure(inTime)) return inTime;
    const nowMs = clock.monotonicMs();
    const stale = this.#cache.getStale(key, nowMs);
    if (stale === undefined) return inTime ?? asked;
    // Once the outcome of the question is known, the cache does so itself. A question without room was never sent.
    if (this.#singleFlight.isPending(key)) this.#cache.postpone(key, nowMs);
    return stale;
  }

  #key(question: Question, options: ForwardOptions): string {
    return cacheKey(question, options) + this.#tag;
  }

  #unaskedOutcome(question: Question): Forwarded | undefined {
    return this.#domain === undefined
      ? (loopbackOutcome(question) ?? unaskedOutcome(question, this.#ndots, this.#upstreams))
      : unaskedInDomain(question, this.#upstreams);
  }

  #eligible({ qname }: Question): readonly Upstream[] {
    const upstreams = this.#context.health.order();
    return this.#domain === undefined ? eligibleFor(qname, upstreams) : upstreams;
  }

  #send(
    key: string,
    question: Question,
    options: ForwardOptions,
    deadlineMs: number,
  ): OutgoingQuestion {
    const { checkingDisabled, dnssecOk, path = [] } = options;
    const sent = { ...question, qname: randomizeCase(question.qname, this.#context.randomInt) };
    const query: UpstreamQuery = {
      question: sent,
      checkingDisabled,
      dnssecOk,
      edns: true,
      path: [...path, OWN_ID],
      recursionDesired: this.#domain?.isDelegated !== true,
      isStubMarked: this.#domain?.isStubZone === true,
    };
    const { clock, tryTimeoutMs } = this.#context;
    const leftMs = deadlineMs - clock.monotonicMs();
    const tries = new AbortController();
    const context: QuestionContext = {
      ...this.#context,
      signal: tries.signal,
      totalTimeoutMs: leftMs,
      onStragglers: (running) => this.#stragglers.add(running, () => tries.abort()),
    };
    let isCancelled = false;
    let isFlushed = false;
    const outcome = this.#fetch(query, context).then((fetched): Forwarded => {
      if (isFlushed) return fetched.kind === 'answered' ? { ...fetched, flushed: true } : fetched;
      // Little time was left if the caller had waited for another client's question: no upstream has failed then.
      const isTooShort = leftMs < tryTimeoutMs && isTimeout(fetched);
      if (!isCancelled && !isTooShort) this.#cache.put(key, fetched, clock.monotonicMs());
      return fetched;
    });
    const abort = (): void => {
      isCancelled = true;
      tries.abort();
    };
    const forget = (): void => {
      isFlushed = true;
    };
    return { question: sent, outcome, abort, forget };
  }

  async #fetch(query: UpstreamQuery, context: QuestionContext): Promise<Forwarded> {
    const { question, dnssecOk } = query;
    const eligible = this.#eligible(question);
    // The first one gets the question in any case, even if all are down.
    this.#probes.send(query, eligible.slice(1));
    const outcome = await queryUpstreams(query, eligible, context);
    if (outcome.kind !== 'answered') return outcome;
    const scrubbed = scrub(outcome.message, question, dnssecOk, this.#ttlLimits);
    return { kind: 'answered', message: withoutCaseOf(question, scrubbed) };
  }
}

function contextOf(
  options: ForwarderOptions,
  counters: ForwardCounters,
  signal: AbortSignal,
): UpstreamContext {
  const { policy = 'listed', clock = systemClock, upstreamCaPem: caPem } = options;
  const { randomInt = (below: number) => cryptoRandomInt(below) } = options;
  const { tlsEvents: events = { onUnreachable: () => {} } } = options;
  const tls = { caPem, clock, randomInt, counters: counters.tls, events };
  return {
    health: new UpstreamHealth(options.upstreams, { policy, randomInt }),
    exchanges: options.exchanges ?? socketExchanges(tls),
    randomInt,
    clock,
    counters,
    signal,
    observer: options.observer,
    tryTimeoutMs: options.tryTimeoutMs ?? 1_200,
    totalTimeoutMs: options.totalTimeoutMs ?? 3_800,
  };
}

function isTimeout(outcome: Forwarded): boolean {
  return outcome.kind === 'failed' && outcome.reason === 'timeout';
}

/** The outcome with the qname in the case that this client sent. */
function echoed(question: Question, outcome: Forwarded): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  return { ...outcome, message: inCaseOf(question, outcome.message) };
}
