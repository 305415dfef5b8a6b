/**
 * Finds rows on pages that no readable page refers to. When a branch or a root is lost, the search reads every page of
 * the file.
 *
 * Some pages with rows are outdated copies, whose rows may have been changed or deleted since. The lists of free pages
 * name these pages. If a list is lost too, the page of the latest transaction decides about all keys between its first
 * and its last key.
 */
import { readSync } from 'node:fs';
import { freePagesOf } from './check.ts';
import {
  BIG_VALUE,
  checkHeader,
  Damage,
  OVERFLOW_PAGE,
  readNumber,
  readTreePage,
  type Tree,
} from './format.ts';
import { rowFault } from './rows.ts';
import { type DataFile, PageSet, TreeEntry, walk } from './walk.ts';

const TOLERANT = { compare: Buffer.compare, onDamage: () => undefined };
const LEAF: Tree = {
  root: undefined,
  flags: 0,
  depth: 1,
  branchPages: 0,
  leafPages: 1,
  overflowPages: 0,
  entries: 0,
};
const STATE_KEY = 'state';
const SLASH = 0x2f;

interface LeafPage {
  readonly page: number;
  readonly transaction: number;
  /** The walk of the trees has read this page, so the caller has its rows. */
  readonly isNamed: boolean;
  readonly firstKey: Buffer;
  readonly lastKey: Buffer;
}

export interface Orphans {
  /** No key occurs twice. */
  readonly rows: Iterable<TreeEntry>;
  /** The entries of the store's state, the latest first. The pages may be outdated. */
  readonly states: readonly TreeEntry[];
}

/**
 * The rows and states on pages outside `named`, the pages that the walk of the trees has read. Adds its pages to
 * `named`.
 */
export function orphansOf(source: DataFile, named: PageSet): Orphans {
  const rows: LeafPage[] = [];
  const states: LeafPage[] = [];
  const isOutdated = outdatedPages(source);
  const { lastPage, pageOctets } = source.meta;
  const octets = Buffer.alloc(pageOctets);
  for (let page = 2; page <= lastPage; page++) {
    readSync(source.fd, octets, 0, pageOctets, page * pageOctets);
    const transaction = readNumber(octets, 8);
    const isNamed = named.has(page);
    const isStale = !isNamed && isOutdated(page, transaction);
    // The octets of a value may look like a page.
    const ofValue = isStale ? 0 : pagesOfValue(octets, page, source, named);
    page += Math.max(0, ofValue - 1);
    if (ofValue > 0) continue;
    const entries = leafEntries(octets, page, source);
    const [first, last] = [entries[0], entries.at(-1)];
    if (first === undefined || last === undefined) continue;
    const keys = { firstKey: Buffer.from(first.key), lastKey: Buffer.from(last.key) };
    const leaf = { page, transaction, isNamed, ...keys };
    if (!isNamed && entries.some(isState)) states.push(leaf);
    else if (!isStale && entries.every(isRow)) rows.push(leaf);
  }
  rows.sort((a, b) => Number(b.isNamed) - Number(a.isNamed) || latestFirst(a, b));
  const latestStates = states.sort(latestFirst).flatMap((leaf) => entriesOn(source, leaf, named));
  return { rows: latestRows(source, rows, named), states: latestStates.filter(isState) };
}

function latestFirst(a: LeafPage, b: LeafPage): number {
  return b.transaction - a.transaction;
}

/** Whether a page was free at a transaction later than its own. */
function outdatedPages({ fd, meta, olderMeta }: DataFile) {
  const metas = [meta, ...(olderMeta === undefined ? [] : [olderMeta])];
  const lists = metas.map((of) => ({ free: freePages({ fd, meta: of }), of }));
  return (page: number, transaction: number): boolean =>
    lists.some(({ free, of }) => free.has(page) && transaction <= of.transaction);
}

function freePages(source: DataFile): PageSet {
  const free = new PageSet(source.meta.lastPage);
  for (const entry of walk(source, source.meta.free, new PageSet(source.meta.lastPage), TOLERANT)) {
    // A damaged number may stand for any number of pages, so the list ends at the first damage.
    undefinedIfDamaged(() => {
      for (const page of freePagesOf(entry)) free.take(page);
    });
  }
  return free;
}

/** The number of pages of the value that begins on this page; 0 if none begins here. */
function pagesOfValue(octets: Buffer, page: number, { meta }: DataFile, named: PageSet): number {
  const kind = undefinedIfDamaged(() => checkHeader(octets, page, meta.transaction));
  if (kind !== OVERFLOW_PAGE) return 0;
  if (named.has(page)) return Math.max(1, octets.readUInt32LE(20));
  const end = Math.min(page + octets.readUInt32LE(20), meta.lastPage + 1);
  // If one of these pages belongs to a tree, the number of pages is wrong.
  for (let at = page + 1; at < end; at++) if (named.has(at)) return 1;
  return Math.max(1, end - page);
}

/** Empty if the page is not a leaf of a tree. */
function leafEntries(octets: Buffer, number: number, source: DataFile): readonly TreeEntry[] {
  const page = undefinedIfDamaged(() => readTreePage(octets, number, source.meta.transaction));
  return page?.kind === 'leaf' ? page.nodes.map((node) => new TreeEntry(node, source)) : [];
}

function isRow(entry: TreeEntry): boolean {
  const fault = undefinedIfDamaged(() => ({ of: rowFault(entry) }));
  // The pages of a value may be lost while the other rows are intact.
  if (fault === undefined) return entry.flags === BIG_VALUE && entry.key[0] === SLASH;
  return fault.of === undefined;
}

function isState({ key }: TreeEntry): boolean {
  return key.toString('latin1') === STATE_KEY;
}

function entriesOn(source: DataFile, { page }: LeafPage, used: PageSet): readonly TreeEntry[] {
  return [...walk(source, { ...LEAF, root: page }, used, TOLERANT)];
}

function* latestRows(
  source: DataFile,
  leaves: readonly LeafPage[],
  named: PageSet,
): Generator<TreeEntry> {
  const decided = new KeyRanges();
  for (const leaf of leaves) {
    if (!leaf.isNamed) {
      yield* entriesOn(source, leaf, named).filter(({ key }) => !decided.has(key));
    }
    decided.add(leaf.firstKey, leaf.lastKey);
  }
}

interface KeyRange {
  readonly first: Buffer;
  readonly last: Buffer;
}

class KeyRanges {
  /** Ascending, without overlaps. */
  readonly #ranges: KeyRange[] = [];

  has(key: Buffer): boolean {
    const range = this.#ranges[this.#firstThatEndsAtOrAfter(key)];
    return range !== undefined && Buffer.compare(range.first, key) <= 0;
  }

  add(first: Buffer, last: Buffer): void {
    const at = this.#firstThatEndsAtOrAfter(first);
    let end = at;
    let range: KeyRange = { first, last };
    for (; end < this.#ranges.length; end++) {
      const other = this.#ranges[end];
      if (other === undefined || Buffer.compare(other.first, last) > 0) break;
      range = {
        first: Buffer.compare(other.first, range.first) < 0 ? other.first : range.first,
        last: Buffer.compare(other.last, range.last) > 0 ? other.last : range.last,
      };
    }
    this.#ranges.splice(at, end - at, range);
  }

  #firstThatEndsAtOrAfter(key: Buffer): number {
    let low = 0;
    let high = this.#ranges.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const range = this.#ranges[middle];
      if (range !== undefined && Buffer.compare(range.last, key) < 0) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function undefinedIfDamaged<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof Damage) return undefined;
    throw error;
  }
}
