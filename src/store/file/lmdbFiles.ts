/**
 * Whether lmdb may open a directory. lmdb 3.5.6 ends the process (SIGSEGV, SIGBUS) on files that are not its own or not
 * whole instead of throwing, so they are looked at first.
 */
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database, Transaction } from 'lmdb';
import type { KeyedRow, PageBounds, RowPage, TableRow } from '../embedded/table.ts';

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

/**
 * How the table of `file:` lies in lmdb's databases: `rows` (key -> packed row), `deadlines` (deadline, key -> one
 * octet), `state` (one record, and the table's identity). Keys are their UTF-8 octets, which lmdb orders as the store
 * must; numbers are doubles in network order.
 */

export type Octets = Database<Buffer, Buffer>;

interface RowRange {
  readonly after?: string | undefined;
  readonly bounds?: PageBounds;
  readonly transaction?: Transaction;
}

const UNBOUNDED: PageBounds = { rows: Number.POSITIVE_INFINITY, octets: Number.POSITIVE_INFINITY };

/** The rows whose keys begin with the prefix, in the order of their keys. */
export function readRows(
  rows: Octets,
  prefix: string,
  { after, bounds = UNBOUNDED, ...options }: RowRange,
): RowPage {
  // "0" follows "/", in which the prefix ends.
  const end = Buffer.from(`${prefix.slice(0, -1)}0`);
  const start = Buffer.from(after ?? prefix);
  const range = { start, end, exclusiveStart: after !== undefined, ...options };
  const found: KeyedRow[] = [];
  let octets = 0;
  for (const { key, value } of rows.getRange(range)) {
    octets += key.length + value.length;
    const isFull = found.length === bounds.rows || octets > bounds.octets;
    if (found.length > 0 && isFull) return { rows: found, isLast: false };
    found.push({ key: key.toString('utf8'), row: unpackRow(value) });
  }
  return { rows: found, isLast: true };
}

/** Instants of the timeline are positive, whose octets order as the numbers do. */
export function deadlineKey(key: string, deadlineMs: number): Buffer {
  const octets = Buffer.from(`        ${key}`);
  octets.writeDoubleBE(deadlineMs, 0);
  return octets;
}

/** What `deadlineKey` was made of. */
export function deadlineOf(octets: Buffer): { readonly deadlineMs: number; readonly key: string } {
  return { deadlineMs: octets.readDoubleBE(0), key: octets.toString('utf8', 8) };
}

const ROW_HEADER_OCTETS = 32;

/** The fourth number is the deadline or, where there is no TTL before it, the lease. */
export function packRow({ value, createRevision, modRevision, lifetime, lease }: TableRow): Buffer {
  const packed = Buffer.allocUnsafe(ROW_HEADER_OCTETS + value.length);
  packed.writeDoubleBE(createRevision, 0);
  packed.writeDoubleBE(modRevision, 8);
  packed.writeDoubleBE(lifetime?.ttlSeconds ?? 0, 16);
  packed.writeDoubleBE(lifetime?.deadlineMs ?? lease ?? 0, 24);
  packed.set(value, ROW_HEADER_OCTETS);
  return packed;
}

export function unpackRow(packed: Buffer): TableRow;
export function unpackRow(packed: Buffer | undefined): TableRow | undefined;
export function unpackRow(packed: Buffer | undefined): TableRow | undefined {
  if (packed === undefined) return undefined;
  const ttlSeconds = packed.readDoubleBE(16);
  const deadlineOrLease = packed.readDoubleBE(24);
  const lifetime = ttlSeconds > 0 ? { ttlSeconds, deadlineMs: deadlineOrLease } : undefined;
  return {
    value: packed.subarray(ROW_HEADER_OCTETS),
    createRevision: packed.readDoubleBE(0),
    modRevision: packed.readDoubleBE(8),
    lifetime,
    lease: lifetime === undefined && deadlineOrLease > 0 ? deadlineOrLease : undefined,
  };
}

/** Where the table stands, written with every transaction. */
export interface TableState {
  readonly revision: number;
  /** The store's timeline, and what the wall clock said at the same instant. */
  readonly timelineMs: number;
  readonly wallMs: number;
}

const FORMAT = 1;

export function packState({ revision, timelineMs, wallMs }: TableState): Buffer {
  const packed = Buffer.alloc(32);
  [FORMAT, revision, timelineMs, wallMs].forEach((number, i) => {
    packed.writeDoubleBE(number, i * 8);
  });
  return packed;
}

/** Throws when it is of another format. */
export function unpackState(packed: Buffer | undefined): TableState | undefined {
  if (packed === undefined) return undefined;
  const format = packed.length === 32 ? packed.readDoubleBE(0) : 'unknown';
  if (format !== FORMAT) throw new Error(`its format is ${format}, not ${FORMAT}`);
  return {
    revision: packed.readDoubleBE(8),
    timelineMs: packed.readDoubleBE(16),
    wallMs: packed.readDoubleBE(24),
  };
}
