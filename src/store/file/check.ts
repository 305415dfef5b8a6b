/**
 * Whether the files of a store are whole, looked at without lmdb: every page of every tree, the free pages, and what the
 * rows say to each other. The store must not be open anywhere. What a flipped bit in a value makes of it does not show,
 * as rows have no checksums.
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

/** The largest pages that lmdb has, two of them. */
const START_OCTETS = 2 * 65_536;
/** Of lock.mdb: the magic number, the format, the last transaction. */
const LOCK_START_OCTETS = 16;
/** Others get their turn after so many entries. */
const ENTRIES_A_TURN = 5_000;

/** Where lmdb's files are as `format.ts` reads them. */
const ARCHITECTURES = ['x64', 'arm64', 'riscv64', 'loong64'];

/** What is wrong with a data.mdb, in one line; undefined: nothing that can be seen, or there is none yet. */
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

/** A file to walk, to be closed by the caller; undefined: it is empty or not there; a text: it is damaged. */
export function openSource(
  path: string,
  how: 'strict' | 'tolerant' = 'strict',
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
    if (size > 0) return { fd, ...metasOf(fd, size, how === 'tolerant') };
    const damage = emptied(path);
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

/** As `readMetas` gives them, or what stands for them, with no page behind the end of the file. */
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

/** The number of the last transaction as lmdb's lock file has it; 0: there is none, or no such file. */
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
 * What is wrong with an empty file; undefined: lmdb has not written to it yet. lock.mdb keeps the number of the last
 * transaction, so an empty file beside it has lost what it held.
 */
function emptied(path: string): string | undefined {
  const transaction = lockedTransaction(join(dirname(path), 'lock.mdb'));
  return transaction > 0 ? 'it is empty, and lock.mdb shows that it was not' : undefined;
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
      if (++entries % ENTRIES_A_TURN === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  }
  rows.finish();
  checkFree(source, used);
}

/** The trees that the main one names. */
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
    else (onDamage ?? thrown)(new Damage('a tree is of an unknown kind'));
  }
  return trees;
}

function thrown(damage: Damage): never {
  throw damage;
}

/** A list of free pages is a count, and so many numbers: 0, a page, or minus how many follow from the page after it. */
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

/** Throws `Damage`. */
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
