/**
 * The ring of the cache's blocks. New blocks go to the head; the writer takes the oldest ones from the tail. A block
 * that has left the tail is free when no reader can see it, which `Reclaim` decides.
 *
 * Positions count all words since the beginning and never wrap, so `#free <= #tail <= #head <= #free + capacity`. A
 * block does not cross the end of the memory: a filler takes the words that remain there.
 */
import { Reclaim } from '../table/reclaim.ts';
import { BlockField } from './layout.ts';

export class BlockRing {
  readonly #words: Int32Array;
  readonly #start: number;
  readonly #capacity: number;
  readonly #reclaim: Reclaim;
  #free = 0;
  #tail = 0;
  #head = 0;

  /** The ring takes the words from `start` on. The readers write their epochs to `tableWords`. */
  constructor(words: Int32Array, start: number, tableWords: Int32Array) {
    this.#words = words;
    this.#start = start;
    this.#capacity = (words.length - start) & ~1;
    this.#reclaim = new Reclaim(tableWords, (_, size) => {
      this.#free += size;
    });
  }

  get capacityWords(): number {
    return this.#capacity;
  }

  /** Words between the tail and the head. */
  get usedWords(): number {
    return this.#head - this.#tail;
  }

  /** Allocates a block, and sets its `SIZE`. Returns its address; 0 if the words at the head are not free. */
  allocate(words: number): number {
    const size = (words + 1) & ~1;
    const rest = this.#capacity - (this.#head % this.#capacity);
    const needed = size <= rest ? size : rest + size;
    if (this.#head + needed > this.#free + this.#capacity) {
      this.#reclaim.collect();
      if (this.#head + needed > this.#free + this.#capacity) return 0;
    }
    if (size > rest) this.#append(rest);
    return this.#append(size);
  }

  /** The oldest block, which may be a filler: no slot has its address. 0 if the ring is empty. */
  oldest(): number {
    return this.#tail === this.#head ? 0 : this.#addressOf(this.#tail);
  }

  /** Call this when readers cannot find the oldest block any more. */
  retireOldest(): void {
    const block = this.oldest();
    const size = this.#words[block + BlockField.SIZE] as number;
    this.#tail += size;
    this.#reclaim.retire(block, size);
  }

  #append(size: number): number {
    const block = this.#addressOf(this.#head);
    this.#words[block + BlockField.SIZE] = size;
    this.#head += size;
    return block;
  }

  #addressOf(position: number): number {
    return this.#start + (position % this.#capacity);
  }
}
