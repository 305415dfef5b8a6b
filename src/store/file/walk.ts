/**
 * The entries of one tree of data.mdb in the order of their keys. The walk checks each page as a whole before it yields
 * any of its entries. A page that two trees or values use is damage too.
 */
import { readSync } from 'node:fs';
import {
  BIG_VALUE,
  BIG_VALUE_PAGES_AT,
  checkHeader,
  Damage,
  type LeafNode,
  type Meta,
  OVERFLOW_PAGE,
  PAGE_HEADER_OCTETS,
  readNumber,
  readTreePage,
  type Tree,
  type TreePage,
} from './format.ts';

/** An open data.mdb at one transaction. */
export interface DataFile {
  readonly fd: number;
  readonly meta: Meta;
  readonly olderMeta?: Meta | undefined;
}

export interface WalkOptions {
  readonly compare: (a: Buffer, b: Buffer) => number;
  /**
   * Called for damage; the walk then skips the damaged page and the pages below it. Without it the walk throws the
   * damage.
   */
  readonly onDamage?: ((damage: Damage) => void) | undefined;
}

export class TreeEntry {
  readonly key: Buffer;
  readonly flags: number;
  /** The value's length. */
  readonly octets: number;
  readonly #data: Buffer;
  readonly #source: DataFile;

  constructor({ key, flags, octets, data }: LeafNode, source: DataFile) {
    this.key = key;
    this.flags = flags;
    this.octets = octets;
    this.#data = data;
    this.#source = source;
  }

  /** The value, or its first octets. */
  value(maxOctets = this.octets): Buffer {
    const octets = Math.min(maxOctets, this.octets);
    if (this.flags !== BIG_VALUE) return this.#data.subarray(0, octets);
    return readOctets(this.#source, readNumber(this.#data, 0), PAGE_HEADER_OCTETS, octets);
  }
}

/** A set of pages in use. */
export class PageSet {
  readonly #bits: Uint8Array;
  readonly #lastPage: number;

  constructor(lastPage: number) {
    this.#lastPage = lastPage;
    this.#bits = new Uint8Array((lastPage >> 3) + 1);
  }

  has(page: number): boolean {
    return ((this.#bits[page >> 3] ?? 0) & (1 << (page & 7))) !== 0;
  }

  /** Throws `Damage` if the file has no such page or the page is in the set already. */
  take(page: number): void {
    if (page < 2 || page > this.#lastPage) throw new Damage(`page ${page} does not exist`);
    if (this.has(page)) throw new Damage(`page ${page} is used twice`);
    this.#bits[page >> 3] = (this.#bits[page >> 3] ?? 0) | (1 << (page & 7));
  }

  remove(page: number): void {
    this.#bits[page >> 3] = (this.#bits[page >> 3] ?? 0) & ~(1 << (page & 7));
  }
}

/** The pages and entries that a walk has counted, to compare with the tree's record. */
interface PageCounts {
  branchPages: number;
  leafPages: number;
  overflowPages: number;
  entries: number;
}

/** The keys of a subtree: from `from` on, and before `before`. */
interface KeyBounds {
  readonly from: Buffer | undefined;
  readonly before: Buffer | undefined;
}

export function* walk(
  source: DataFile,
  tree: Tree,
  used: PageSet,
  options: WalkOptions,
): Generator<TreeEntry, void, undefined> {
  const counts: PageCounts = { branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
  if (tree.root !== undefined) {
    const whole: KeyBounds = { from: undefined, before: undefined };
    yield* new Walker(source, used, options, counts).below(tree.root, tree.depth, whole);
  }
  const isWhole = (Object.keys(counts) as (keyof PageCounts)[]).every(
    (of) => counts[of] === tree[of],
  );
  if (isWhole) return;
  const damage = new Damage('a tree has another size than its record');
  if (options.onDamage === undefined) throw damage;
  options.onDamage(damage);
}

class Walker {
  readonly #source: DataFile;
  readonly #used: PageSet;
  readonly #options: WalkOptions;
  readonly #counts: PageCounts;

  constructor(source: DataFile, used: PageSet, options: WalkOptions, counts: PageCounts) {
    this.#source = source;
    this.#used = used;
    this.#options = options;
    this.#counts = counts;
  }

  *below(number: number, depth: number, bounds: KeyBounds): Generator<TreeEntry, void, undefined> {
    const page = this.#toleratingDamage(() => this.#read(number, depth, bounds));
    if (page === undefined) return;
    if (page.kind === 'leaf') {
      this.#counts.leafPages++;
      for (const node of page.nodes) {
        if (node.flags !== BIG_VALUE || this.#hasWholeValue(node, number)) {
          this.#counts.entries++;
          yield new TreeEntry(node, this.#source);
        }
      }
      return;
    }
    this.#counts.branchPages++;
    for (const [n, { key, child }] of page.nodes.entries()) {
      const from = n === 0 ? bounds.from : key;
      const before = page.nodes[n + 1]?.key ?? bounds.before;
      yield* this.below(child, depth - 1, { from, before });
    }
  }

  #toleratingDamage<T>(read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof Damage) || this.#options.onDamage === undefined) throw error;
      this.#options.onDamage(error);
      return undefined;
    }
  }

  #read(number: number, depth: number, bounds: KeyBounds): TreePage {
    this.#used.take(number);
    try {
      return this.#readTaken(number, depth, bounds);
    } catch (error) {
      this.#used.remove(number);
      throw error;
    }
  }

  #readTaken(number: number, depth: number, bounds: KeyBounds): TreePage {
    const { meta } = this.#source;
    const octets = readOctets(this.#source, number, 0, meta.pageOctets);
    const page = readTreePage(octets, number, meta.transaction);
    const isLeaf = page.kind === 'leaf';
    if (isLeaf !== (depth === 1) || page.nodes.length === 0) {
      throw new Damage(`page ${number} is at the wrong position in its tree`);
    }
    this.#checkOrder(number, page.nodes, isLeaf, bounds);
    return page;
  }

  /** In a branch page the first key is ignored: the first child has all keys before the second key. */
  #checkOrder(
    number: number,
    nodes: readonly { readonly key: Buffer }[],
    isLeaf: boolean,
    { from, before }: KeyBounds,
  ): void {
    const { compare } = this.#options;
    const ordered = isLeaf ? nodes : nodes.slice(1);
    let last: Buffer | undefined;
    for (const { key } of ordered) {
      const isBehind = last === undefined || compare(last, key) < 0;
      if (!isBehind) throw new Damage(`page ${number} has keys out of order`);
      last = key;
    }
    const first = ordered[0]?.key;
    const isInside =
      (first === undefined || from === undefined || compare(from, first) <= 0) &&
      (last === undefined || before === undefined || compare(last, before) < 0);
    if (!isInside) throw new Damage(`page ${number} has keys of another page`);
  }

  #hasWholeValue({ data, octets }: LeafNode, number: number): boolean {
    const pages = this.#toleratingDamage(() => this.#takeOverflow(data, octets, number));
    this.#counts.overflowPages += pages ?? 0;
    return pages !== undefined;
  }

  /** A value that became smaller may keep its pages. */
  #takeOverflow(reference: Buffer, octets: number, number: number): number {
    const { meta } = this.#source;
    const first = readNumber(reference, 0);
    const pages = readNumber(reference, BIG_VALUE_PAGES_AT);
    const room = pages * meta.pageOctets - PAGE_HEADER_OCTETS;
    if (octets > room) throw new Damage(`page ${number} names a value larger than its pages`);
    for (let page = first; page < first + pages; page++) this.#used.take(page);
    const header = readOctets(this.#source, first, 0, PAGE_HEADER_OCTETS);
    const kind = checkHeader(header, first, meta.transaction);
    if (kind !== OVERFLOW_PAGE || header.readUInt32LE(20) !== pages) {
      throw new Damage(`page ${number} names a value on page ${first}, which holds none`);
    }
    return pages;
  }
}

function readOctets({ fd, meta }: DataFile, page: number, at: number, length: number): Buffer {
  if (page > meta.lastPage) throw new Damage(`page ${page} does not exist`);
  const octets = Buffer.allocUnsafe(length);
  const read = readSync(fd, octets, 0, length, page * meta.pageOctets + at);
  if (read < length) throw new Damage(`the file ends before page ${page} does`);
  return octets;
}
