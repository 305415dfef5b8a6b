/**
 * The forwarder's memory of upstream replies: bounded in entries and in octets, the least recently used going first, in
 * the order that a Map keeps by itself, so that nothing ever scans. Times are arguments, in milliseconds of any clock
 * that never steps back.
 */
import type { Message, Question } from '../dns/message.ts';
import { nameKey } from '../dns/name.ts';
import { Rcode, type Rr, Type } from '../dns/rr.ts';
import type { Forwarded, ForwardOptions } from './forwarder.ts';

export interface CacheLimits {
  readonly maxEntries: number;
  /** Of memory, as `costOctets` estimates it. */
  readonly maxOctets: number;
}

export interface Cache {
  /** The outcome with its TTLs aged by the whole seconds since it came; `undefined` when there is none or it expired. */
  get(key: string, nowMs: number): Forwarded | undefined;
  /** Keeps the outcome for as long as `lifetimeSeconds` says. */
  put(key: string, outcome: Forwarded, nowMs: number): void;
  readonly size: number;
  readonly octets: number;
}

interface CachedReply {
  readonly outcome: Forwarded;
  readonly storedMs: number;
  readonly expiresMs: number;
  readonly octets: number;
}

const MAX_SECONDS = 86_400;

/** RFC 9520 §3.2: failures are kept for a second at least, so that a broken name is not a storm of questions. */
const FAILURE_SECONDS = 1;

/** One key for all questions that one reply answers. */
export function cacheKey(question: Question, options: ForwardOptions): string {
  const flags = (options.dnssecOk ? 2 : 0) + (options.checkingDisabled ? 1 : 0);
  return `${nameKey(question.qname)}\0${question.qtype} ${question.qclass} ${flags}`;
}

/** How long an outcome may be given again, in seconds; 0 is not at all. */
export function lifetimeSeconds(outcome: Forwarded): number {
  switch (outcome.kind) {
    case 'answered':
      return messageLifetime(outcome.message);
    case 'failed':
      return FAILURE_SECONDS;
    case 'refused':
      return 0;
  }
}

function messageLifetime({ rcode, answer, authority, questions }: Message): number {
  if (rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN) return FAILURE_SECONDS;
  const qtype = questions[0]?.qtype;
  const isPositive = answer.some((rr) => rr.type === qtype || qtype === Type.ANY);
  // RFC 2308 §5: a negative answer without SOA is not kept.
  if (!isPositive && !authority.some((rr) => rr.type === Type.SOA)) return 0;
  return [...answer, ...authority].reduce(
    (least, rr) => Math.min(least, rr.ttlSeconds),
    MAX_SECONDS,
  );
}

export function createCache(limits: CacheLimits): Cache {
  return new LruCache(limits);
}

class LruCache implements Cache {
  readonly #limits: CacheLimits;
  /** The least recently used first. */
  readonly #entries = new Map<string, CachedReply>();
  #octets = 0;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get octets(): number {
    return this.#octets;
  }

  get(key: string, nowMs: number): Forwarded | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (nowMs >= entry.expiresMs) {
      this.#remove(key, entry);
      return undefined;
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return aged(entry.outcome, Math.floor((nowMs - entry.storedMs) / 1000));
  }

  put(key: string, outcome: Forwarded, nowMs: number): void {
    const seconds = lifetimeSeconds(outcome);
    const old = this.#entries.get(key);
    if (old !== undefined) this.#remove(key, old);
    const octets = costOctets(key, outcome);
    if (seconds <= 0 || octets > this.#limits.maxOctets) return;
    const expiresMs = nowMs + seconds * 1000;
    this.#entries.set(key, { outcome, storedMs: nowMs, expiresMs, octets });
    this.#octets += octets;
    this.#evict();
  }

  #evict(): void {
    const { maxEntries, maxOctets } = this.#limits;
    for (const [key, entry] of this.#entries) {
      if (this.#entries.size <= maxEntries && this.#octets <= maxOctets) return;
      this.#remove(key, entry);
    }
  }

  #remove(key: string, entry: CachedReply): void {
    this.#entries.delete(key);
    this.#octets -= entry.octets;
  }
}

function aged(outcome: Forwarded, seconds: number): Forwarded {
  if (outcome.kind !== 'answered' || seconds === 0) return outcome;
  const { message } = outcome;
  const age = (rr: Rr): Rr => ({ ...rr, ttlSeconds: Math.max(0, rr.ttlSeconds - seconds) });
  return {
    kind: 'answered',
    message: { ...message, answer: message.answer.map(age), authority: message.authority.map(age) },
  };
}

/** What an entry takes in memory, roughly: the records' objects weigh more than their rdata, except for big ones. */
function costOctets(key: string, outcome: Forwarded): number {
  let octets = 600 + 2 * key.length;
  if (outcome.kind !== 'answered') return octets;
  for (const rr of [...outcome.message.answer, ...outcome.message.authority])
    octets += 400 + rdataOctets(rr);
  return octets;
}

function rdataOctets({ rdata }: Rr): number {
  if (rdata.kind === 'unknown') return rdata.octets.length;
  if (rdata.kind === 'txt') return rdata.strings.reduce((sum, text) => sum + text.length + 24, 0);
  return 0;
}
