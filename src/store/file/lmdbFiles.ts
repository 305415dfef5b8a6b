/**
 * Checks that lmdb can open a directory's files. On files that are not lmdb's or not complete, lmdb 3.5.6 ends the
 * process (SIGSEGV, SIGBUS) instead of throwing.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

/** The first two pages both begin with a header of 24 octets and these four (in the machine's byte order). */
const MAGIC = Buffer.from([0xde, 0xc0, 0xef, 0xbe]);
const MAGIC_AT = 24;
const PAGE_OCTETS_AT = 48;
const MAX_PAGE_OCTETS = 65_536;

/** The mode in which the files will be opened, as in `open`. */
export type Access = 'r+' | 'r';

/**
 * Throws with the reason when lmdb cannot use the directory's files. A directory without files is valid. With `damaged`
 * one of data.mdb's first two pages is enough: lmdb may not open such a file, but a repair can read it.
 */
export async function assertLmdbFiles(
  dir: string,
  access: Access,
  state: 'whole' | 'damaged' = 'whole',
): Promise<void> {
  await withFile(join(dir, 'lock.mdb'), access, async () => undefined);
  await withFile(join(dir, 'data.mdb'), access, async (file) => {
    const { size } = await file.stat();
    // lmdb creates a database in an empty file.
    if (size === 0 || (await beginsAsDatabase(file, size))) return;
    if (state === 'damaged' && (await hasOneMeta(file, size))) return;
    throw new Error('data.mdb is not a database');
  });
}

/** Throws when data.mdb ends before the last page that its header names. */
export async function assertLmdbWhole(
  dir: string,
  pages: number,
  pageOctets: number,
): Promise<void> {
  await withFile(join(dir, 'data.mdb'), 'r', async (file) => {
    const { size } = await file.stat();
    if (size < pages * pageOctets) throw new Error('data.mdb is cut short');
  });
}

async function beginsAsDatabase(file: FileHandle, size: number): Promise<boolean> {
  const first = await read(file, 0);
  const order = isMagic(first) ? 'LE' : isMagic(first.swap32()) ? 'BE' : undefined;
  if (order === undefined) return false;
  const pageOctets = first.readUInt32LE(PAGE_OCTETS_AT);
  if (size < 2 * pageOctets) return false;
  const second = await read(file, pageOctets);
  return isMagic(order === 'LE' ? second : second.swap32());
}

/** Whether the first or the second page is that of a database. */
async function hasOneMeta(file: FileHandle, size: number): Promise<boolean> {
  const first = await read(file, 0);
  if (isMagic(first)) return size >= 2 * first.readUInt32LE(PAGE_OCTETS_AT);
  // The first page may have lost its page size too.
  for (let octets = 256; octets <= MAX_PAGE_OCTETS; octets *= 2) {
    const second = await read(file, octets);
    if (isMagic(second) && second.readUInt32LE(PAGE_OCTETS_AT) === octets) return true;
  }
  return false;
}

function isMagic(page: Buffer): boolean {
  return page.subarray(MAGIC_AT, MAGIC_AT + MAGIC.length).equals(MAGIC);
}

async function read(file: FileHandle, position: number): Promise<Buffer> {
  const start = Buffer.alloc(64);
  await file.read(start, 0, start.length, position);
  return start;
}

/** Opens the file and runs `use` on it. Does nothing if the file does not exist. */
async function withFile(
  path: string,
  access: Access,
  use: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, access).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  try {
    await use(file);
  } finally {
    await file.close();
  }
}
