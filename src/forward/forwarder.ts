/**
 * forward/: Questions outside the zones: upstreams, their health, the cache.
 * Imports: dns, timing.
 * Used by: app, app/process, app/registrar, cli/commands, config, main, server, server/http/exchange, tools/doctor,
 *   tools/doctor/judge, tools/integrate.
 *
 * Forwarding: from a question that is not ours to an upstream's answer. In order: may it be asked at all, is the answer
 * known, is it being asked right now, and only then a packet. All of it is bounded: the questions in flight, those who
 * wait for them, the cache, and the time, which stays below the 4 s after which Docker's resolver gives up on us.
 */
import { randomInt as cryptoRandomInt, randomBytes } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import { newServerId, type ServerId } from '../dns/edns.ts';
import type { Message, Question } from '../dns/message.ts';
import { equalNames, foldName } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { scrub } from './bailiwick.ts';
import { type Cache, cacheKey, createCache } from './cache.ts';
import { countQuery, type ForwardCounters, newForwardCounters } from './counters.ts';
import type { UpstreamQuery } from './exchange.ts';
import { createHealth, Probes } from './health.ts';
import { isPrivateName, isPublicAddress } from './privateNames.ts';
import { type QueryContext, queryUpstreams } from './queryUpstreams.ts';
import { type RandomInt, randomizeCase, withoutRandomCase } from './reply.ts';
import { LOOPED, type OutgoingQuestion, SingleFlight } from './singleFlight.ts';
import type { Upstream } from './upstream.ts';

export interface ForwarderOptions {
  /** In the order of preference. */
  readonly upstreams: readonly Upstream[];
  /** Names with fewer labels are refused; SkyDNS's default is 2. */
  readonly ndots: number;
  /** Default 1,200. */
  readonly tryTimeoutMs?: number;
  /** Default 3,800: below the 4 s of Docker's resolver, so that our SERVFAIL still reaches it. */
  readonly totalTimeoutMs?: number;
  /** Different questions at once, shared out among clients. Default 512. */
  readonly maxInFlight?: number;
  /** Callers that wait for those questions, shared out as well. Default 4,096. */
  readonly maxWaiting?: number;
  /** Default 10,000 entries and 16 MiB. */
  readonly cacheEntries?: number;
  readonly cacheOctets?: number;
  /** Counted in; default one of its own. */
  readonly counters?: ForwardCounters;
  /** Default `crypto.randomInt`. */
  readonly randomInt?: RandomInt;
  /** Milliseconds of a clock that never steps back; default `performance.now`. */
  readonly clock?: () => number;
}

const SHUTTING_DOWN: Forwarded = { kind: 'failed', reason: 'network', text: 'shutting down' };

/** Of this process, for loops through other soradns servers; the same for every forwarder that it makes. */
const OWN_ID = newServerId(randomBytes);

/** The forwarder over real sockets. */
export function createForwarder(options: ForwarderOptions): Forwarder {
  return new SocketForwarder(options);
}

class SocketForwarder implements Forwarder {
  readonly #ndots: number;
  readonly #closing = new AbortController();
  readonly #context: QueryContext;
  readonly #cache: Cache;
  readonly #singleFlight: SingleFlight;
  readonly #probes: Probes;
  readonly #counters: ForwardCounters;

  constructor(options: ForwarderOptions) {
    const { ndots, maxInFlight = 512, maxWaiting = 4096 } = options;
    const { cacheEntries = 10_000, cacheOctets = 16 * 1024 * 1024 } = options;
    setMaxListeners(0, this.#closing.signal);
    this.#ndots = ndots;
    this.#context = contextOf(options, this.#closing.signal);
    this.#cache = createCache({ maxEntries: cacheEntries, maxOctets: cacheOctets });
    this.#singleFlight = new SingleFlight({ maxInFlight, maxWaiting });
    this.#probes = new Probes(this.#context);
    this.#counters = options.counters ?? newForwardCounters();
  }

  peek(question: Question, asked: ForwardOptions): Forwarded | undefined {
    const counters = this.#counters;
    const refusal =
      refusalOf(question, this.#ndots) ?? refusalOfUpstreams(question, this.#eligible(question));
    if (refusal !== undefined) {
      counters.requests++;
      counters.refused++;
      return { kind: 'refused', text: refusal };
    }
    const known = this.#cache.get(cacheKey(question, asked), this.#context.clock());
    if (known === undefined) return undefined;
    counters.requests++;
    counters.cacheHits++;
    return inCaseOf(question, known);
  }

  async resolve(question: Question, asked: ForwardOptions): Promise<Forwarded> {
    if (this.#closing.signal.aborted) return SHUTTING_DOWN;
    const known = this.peek(question, asked);
    if (known !== undefined) return known;
    this.#counters.requests++;
    if (asked.path?.includes(OWN_ID)) {
      this.#counters.refused++;
      return LOOPED;
    }
    const { clock, totalTimeoutMs } = this.#context;
    const caller = { key: cacheKey(question, asked), question, client: asked.client };
    // Also for a question that is sent only after the caller has waited for another one.
    const deadlineMs = clock() + totalTimeoutMs;
    const outcome = this.#singleFlight.join(caller, () =>
      this.#send(caller.key, question, asked, deadlineMs),
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
    asked: ForwardOptions,
    deadlineMs: number,
  ): OutgoingQuestion {
    const { checkingDisabled, dnssecOk, path = [] } = asked;
    const sent = { ...question, qname: randomizeCase(question.qname, this.#context.randomInt) };
    const ask = { question: sent, checkingDisabled, dnssecOk, edns: true, path: [...path, OWN_ID] };
    const aborting = new AbortController();
    const totalTimeoutMs = deadlineMs - this.#context.clock();
    const context = { ...this.#context, signal: aborting.signal, totalTimeoutMs };
    const outcome = this.#fetch(key, ask, context);
    return { question: sent, outcome, abort: () => aborting.abort() };
  }

  async #fetch(key: string, ask: UpstreamQuery, context: QueryContext): Promise<Forwarded> {
    const able = this.#eligible(ask.question);
    this.#probes.send(ask, able);
    const outcome = useful(await queryUpstreams(ask, able, context), ask);
    if (!context.signal.aborted) this.#cache.put(key, outcome, this.#context.clock());
    return outcome;
  }
}

function contextOf(options: ForwarderOptions, signal: AbortSignal): QueryContext {
  return {
    health: createHealth(options.upstreams),
    randomInt: options.randomInt ?? ((below) => cryptoRandomInt(below)),
    clock: options.clock ?? (() => performance.now()),
    signal,
    tryTimeoutMs: options.tryTimeoutMs ?? 1_200,
    totalTimeoutMs: options.totalTimeoutMs ?? 3_800,
  };
}

/** Why nobody should be asked this, whoever the upstreams are. */
function refusalOf({ qname, qtype, qclass }: Question, ndots: number): string | undefined {
  if (qname.length < ndots) return `the name has fewer than ${ndots} labels (--ndots)`;
  if (qclass !== Class.IN) return 'only class IN is forwarded';
  if (qtype === Type.AXFR || qtype === Type.IXFR) return 'zone transfers are not forwarded';
  return undefined;
}

function refusalOfUpstreams({ qname }: Question, able: readonly Upstream[]): string | undefined {
  if (able.length > 0) return undefined;
  return isPrivateName(qname)
    ? 'no upstream, or only public ones, which are not asked for private names'
    : 'no upstream to forward to (--nameservers)';
}

/** The outcome as it may be kept and given to anyone: useful records only, names without our random case. */
function useful(outcome: Forwarded, { question, dnssecOk }: UpstreamQuery): Forwarded {
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

/** The outcome with the qname spelled as this client spelled it. */
function inCaseOf(question: Question, outcome: Forwarded): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  const { qname } = question;
  const spell = (rr: Rr): Rr => (equalNames(rr.owner, qname) ? { ...rr, owner: qname } : rr);
  const answer = outcome.message.answer.map(spell);
  return { kind: 'answered', message: { ...outcome.message, questions: [question], answer } };
}

/**
 * Asking others: what the rest of the program needs of forwarding. `createForwarder` (forward.ts) is the real one.
 */

export interface ForwardOptions {
  readonly checkingDisabled: boolean;
  readonly dnssecOk: boolean;
  /** The address of the client for whom it is asked; each has a share of what may be asked at once. */
  readonly client: string;
  /** The soradns servers that the question has passed before this one. */
  readonly path?: readonly ServerId[] | undefined;
}

export type Forwarded =
  /** An upstream's reply, whatever its rcode; TTLs aged if it came from the cache, only records of use kept. */
  | { readonly kind: 'answered'; readonly message: Message }
  /** No upstream gave a usable reply within the time there is. */
  | {
      readonly kind: 'failed';
      readonly reason: 'timeout' | 'network' | 'servfail';
      readonly text: string;
    }
  /** Nobody to ask: no upstreams, or the name has fewer labels than `--ndots`. */
  | { readonly kind: 'refused'; readonly text: string };

export interface Forwarder {
  /** The outcome where it is known without asking: a refusal, or a reply from the cache. */
  peek(question: Question, options: ForwardOptions): Forwarded | undefined;
  /** Never rejects; settles within 4 s. */
  resolve(question: Question, options: ForwardOptions): Promise<Forwarded>;
  close(): Promise<void>;
}
