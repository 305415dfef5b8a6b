/**
 * Blocks of the shared memory, given out and taken back by the one thread that writes.
 *
 * Every block belongs to a size class, and a free block waits in its class's list, whose links are the blocks' own first
 * words: no bookkeeping outside, whatever the number. Sizes are close together, so little is wasted; memory that was
 * never needed is never touched, and costs nothing.
 */
import { HEAP_START } from './layout.ts';

/** Up to here a class for every second word; above, eight classes for each doubling. */
const FINE_WORDS = 64;
const STEPS = 8;

export class Heap {
  readonly #words: Int32Array;
  /** First free block of each class. */
  readonly #free = new Int32Array(classOf(2 ** 29) + 1);
  #top = HEAP_START;
  #usedWords = 0;
  #refused = 0;

  constructor(words: Int32Array) {
    this.#words = words;
  }

  /** Words in blocks that are given out. */
  get usedWords(): number {
    return this.#usedWords;
  }

  get capacityWords(): number {
    return this.#words.length - HEAP_START;
  }

  /** How often there was no room. */
  get refused(): number {
    return this.#refused;
  }

  /** The address of a block of at least so many words, of any content; 0 when there is no room. */
  take(words: number): number {
    const sizeClass = classOf(words);
    const size = sizeOf(sizeClass);
    let block = this.#free[sizeClass] as number;
    if (block !== 0) {
      this.#free[sizeClass] = this.#words[block] as number;
    } else if (this.#top + size <= this.#words.length) {
      block = this.#top;
      this.#top += size;
    } else {
      this.#refused++;
      return 0;
    }
    this.#usedWords += size;
    return block;
  }

  /** As `take`, all zeros. */
  takeZeroed(words: number): number {
    const top = this.#top;
    const block = this.take(words);
    if (block !== 0 && block !== top) this.#words.fill(0, block, block + words);
    return block;
  }

  /** Takes a block back that was given out for so many words. */
  giveBack(block: number, words: number): void {
    const sizeClass = classOf(words);
    this.#words[block] = this.#free[sizeClass] as number;
    this.#free[sizeClass] = block;
    this.#usedWords -= sizeOf(sizeClass);
  }
}

function classOf(words: number): number {
  if (words <= FINE_WORDS) return (words + 1) >>> 1;
  const doubling = 31 - Math.clz32(words - 1);
  const step = ((words - 1) >>> (doubling - 3)) & (STEPS - 1);
  return FINE_WORDS / 2 + (doubling - 6) * STEPS + step + 1;
}

function sizeOf(sizeClass: number): number {
  const fine = FINE_WORDS / 2;
  if (sizeClass <= fine) return sizeClass * 2;
  const doubling = 6 + Math.floor((sizeClass - fine - 1) / STEPS);
  const step = (sizeClass - fine - 1) % STEPS;
  return (STEPS + step + 1) << (doubling - 3);
}
