/**
 * forward/: Questions outside the zones: sends them to upstreams, judges and caches the replies.
 * Imports: dns, timing.
 * Used by: app, app/ambassador, app/process, app/registrar, cli/commands, config, config/options, main, server,
 *   server/http/exchange, tools/doctor, tools/doctor/judge, tools/integrate.
 *
 * A question passes these steps in order: the rules for forwarding, the cache, the pending questions, the upstreams.
 * Everything is bounded: the questions in flight, the callers that wait for them, the cache, and the time, which stays
 * below the 4 s after which Docker's resolver gives up.
 */
import { randomInt as cryptoRandomInt, randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { newServerId } from '../dns/edns.ts';
import type { Question } from '../dns/message.ts';
import { equalNames, foldName } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { scrub } from './bailiwick.ts';
import { cacheKey, ReplyCache } from './cache.ts';
import type { UpstreamQuery } from './exchange.ts';
import { UpstreamHealth } from './health.ts';
import {
  countQuery,
  type ForwardCounters,
  type Forwarded,
  type ForwardOptions,
  newForwardCounters,
} from './outcome.ts';
import { isPrivateName, isPublicAddress } from './privateNames.ts';
import { Probes, queryUpstreams, type UpstreamContext } from './queryUpstreams.ts';
import { type RandomInt, randomizeCase, withoutRandomCase } from './randomCase.ts';
import { LOOPED, type OutgoingQuestion, SingleFlight } from './singleFlight.ts';
import type { Upstream } from './upstream.ts';

export interface Forwarder {
  /** The outcome if it needs no upstream: a refusal, or a reply from the cache. */
  peek(question: Question, options: ForwardOptions): Forwarded | undefined;
  /** Never rejects; settles within 4 s. */
  resolve(question: Question, options: ForwardOptions): Promise<Forwarded>;
  close(): Promise<void>;
}

export interface ForwarderOptions {
  /** The preferred one first. */
  readonly upstreams: readonly Upstream[];
  /** Names with fewer labels are refused; SkyDNS's default is 2. */
  readonly ndots: number;
  /** Default 1,200. */
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
  /** Default: new ones. */
  readonly counters?: ForwardCounters;
  /** Default `crypto.randomInt`. */
  readonly randomInt?: RandomInt;
  /** Monotonic milliseconds; default `performance.now`. */
  readonly clock?: () => number;
}

const SHUTTING_DOWN: Forwarded = { kind: 'failed', reason: 'network', text: 'shutting down' };

/** Identifies this process in the paths of questions, so that it detects loops; all its forwarders share it. */
const OWN_ID = newServerId(randomBytes);

export function createForwarder(options: ForwarderOptions): Forwarder {
  return new SocketForwarder(options);
}

class SocketForwarder implements Forwarder {
  readonly #ndots: number;
  readonly #closing = new AbortController();
  readonly #context: UpstreamContext;
  readonly #cache: ReplyCache;
  readonly #singleFlight: SingleFlight;
  readonly #probes: Probes;
  readonly #counters: ForwardCounters;

  constructor(options: ForwarderOptions) {
    const { ndots, maxInFlight = 512, maxWaiting = 4096 } = options;
    const { cacheEntries = 10_000, cacheOctets = 16 * 1024 * 1024 } = options;
    setMaxListeners(0, this.#closing.signal);
    this.#ndots = ndots;
    this.#context = contextOf(options, this.#closing.signal);
    this.#cache = new ReplyCache({ maxEntries: cacheEntries, maxOctets: cacheOctets });
    this.#singleFlight = new SingleFlight({ maxInFlight, maxWaiting });
    this.#probes = new Probes(this.#context);
    this.#counters = options.counters ?? newForwardCounters();
  }

  peek(question: Question, options: ForwardOptions): Forwarded | undefined {
    const counters = this.#counters;
    const refusal =
      refusalOf(question, this.#ndots) ?? refusalOfUpstreams(question, this.#eligible(question));
    if (refusal !== undefined) {
      counters.requests++;
      counters.refused++;
      return { kind: 'refused', text: refusal };
    }
    const cached = this.#cache.get(cacheKey(question, options), this.#context.clock());
    if (cached === undefined) return undefined;
    counters.requests++;
    counters.cacheHits++;
    return inCaseOf(question, cached);
  }

  async resolve(question: Question, options: ForwardOptions): Promise<Forwarded> {
    if (this.#closing.signal.aborted) return SHUTTING_DOWN;
    const known = this.peek(question, options);
    if (known !== undefined) return known;
    this.#counters.requests++;
    if (options.path?.includes(OWN_ID)) {
      this.#counters.refused++;
      return LOOPED;
    }
    const { clock, totalTimeoutMs } = this.#context;
    const caller = { key: cacheKey(question, options), question, client: options.client };
    // The deadline counts from here, even if the caller first waits for another client's question.
    const deadlineMs = clock() + totalTimeoutMs;
    const outcome = this.#singleFlight.join(caller, () =>
      this.#send(caller.key, question, options, deadlineMs),
    );
    return inCaseOf(question, await countQuery(this.#counters, clock, outcome));
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all([this.#singleFlight.close(), this.#probes.ended()]);
  }

  #eligible(question: Question): Upstream[] {
    const order = this.#context.health.order();
    if (!isPrivateName(question.qname)) return order;
    return order.filter((upstream) => !isPublicAddress(upstream.address));
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
    };
    const aborting = new AbortController();
    const totalTimeoutMs = deadlineMs - this.#context.clock();
    const context = { ...this.#context, signal: aborting.signal, totalTimeoutMs };
    const outcome = this.#fetch(key, query, context);
    return { question: sent, outcome, abort: () => aborting.abort() };
  }

  async #fetch(key: string, query: UpstreamQuery, context: UpstreamContext): Promise<Forwarded> {
    const eligible = this.#eligible(query.question);
    this.#probes.send(query, eligible);
    const outcome = cacheable(await queryUpstreams(query, eligible, context), query);
    if (!context.signal.aborted) this.#cache.put(key, outcome, this.#context.clock());
    return outcome;
  }
}

function contextOf(options: ForwarderOptions, signal: AbortSignal): UpstreamContext {
  return {
    health: new UpstreamHealth(options.upstreams),
    randomInt: options.randomInt ?? ((below) => cryptoRandomInt(below)),
    clock: options.clock ?? (() => performance.now()),
    signal,
    tryTimeoutMs: options.tryTimeoutMs ?? 1_200,
    totalTimeoutMs: options.totalTimeoutMs ?? 3_800,
  };
}

/** Why the question is forwarded to no upstream; `undefined` if it may be. */
function refusalOf({ qname, qtype, qclass }: Question, ndots: number): string | undefined {
  if (qname.length < ndots) return `the name has fewer than ${ndots} labels (--ndots)`;
  if (qclass !== Class.IN) return 'only class IN is forwarded';
  if (qtype === Type.AXFR || qtype === Type.IXFR) return 'zone transfers are not forwarded';
  return undefined;
}

function refusalOfUpstreams(
  { qname }: Question,
  eligible: readonly Upstream[],
): string | undefined {
  if (eligible.length > 0) return undefined;
  return isPrivateName(qname)
    ? 'no upstream, or only public ones, which are not asked for private names'
    : 'no upstream to forward to (--nameservers)';
}

/** The outcome in the form that the cache keeps for all clients: scrubbed, its names without our random case. */
function cacheable(outcome: Forwarded, { question, dnssecOk }: UpstreamQuery): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  const message = scrub(outcome.message, question, dnssecOk);
  const plain = (rr: Rr) => withoutRandomCase(rr, question.qname);
  return {
    kind: 'answered',
    message: {
      ...message,
      questions: [{ ...question, qname: foldName(question.qname) }],
      answer: message.answer.map(plain),
      authority: message.authority.map(plain),
    },
  };
}

/** The outcome with the qname in the case that this client sent. */
function inCaseOf(question: Question, outcome: Forwarded): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  const { qname } = question;
  const echo = (rr: Rr): Rr => (equalNames(rr.owner, qname) ? { ...rr, owner: qname } : rr);
  const answer = outcome.message.answer.map(echo);
  return { kind: 'answered', message: { ...outcome.message, questions: [question], answer } };
}
