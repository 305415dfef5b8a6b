/**
 * The encoding of the table of `file:` in lmdb's databases: `rows` (key -> packed row), `deadlines` (deadline, key ->
 * one octet), `state` (one record, and the table's identity). Keys are their UTF-8 octets, which lmdb orders as the
 * store requires. Numbers are doubles in network order.
 */
import type { Database, Transaction } from 'lmdb';
import {
  type KeyedRow,
  type PageBounds,
  PageFill,
  type RowPage,
  type TableRow,
  UNBOUNDED,
} from '../embedded/table.ts';

export type Octets = Database<Buffer, Buffer>;

interface RowRange {
  readonly after?: string | undefined;
  readonly bounds?: PageBounds;
  readonly transaction?: Transaction;
}

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
  const fill = new PageFill(bounds);
  for (const { key, value } of rows.getRange(range)) {
    if (!fill.add(key.length + value.length)) return { rows: found, isLast: false };
    found.push({ key: key.toString('utf8'), row: unpackRow(value) });
  }
  return { rows: found, isLast: true };
}

/** Instants of the timeline are positive, so the order of their octets is the order of the numbers. */
export function deadlineKey(key: string, deadlineMs: number): Buffer {
  const octets = Buffer.from(`        ${key}`);
  octets.writeDoubleBE(deadlineMs, 0);
  return octets;
}

/** The reverse of `deadlineKey`. */
export function deadlineOf(octets: Buffer): { readonly deadlineMs: number; readonly key: string } {
  return { deadlineMs: octets.readDoubleBE(0), key: octets.toString('utf8', 8) };
}

export const ROW_HEADER_OCTETS = 32;

/** The fourth number is the deadline if the third, the TTL, is not 0; otherwise it is the lease, or 0. */
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

/** The table's revision and time, written with every transaction. */
export interface TableState {
  readonly revision: number;
  /** The store's timeline, and the wall clock at the same instant. */
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

/** Throws when the record has another format. */
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
