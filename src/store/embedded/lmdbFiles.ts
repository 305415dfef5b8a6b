/**
 * Whether lmdb may open a directory. lmdb 3.5.6 ends the process (SIGSEGV, SIGBUS) on files that are not its own or not
 * whole instead of throwing, so they are looked at first.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';

/** Both of the first two pages begin with a header of 24 octets and these four (in the machine's order). */
const MAGIC = Buffer.from([0xde, 0xc0, 0xef, 0xbe]);
const MAGIC_AT = 24;
const PAGE_OCTETS_AT = 48;

/** How the files are going to be used, as `open` has it. */
export type Access = 'r+' | 'r';

/** Throws, with the reason, when the directory holds files that lmdb cannot use. A directory without files is fine. */
export async function assertLmdbFiles(dir: string, access: Access): Promise<void> {
  await withFile(join(dir, 'lock.mdb'), access, async () => undefined);
  await withFile(join(dir, 'data.mdb'), access, async (file) => {
    const { size } = await file.stat();
    // lmdb makes a database of an empty file.
    if (size > 0 && !(await beginsAsDatabase(file, size)))
      throw new Error('data.mdb is no database');
  });
}

/** Throws when data.mdb ends before the page that its header names as the last one. */
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

function isMagic(page: Buffer): boolean {
  return page.subarray(MAGIC_AT, MAGIC_AT + MAGIC.length).equals(MAGIC);
}

async function read(file: FileHandle, position: number): Promise<Buffer> {
  const start = Buffer.alloc(64);
  await file.read(start, 0, start.length, position);
  return start;
}

/** Runs `look` on a file that can be used so, or not at all when there is none. */
async function withFile(
  path: string,
  access: Access,
  look: (file: FileHandle) => Promise<void>,
): Promise<void> {
  const file = await open(path, access).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  if (file === undefined) return;
  try {
    await look(file);
  } finally {
    await file.close();
  }
}
