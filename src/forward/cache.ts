/**
 * The forwarder's cache of upstream replies, bounded in entries and in octets. Expired answers stay as long as they may
 * be served stale (RFC 8767), but they leave first when the cache is full; after them the least recently used answer
 * leaves. Maps keep these orders, so the cache never scans its entries. Times are monotonic milliseconds.
 */
import { keptSeconds, type Message, type Question, STALE_TTL_SECONDS } from '../dns/message.ts';
import { isSubdomainOf, type Name, nameKey } from '../dns/name.ts';
import type { Rr } from '../dns/rr.ts';
import { ExpiryQueue } from '../timing/expiryQueue.ts';
import { type Forwarded, type ForwardOptions, isFailure } from './outcome.ts';

export interface CacheLimits {
  readonly maxEntries: number;
  /** Memory, as `memoryOctets` estimates it. */
  readonly maxOctets: number;
  /** How long an answer may be served after it has expired. Default 0: not at all. */
  readonly staleSeconds?: number;
}

/** A reply of another cache. */
export interface StoredReply {
  /** With the TTLs that it had at `storedMs`. */
  readonly message: Message;
  readonly storedMs: number;
  readonly expiresMs: number;
}

interface CachedReply {
  readonly outcome: Forwarded;
  readonly storedMs: number;
  readonly expiresMs: number;
  readonly octets: number;
  /** The question is not sent again before this time, unless `retryAll` was called since. */
  postponedUntilMs: number;
  /** The value of `#retries` then. */
  postponedAtRetries: number;
}

interface CachedFailure {
  readonly outcome: Forwarded;
  readonly expiresMs: number;
}

/**
 * RFC 9520 §3.2: failures are cached for at least a second, so that a broken name does not cause a storm of queries.
 */
const FAILURE_SECONDS = 1;
/** Failures have their own share of the entries, so that a flood of names that fail evicts no answer. */
const FAILURE_SHARE = 1 / 8;

/** RFC 8767 §5: how long a question with a stale answer is not sent again. */
const RECHECK_MS = 5_000;

/** One key for all questions that one reply answers. */
export function cacheKey(question: Question, options: ForwardOptions): string {
  const flags = (options.dnssecOk ? 2 : 0) + (options.checkingDisabled ? 1 : 0);
  return `${nameKey(question.qname)}\0${question.qtype} ${question.qclass} ${flags}`;
}

/** How long the cache may keep an outcome; 0: it must not. */
export function lifetimeSeconds(outcome: Forwarded): number {
  if (outcome.kind === 'refused') return 0;
  if (outcome.kind === 'failed' || isFailure(outcome)) return FAILURE_SECONDS;
  const { message } = outcome;
  return keptSeconds(message.questions[0]?.qtype ?? 0, message);
}

export class ReplyCache {
  readonly #limits: CacheLimits;
  readonly #staleMs: number;
  /** The least recently used first. Some may have expired. */
  readonly #entries = new Map<string, CachedReply>();
  /** Those that were seen to have expired, in the order in which they are evicted. */
  readonly #expired = new Map<string, CachedReply>();
  readonly #expiries = new ExpiryQueue();
  /** The oldest first. */
  readonly #failures = new Map<string, CachedFailure>();
  #octets = 0;
  /** How often `retryAll` was called. */
  #retries = 0;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
    this.#staleMs = (limits.staleSeconds ?? 0) * 1000;
  }

  /** Answers, without failures. */
  get size(): number {
    return this.#entries.size + this.#expired.size;
  }

  /** Of answers. */
  get octets(): number {
    return this.#octets;
  }

  /**
   * The outcome, its TTLs lowered by the whole seconds since it was put; `undefined` if the cache has none or it has
   * expired.
   */
  get(key: string, nowMs: number): Forwarded | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined || nowMs >= entry.expiresMs) {
      if (entry !== undefined) this.#onExpired(key, entry, nowMs);
      return this.#failure(key, nowMs);
    }
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return aged(entry.outcome, Math.floor((nowMs - entry.storedMs) / 1000));
  }

  /** The answer that has expired, in the form of RFC 8767: each record has a TTL of 30 s. */
  getStale(key: string, nowMs: number): Forwarded | undefined {
    const fresh = this.#entries.get(key);
    if (fresh !== undefined && nowMs >= fresh.expiresMs) this.#onExpired(key, fresh, nowMs);
    const entry = this.#expired.get(key);
    if (entry === undefined) return undefined;
    this.#expired.delete(key);
    if (!this.#isServable(entry, nowMs)) {
      this.#octets -= entry.octets;
      return undefined;
    }
    this.#expired.set(key, entry);
    return stale(entry.outcome);
  }

  /** Call this when a question that has a stale answer was sent in vain: it `isPostponed` for 5 s. */
  postpone(key: string, nowMs: number): void {
    const entry = this.#expired.get(key) ?? this.#entries.get(key);
    if (entry === undefined) return;
    entry.postponedUntilMs = nowMs + RECHECK_MS;
    entry.postponedAtRetries = this.#retries;
  }

  /** Whether the question has an answer that may be served stale instead of sending the question again. */
  isPostponed(key: string, nowMs: number): boolean {
    const entry = this.#expired.get(key);
    return (
      entry !== undefined &&
      entry.postponedAtRetries === this.#retries &&
      nowMs < entry.postponedUntilMs
    );
  }

  /** Ends every postponement. */
  retryAll(): void {
    this.#retries++;
  }

  /**
   * Keeps the outcome for `lifetimeSeconds` in place of the previous one. A failure replaces no answer that can still be
   * served: the question is postponed instead.
   */
  put(key: string, outcome: Forwarded, nowMs: number): void {
    if (outcome.kind === 'refused') return;
    const old = this.#expired.get(key) ?? this.#entries.get(key);
    if (isFailure(outcome)) {
      if (old !== undefined && this.#isServable(old, nowMs)) this.postpone(key, nowMs);
      else this.#putFailure(key, outcome, nowMs);
      return;
    }
    if (old !== undefined) this.#remove(key, old);
    this.#failures.delete(key);
    // The answer cache counts in whole seconds too, and answers pass from either cache to the other.
    const storedMs = Math.floor(nowMs / 1000) * 1000;
    const expiresMs = storedMs + lifetimeSeconds(outcome) * 1000;
    if (expiresMs > nowMs) this.#add(key, { outcome, storedMs, expiresMs }, nowMs);
  }

  /** Whether the cache has an answer to the question, even if it has expired. */
  has(key: string): boolean {
    return this.#entries.has(key) || this.#expired.has(key);
  }

  /** Takes an answer with its times from another cache. The cache must not have one to the question. */
  restore(key: string, { message, storedMs, expiresMs }: StoredReply, nowMs: number): void {
    const outcome: Forwarded = { kind: 'answered', message };
    if (nowMs < expiresMs + this.#staleMs) this.#add(key, { outcome, storedMs, expiresMs }, nowMs);
  }

  #add(
    key: string,
    reply: Pick<CachedReply, 'outcome' | 'storedMs' | 'expiresMs'>,
    nowMs: number,
  ): void {
    const octets = memoryOctets(key, reply.outcome);
    if (octets > this.#limits.maxOctets) return;
    this.#entries.set(key, {
      ...reply,
      octets,
      postponedUntilMs: 0,
      postponedAtRetries: this.#retries,
    });
    this.#expiries.add(key, reply.expiresMs);
    this.#octets += octets;
    this.#evict(nowMs);
  }

  /**
   * Forgets the outcomes of a name and of the names below it. Returns the questions whose answers had not expired, each
   * once, even if it was asked with and without DO or CD.
   */
  flush(name: Name, nowMs: number): Question[] {
    const held = new Map<string, Question>();
    for (const map of [this.#entries, this.#expired])
      for (const [key, entry] of map) {
        if (!isSubdomainOf(qnameOf(key), name)) continue;
        this.#remove(key, entry);
        const question = nowMs < entry.expiresMs ? questionOf(entry) : undefined;
        if (question !== undefined) held.set(keyWithoutFlags(key), question);
      }
    for (const key of this.#failures.keys())
      if (isSubdomainOf(qnameOf(key), name)) this.#failures.delete(key);
    return [...held.values()];
  }

  #failure(key: string, nowMs: number): Forwarded | undefined {
    const failure = this.#failures.get(key);
    if (failure === undefined || nowMs < failure.expiresMs) return failure?.outcome;
    this.#failures.delete(key);
    return undefined;
  }

  #putFailure(key: string, outcome: Forwarded, nowMs: number): void {
    const old = this.#expired.get(key) ?? this.#entries.get(key);
    if (old !== undefined) this.#remove(key, old);
    const expiresMs = nowMs + FAILURE_SECONDS * 1000;
    this.#failures.delete(key);
    this.#failures.set(key, { outcome: withoutRecords(outcome), expiresMs });
    if (this.#failures.size <= Math.max(1, this.#limits.maxEntries * FAILURE_SHARE)) return;
    const [oldest = ''] = this.#failures.keys();
    this.#failures.delete(oldest);
  }

  #isServable({ expiresMs }: CachedReply, nowMs: number): boolean {
    return nowMs < expiresMs + this.#staleMs;
  }

  #onExpired(key: string, entry: CachedReply, nowMs: number): void {
    if (!this.#isServable(entry, nowMs)) {
      this.#remove(key, entry);
      return;
    }
    this.#entries.delete(key);
    this.#expiries.delete(key, entry.expiresMs);
    this.#expired.set(key, entry);
  }

  #evict(nowMs: number): void {
    if (this.#isWithinLimits()) return;
    for (const key of this.#expiries.takeUntil(nowMs)) {
      const entry = this.#entries.get(key);
      if (entry !== undefined) this.#onExpired(key, entry, nowMs);
    }
    for (const map of [this.#expired, this.#entries])
      for (const [key, entry] of map) {
        if (this.#isWithinLimits()) return;
        this.#remove(key, entry);
      }
  }

  #isWithinLimits(): boolean {
    return this.size <= this.#limits.maxEntries && this.#octets <= this.#limits.maxOctets;
  }

  #remove(key: string, entry: CachedReply): void {
    this.#expired.delete(key);
    if (this.#entries.delete(key)) this.#expiries.delete(key, entry.expiresMs);
    this.#octets -= entry.octets;
  }
}

function questionOf({ outcome }: CachedReply): Question | undefined {
  return outcome.kind === 'answered' ? outcome.message.questions[0] : undefined;
}

function keyWithoutFlags(key: string): string {
  return key.slice(0, key.lastIndexOf(' '));
}

/** The folded qname of a key, whose labels each follow their length, up to one of length 0. */
function qnameOf(key: string): Name {
  const labels: string[] = [];
  for (let at = 0; ; ) {
    const length = key.charCodeAt(at);
    if (!(length > 0)) return labels;
    labels.push(key.slice(at + 1, at + 1 + length));
    at += 1 + length;
  }
}

function aged(outcome: Forwarded, seconds: number): Forwarded {
  return seconds === 0
    ? outcome
    : withTtls(outcome, ({ ttlSeconds }) => Math.max(0, ttlSeconds - seconds));
}

function stale(outcome: Forwarded): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  return { ...withTtls(outcome, () => STALE_TTL_SECONDS), stale: true };
}

function withTtls<T extends Forwarded>(outcome: T, ttlOf: (rr: Rr) => number): T {
  if (outcome.kind !== 'answered') return outcome;
  const { message } = outcome;
  const change = (rr: Rr): Rr => ({ ...rr, ttlSeconds: ttlOf(rr) });
  const [answer, authority] = [message.answer.map(change), message.authority.map(change)];
  return { ...outcome, message: { ...message, answer, authority } };
}

/** All failures are about as large, so that their number bounds their memory. */
function withoutRecords(outcome: Forwarded): Forwarded {
  if (outcome.kind !== 'answered') return outcome;
  return { ...outcome, message: { ...outcome.message, answer: [], authority: [] } };
}

/** An estimate of an entry's memory: a record's objects take more than its rdata, unless that is large. */
function memoryOctets(key: string, outcome: Forwarded): number {
  let octets = 700 + 2 * key.length;
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
