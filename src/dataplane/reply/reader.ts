/**
 * dataplane/reply/: Overwrites a question with its reply from the answer table.
 * Imports: dataplane/table, dns.
 * Used by: dataplane/listeners, dataplane/publish.
 *
 * The readers' side of the answer table: overwrites a question with its reply. It takes no lock, and relies on the
 * invariants of `layout.ts`.
 *
 * A reply keeps the packet's question in the client's spelling, appends the octets of the answer, and changes the
 * header. The words of the control block are read once per batch.
 */
import { DO_IN_OCTET, DO_OFFSET } from '../../dns/edns.ts';
import { Rcode } from '../../dns/rr.ts';
import { HEADER_OCTETS } from '../../dns/wire.ts';
import { type CounterBlock, DROP_REASONS, Single, Slot } from '../table/counters.ts';
import {
  AnswerField,
  authoritativeFlagOf,
  Control,
  CUT_WORDS,
  isFixedOrder,
  isNegative,
  isPlainOnly,
  optRecord,
  rcodeOf,
  type TableHandle,
  variantCountOf,
} from '../table/layout.ts';
import { DerivedCheck } from './derivedCheck.ts';
import { type FastPath, Outcome } from './fastPath.ts';
import { NameFinder } from './nameFinder.ts';
import { Negatives } from './negatives.ts';
import { QuestionReader } from './question.ts';

/** RFC 1035 §4.2.1. */
const PLAIN_UDP_SIZE = 512;
const AA = 0x04;

/** Pending questions that a reader remembers, and for how long. */
const RECENT_QUESTIONS = 256;
const RECENT_MS = 20;

const SHORT = Slot.drop + DROP_REASONS.indexOf('short');
const RESPONSE = Slot.drop + DROP_REASONS.indexOf('response');

class TableReader implements FastPath {
  readonly replyOctets: number;
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #thread: number;
  readonly #counters: CounterBlock;
  readonly #nowMs: () => number;
  readonly #question: QuestionReader;
  readonly #finder: NameFinder;
  readonly #derived: DerivedCheck;
  readonly #negatives: Negatives;
  readonly #opt = optRecord(false);
  readonly #staleOpt = optRecord(true);
  // Read once per batch.
  #isActive = false;
  #hasAllNames = false;
  #era = 0;
  #second = -1;
  #optOfBatch = this.#opt;
  /** Questions that this thread still hands over in this second; see `Control.LOGGED`. */
  #toLog = 0;
  /** Hashes of the questions that were handed over as pending since `#recentSinceMs`. */
  readonly #recent = new Int32Array(RECENT_QUESTIONS);
  #recentSinceMs = 0;
  /** Chooses the variant of the next reply. */
  #rotation = 0;

  /** `nowMs` is the writer's clock. */
  constructor(
    { memory, maxUdpOctets }: TableHandle,
    thread: number,
    counters: CounterBlock,
    nowMs: () => number,
  ) {
    this.replyOctets = maxUdpOctets;
    this.#words = new Int32Array(memory);
    this.#octets = new Uint8Array(memory);
    this.#thread = thread;
    this.#counters = counters;
    this.#nowMs = nowMs;
    this.#question = new QuestionReader(this.#words[Control.SEED] as number);
    this.#finder = new NameFinder(this.#words);
    this.#derived = new DerivedCheck(this.#words, this.#octets, this.#question, this.#finder);
    this.#negatives = new Negatives(this.#words, this.#octets, this.#question);
  }

  beginBatch(): void {
    const words = this.#words;
    Atomics.store(words, Control.READERS + this.#thread, Atomics.load(words, Control.EPOCH));
    this.#isActive = Atomics.load(words, Control.ACTIVE) === 1;
    this.#hasAllNames = Atomics.load(words, Control.MISSING_NAMES) === 0;
    this.#era = Atomics.load(words, Control.ERA);
    this.#finder.beginBatch();
    this.#negatives.block = Atomics.load(words, Control.NEGATIVES);
    this.#derived.block = Atomics.load(words, Control.DERIVED);
    this.#optOfBatch = Atomics.load(words, Control.STALE) === 1 ? this.#staleOpt : this.#opt;
    const nowMs = this.#nowMs();
    if (nowMs - this.#recentSinceMs > RECENT_MS) {
      this.#recentSinceMs = nowMs;
      this.#recent.fill(0);
    }
    const second = Math.floor(nowMs / 1000);
    if (second !== this.#second) this.#toLog = Atomics.load(words, Control.LOGGED);
    this.#second = second;
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
    if (!question.read(octets, at, length)) {
      return question.isWildcard ? Outcome.WILDCARD : Outcome.SLOW;
    }
    if (!this.#isActive) return Outcome.SLOW;
    const record = this.#finder.find(question.hash, question.nameOctets, question.nameWords);
    const ra = recursionAvailable ? 0x80 : 0;
    if (record === 0) {
      if (!this.#hasAllNames || this.#derived.mayExist()) return Outcome.SLOW;
      return this.#writeNegative(octets, at, Rcode.NXDOMAIN | ra, Outcome.SLOW);
    }
    const answer = Atomics.load(this.#words, record + 1 + question.kind);
    if (answer === 0 || !this.#holds(answer)) return this.#missOfName();
    const head = this.#words[answer + AnswerField.HEAD] as number;
    if (isPlainOnly(head) && (question.dnssecOk || !wantsRecursion(octets, at)))
      return Outcome.SLOW;
    return isNegative(head)
      ? this.#writeNegative(octets, at, Rcode.NOERROR | ra, Outcome.PENDING)
      : this.#writeAnswer(octets, at, answer, head, rcodeOf(head) | ra);
  }

  /**
   * Calls a question pending only once in `RECENT_MS`: the answer to the question may never be published, and a flood
   * of the question must not displace the first questions about other names.
   */
  #missOfName(): number {
    const { hash, kind } = this.#question;
    const identity = (hash + kind * 0x9e3779b1) | 0;
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

  /** Octets that may follow the question. */
  #room(at: number): number {
    const { udpSize, end } = this.#question;
    if (udpSize < 0) return PLAIN_UDP_SIZE - (end - at);
    const limit = Math.min(Math.max(udpSize, PLAIN_UDP_SIZE), this.replyOctets);
    return limit - this.#optOfBatch.length - (end - at);
  }

  #writeAnswer(octets: Uint8Array, at: number, answer: number, head: number, low: number): number {
    const words = this.#words;
    const room = this.#room(at);
    const variant = this.#variant(answer, head, room);
    const sizes = words[variant] as number;
    let cut = variant + 1;
    const falling = cut + (sizes & 0xffff) * CUT_WORDS;
    while (((words[cut] as number) & 0xffff) > room) {
      cut += CUT_WORDS;
      if (cut === falling) return Outcome.PENDING;
    }
    const size = words[cut] as number;
    const length = size & 0xffff;
    const fallingCount = sizes >>> 16;
    this.#copy(octets, (falling + fallingCount) * 4, length);
    const age = this.#second - (words[answer + AnswerField.TTLS_AT] as number);
    if (age !== 0 && fallingCount > 0) this.#reduceTtls(octets, falling, fallingCount, length, age);
    const high = authoritativeFlagOf(head) | (((size >>> 16) & 1) << 1);
    return this.#finish(octets, at, length, high, low, words[cut + 1] as number);
  }

  /** The variant for this reply. */
  #variant(answer: number, head: number, room: number): number {
    const words = this.#words;
    const variants = variantCountOf(head);
    const table = answer + AnswerField.VARIANTS;
    if (variants === 1) return table;
    if (isFixedOrder(head)) {
      const first = answer + (words[table] as number);
      // The first cut is the longest.
      if ((words[first + 1] as number) <= room) return first;
    }
    this.#rotation = (this.#rotation + 1) | 0;
    return answer + (words[table + ((this.#rotation >>> 0) % variants)] as number);
  }

  #writeNegative(octets: Uint8Array, at: number, low: number, otherwise: number): number {
    const negatives = this.#negatives;
    if (!negatives.find()) return otherwise;
    const { length } = negatives;
    if (length > this.#room(at)) return this.#finish(octets, at, 0, AA | 0x02, low, 0);
    negatives.write(octets, this.#question.end);
    return this.#finish(octets, at, length, AA, low, 1 << 10);
  }

  /** Copies octets of the table to the place after the question. */
  #copy(octets: Uint8Array, from: number, length: number): void {
    const source = this.#octets;
    const to = this.#question.end;
    for (let i = 0; i < length; i++) octets[to + i] = source[from + i] as number;
  }

  /** Subtracts the answer's age from the TTLs that fall. */
  #reduceTtls(
    octets: Uint8Array,
    falling: number,
    count: number,
    length: number,
    age: number,
  ): void {
    for (let i = 0; i < count; i++) {
      const offset = this.#words[falling + i] as number;
      if (offset >= length) return;
      subtract32(octets, this.#question.end + offset, age);
    }
  }

  /** Completes the reply: header and OPT. `low` is the header's fourth octet without the CD bit. */
  #finish(
    octets: Uint8Array,
    at: number,
    length: number,
    high: number,
    low: number,
    counts: number,
  ): number {
    const { end, udpSize, dnssecOk, kind } = this.#question;
    const hasOpt = udpSize >= 0;
    octets[at + 2] = 0x80 | high | ((octets[at + 2] as number) & 0x01);
    octets[at + 3] = low | ((octets[at + 3] as number) & 0x10);
    octets[at + 6] = (counts >>> 8) & 0x03;
    octets[at + 7] = counts & 0xff;
    octets[at + 8] = (counts >>> 18) & 0x03;
    octets[at + 9] = (counts >>> 10) & 0xff;
    const additional = (counts >>> 20) + (hasOpt ? 1 : 0);
    octets[at + 10] = additional >>> 8;
    octets[at + 11] = additional & 0xff;
    const counters = this.#counters;
    counters[Slot.type + kind] = (counters[Slot.type + kind] as number) + 1;
    const rcodeSlot = Slot.rcode + (low & 0x0f);
    counters[rcodeSlot] = (counters[rcodeSlot] as number) + 1;
    if (high & 0x02) counters[Single.truncated] = (counters[Single.truncated] as number) + 1;
    const opt = hasOpt ? this.#writeOpt(octets, end + length, dnssecOk) : 0;
    return end - at + length + opt;
  }

  #writeOpt(octets: Uint8Array, to: number, dnssecOk: boolean): number {
    const opt = this.#optOfBatch;
    for (let i = 0; i < opt.length; i++) octets[to + i] = opt[i] as number;
    const counters = this.#counters;
    if (dnssecOk) {
      octets[to + DO_OFFSET] = DO_IN_OCTET;
      counters[Single.dnssecOk] = (counters[Single.dnssecOk] as number) + 1;
    }
    counters[Single.edns] = (counters[Single.edns] as number) + 1;
    return opt.length;
  }
}

/** RD is set and CD is not: we may ask other servers (RFC 1034 §4.3.1), which may validate (RFC 4035 §3.2.2). */
function wantsRecursion(octets: Uint8Array, at: number): boolean {
  return ((octets[at + 2] as number) & 0x01) === 1 && ((octets[at + 3] as number) & 0x10) === 0;
}

function subtract32(octets: Uint8Array, at: number, amount: number): void {
  const value =
    ((octets[at] as number) << 24) |
    ((octets[at + 1] as number) << 16) |
    ((octets[at + 2] as number) << 8) |
    (octets[at + 3] as number);
  const less = value - amount;
  octets[at] = less >>> 24;
  octets[at + 1] = less >>> 16;
  octets[at + 2] = less >>> 8;
  octets[at + 3] = less;
}

/**
 * Opens a table for a thread. `thread` is below `MAX_THREADS` and unique; the main thread is 0. `nowMs` is the time on
 * the main thread's `performance.now()` scale.
 */
export function openFastPath(
  handle: TableHandle,
  thread: number,
  counters: CounterBlock,
  nowMs: () => number,
): FastPath {
  return new TableReader(handle, thread, counters, nowMs);
}
