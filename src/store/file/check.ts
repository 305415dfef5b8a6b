/**
 * Checks a store's files for damage without lmdb: every page of every tree, the free pages, and the relations between
 * rows. No process may have the store open. A flipped bit inside a value stays unnoticed, because rows have no
 * checksums.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  Damage,
  MAGIC,
  type Meta,
  type Metas,
  readMetas,
  readNumber,
  readTree,
  SUBTREE,
  TREE_OCTETS,
  type Tree,
  unknownMeta,
} from './format.ts';
import { RowCheck } from './rows.ts';
import { type DataFile, PageSet, type TreeEntry, walk } from './walk.ts';

/** Two pages of lmdb's largest size. */
const START_OCTETS = 2 * 65_536;
/** Start of lock.mdb: magic number, format, last transaction. */
const LOCK_START_OCTETS = 16;
/** The check lets the event loop run other work after this many entries. */
const ENTRIES_PER_SLICE = 5_000;

/** The architectures on which lmdb's files have the layout of `format.ts`. */
const ARCHITECTURES = ['x64', 'arm64', 'riscv64', 'loong64'];

/** The damage of a data.mdb in one line; undefined if the check finds none, or if the file does not exist yet. */
export async function damageOf(path: string): Promise<string | undefined> {
  if (!ARCHITECTURES.includes(process.arch)) return undefined;
  const source = openSource(path);
  if (source === undefined || typeof source === 'string') return source;
  try {
    await checkAll(source);
    return undefined;
  } catch (error) {
    if (error instanceof Damage) return error.message;
    throw error;
  } finally {
    closeSync(source.fd);
  }
}

/**
 * Opens the file, which the caller closes. Returns undefined if the file is empty or does not exist, and a text if the
 * file's size or meta pages are damaged.
 */
export function openSource(
  path: string,
  mode: 'strict' | 'tolerant' = 'strict',
): DataFile | string | undefined {
  let fd: number;
  try {
    fd = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { size } = fstatSync(fd);
    if (size > 0) return { fd, ...metasOf(fd, size, mode === 'tolerant') };
    const damage = damageOfEmptyFile(path);
    closeSync(fd);
    return damage;
  } catch (error) {
    closeSync(fd);
    if (error instanceof Damage) return error.message;
    throw error;
  }
}

function metasOf(fd: number, size: number, isTolerant: boolean): Metas {
  const start = Buffer.alloc(Math.min(size, START_OCTETS));
  readSync(fd, start, 0, start.length, 0);
  if (start.length < 512) throw new Damage('it is cut short');
  if (isTolerant) return tolerantMetas(start, size);
  const metas = readMetas(start, false);
  const { lastPage, pageOctets } = metas.meta;
  if ((lastPage + 1) * pageOctets > size) throw new Damage('it is cut short');
  return metas;
}

/** As `readMetas`, with substitutes for unreadable meta pages, and with `lastPage` limited to the file's size. */
function tolerantMetas(start: Buffer, size: number): Metas {
  const within = (meta: Meta): Meta => {
    const lastWhole = Math.floor(size / meta.pageOctets) - 1;
    return { ...meta, lastPage: Math.min(meta.lastPage, lastWhole) };
  };
  try {
    const { meta, olderMeta } = readMetas(start, true);
    return { meta: within(meta), olderMeta: olderMeta && within(olderMeta) };
  } catch (error) {
    if (!(error instanceof Damage)) throw error;
    return { meta: within(unknownMeta(start)) };
  }
}

/** The last transaction's number in lmdb's lock file; 0 if it has none or does not exist. */
function lockedTransaction(path: string): number {
  const start = Buffer.alloc(LOCK_START_OCTETS);
  try {
    const fd = openSync(path, 'r');
    try {
      readSync(fd, start, 0, start.length, 0);
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  return start.readUInt32LE(0) === MAGIC ? readNumber(start, 8) : 0;
}

/**
 * The damage of an empty file; undefined if lmdb has not written to it yet. lock.mdb keeps the number of the last
 * transaction, so an empty data.mdb beside it has lost its content.
 */
function damageOfEmptyFile(path: string): string | undefined {
  const transaction = lockedTransaction(join(dirname(path), 'lock.mdb'));
  return transaction > 0 ? 'it is empty, but lock.mdb counts transactions' : undefined;
}

async function checkAll(source: DataFile): Promise<void> {
  const { meta } = source;
  const used = new PageSet(meta.lastPage);
  const options = { compare: Buffer.compare };
  const rows = new RowCheck();
  let entries = 0;
  for (const [name, tree] of treesOf(source, used)) {
    for (const entry of walk(source, tree, used, options)) {
      rows.add(name, entry);
      if (++entries % ENTRIES_PER_SLICE === 0)
        await new Promise((resolve) => setImmediate(resolve));
    }
  }
  rows.finish();
  checkFree(source, used);
}

/** The trees in the main tree's entries, by name. */
export function treesOf(
  source: DataFile,
  used: PageSet,
  onDamage?: (damage: Damage) => void,
): ReadonlyMap<string, Tree> {
  const trees = new Map<string, Tree>();
  const { main } = source.meta;
  for (const entry of walk(source, main, used, { compare: Buffer.compare, onDamage })) {
    if (entry.flags !== SUBTREE || entry.octets !== TREE_OCTETS) continue;
    const tree = readTree(entry.value(), 0);
    if (tree.flags === 0) trees.set(entry.key.toString('latin1').replace(/\0$/, ''), tree);
    else (onDamage ?? throwDamage)(new Damage('a tree is of an unknown kind'));
  }
  return trees;
}

function throwDamage(damage: Damage): never {
  throw damage;
}

/**
 * A list of free pages is a count followed by that many numbers. A positive number is a page, and 0 is none. -n stands
 * for n consecutive pages, of which the next number is the first.
 */
function checkFree(source: DataFile, used: PageSet): void {
  const { free, lastPage } = source.meta;
  const inLists = new PageSet(lastPage);
  const compare = (a: Buffer, b: Buffer) => readNumber(a, 0) - readNumber(b, 0);
  for (const entry of walk(source, free, used, { compare })) {
    if (entry.key.length !== 8) throw new Damage('the list of free pages is damaged');
    for (const page of freePagesOf(entry)) inLists.take(page);
  }
  for (let page = 2; page <= lastPage; page++) {
    if (inLists.has(page) && used.has(page)) throw new Damage(`page ${page} is free and in use`);
  }
}

/** The pages of one list. Throws `Damage`. */
export function* freePagesOf(entry: TreeEntry): Generator<number> {
  const list = entry.value();
  const count = list.length >= 8 ? readNumber(list, 0) : -1;
  if (count < 0 || (count + 1) * 8 > list.length) {
    throw new Damage('the list of free pages is damaged');
  }
  for (let n = 1; n <= count; n++) {
    const number = Number(list.readBigInt64LE(8 * n));
    if (number > 0) yield number;
    if (number >= 0) continue;
    const page = n < count ? Number(list.readBigInt64LE(8 * ++n)) : 0;
    for (let of = 0; of < -number; of++) yield page + of;
  }
}
