/** The writer's view of the cache's blocks: a question, its answer, and what readers have written about it. */

import type { NewAnswer } from '../table/answers.ts';
import { AnswerField, NOT_SIGNED, packHead } from '../table/layout.ts';
import {
  answerAt,
  BlockField,
  CacheControl,
  NEVER,
  NOTED,
  nameOctetsOf,
  packQuestion,
  qtypeOf,
} from './layout.ts';

/** A question of class IN, as `AnswerCache.question` makes it. */
export interface CacheQuestion {
  /** Folded, in wire form. */
  readonly name: Uint8Array;
  readonly qtype: number;
  /** Of the name and the QTYPE. */
  readonly hash: number;
}

export interface CacheEntry extends CacheQuestion {
  /** Its `untilSecond` may be `EXPIRED`. */
  readonly answer: NewAnswer;
  /** Before this second readers serve the answer although it has expired. */
  readonly staleUntilSecond: number;
  /** From this second on a reader that finds the answer asks for a new one; or `NEVER`. */
  readonly prefetchAtSecond: number;
}

/** An answer as the cache holds it. */
export interface CachedAnswer {
  readonly untilSecond: number;
  readonly ttlsAtSecond: number;
  /** See `AnswerHead`. */
  readonly head: number;
  /** The memory, and the address of the first variant. Valid until the next call of the cache. */
  readonly words: Int32Array;
  readonly variant: number;
}

/** Words of the entry's block. */
export function blockWords({ name, answer }: CacheEntry): number {
  return answerAt(0, name.length) + AnswerField.VARIANTS + answer.words.length;
}

export class Blocks {
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;

  constructor(words: Int32Array, octets: Uint8Array) {
    this.#words = words;
    this.#octets = octets;
  }

  /** Fills a block that no reader can see. Its `SIZE` is set already. */
  write(block: number, entry: CacheEntry): void {
    const words = this.#words;
    const { name, qtype, hash, answer: given, staleUntilSecond, prefetchAtSecond } = entry;
    const { untilSecond, ttlsAtSecond, words: variants, ...head } = given;
    const answer = answerAt(block, name.length);
    words[block + BlockField.HASH] = hash;
    words[block + BlockField.QUESTION] = packQuestion(qtype, name.length);
    words[block + BlockField.USED] = 0;
    words[block + BlockField.PREFETCH_AT] = prefetchAtSecond;
    words[block + BlockField.STALE_UNTIL] = staleUntilSecond;
    words[answer - 1] = 0; // readers compare whole words of the name
    this.#octets.set(name, (block + BlockField.WORDS) * 4);
    words[answer + AnswerField.UNTIL] = untilSecond;
    words[answer + AnswerField.TTLS_AT] = ttlsAtSecond;
    words[answer + AnswerField.ERA] = words[CacheControl.ERA] as number;
    words[answer + AnswerField.SIGNED] = NOT_SIGNED;
    const size = AnswerField.VARIANTS + variants.length;
    words[answer + AnswerField.HEAD] = packHead({ ...head, nodata: false, words: size });
    words.set(variants, answer + AnswerField.VARIANTS);
  }

  /** Copies a block to one of the same size, as one that no reader has found. */
  copy(block: number, to: number): void {
    const words = this.#words;
    words.copyWithin(to, block, block + (words[block + BlockField.SIZE] as number));
    words[to + BlockField.USED] = 0;
  }

  /** The answer in the block; `undefined` if it is of an earlier era. */
  answerOf(block: number): CachedAnswer | undefined {
    const words = this.#words;
    const answer = this.#answerIn(block);
    if (!this.#isOfEra(block)) return undefined;
    return {
      untilSecond: words[answer + AnswerField.UNTIL] as number,
      ttlsAtSecond: words[answer + AnswerField.TTLS_AT] as number,
      head: words[answer + AnswerField.HEAD] as number,
      words,
      variant: answer + AnswerField.VARIANTS,
    };
  }

  /** Whether the block's answer holds. */
  holds(block: number, nowSecond: number): boolean {
    const until = this.#words[this.#answerIn(block) + AnswerField.UNTIL] as number;
    return this.#isOfEra(block) && until > nowSecond;
  }

  /** Whether readers serve the block's answer: it holds, or is stale. */
  isServed(block: number, nowSecond: number): boolean {
    const staleUntil = this.#words[block + BlockField.STALE_UNTIL] as number;
    return this.holds(block, nowSecond) || (this.#isOfEra(block) && staleUntil > nowSecond);
  }

  /** Lets readers serve the block's answer until that second; false if it is of an earlier era. */
  serveStale(block: number, untilSecond: number): boolean {
    if (!this.#isOfEra(block)) return false;
    Atomics.store(this.#words, block + BlockField.STALE_UNTIL, untilSecond);
    return true;
  }

  /** Whether a reader has found the block since it was written. */
  isUsed(block: number): boolean {
    return this.#words[block + BlockField.USED] !== 0;
  }

  /** Whether a reader has noted the block's slot since it was written and since the last call. */
  takeNote(block: number): boolean {
    const at = block + BlockField.PREFETCH_AT;
    return Atomics.compareExchange(this.#words, at, NOTED, NEVER) === NOTED;
  }

  isOf(block: number, { name, qtype }: CacheQuestion): boolean {
    if (this.#words[block + BlockField.QUESTION] !== packQuestion(qtype, name.length)) return false;
    const start = (block + BlockField.WORDS) * 4;
    for (let i = 0; i < name.length; i++) if (this.#octets[start + i] !== name[i]) return false;
    return true;
  }

  questionOf(block: number): CacheQuestion {
    const question = this.#words[block + BlockField.QUESTION] as number;
    const start = (block + BlockField.WORDS) * 4;
    const name = this.#octets.slice(start, start + nameOctetsOf(question));
    const hash = this.#words[block + BlockField.HASH] as number;
    return { name, qtype: qtypeOf(question), hash };
  }

  #isOfEra(block: number): boolean {
    const words = this.#words;
    return words[this.#answerIn(block) + AnswerField.ERA] === words[CacheControl.ERA];
  }

  #answerIn(block: number): number {
    return answerAt(block, nameOctetsOf(this.#words[block + BlockField.QUESTION] as number));
  }
}
