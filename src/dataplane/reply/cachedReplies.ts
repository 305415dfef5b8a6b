/** Answers questions about names outside our zones: the readers' side of the cache (`cache/layout.ts`). */
import { STALE_TTL_SECONDS } from '../../dns/message.ts';
import { Rcode } from '../../dns/rr.ts';
import {
  answerAt,
  BlockField,
  BUCKET_SLOTS,
  BUCKET_WORDS,
  BUCKETS_AT,
  CacheControl,
  FRESH_OPT,
  NOTE_COUNT,
  NOTED,
  NOTES_AT,
  packQuestion,
  questionHash,
  SLOT_WORDS,
  STALE_NXDOMAIN_OPT,
  STALE_OPT,
} from '../cache/layout.ts';
import { type CounterBlock, Single } from '../table/counters.ts';
import { AnswerField, optRecord, rcodeOf } from '../table/layout.ts';
import type { QuestionReader } from './question.ts';
import { type ReplyLimits, type ReplyParts, ReplyWriter } from './replyWriter.ts';

/** Places that a slot's note may have. */
const NOTE_PLACES = 8;

/** Replies with other servers' answers. */
export class CachedReplies {
  readonly #finder: CacheFinder;
  readonly #writer: ReplyWriter;
  readonly #counters: CounterBlock;

  constructor(memory: SharedArrayBuffer, parts: ReplyParts, limits: ReplyLimits) {
    const words = new Int32Array(memory);
    const octets = new Uint8Array(memory);
    this.#finder = new CacheFinder(words, parts.question);
    this.#writer = new ReplyWriter({ words, octets }, parts, limits, optRecord(false));
    this.#counters = parts.counters;
  }

  beginBatch(second: number): void {
    this.#finder.beginBatch(second);
    this.#writer.second = second;
  }

  /** Finds the answer to the question of the packet at `at`; false if the cache has none that is for the client. */
  find(at: number): boolean {
    const finder = this.#finder;
    if (!finder.find()) return false;
    this.#writer.opt = finder.opt;
    this.#writer.fixedTtl = finder.isStale ? STALE_TTL_SECONDS : 0;
    return this.#writer.choose(at, finder.answer, finder.head, 0);
  }

  /** Writes the reply with the answer that `find` found; returns its length. */
  write(octets: Uint8Array, at: number): number {
    const finder = this.#finder;
    const length = this.#writer.writeAnswer(octets, at, rcodeOf(finder.head) | 0x80);
    finder.touch();
    const counters = this.#counters;
    const slot = finder.isStale ? Single.cacheStale : Single.cacheHits;
    counters[slot] = (counters[slot] as number) + 1;
    return length;
  }
}

/** Finds the answer to a question. */
class CacheFinder {
  // Set by `find`.
  /** Address of the answer. */
  answer = 0;
  /** See `AnswerHead`. */
  head = 0;
  /** The answer has expired, but the main thread lets readers serve it. */
  isStale = false;
  #block = 0;
  #slot = 0;
  readonly #words: Int32Array;
  readonly #question: QuestionReader;
  readonly #mask: number;
  // Read once per batch.
  #era = 0;
  #second = 0;

  constructor(words: Int32Array, question: QuestionReader) {
    this.#words = words;
    this.#question = question;
    this.#mask = words[CacheControl.BUCKET_MASK] as number;
  }

  beginBatch(second: number): void {
    this.#era = Atomics.load(this.#words, CacheControl.ERA);
    this.#second = second;
  }

  /** The OPT record of the answer that `find` found. */
  get opt(): Uint8Array {
    if (!this.isStale) return FRESH_OPT;
    return rcodeOf(this.head) === Rcode.NXDOMAIN ? STALE_NXDOMAIN_OPT : STALE_OPT;
  }

  /** Finds the answer to the question; false if the cache has none that readers may serve. */
  find(): boolean {
    const words = this.#words;
    const { hash: nameHash, qtype, nameOctets } = this.#question;
    const hash = questionHash(nameHash, qtype);
    const first = BUCKETS_AT + (hash & this.#mask) * BUCKET_WORDS;
    const end = first + BUCKET_SLOTS * SLOT_WORDS;
    for (let slot = first; slot < end; slot += SLOT_WORDS) {
      if (words[slot] !== hash) continue;
      const block = Atomics.load(words, slot + 1);
      if (block === 0 || !this.#isOfQuestion(block)) continue;
      const answer = answerAt(block, nameOctets);
      if (words[answer + AnswerField.ERA] !== this.#era) return false;
      const isStale = (words[answer + AnswerField.UNTIL] as number) <= this.#second;
      if (isStale && (words[block + BlockField.STALE_UNTIL] as number) <= this.#second)
        return false;
      this.answer = answer;
      this.head = words[answer + AnswerField.HEAD] as number;
      this.isStale = isStale;
      this.#block = block;
      this.#slot = slot;
      return true;
    }
    return false;
  }

  /** Records that a client got the answer that `find` found. */
  touch(): void {
    const words = this.#words;
    const block = this.#block;
    if (words[block + BlockField.USED] === 0) words[block + BlockField.USED] = 1;
    if (this.isStale || (words[block + BlockField.PREFETCH_AT] as number) > this.#second) return;
    // Before the note, because the writer takes no note of a block without this mark.
    words[block + BlockField.PREFETCH_AT] = NOTED;
    if (!this.#note()) words[block + BlockField.PREFETCH_AT] = this.#second;
  }

  /** Notes the slot; false if other notes have its places. */
  #note(): boolean {
    const slot = this.#slot;
    const first = Math.imul(slot, 0x9e3779b1) >>> 16;
    for (let i = 0; i < NOTE_PLACES; i++) {
      const place = NOTES_AT + ((first + i) & (NOTE_COUNT - 1));
      const other = Atomics.compareExchange(this.#words, place, 0, slot);
      if (other === 0 || other === slot) return true;
    }
    return false;
  }

  #isOfQuestion(block: number): boolean {
    const words = this.#words;
    const { qtype, nameOctets, nameWords } = this.#question;
    if (words[block + BlockField.QUESTION] !== packQuestion(qtype, nameOctets)) return false;
    const start = block + BlockField.WORDS;
    const count = (nameOctets + 3) >>> 2;
    for (let i = 0; i < count; i++) if (words[start + i] !== nameWords[i]) return false;
    return true;
  }
}
