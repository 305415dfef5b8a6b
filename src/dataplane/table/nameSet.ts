/** Name records and the index that finds them: the writer's side of one set of names. */
import type { Heap } from './heap.ts';
import { hashOfName, RECORD_HEAD_WORDS, wordsFor } from './layout.ts';
import { NameIndex } from './nameIndex.ts';
import type { Reclaim } from './reclaim.ts';

/** The address of a name that found no room. */
export const NO_ROOM = -1;

export interface TableMemory {
  readonly words: Int32Array;
  readonly octets: Uint8Array;
  readonly heap: Heap;
  readonly reclaim: Reclaim;
}

export class NameSet {
  readonly #memory: TableMemory;
  readonly #index: NameIndex;
  readonly #seed: number;

  /** For `control` and `fewestPairs` see `NameIndex`. Throws RangeError if the heap has no room for the index. */
  constructor(memory: TableMemory, seed: number, control: number, fewestPairs: number) {
    const { words, heap, reclaim } = memory;
    this.#memory = memory;
    this.#seed = seed;
    this.#index = new NameIndex(words, heap, reclaim, control, fewestPairs);
  }

  get size(): number {
    return this.#index.size;
  }

  /** Adds a folded name in wire form. Returns the address of its record, or `NO_ROOM`. */
  insert(name: Uint8Array): number {
    const { heap } = this.#memory;
    const record = heap.allocate(recordWords(name.length));
    if (record === 0) return NO_ROOM;
    this.#write(record, name);
    if (this.#index.add(this.#hash(record), record)) return record;
    heap.release(record, recordWords(name.length));
    return NO_ROOM;
  }

  /** Batches that begin from now on do not find the record. `retire` follows. */
  hide(record: number): void {
    this.#index.remove(this.#hash(record), record);
  }

  retire(record: number): void {
    const { words, reclaim } = this.#memory;
    reclaim.retire(record, recordWords(words[record] as number));
  }

  /** See `NameIndex.visit`. */
  visit(pairs: number, show: (record: number) => void): void {
    this.#index.visit(pairs, show);
  }

  /** A copy of the name in wire form. */
  nameOf(record: number): Uint8Array {
    return this.#octetsOf(record).slice();
  }

  #write(record: number, name: Uint8Array): void {
    const { words, octets } = this.#memory;
    const end = record + recordWords(name.length);
    words[record] = name.length;
    words.fill(0, record + 1, end);
    octets.set(name, (record + RECORD_HEAD_WORDS) * 4);
  }

  #hash(record: number): number {
    return hashOfName(this.#octetsOf(record), this.#seed);
  }

  #octetsOf(record: number): Uint8Array {
    const { words, octets } = this.#memory;
    const start = (record + RECORD_HEAD_WORDS) * 4;
    return octets.subarray(start, start + (words[record] as number));
  }
}

function recordWords(nameOctets: number): number {
  return RECORD_HEAD_WORDS + wordsFor(nameOctets);
}
