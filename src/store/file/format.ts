/**
 * The layout of lmdb 3.5's data.mdb (liblmdb/mdb.c, data version 2, 64 bit, little-endian), as far as reading a damaged
 * file requires it. lmdb itself ends the process on some damage. Every deviation from what lmdb writes is `Damage`.
 */

/** Describes the damage and names the page. */
export class Damage extends Error {
  override readonly name = 'Damage';
}

export interface Tree {
  /** Undefined: the tree has no entries. */
  readonly root: number | undefined;
  readonly flags: number;
  readonly depth: number;
  readonly branchPages: number;
  readonly leafPages: number;
  readonly overflowPages: number;
  readonly entries: number;
}

/** The state of the file after a transaction. */
export interface Meta {
  readonly pageOctets: number;
  readonly lastPage: number;
  readonly transaction: number;
  readonly free: Tree;
  /** Contains the records of the other trees, by name. */
  readonly main: Tree;
}

export const PAGE_HEADER_OCTETS = 24;
export const TREE_OCTETS = 48;
const META_OCTETS = 144;
/** The magic number of data.mdb's meta pages and of lock.mdb. */
export const MAGIC = 0xbeefc0de;
const DATA_VERSION = 2;
const NO_PAGE = 0xffffffff;
const META_PAGE = 0x08;
/** The keys are numbers; lmdb sets it for the tree of free pages. */
const INTEGER_KEY = 0x08;
const MAX_MAP_OCTETS = 2 ** 47;
const MAX_PAGE_OCTETS = 65_536;

export interface Metas {
  /** The newest one, which lmdb uses. */
  readonly meta: Meta;
  /** The one of the transaction before; undefined if it cannot be read. */
  readonly olderMeta?: Meta | undefined;
}

/** Both meta pages. With `isOneEnough` one of them may be damaged. `start` has the first two pages at least. */
export function readMetas(start: Buffer, isOneEnough: boolean): Metas {
  const pageOctets = readPageOctets(start);
  const metas: Meta[] = [];
  let damage: unknown;
  for (const number of [0, 1]) {
    try {
      metas.push(readMetaPage(start, number, pageOctets));
    } catch (error) {
      damage = error;
    }
  }
  const [meta, olderMeta] = metas.sort((a, b) => b.transaction - a.transaction);
  if (meta === undefined || (damage !== undefined && !isOneEnough)) throw damage;
  return { meta, olderMeta };
}

/**
 * A substitute for the meta pages when neither can be read: it accepts pages of every transaction, and has no tree.
 */
export function unknownMeta(start: Buffer): Meta {
  const none = { flags: 0, depth: 0, branchPages: 0, leafPages: 0, overflowPages: 0, entries: 0 };
  const tree = { ...none, root: undefined };
  const unknown = Number.MAX_SAFE_INTEGER;
  const pageOctets = readPageOctets(start);
  return { pageOctets, lastPage: unknown, transaction: unknown, free: tree, main: tree };
}

function readPageOctets(start: Buffer): number {
  const at = PAGE_HEADER_OCTETS + 24;
  const isSize = (octets: number): boolean =>
    octets >= 256 && octets <= MAX_PAGE_OCTETS && (octets & (octets - 1)) === 0;
  const first = start.readUInt32LE(at);
  const pageOctets = isSize(first) ? first : pageOctetsOfSecond(start);
  const hasBoth = start.length >= (pageOctets ?? Infinity) + PAGE_HEADER_OCTETS + META_OCTETS;
  if (pageOctets === undefined || !hasBoth) {
    throw new Damage(`page 0 has an invalid page size of ${first} octets`);
  }
  return pageOctets;
}

/** The page size that the second page states where it would begin then. */
function pageOctetsOfSecond(start: Buffer): number | undefined {
  for (let octets = 256; octets <= MAX_PAGE_OCTETS; octets *= 2) {
    const at = octets + PAGE_HEADER_OCTETS;
    if (at + META_OCTETS > start.length) return undefined;
    if (start.readUInt32LE(at) === MAGIC && start.readUInt32LE(at + 24) === octets) return octets;
  }
  return undefined;
}

function readMetaPage(start: Buffer, number: number, pageOctets: number): Meta {
  const page = start.subarray(number * pageOctets, (number + 1) * pageOctets);
  const at = PAGE_HEADER_OCTETS;
  const free = readTree(page, at + 24);
  const meta = {
    pageOctets: page.readUInt32LE(at + 24),
    free: { ...free, flags: free.flags & ~INTEGER_KEY },
    main: readTree(page, at + 72),
    lastPage: readNumber(page, at + 120),
    transaction: readNumber(page, at + 128),
  };
  const isMeta =
    readNumber(page, 0) === number &&
    page.readUInt16LE(18) === META_PAGE &&
    page.readUInt32LE(at) === MAGIC &&
    (page.readUInt32LE(at + 4) & 0xffff) === DATA_VERSION &&
    readNumber(page, at + 8) === 0 &&
    readNumber(page, at + 16) <= MAX_MAP_OCTETS &&
    free.flags === INTEGER_KEY &&
    meta.main.flags === 0 &&
    meta.pageOctets === pageOctets;
  if (!isMeta) throw new Damage(`page ${number} is not a meta page`);
  return meta;
}

/** A tree's record in a meta page or in the main tree. */
export function readTree(octets: Buffer, at: number): Tree {
  return {
    flags: octets.readUInt16LE(at + 4),
    depth: octets.readUInt16LE(at + 6),
    branchPages: readNumber(octets, at + 8),
    leafPages: readNumber(octets, at + 16),
    overflowPages: readNumber(octets, at + 24),
    entries: readNumber(octets, at + 32),
    root: octets.readUInt32LE(at + 40) === NO_PAGE ? undefined : readNumber(octets, at + 40),
  };
}

/** A 64-bit number. A value above 2^53 comes out inexact, and so large that every check refuses it. */
export function readNumber(octets: Buffer, at: number): number {
  return octets.readUInt32LE(at) + octets.readUInt32LE(at + 4) * 2 ** 32;
}

export interface BranchNode {
  readonly key: Buffer;
  readonly child: number;
}

export interface LeafNode {
  readonly key: Buffer;
  readonly flags: number;
  /** The value's length, wherever the value is. */
  readonly octets: number;
  /** The value, or the reference to its pages. */
  readonly data: Buffer;
}

export type TreePage =
  | { readonly kind: 'branch'; readonly nodes: readonly BranchNode[] }
  | { readonly kind: 'leaf'; readonly nodes: readonly LeafNode[] };

/** The value is a tree's record. */
export const SUBTREE = 0x02;
/** The value is on its own pages. */
export const BIG_VALUE = 0x01;
/** A reference to a big value: its first page, a transaction, the number of pages. */
const BIG_VALUE_OCTETS = 24;
export const BIG_VALUE_PAGES_AT = 16;
export const OVERFLOW_PAGE = 0x04;
const BRANCH_PAGE = 0x01;
const LEAF_PAGE = 0x02;
/** Flags that lmdb may leave set besides the page's kind. */
const PASSING_FLAGS = 0xe000;
const NODE_HEADER_OCTETS = 8;

/** Returns the page's kind. Throws `Damage` if the header is wrong; `transaction` is the newest one. */
export function checkHeader(page: Buffer, number: number, transaction: number): number {
  if (readNumber(page, 0) !== number)
    throw new Damage(`page ${number} has the number of another page`);
  if (readNumber(page, 8) > transaction)
    throw new Damage(`page ${number} has a transaction that does not exist`);
  if (page.readUInt16LE(16) !== 0) throw new Damage(`page ${number} is of an unknown kind`);
  return page.readUInt16LE(18) & ~PASSING_FLAGS;
}

/** The nodes of a tree's page. Checks everything except the order of the keys. */
export function readTreePage(page: Buffer, number: number, transaction: number): TreePage {
  const kind = checkHeader(page, number, transaction);
  if (kind !== BRANCH_PAGE && kind !== LEAF_PAGE)
    throw new Damage(`page ${number} belongs to no tree`);
  const lower = page.readUInt16LE(20);
  const upper = page.readUInt16LE(22);
  const room = page.length - PAGE_HEADER_OCTETS;
  if (lower % 2 !== 0 || lower > upper || upper > room) {
    throw new Damage(`page ${number} is torn`);
  }
  const offsets = Array.from({ length: lower / 2 }, (_, n) => {
    return page.readUInt16LE(PAGE_HEADER_OCTETS + 2 * n);
  });
  const read = kind === BRANCH_PAGE ? readBranchNode : readLeafNode;
  let octets = 0;
  const nodes = offsets.map((offset) => {
    if (offset < upper || offset % 2 !== 0 || offset + NODE_HEADER_OCTETS > room) {
      throw new Damage(`page ${number} has an entry outside itself`);
    }
    const node = read(page.subarray(PAGE_HEADER_OCTETS + offset), number);
    octets += node.size + (node.size % 2);
    return node;
  });
  if (octets !== room - upper) throw new Damage(`page ${number} has overlapping entries`);
  return kind === BRANCH_PAGE
    ? { kind: 'branch', nodes: nodes as unknown as BranchNode[] }
    : { kind: 'leaf', nodes: nodes as unknown as LeafNode[] };
}

function readBranchNode(octets: Buffer, number: number): BranchNode & { size: number } {
  const keyOctets = octets.readUInt16LE(6);
  const size = NODE_HEADER_OCTETS + keyOctets;
  if (size > octets.length) throw new Damage(`page ${number} has a key that is too long`);
  const child = octets.readUInt32LE(0) + octets.readUInt16LE(4) * 2 ** 32;
  return { child, key: octets.subarray(NODE_HEADER_OCTETS, size), size };
}

function readLeafNode(octets: Buffer, number: number): LeafNode & { size: number } {
  const valueOctets = octets.readUInt32LE(0);
  const flags = octets.readUInt16LE(4);
  const keyEnd = NODE_HEADER_OCTETS + octets.readUInt16LE(6);
  const isKnown = flags === 0 || flags === BIG_VALUE || flags === SUBTREE;
  const size = keyEnd + (flags === BIG_VALUE ? BIG_VALUE_OCTETS : valueOctets);
  if (!isKnown || keyEnd === NODE_HEADER_OCTETS || size > octets.length) {
    throw new Damage(`page ${number} has a malformed entry`);
  }
  const key = octets.subarray(NODE_HEADER_OCTETS, keyEnd);
  return { key, flags, octets: valueOctets, data: octets.subarray(keyEnd, size), size };
}
