/**
 * Decides when a block that readers could find is free again (quiescent-state reclamation, the idea behind RCU).
 *
 * Each thread writes the current epoch to its word when a batch begins, and 0 when it ends. A block is retired in the
 * current epoch, and is free when no thread is in a batch that began in that epoch or before. All accesses are
 * sequentially consistent: if the writer does not see a thread's word yet, that thread's batch began after the block
 * was unreachable.
 */
import { Control, MAX_THREADS } from './layout.ts';

export class Reclaim {
  readonly #words: Int32Array;
  readonly #release: (block: number, words: number) => void;
  /** Oldest first. */
  readonly #waiting: Retired[] = [];
  #waitingWords = 0;

  /**
   * `words` is the table's memory, where threads write their epochs. Another memory that the same threads read has a
   * `Reclaim` of its own with the same `words`. `release` receives each block that no reader can see.
   */
  constructor(words: Int32Array, release: (block: number, words: number) => void) {
    this.#words = words;
    this.#release = release;
    Atomics.compareExchange(words, Control.EPOCH, 0, 1);
  }

  /** Words that are retired and not free yet. */
  get waitingWords(): number {
    return this.#waitingWords;
  }

  /** Retires a block. Batches that begin from now on must not be able to find it. */
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

  /** Releases the blocks that no thread can see. */
  collect(): void {
    const { length } = this.#waiting;
    if (length === 0) return;
    let epoch = Atomics.load(this.#words, Control.EPOCH);
    if (this.#waiting[length - 1]?.epoch === epoch) {
      epoch = nextEpoch(epoch);
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

  /** Call this when a thread has ended, possibly in the middle of a batch. */
  forget(thread: number): void {
    Atomics.store(this.#words, Control.READERS + thread, 0);
  }

  /** Age of the epoch in which the oldest running batch began; -1 if no batch is running. */
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

/** Epochs are 32 bits and wrap after weeks, so only their distance is used. 0 is not an epoch. */
function nextEpoch(epoch: number): number {
  return (epoch + 1) | 0 || 1;
}

function ageOf(epoch: number, now: number): number {
  return (now - epoch) | 0;
}
