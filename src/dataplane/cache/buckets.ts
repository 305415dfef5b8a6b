/**
 * The writer's side of the buckets: from a question's hash to its block. A question has one of the eight slots of its
 * bucket, so finding it takes one line of the processor's cache, and the index never grows.
 */
import { BlockField, BUCKET_SLOTS, BUCKET_WORDS, BUCKETS_AT, SLOT_WORDS } from './layout.ts';

export class Buckets {
  readonly #words: Int32Array;
  readonly #mask: number;
  #occupied = 0;
  #rotation = 0;

  /** `count` is a power of two. */
  constructor(words: Int32Array, count: number) {
    this.#words = words;
    this.#mask = count - 1;
  }

  /** The first address after the buckets. */
  get end(): number {
    return BUCKETS_AT + (this.#mask + 1) * BUCKET_WORDS;
  }

  /** Slots with a block. */
  get occupied(): number {
    return this.#occupied;
  }

  /** Address of the block in the slot; 0 for none. */
  blockIn(slot: number): number {
    return this.#words[slot + 1] as number;
  }

  /** The slot with that hash whose block is meant; 0 if there is none. */
  find(hash: number, isMeant: (block: number) => boolean): number {
    const first = this.#firstSlot(hash);
    for (let slot = first; slot < first + BUCKET_WORDS; slot += SLOT_WORDS) {
      const block = this.blockIn(slot);
      if (this.#words[slot] === hash && block !== 0 && isMeant(block)) return slot;
    }
    return 0;
  }

  /** The slot that has the address of the block; 0 if no slot has it any more, as for a filler. */
  holding(block: number): number {
    const first = this.#firstSlot(this.#words[block + BlockField.HASH] as number);
    for (let slot = first; slot < first + BUCKET_WORDS; slot += SLOT_WORDS)
      if (this.blockIn(slot) === block) return slot;
    return 0;
  }

  /** A slot for a question with that hash: an empty one, else one whose block may go, else any. */
  choose(hash: number, mayGo: (block: number) => boolean): number {
    const first = this.#firstSlot(hash);
    this.#rotation = (this.#rotation + 1) % BUCKET_SLOTS;
    let chosen = first + this.#rotation * SLOT_WORDS;
    for (let i = 0; i < BUCKET_SLOTS; i++) {
      const slot = first + ((i + this.#rotation) % BUCKET_SLOTS) * SLOT_WORDS;
      const block = this.blockIn(slot);
      if (block === 0) return slot;
      if (mayGo(block)) chosen = slot;
    }
    return chosen;
  }

  /** Puts a block into the slot; 0 for none. */
  point(slot: number, hash: number, block: number): void {
    const words = this.#words;
    this.#occupied += Number(block !== 0) - Number(this.blockIn(slot) !== 0);
    if (words[slot] !== hash) {
      Atomics.store(words, slot + 1, 0);
      words[slot] = hash;
    }
    Atomics.store(words, slot + 1, block);
  }

  /** Puts another copy of its block into the slot. */
  repoint(slot: number, block: number): void {
    Atomics.store(this.#words, slot + 1, block);
  }

  /** Passes each slot that has a block. */
  visit(show: (slot: number, block: number) => void): void {
    for (let slot = BUCKETS_AT; slot < this.end; slot += SLOT_WORDS) {
      const block = this.blockIn(slot);
      if (block !== 0) show(slot, block);
    }
  }

  #firstSlot(hash: number): number {
    return BUCKETS_AT + (hash & this.#mask) * BUCKET_WORDS;
  }
}
