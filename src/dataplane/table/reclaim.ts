/**
 * When a block that readers could find may be used again (quiescent-state reclamation, the idea behind RCU).
 *
 * Each reading thread notes the epoch when its batch begins and 0 when it ends. A block is taken away in the epoch of the
 * moment; it is free as soon as no thread is in a batch that began in that epoch or before. All of it is sequentially
 * consistent: a thread whose note the writer has not seen yet began its batch after the block was out of its reach.
 */
import { Control, MAX_THREADS } from './layout.ts';

export class Reclaim {
  readonly #words: Int32Array;
  readonly #release: (block: number, words: number) => void;
  /** Oldest first. */
  readonly #waiting: Retired[] = [];
  #waitingWords = 0;

  /** `release` is told of each block that nobody can see any more. */
  constructor(words: Int32Array, release: (block: number, words: number) => void) {
    this.#words = words;
    this.#release = release;
    Atomics.store(words, Control.EPOCH, 1);
  }

  /** Words that were taken away and are not free yet. */
  get waitingWords(): number {
    return this.#waitingWords;
  }

  /** Takes a block away, which readers that begin from here on cannot find. */
  retire(block: number, words: number): void {
    const epoch = Atomics.load(this.#words, Control.EPOCH);
    let last = this.#waiting.at(-1);
    if (last === undefined || last.epoch !== epoch) {
      last = { epoch, blocks: [] };
      this.#waiting.push(last);
    }
    last.blocks.push(block, words);
    this.#waitingWords += words;
  }

  /** Releases what no thread can see any more. */
  collect(): void {
    const { length } = this.#waiting;
    if (length === 0) return;
    let epoch = Atomics.load(this.#words, Control.EPOCH);
    if (this.#waiting[length - 1]?.epoch === epoch) {
      epoch = after(epoch);
      Atomics.store(this.#words, Control.EPOCH, epoch);
    }
    const oldestAge = this.#oldestReader(epoch);
    let released = 0;
    for (const { epoch: retiredIn, blocks } of this.#waiting) {
      if (ageOf(retiredIn, epoch) <= oldestAge) break;
      this.#releaseAll(blocks);
      released++;
    }
    this.#waiting.splice(0, released);
  }

  /** A thread that ended in the middle of a batch sees nothing any more. */
  forget(thread: number): void {
    Atomics.store(this.#words, Control.READERS + thread, 0);
  }

  /** The age of the epoch in which the oldest batch under way began; -1 when there is none. */
  #oldestReader(now: number): number {
    let oldest = -1;
    for (let thread = 0; thread < MAX_THREADS; thread++) {
      const epoch = Atomics.load(this.#words, Control.READERS + thread);
      if (epoch !== 0) oldest = Math.max(oldest, ageOf(epoch, now));
    }
    return oldest;
  }

  #releaseAll(blocks: readonly number[]): void {
    for (let i = 0; i < blocks.length; i += 2) {
      const words = blocks[i + 1] as number;
      this.#waitingWords -= words;
      this.#release(blocks[i] as number, words);
    }
  }
}

interface Retired {
  readonly epoch: number;
  /** Address and words, alternately. */
  readonly blocks: number[];
}

/** Epochs are 32 bits and come round after weeks; only their distance means anything. 0 is no epoch. */
function after(epoch: number): number {
  return (epoch + 1) | 0 || 1;
}

function ageOf(epoch: number, now: number): number {
  return (now - epoch) | 0;
}
