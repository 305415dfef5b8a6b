/**
 * The forwarder's cache of upstream replies, bounded in entries and in octets. The least recently used entry goes
 * first; a Map keeps that order, so the cache never scans its entries. Times are monotonic milliseconds.
 */
import type { Message, Question } from '../dns/message.ts';
import { nameKey } from '../dns/name.ts';
import { Rcode, type Rr, Type } from '../dns/rr.ts';
import type { Forwarded, ForwardOptions } from './outcome.ts';

export interface CacheLimits {
  readonly maxEntries: number;
  /** Memory, as `memoryOctets` estimates it. */
  readonly maxOctets: number;
}

interface CachedReply {
  readonly outcome: Forwarded;
  readonly storedMs: number;
  readonly expiresMs: number;
  readonly octets: number;
}

const MAX_SECONDS = 86_400;

/**
 * RFC 9520 §3.2: failures are cached for at least a second, so that a broken name does not cause a storm of queries.
 */
const FAILURE_SECONDS = 1;

/** One key for all questions that one reply answers. */
export function cacheKey(question: Question, options: ForwardOptions): string {
  const flags = (options.dnssecOk ? 2 : 0) + (options.checkingDisabled ? 1 : 0);
  return `${nameKey(question.qname)}\0${question.qtype} ${question.qclass} ${flags}`;
}

/** How long the cache may keep an outcome; 0: it must not. */
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
  // RFC 2308 §5: a negative answer without SOA is not cached.
  if (!isPositive && !authority.some((rr) => rr.type === Type.SOA)) return 0;
  return [...answer, ...authority].reduce(
    (least, rr) => Math.min(least, rr.ttlSeconds),
    MAX_SECONDS,
  );
}

export class ReplyCache {
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

  /**
   * The outcome, its TTLs lowered by the whole seconds since it was put; `undefined` if the cache has none or it has
   * expired.
   */
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

  /** Keeps the outcome for `lifetimeSeconds`. */
  put(key: string, outcome: Forwarded, nowMs: number): void {
    const seconds = lifetimeSeconds(outcome);
    const old = this.#entries.get(key);
    if (old !== undefined) this.#remove(key, old);
    const octets = memoryOctets(key, outcome);
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

/** An estimate of an entry's memory: a record's objects take more than its rdata, unless that is large. */
function memoryOctets(key: string, outcome: Forwarded): number {
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
