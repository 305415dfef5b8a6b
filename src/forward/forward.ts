/**
 * Forwarding: from a question that is not ours to an upstream's answer. In order: may it be asked at all, is the answer
 * known, is it being asked right now, and only then a packet. All of it is bounded: the questions in flight, those who
 * wait for them, the cache, and the time, which stays below the 4 s after which Docker's resolver gives up on us.
 *
 * Loops (F5). `withoutOwnAddresses` drops upstreams that are ourselves. A loop through others comes back as a question
 * in the very random case that is in flight: that one is refused at once. Where the case is lost on the way, the question
 * joins the one in flight, so a loop never adds packets; it ends with the deadline.
 */
import { randomInt as cryptoRandomInt } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { Question } from '../dns/message.ts';
import { equalNames, foldName } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import { type AskContext, askUpstream, askUpstreams } from './ask.ts';
import { keepUseful } from './bailiwick.ts';
import { cacheKey, createCache } from './cache.ts';
import type { Ask } from './exchange.ts';
import type { Forwarded, Forwarder, ForwardOptions } from './forwarder.ts';
import { createHealth } from './health.ts';
import { isPrivateName, isPublicAddress } from './privateName.ts';
import {
  identicalNames,
  letterCount,
  type RandomInt,
  randomizeCase,
  withoutPattern,
} from './randomCase.ts';
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
  /** Different questions at once; the next one fails at once. Default 512. */
  readonly maxInFlight?: number;
  /** Callers that wait for those questions. Default 4,096. */
  readonly maxWaiting?: number;
  /** Default 10,000 entries and 16 MiB. */
  readonly cacheEntries?: number;
  readonly cacheOctets?: number;
  /** Default `crypto.randomInt`. */
  readonly randomInt?: RandomInt;
  /** Milliseconds of a clock that never steps back; default `performance.now`. */
  readonly clock?: () => number;
}

interface Flight {
  /** In the random case that is on its way. */
  readonly question: Question;
  readonly outcome: Promise<Forwarded>;
}

/** Fewer letters than this can agree with somebody else's random case by chance. */
const LOOP_LETTERS = 12;

/** The forwarder over real sockets. */
export function createForwarder(options: ForwarderOptions): Forwarder {
  const { upstreams, ndots, maxInFlight = 512, maxWaiting = 4096 } = options;
  const { cacheEntries = 10_000, cacheOctets = 16 * 1024 * 1024 } = options;
  const closing = new AbortController();
  setMaxListeners(0, closing.signal);
  const context: AskContext = {
    health: createHealth(upstreams),
    randomInt: options.randomInt ?? ((below) => cryptoRandomInt(below)),
    clock: options.clock ?? (() => performance.now()),
    signal: closing.signal,
    tryTimeoutMs: options.tryTimeoutMs ?? 1_200,
    totalTimeoutMs: options.totalTimeoutMs ?? 3_800,
  };
  const cache = createCache({ maxEntries: cacheEntries, maxOctets: cacheOctets });
  const flights = new Map<string, Flight>();
  const background = new Set<Promise<unknown>>();
  let waiting = 0;

  async function resolve(question: Question, asked: ForwardOptions): Promise<Forwarded> {
    if (closing.signal.aborted) return failed('network', 'shutting down');
    const refusal = refusalOf(question, ndots) ?? refusalOfUpstreams(question, eligible(question));
    if (refusal !== undefined) return { kind: 'refused', text: refusal };
    const key = cacheKey(question, asked);
    const known = cache.get(key, context.clock());
    if (known !== undefined) return inCaseOf(question, known);
    const flight = flights.get(key);
    if (flight !== undefined && isOurOwn(question, flight.question))
      return { kind: 'refused', text: 'our own question came back: an upstream forwards to us' };
    if (waiting >= maxWaiting || (flight === undefined && flights.size >= maxInFlight))
      return failed('servfail', 'too many questions in flight');
    waiting++;
    try {
      return inCaseOf(question, await (flight ?? depart(key, question, asked)).outcome);
    } finally {
      waiting--;
    }
  }

  function eligible(question: Question): Upstream[] {
    const order = context.health.order();
    if (!isPrivateName(question.qname)) return order;
    return order.filter((upstream) => !isPublicAddress(upstream.address));
  }

  function depart(key: string, question: Question, asked: ForwardOptions): Flight {
    const sent = { ...question, qname: randomizeCase(question.qname, context.randomInt) };
    const flight = {
      question: sent,
      outcome: fetch(key, { ...asked, question: sent, edns: true }),
    };
    flights.set(key, flight);
    return flight;
  }

  async function fetch(key: string, ask: Ask): Promise<Forwarded> {
    const able = eligible(ask.question);
    probe(ask, able);
    try {
      const outcome = useful(await askUpstreams(ask, able, context), ask);
      if (!closing.signal.aborted) cache.put(key, outcome, context.clock());
      return outcome;
    } finally {
      flights.delete(key);
    }
  }

  /** Sends copies of the question to upstreams that are down and due for a sign of life. */
  function probe(ask: Ask, able: readonly Upstream[]): void {
    const nowMs = context.clock();
    for (const upstream of able) {
      if (!context.health.takeProbe(upstream, nowMs)) continue;
      const deadlineMs = nowMs + context.totalTimeoutMs;
      const probing: Promise<unknown> = askUpstream(ask, upstream, deadlineMs, context).finally(
        () => background.delete(probing),
      );
      background.add(probing);
    }
  }

  return {
    resolve,
    async close() {
      closing.abort();
      await Promise.allSettled([...background, ...[...flights.values()].map((f) => f.outcome)]);
    },
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

function isOurOwn(question: Question, inFlight: Question): boolean {
  const { qname } = inFlight;
  return letterCount(qname) >= LOOP_LETTERS && identicalNames(question.qname, qname);
}

/** The outcome as it may be kept and given to anyone: useful records only, names without our random case. */
function useful(outcome: Forwarded, { question, dnssecOk }: Ask): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  const message = keepUseful(outcome.message, question, dnssecOk);
  const plain = (rr: Rr) => withoutPattern(rr, question.qname);
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

function failed(reason: 'network' | 'servfail', text: string): Forwarded {
  return { kind: 'failed', reason, text };
}
