/**
 * Reads of an embedded store: the last durable transaction, without expired rows. Each read takes its own view of the
 * table and releases it in the same turn of the event loop.
 */
import { type Entry, keyOfChange } from '../../service/change.ts';
import { directoryPrefix, pathTo, searchFirstFalse } from '../../service/keyTree.ts';
import type { Clock } from '../../timing/clock.ts';
import { type KeyLocation, StoreError, type WatchBatch } from '../store.ts';
import type { Timeline } from './history.ts';
import type { EmbeddedLeases } from './leases.ts';
import {
  compareOctets,
  type KeyedRow,
  type PageBounds,
  type Table,
  type TableView,
} from './table.ts';
import { entryOfRow, isExpired } from './transaction.ts';
import type { Watchers } from './watchers.ts';

/**
 * The most expired rows that one search skips. More accumulate only while the disk accepts no writes; the search then
 * treats the directory as existing, which does no harm.
 */
const MAX_SKIPPED = 1_000;

export interface ReaderOptions {
  readonly table: Table;
  readonly clock: Clock;
  readonly timeline: Timeline;
  readonly leases: EmbeddedLeases;
  readonly watchers: Watchers;
  /** Throws when the store is closed. */
  readonly assertOpen: () => void;
}

export class EmbeddedReader {
  readonly #parts: ReaderOptions;

  constructor(parts: ReaderOptions) {
    this.#parts = parts;
  }

  get(key: string): { entry: Entry | undefined; revision: number } {
    const { table, timeline } = this.#parts;
    const { row, revision } = table.get(key);
    return { entry: row && this.#entry({ key, row }, timeline.nowMs()), revision };
  }

  locate(key: string): KeyLocation {
    const view = this.#view();
    try {
      return this.#locate(view, key);
    } finally {
      view.release();
    }
  }

  snapshot(prefix: string): AsyncGenerator<EntryPage, void, undefined> {
    const { clock, timeline, watchers } = this.#parts;
    const startMs = timeline.nowMs();
    const startMonotonicMs = clock.monotonicMs();
    const source: SnapshotSource = {
      view: () => this.#view(),
      since: (revision) => watchers.since(revision),
      whenPublished: (revision) => this.#whenPublished(revision),
      entryOf: (row) => this.#entry(row, startMs),
      isAlive: ({ lease }) => (lease?.expiresAtMs ?? Infinity) > startMonotonicMs,
    };
    return stableSnapshot(source, prefix);
  }

  #view(): TableView {
    this.#parts.assertOpen();
    return this.#parts.table.view();
  }

  #locate(view: TableView, key: string): KeyLocation {
    const nowMs = this.#parts.timeline.nowMs();
    const path = pathTo(key);
    const hasBelow = (n: number) => this.#hasBelow(view, directoryPrefix(path[n] ?? key), nowMs);
    const entryAt = (one: string) => {
      const row = view.get(one);
      return row && this.#entry({ key: one, row }, nowMs);
    };
    const search = searchFirstFalse(path.length, 1);
    let step = search.next();
    while (!step.done) step = search.next(step.value.map(hasBelow));
    const end = path[step.value];
    const entry = entryAt(key);
    const atEnd = end === key ? entry : end && entryAt(end);
    return { revision: view.revision, entry, end, endHasEntry: atEnd !== undefined };
  }

  #hasBelow(view: TableView, prefix: string, nowMs: number): boolean {
    let after: string | undefined;
    for (let skipped = 0; skipped < MAX_SKIPPED; skipped++) {
      const { rows, isLast } = view.page(prefix, after, { rows: 1, octets: 0 });
      const [first] = rows;
      if (first === undefined) return false;
      if (this.#entry(first, nowMs) !== undefined) return true;
      if (isLast) return false;
      after = first.key;
    }
    return true;
  }

  /**
   * Waits until the watchers have the changes of a revision: the table shows a transaction as soon as it is durable, a
   * moment before its changes are published.
   */
  async #whenPublished(revision: number): Promise<void> {
    while (this.#parts.watchers.revision < revision) {
      this.#parts.assertOpen();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Undefined when the row has expired. */
  #entry({ key, row }: KeyedRow, nowMs: number): Entry | undefined {
    const { leases, timeline } = this.#parts;
    if (isExpired(row, nowMs, leases.all)) return undefined;
    return entryOfRow(key, row, timeline, leases.all);
  }
}

/** The largest page; a single entry may be larger. */
const BOUNDS: PageBounds = { rows: 1000, octets: 256 * 1024 };

/** What a snapshot reads. */
export interface SnapshotSource {
  view(): TableView;
  /** Every published change from a revision on. Throws StoreError `compacted`. */
  since(revision: number): readonly WatchBatch[];
  /** Resolves when the changes up to that revision, which the table has already, are published. */
  whenPublished(revision: number): Promise<void>;
  /** The row as an entry; undefined if it had expired when the snapshot began. */
  entryOf(row: KeyedRow): Entry | undefined;
  /** Whether the entry had not expired when the snapshot began. */
  isAlive(entry: Entry): boolean;
}

export interface EntryPage {
  readonly revision: number;
  readonly entries: readonly Entry[];
}

/**
 * All entries below a prefix as they were at the revision of the first page; yields at least one page.
 *
 * The snapshot holds no view between its pages, so the reader may take any time: each page comes from the table's
 * current state, and the history's changes since the first page are undone on it. When the history no longer reaches
 * back to the first page, the reader gets `compacted`.
 */
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
    if (read.revision > revision) await source.whenPublished(read.revision);
    const range = { prefix, after, upTo: isLast ? undefined : read.lastKey };
    const entries = asOf(source, revision, read, range);
    after = read.lastKey;
    for (const part of splitByOctets(entries, BOUNDS.octets)) yield { revision, entries: part };
    if (entries.length === 0 && range.after === undefined) yield { revision, entries };
  }
}

interface PageRead {
  readonly revision: number;
  readonly rows: readonly KeyedRow[];
  readonly isLast: boolean;
  readonly lastKey: string | undefined;
}

function readPage(source: SnapshotSource, prefix: string, after: string | undefined): PageRead {
  const view = source.view();
  try {
    const { rows, isLast } = view.page(prefix, after, BOUNDS);
    return { revision: view.revision, rows, isLast, lastKey: rows.at(-1)?.key };
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
  for (const row of read.rows) {
    if (before.has(row.key)) continue;
    if (row.row.modRevision > revision) throw forgotten(revision);
    const entry = source.entryOf(row);
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
