/**
 * Snapshots of an embedded store. A snapshot holds no view between its pages, so the reader may take any amount of
 * time: each page comes from the table's current state, and the history's changes since the first page are undone on
 * it. When the history no longer reaches back to the first page, the reader gets `compacted`.
 */
import { type Entry, keyOfChange } from '../../service/change.ts';
import { StoreError, type WatchBatch } from '../store.ts';
import { compareOctets, type KeyedRow, type PageBounds, type TableView } from './table.ts';

/** The largest page; a single entry may be larger. */
const BOUNDS: PageBounds = { rows: 1000, octets: 256 * 1024 };

/** The table, the history and the clock of a snapshot. */
export interface SnapshotSource {
  view(): TableView;
  /** Every delivered change from a revision on. Throws StoreError `compacted`. */
  since(revision: number): readonly WatchBatch[];
  /** Resolves when the changes up to that revision, which the table already has, are delivered to the watchers. */
  whenDelivered(revision: number): Promise<void>;
  /** The row as an entry; undefined if it had expired when the snapshot began. */
  entryOf(row: KeyedRow): Entry | undefined;
  /** Whether the entry had not expired when the snapshot began. */
  isAlive(entry: Entry): boolean;
}

export interface EntryPage {
  readonly revision: number;
  readonly entries: readonly Entry[];
}

/** All entries below a prefix as they were at the revision of the first page. Yields at least one page. */
export async function* stableSnapshot(
  source: SnapshotSource,
  prefix: string,
): AsyncGenerator<EntryPage, void, undefined> {
  let revision: number | undefined;
  let after: string | undefined;
  for (let isLast = false; !isLast; ) {
    const read = readPage(source, prefix, after);
    isLast = read.isLast;
    revision ??= read.revision;
    if (read.revision > revision) await source.whenDelivered(read.revision);
    const range = { prefix, after, upTo: isLast ? undefined : read.lastKey };
    const entries = asOf(source, revision, read, range);
    after = read.lastKey;
    for (const part of splitByOctets(entries, BOUNDS.octets)) yield { revision, entries: part };
    if (entries.length === 0 && range.after === undefined) yield { revision, entries };
  }
}

interface ReadRow {
  readonly key: string;
  readonly modRevision: number;
  /** As `SnapshotSource.entryOf`. */
  readonly entry: Entry | undefined;
}

interface PageRead {
  readonly revision: number;
  readonly rows: readonly ReadRow[];
  readonly isLast: boolean;
  readonly lastKey: string | undefined;
}

/** Makes the entries in the same turn as it reads the rows, because a later transaction may end the lease of a row. */
function readPage(source: SnapshotSource, prefix: string, after: string | undefined): PageRead {
  const view = source.view();
  try {
    const page = view.page(prefix, after, BOUNDS);
    const rows = page.rows.map((row) => {
      return { key: row.key, modRevision: row.row.modRevision, entry: source.entryOf(row) };
    });
    return { revision: view.revision, rows, isLast: page.isLast, lastKey: rows.at(-1)?.key };
  } finally {
    view.release();
  }
}

/** Keys below the prefix, greater than `after`, up to and including `upTo`. */
interface PageRange {
  readonly prefix: string;
  readonly after: string | undefined;
  readonly upTo: string | undefined;
}

/** The page's entries as they were at an earlier revision, keys ascending. */
function asOf(source: SnapshotSource, revision: number, read: PageRead, range: PageRange): Entry[] {
  const before = changedSince(source, revision, read.revision, range);
  const entries: Entry[] = [];
  for (const { key, modRevision, entry } of read.rows) {
    if (before.has(key)) continue;
    if (modRevision > revision) throw forgotten(revision);
    if (entry !== undefined) entries.push(entry);
  }
  const unchanged = entries.length;
  for (const entry of before.values()) {
    if (entry !== undefined && source.isAlive(entry)) entries.push(entry);
  }
  return entries.length === unchanged
    ? entries
    : entries.sort((a, b) => compareOctets(a.key, b.key));
}

/**
 * The keys of the range that changed after `revision` and up to `upTo`, with the entries that they had at `revision`.
 */
function changedSince(
  source: SnapshotSource,
  revision: number,
  upTo: number,
  range: PageRange,
): ReadonlyMap<string, Entry | undefined> {
  const before = new Map<string, Entry | undefined>();
  if (upTo === revision) return before;
  for (const batch of source.since(revision + 1)) {
    if (batch.revision > upTo) break;
    for (const change of batch.changes) {
      const key = keyOfChange(change);
      if (isIn(range, key) && !before.has(key)) before.set(key, change.previous);
    }
  }
  return before;
}

function isIn({ prefix, after, upTo }: PageRange, key: string): boolean {
  return (
    key.startsWith(prefix) &&
    (after === undefined || compareOctets(key, after) > 0) &&
    (upTo === undefined || compareOctets(key, upTo) <= 0)
  );
}

/** Splits entries into pages: the deleted keys that the history restores may be more than one page. */
function* splitByOctets(entries: readonly Entry[], maxOctets: number): Generator<readonly Entry[]> {
  let start = 0;
  let octets = 0;
  for (const [index, { key, value }] of entries.entries()) {
    octets += key.length + value.length;
    if (index === start || octets <= maxOctets) continue;
    yield entries.slice(start, index);
    start = index;
    octets = key.length + value.length;
  }
  if (start < entries.length) yield entries.slice(start);
}

function forgotten(revision: number): StoreError {
  return new StoreError('compacted', `the store has forgotten revision ${revision}`);
}
