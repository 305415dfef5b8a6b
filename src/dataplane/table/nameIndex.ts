/**
 * The index of the table as its writer sees it: from an owner name's hash to its record, open addressing with linear
 * probing, as the readers do it.
 *
 * A pair is never used twice (`layout.ts`, invariant 2), so records that go leave their pairs behind. When half of the
 * pairs are used up, a new index is made beside the old one, a few pairs at each change, and takes its place when it has
 * them all: no change waits for a million. The new one has room for the names there are and for as many as can come
 * while it is being made, and to spare: a quarter of an index is free at any time.
 */
import type { Heap } from './heap.ts';
import { Control, GONE, INDEX_HEAD_WORDS } from './layout.ts';
import type { Reclaim } from './reclaim.ts';

const FIRST_PAIRS = 1 << 12;
/** Pairs moved at each change: enough to be done long before the old index is full. */
const MOVED_PER_CHANGE = 16;

export class NameIndex {
  readonly #words: Int32Array;
  readonly #heap: Heap;
  readonly #reclaim: Reclaim;
  #current: Region;
  #next: Region | undefined;
  /** Pairs of the current region that the next one has. */
  #moved = 0;
  #live = 0;
  #visited = 0;

  /** Throws RangeError when the heap has not even room for the first index. */
  constructor(words: Int32Array, heap: Heap, reclaim: Reclaim) {
    this.#words = words;
    this.#heap = heap;
    this.#reclaim = reclaim;
    const first = this.#newRegion(FIRST_PAIRS);
    if (first === undefined) throw new RangeError('no room for an index');
    this.#current = first;
    Atomics.store(words, Control.INDEX, first.address);
  }

  /** Names in the index. */
  get size(): number {
    return this.#live;
  }

  /** Lets readers find a record; false when there is no room. */
  add(hash: number, record: number): boolean {
    if (isFull(this.#current) || (this.#next !== undefined && isFull(this.#next))) return false;
    this.#insert(this.#current, hash, record);
    if (this.#next !== undefined) this.#insert(this.#next, hash, record);
    this.#live++;
    this.#grow();
    return true;
  }

  /** Looks at up to `pairs` pairs from where it looked last, round and round, and shows their records. */
  visit(pairs: number, show: (record: number) => void): void {
    const region = this.#current;
    for (let i = 0; i < Math.min(pairs, region.pairs); i++) {
      this.#visited = (this.#visited + 1) & (region.pairs - 1);
      const record = this.#words[recordAt(region, this.#visited)] as number;
      if (record !== 0 && record !== GONE) show(record);
    }
  }

  /** Readers that begin from here on do not find the record. */
  remove(hash: number, record: number): void {
    this.#erase(this.#current, hash, record);
    if (this.#next !== undefined) this.#erase(this.#next, hash, record);
    this.#live--;
    this.#grow();
  }

  #insert(region: Region, hash: number, record: number): void {
    let pair = hash & (region.pairs - 1);
    while (Atomics.load(this.#words, recordAt(region, pair)) !== 0) {
      pair = (pair + 1) & (region.pairs - 1);
    }
    const at = recordAt(region, pair);
    this.#words[at - 1] = hash;
    Atomics.store(this.#words, at, record);
    region.used++;
  }

  #erase(region: Region, hash: number, record: number): void {
    let pair = hash & (region.pairs - 1);
    for (;;) {
      const at = recordAt(region, pair);
      const found = Atomics.load(this.#words, at);
      if (found === record) {
        Atomics.store(this.#words, at, GONE);
        return;
      }
      // Not moved to this region yet: then it will not be.
      if (found === 0) return;
      pair = (pair + 1) & (region.pairs - 1);
    }
  }

  #grow(): void {
    const current = this.#current;
    if (this.#next === undefined) {
      if (current.used * 2 < current.pairs) return;
      const changes = current.pairs / MOVED_PER_CHANGE;
      this.#next = this.#newRegion(Math.max(FIRST_PAIRS, pairsFor(this.#live + changes)));
      this.#moved = 0;
      if (this.#next === undefined) return;
    }
    const end = Math.min(current.pairs, this.#moved + MOVED_PER_CHANGE);
    for (; this.#moved < end; this.#moved++) this.#move(this.#next, this.#moved);
    if (this.#moved === current.pairs) this.#switchTo(this.#next);
  }

  /** Records that came while the next region was being filled are in both already. */
  #move(next: Region, pair: number): void {
    const at = recordAt(this.#current, pair);
    const record = this.#words[at] as number;
    if (record === 0 || record === GONE) return;
    const hash = this.#words[at - 1] as number;
    if (!this.#has(next, hash, record)) this.#insert(next, hash, record);
  }

  #has(region: Region, hash: number, record: number): boolean {
    let pair = hash & (region.pairs - 1);
    for (;;) {
      const found = this.#words[recordAt(region, pair)];
      if (found === record) return true;
      if (found === 0) return false;
      pair = (pair + 1) & (region.pairs - 1);
    }
  }

  #switchTo(next: Region): void {
    const before = this.#current;
    Atomics.store(this.#words, Control.INDEX, next.address);
    this.#current = next;
    this.#next = undefined;
    this.#reclaim.retire(before.address, wordsOfRegion(before.pairs));
  }

  #newRegion(pairs: number): Region | undefined {
    const words = wordsOfRegion(pairs);
    const address = this.#heap.takeZeroed(words);
    if (address === 0) return undefined;
    this.#words[address] = pairs - 1;
    return { address, pairs, used: 0 };
  }
}

interface Region {
  readonly address: number;
  /** A power of two. */
  readonly pairs: number;
  /** Pairs with a record, gone ones included. */
  used: number;
}

function recordAt({ address }: Region, pair: number): number {
  return address + INDEX_HEAD_WORDS + pair * 2 + 1;
}

function wordsOfRegion(pairs: number): number {
  return INDEX_HEAD_WORDS + pairs * 2;
}

/** A quarter is left free, or probing would take long, and for ever in a full one. */
function isFull({ used, pairs }: Region): boolean {
  return used >= pairs - pairs / 4;
}

/** Room for the names and three times as many more. */
function pairsFor(names: number): number {
  return 1 << (32 - Math.clz32(Math.max(1, names) * 4 - 1));
}
