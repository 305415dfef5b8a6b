/**
 * The answers of the table, each a block of the heap, and the signed answer that one of them may have beside it. A word
 * has the address of an answer: an answer word of a name record.
 */
import type { Heap } from './heap.ts';
import {
  AnswerField,
  answerWordsOf,
  Control,
  FOREVER,
  isAsked,
  isNodataHead,
  NOT_SIGNED,
  packHead,
} from './layout.ts';
import type { Reclaim } from './reclaim.ts';

/** An answer, without the fields that the table adds: its era and its size. */
export interface NewAnswer {
  readonly untilSecond: number;
  readonly ttlsAtSecond: number;
  readonly rcode: number;
  readonly authoritative: boolean;
  readonly plainOnly: boolean;
  readonly fixedOrder: boolean;
  readonly variants: number;
  /** Questions with DO get another answer, which may be published later. */
  readonly isSignable?: boolean;
  /** The answer's words from `AnswerField.VARIANTS` on. */
  readonly words: Int32Array;
}

const NODATA: NewAnswer = {
  untilSecond: FOREVER,
  ttlsAtSecond: 0,
  rcode: 0,
  authoritative: true,
  plainOnly: false,
  fixedOrder: false,
  variants: 0,
  words: new Int32Array(0),
};

export class Answers {
  readonly #words: Int32Array;
  readonly #heap: Heap;
  readonly #reclaim: Reclaim;
  /** The answer that all NODATA share: NOERROR with the zone's SOA. */
  #nodata = 0;
  /** The same for the names of signed zones. */
  #signableNodata = 0;
  /** Answers that are published, without NODATA and signed ones. */
  count = 0;

  constructor(words: Int32Array, heap: Heap, reclaim: Reclaim) {
    this.#words = words;
    this.#heap = heap;
    this.#reclaim = reclaim;
  }

  /** Call this when the era has changed. */
  newEra(): void {
    // The old blocks are never freed: name records may still refer to them. Readers reject them because of their era.
    this.#nodata = this.#new(NODATA, true, NOT_SIGNED);
    this.#signableNodata = this.#new(NODATA, true, 0);
  }

  /** Whether the answer holds at `second`. */
  holds(answer: number, second: number): boolean {
    const words = this.#words;
    if (answer === 0 || words[answer + AnswerField.ERA] !== words[Control.ERA]) return false;
    return (words[answer + AnswerField.UNTIL] as number) > second;
  }

  /** Whether the signed answer beside this one holds at `second`. */
  holdsSigned(answer: number, second: number): boolean {
    const signed = this.#signedOf(answer);
    return signed > 0 && this.holds(signed, second);
  }

  /** Whether this is an answer of this era, and questions with DO get another one. */
  isSignable(answer: number): boolean {
    const words = this.#words;
    if (answer === 0 || words[answer + AnswerField.ERA] !== words[Control.ERA]) return false;
    return this.#signedOf(answer) !== NOT_SIGNED;
  }

  isNodata(answer: number): boolean {
    return isNodataHead(this.#words[answer + AnswerField.HEAD] as number);
  }

  /** Whether a client has got the answer or the signed one beside it. */
  isAsked(answer: number): boolean {
    const signed = this.#signedOf(answer);
    const headOf = (block: number) => this.#words[block + AnswerField.HEAD] as number;
    return isAsked(headOf(answer)) || (signed > 0 && isAsked(headOf(signed)));
  }

  publish(word: number, answer: NewAnswer): boolean {
    const block = this.#new(answer, false, answer.isSignable === true ? 0 : NOT_SIGNED);
    if (block === 0) return false;
    this.#swap(word, block);
    this.count++;
    return true;
  }

  publishNodata(word: number, isSignable: boolean): boolean {
    if (isSignable) this.#signableNodata ||= this.#new(NODATA, true, 0);
    else this.#nodata ||= this.#new(NODATA, true, NOT_SIGNED);
    const block = isSignable ? this.#signableNodata : this.#nodata;
    if (block === 0) return false;
    this.#swap(word, block);
    return true;
  }

  /** Publishes a signed answer beside the one that the word has. */
  publishSigned(word: number, answer: NewAnswer): boolean {
    const plain = this.#words[word] as number;
    const block = this.#new(answer, false, NOT_SIGNED);
    if (block === 0) return false;
    if (this.#isShared(plain)) {
      const nodata = this.#new(NODATA, true, block);
      if (nodata === 0) this.#heap.release(block, this.#sizeOf(block));
      else this.#swap(word, nodata);
      return nodata !== 0;
    }
    const before = Atomics.exchange(this.#words, plain + AnswerField.SIGNED, block);
    if (before > 0) this.#retire(before);
    return true;
  }

  withdraw(word: number): void {
    this.#swap(word, 0);
  }

  #swap(word: number, block: number): void {
    const before = Atomics.exchange(this.#words, word, block);
    if (before === 0 || this.#isShared(before)) return;
    if (!this.isNodata(before)) this.count--;
    const signed = this.#signedOf(before);
    if (signed > 0) this.#retire(signed);
    this.#retire(before);
  }

  /** Whether other names have the same answer: a NODATA without a signed answer. */
  #isShared(answer: number): boolean {
    return this.isNodata(answer) && this.#signedOf(answer) <= 0;
  }

  #signedOf(answer: number): number {
    return this.#words[answer + AnswerField.SIGNED] as number;
  }

  #sizeOf(answer: number): number {
    return answerWordsOf(this.#words[answer + AnswerField.HEAD] as number);
  }

  #retire(answer: number): void {
    this.#reclaim.retire(answer, this.#sizeOf(answer));
  }

  /** The address of a new block; 0 without room. */
  #new(answer: NewAnswer, nodata: boolean, signed: number): number {
    const { untilSecond, ttlsAtSecond, rcode, authoritative, plainOnly, fixedOrder, variants } =
      answer;
    const size = AnswerField.VARIANTS + answer.words.length;
    const block = this.#heap.allocate(size);
    if (block === 0) return 0;
    const words = this.#words;
    words[block + AnswerField.UNTIL] = untilSecond;
    words[block + AnswerField.TTLS_AT] = ttlsAtSecond;
    words[block + AnswerField.ERA] = words[Control.ERA] as number;
    const head = { rcode, authoritative, plainOnly, fixedOrder, variants, nodata, words: size };
    words[block + AnswerField.HEAD] = packHead(head);
    words[block + AnswerField.SIGNED] = signed;
    words.set(answer.words, block + AnswerField.VARIANTS);
    return block;
  }
}
