/**
 * The writer's side of the index: from an owner name's hash to its record, by open addressing with linear probing.
 *
 * A pair is never used twice (`layout.ts`, invariant 2), so a removed record leaves a used pair behind. When half of
 * the pairs are used, the writer fills a new index beside the old one, a few pairs at each change, so that no change
 * waits until a million pairs are moved. The new index replaces the old one when it has all pairs. It has room for all
 * names and for the names that can be added while it is being filled. A quarter of an index is free at any time.
 */
import type { Heap } from './heap.ts';
import { GONE, INDEX_HEAD_WORDS } from './layout.ts';
import type { Reclaim } from './reclaim.ts';

/** Pairs moved at each change: the move ends long before the old index is full. */
const MOVED_PER_CHANGE = 16;

export class NameIndex {
  readonly #words: Int32Array;
  readonly #heap: Heap;
  readonly #reclaim: Reclaim;
  /** The word of the control block that has the index's address. */
  readonly #control: number;
  readonly #fewestPairs: number;
  #current: Region;
  #next: Region | undefined;
  /** Pairs of the current region that were moved to the next one. */
  #moved = 0;
  #live = 0;
  #visited = 0;

  /** `fewestPairs` is a power of two. Throws RangeError if the heap has no room for the first index. */
  constructor(
    words: Int32Array,
    heap: Heap,
    reclaim: Reclaim,
    control: number,
    fewestPairs: number,
  ) {
    this.#control = control;
    this.#fewestPairs = fewestPairs;
    this.#words = words;
    this.#heap = heap;
    this.#reclaim = reclaim;
    const first = this.#newRegion(fewestPairs);
    if (first === undefined) throw new RangeError('no room for an index');
    this.#current = first;
    Atomics.store(words, control, first.address);
  }

  /** Names in the index. */
  get size(): number {
    return this.#live;
  }

  /** Adds a record, which readers find from now on; false if there is no room. */
  add(hash: number, record: number): boolean {
    if (isFull(this.#current) || (this.#next !== undefined && isFull(this.#next))) return false;
    this.#insert(this.#current, hash, record);
    if (this.#next !== undefined) this.#insert(this.#next, hash, record);
    this.#live++;
    this.#grow();
    return true;
  }

  /** Passes the records of up to `pairs` pairs to `show`; each call begins where the last one ended. */
  visit(pairs: number, show: (record: number) => void): void {
    const region = this.#current;
    for (let i = 0; i < Math.min(pairs, region.pairs); i++) {
      this.#visited = (this.#visited + 1) & (region.pairs - 1);
      const record = this.#words[recordAt(region, this.#visited)] as number;
      if (record !== 0 && record !== GONE) show(record);
    }
  }

  /** Removes a record; batches that begin from now on do not find it. */
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
      // The record was not moved to this region yet. It is GONE in the current one, so it is never moved.
      if (found === 0) return;
      pair = (pair + 1) & (region.pairs - 1);
    }
  }

  #grow(): void {
    const current = this.#current;
    if (this.#next === undefined) {
      if (current.used * 2 < current.pairs) return;
      const changes = current.pairs / MOVED_PER_CHANGE;
      this.#next = this.#newRegion(Math.max(this.#fewestPairs, pairsFor(this.#live + changes)));
      this.#moved = 0;
      if (this.#next === undefined) return;
    }
    const end = Math.min(current.pairs, this.#moved + MOVED_PER_CHANGE);
    for (; this.#moved < end; this.#moved++) this.#move(this.#next, this.#moved);
    if (this.#moved === current.pairs) this.#switchTo(this.#next);
  }

  /** Records that were added while the next region was being filled are in both regions already. */
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
    Atomics.store(this.#words, this.#control, next.address);
    this.#current = next;
    this.#next = undefined;
    this.#reclaim.retire(before.address, wordsOfRegion(before.pairs));
  }

  #newRegion(pairs: number): Region | undefined {
    const words = wordsOfRegion(pairs);
    const address = this.#heap.allocateZeroed(words);
    if (address === 0) return undefined;
    this.#words[address] = pairs - 1;
    return { address, pairs, used: 0 };
  }
}

interface Region {
  readonly address: number;
  /** A power of two. */
  readonly pairs: number;
  /** Pairs with a record or `GONE`. */
  used: number;
}

function recordAt({ address }: Region, pair: number): number {
  return address + INDEX_HEAD_WORDS + pair * 2 + 1;
}

function wordsOfRegion(pairs: number): number {
  return INDEX_HEAD_WORDS + pairs * 2;
}

/** A quarter stays free: probing takes long in a fuller index, and does not end in a full one. */
function isFull({ used, pairs }: Region): boolean {
  return used >= pairs - pairs / 4;
}

/** A power of two: at least four times the names. */
function pairsFor(names: number): number {
  return 1 << (32 - Math.clz32(Math.max(1, names) * 4 - 1));
}
