/**
 * dataplane/reply/: Overwrites a question with its reply, from the answer table or from the cache.
 * Imports: dataplane/cache, dataplane/sockets, dataplane/table, dns.
 * Used by: app/answering, dataplane/listeners, dataplane/publish, dnstap, server, server/tcp.
 *
 * The readers' side of the two memories: the answer table, with the answers of our zones, and the cache, with those of
 * other servers. It takes no lock, and relies on the invariants of `table/layout.ts` and `cache/layout.ts`.
 *
 * A reply keeps the packet's question in the client's spelling, appends the octets of the answer, and changes the
 * header. The words of the control blocks are read once per batch.
 */
import { Rcode } from '../../dns/rr.ts';
import { HEADER_OCTETS } from '../../dns/wire.ts';
import type { ClientPolicy } from '../sockets/clientPolicy.ts';
import { OTHER_KIND } from '../table/answerKinds.ts';
import { type CounterBlock, DROP_REASONS, Single, Slot } from '../table/counters.ts';
import {
  AnswerField,
  ASKED_BIT,
  answerTypeAt,
  Control,
  isAsked,
  isNodataHead,
  isPlainOnly,
  NOT_SIGNED,
  optRecord,
  QuestionLabels,
  rcodeOf,
  type TableHandle,
} from '../table/layout.ts';
import { CachedReplies } from './cachedReplies.ts';
import { DerivedCheck } from './derivedCheck.ts';
import { type FastPath, Outcome } from './fastPath.ts';
import { NameFinder } from './nameFinder.ts';
import { Negatives } from './negatives.ts';
import { OptionWriter } from './optionWriter.ts';
import { QuestionReader, wantsRecursion } from './question.ts';
import { Admission, ERRORS, RateLimiter } from './rateLimiter.ts';
import { ReplyWriter } from './replyWriter.ts';
import { WildcardFinder } from './wildcardFinder.ts';

/** Pending questions that a reader remembers, and for how long. */
const RECENT_QUESTIONS = 256;
const RECENT_MS = 20;

const SHORT = Slot.drop + DROP_REASONS.indexOf('short');
const RESPONSE = Slot.drop + DROP_REASONS.indexOf('response');

class TableReader implements FastPath {
  readonly replyOctets: number;
  readonly #words: Int32Array;
  readonly #thread: number;
  readonly #counters: CounterBlock;
  readonly #nowMs: () => number;
  readonly #question: QuestionReader;
  readonly #finder: NameFinder;
  readonly #derived: DerivedCheck;
  readonly #negatives: Negatives;
  readonly #options: OptionWriter;
  readonly #wildcards: WildcardFinder;
  readonly #writer: ReplyWriter;
  readonly #cache: CachedReplies | undefined;
  readonly #isStream: boolean;
  #limiter: RateLimiter | undefined;
  readonly #opt = optRecord(false);
  readonly #staleOpt = optRecord(true);
  // Read once per batch.
  #isActive = false;
  #hasAllNames = false;
  #era = 0;
  #second = -1;
  /** Questions that this thread still hands over in this second; see `Control.LOGGED`. */
  #toLog = 0;
  /** Hashes of the questions that were handed over as pending since `#recentSinceMs`. */
  readonly #recent = new Int32Array(RECENT_QUESTIONS);
  #recentSinceMs = 0;

  /** `nowMs` is the writer's clock. */
  constructor(
    { memory, cache, maxUdpOctets }: TableHandle,
    thread: number,
    counters: CounterBlock,
    nowMs: () => number,
    isStream: boolean,
  ) {
    this.replyOctets = maxUdpOctets;
    const words = new Int32Array(memory);
    const octets = new Uint8Array(memory);
    this.#words = words;
    this.#thread = thread;
    this.#counters = counters;
    this.#nowMs = nowMs;
    const question = new QuestionReader(words[Control.SEED] as number);
    this.#question = question;
    this.#finder = new NameFinder(words);
    this.#derived = new DerivedCheck(words, octets, question, this.#finder);
    this.#negatives = new Negatives(words, octets, question);
    this.#options = new OptionWriter(question, counters);
    const parts = { question, options: this.#options, counters };
    const limits = { maxUdpOctets, isStream };
    this.#writer = new ReplyWriter({ words, octets }, parts, limits, this.#opt);
    this.#cache = cache && new CachedReplies(cache, parts, limits);
    this.#isStream = isStream;
    this.#wildcards = new WildcardFinder(words, question, this.#finder);
  }

  setPolicy(policy: ClientPolicy): void {
    this.#options.setPolicy(policy);
    const { rateLimit } = policy;
    this.#limiter = rateLimit && !this.#isStream ? new RateLimiter(rateLimit) : undefined;
  }

  get needsClient(): boolean {
    return this.#options.cookies !== undefined || this.#limiter !== undefined;
  }

  setClient(words: Int32Array, at: number): void {
    this.#options.cookies?.setClient(words, at);
    this.#limiter?.setClient(words, at);
  }

  beginBatch(): void {
    const words = this.#words;
    Atomics.store(words, Control.READERS + this.#thread, Atomics.load(words, Control.EPOCH));
    this.#isActive = Atomics.load(words, Control.ACTIVE) === 1;
    this.#hasAllNames = Atomics.load(words, Control.MISSING_NAMES) === 0;
    this.#era = Atomics.load(words, Control.ERA);
    this.#finder.beginBatch();
    this.#wildcards.beginBatch();
    this.#negatives.block = Atomics.load(words, Control.NEGATIVES);
    this.#derived.block = Atomics.load(words, Control.DERIVED);
    this.#writer.opt = Atomics.load(words, Control.STALE) === 1 ? this.#staleOpt : this.#opt;
    const nowMs = this.#nowMs();
    if (nowMs - this.#recentSinceMs > RECENT_MS) {
      this.#recentSinceMs = nowMs;
      this.#recent.fill(0);
    }
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) this.#toLog = Atomics.load(words, Control.LOGGED);
    this.#second = second;
    this.#writer.second = second;
    this.#cache?.beginBatch(second);
    this.#limiter?.setTime(nowMs);
    const { cookies } = this.#options;
    if (cookies !== undefined) cookies.unixSeconds = Math.floor(Date.now() / 1000);
  }

  endBatch(): void {
    Atomics.store(this.#words, Control.READERS + this.#thread, 0);
  }

  answer(octets: Uint8Array, at: number, length: number, recursionAvailable: boolean): number {
    if (length < HEADER_OCTETS) return this.#drop(SHORT);
    if ((octets[at + 2] as number) >= 0x80) return this.#drop(RESPONSE);
    if (this.#toLog > 0) {
      this.#toLog--;
      return Outcome.SLOW;
    }
    const question = this.#question;
    if (!question.read(octets, at, length) || !this.#isActive) {
      return question.isWildcard ? Outcome.WILDCARD : Outcome.SLOW;
    }
    if (!this.#options.measure(octets)) return Outcome.SLOW;
    if (question.isWildcard && this.#matchesAnyLabel())
      return this.#answerWildcard(octets, at, recursionAvailable);
    const record = this.#finder.find(question.hash, question.nameOctets, question.nameWords);
    if (record === 0) return this.#answerUnknownName(octets, at, recursionAvailable);
    const ra = recursionAvailable ? 0x80 : 0;
    const answer = Atomics.load(this.#words, record + 1 + question.kind);
    if (answer === 0 || !this.#holds(answer)) return this.#missOf(question.hash);
    if (question.dnssecOk) return this.#answerSigned(octets, at, answer, ra);
    return this.#answerWith(octets, at, answer, ra, question.hash, 0);
  }

  /** Answers with DO: with the signed answer or, if the zone is not signed, with the plain one. */
  #answerSigned(octets: Uint8Array, at: number, plain: number, ra: number): number {
    const signed = Atomics.load(this.#words, plain + AnswerField.SIGNED);
    const question = this.#question;
    if (signed === NOT_SIGNED) {
      question.compactOk = false;
      return this.#answerWith(octets, at, plain, ra, question.hash, 0);
    }
    if (signed === 0 || !this.#holds(signed)) return this.#missOf(question.hash);
    return this.#answerWith(octets, at, signed, ra, question.hash, 0);
  }

  /**
   * `subject`: one number for all names that share a rate limit. `encloserOctets`: of the name above the stored wildcard
   * that answers; 0 if the answer is the name's own.
   */
  #answerWith(
    octets: Uint8Array,
    at: number,
    answer: number,
    ra: number,
    subject: number,
    encloserOctets: number,
  ): number {
    const question = this.#question;
    const head = this.#words[answer + AnswerField.HEAD] as number;
    if (isPlainOnly(head) && (question.dnssecOk || !wantsRecursion(octets, at)))
      return Outcome.SLOW;
    if (question.kind === OTHER_KIND && this.#isForOtherType(answer, head)) return Outcome.SLOW;
    const isNodata = isNodataHead(head);
    if (isNodata && !this.#negatives.find()) return this.#missOf(subject);
    if (!isNodata && !this.#writer.choose(at, answer, head, encloserOctets)) return Outcome.SLOW;
    if (this.#limiter !== undefined) {
      const admission = this.#admit(rcodeOf(head) === Rcode.NOERROR ? subject : ERRORS);
      if (admission !== Admission.SEND) return this.#withhold(octets, at, admission, ra);
    }
    if (isNodata)
      return this.#writer.writeNegative(octets, at, this.#negatives, Rcode.NOERROR | ra);
    if (!isAsked(head)) this.#words[answer + AnswerField.HEAD] = head | ASKED_BIT;
    return this.#writer.writeAnswer(octets, at, rcodeOf(head) | ra);
  }

  /** Answers for a name that the table lacks: it is outside our zones, or does not exist, or may be derived. */
  #answerUnknownName(octets: Uint8Array, at: number, recursionAvailable: boolean): number {
    const negatives = this.#negatives;
    if (!negatives.find()) return this.#answerOutside(octets, at, recursionAvailable);
    if (this.#question.dnssecOk && negatives.isSigned) return Outcome.SLOW;
    this.#question.compactOk = false;
    if (!this.#hasAllNames) return Outcome.SLOW;
    if (this.#wildcards.hasWildcards)
      return this.#answerSynthesized(octets, at, recursionAvailable);
    if (this.#derived.mayExist()) return Outcome.SLOW;
    return this.#writeNxdomain(octets, at, recursionAvailable ? 0x80 : 0);
  }

  /** As `#answerUnknownName` in our zones, if a stored wildcard may answer for the name. */
  #answerSynthesized(octets: Uint8Array, at: number, recursionAvailable: boolean): number {
    const wildcards = this.#wildcards;
    const question = this.#question;
    if (!wildcards.begin() || this.#derived.mayExist()) return Outcome.SLOW;
    const record = wildcards.find(this.#negatives.apexOctets);
    const answer = record === 0 ? 0 : Atomics.load(this.#words, record + 1 + question.kind);
    if (!wildcards.isSame) return Outcome.SLOW;
    const ra = recursionAvailable ? 0x80 : 0;
    if (record === 0) return this.#writeNxdomain(octets, at, ra);
    // The names below a wildcard have one answer, so they are pending together.
    if (answer === 0 || !this.#holds(answer)) return this.#missOf(record);
    // One client's random names below a wildcard have one limit.
    return this.#answerWith(octets, at, answer, ra, record, wildcards.encloserOctets);
  }

  /** Whether the answer of `OTHER_KIND` is for another QTYPE than the question's. */
  #isForOtherType(answer: number, head: number): boolean {
    if (isNodataHead(head)) return false;
    const type = this.#words[answerTypeAt(answer, head)];
    return type !== 0 && type !== this.#question.qtype;
  }

  #writeNxdomain(octets: Uint8Array, at: number, ra: number): number {
    const negatives = this.#negatives;
    if (this.#limiter !== undefined) {
      const admission = this.#admit(negatives.zone);
      if (admission !== Admission.SEND) return this.#withhold(octets, at, admission, ra);
    }
    return this.#writer.writeNegative(octets, at, negatives, Rcode.NXDOMAIN | ra);
  }

  /** Whether `*` or `any` in the question's name matches any label. Elsewhere it is a label like any other. */
  #matchesAnyLabel(): boolean {
    const labels = Atomics.load(this.#words, Control.QUESTION_WILDCARDS);
    return (
      labels === QuestionLabels.all || (labels === QuestionLabels.any && this.#question.hasAny)
    );
  }

  /** Outside our zones `*` and `any` are labels like any other. */
  #answerWildcard(octets: Uint8Array, at: number, recursionAvailable: boolean): number {
    if (this.#negatives.find()) return Outcome.WILDCARD;
    return this.#answerOutside(octets, at, recursionAvailable);
  }

  /** Other servers' answers are for clients that may recurse, and depend on RD, CD and DO. */
  #answerOutside(octets: Uint8Array, at: number, recursionAvailable: boolean): number {
    const cache = this.#cache;
    if (cache === undefined || !recursionAvailable) return Outcome.SLOW;
    if (this.#question.dnssecOk || !wantsRecursion(octets, at)) return Outcome.SLOW;
    if (!cache.find(at)) return Outcome.SLOW;
    if (this.#limiter !== undefined) {
      const admission = this.#admit(this.#question.hash);
      if (admission !== Admission.SEND) return this.#withhold(octets, at, admission, 0x80);
    }
    return cache.write(octets, at);
  }

  /** Decides about a reply on the subject; a client with a valid cookie has no limit. */
  #admit(subject: number): number {
    if (this.#limiter === undefined || this.#options.isProven) return Admission.SEND;
    return this.#limiter.admit(subject);
  }

  /** The outcome for a reply that is over the rate limit. */
  #withhold(octets: Uint8Array, at: number, admission: number, ra: number): number {
    if (admission === Admission.DROP) return this.#drop(Single.rateDropped);
    const isCookie = this.#options.hasCookie;
    const slot = isCookie ? Single.rateBadCookie : Single.rateTruncated;
    this.#counters[slot] = (this.#counters[slot] as number) + 1;
    return isCookie
      ? this.#writer.writeBadCookie(octets, at, ra)
      : this.#writer.writeTruncated(octets, at, ra);
  }

  /**
   * Calls a question pending only once in `RECENT_MS`: the answer to the question may never be published, and a flood of
   * the question must not displace the first questions about other names. `name` is one number for all names that have
   * one answer.
   */
  #missOf(name: number): number {
    const identity = (name + this.#question.kind * 0x9e3779b1) | 0;
    const slot = identity & (RECENT_QUESTIONS - 1);
    if (this.#recent[slot] === identity) return Outcome.SLOW;
    this.#recent[slot] = identity;
    return Outcome.PENDING;
  }

  #drop(slot: number): number {
    this.#counters[slot] = (this.#counters[slot] as number) + 1;
    return Outcome.DROP;
  }

  #holds(answer: number): boolean {
    const words = this.#words;
    return (
      words[answer + AnswerField.ERA] === this.#era &&
      (words[answer + AnswerField.UNTIL] as number) > this.#second
    );
  }
}

/**
 * Opens the answer table, and its answer cache if it has one, for a thread. `thread` is below `MAX_THREADS` and unique;
 * the main thread is 0. `nowMs` is the time on the main thread's `performance.now()` scale. With `isStream` the client
 * can receive any length, and only whole answers are for it.
 */
export function openFastPath(
  handle: TableHandle,
  thread: number,
  counters: CounterBlock,
  nowMs: () => number,
  isStream = false,
): FastPath {
  return new TableReader(handle, thread, counters, nowMs, isStream);
}
