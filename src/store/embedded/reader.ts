/**
 * Reads of an embedded store: the last durable transaction, without expired rows. Each read takes its own view of the
 * table and releases it in the same turn of the event loop.
 */
import type { Entry } from '../../service/change.ts';
import { directoryPrefix, pathTo, searchFirstFalse } from '../../service/keyTree.ts';
import type { Clock } from '../../timing/clock.ts';
import type { KeyLocation } from '../store.ts';
import type { EmbeddedLeases } from './leases.ts';
import { type EntryPage, type SnapshotSource, stableSnapshot } from './snapshot.ts';
import type { KeyedRow, Table, TableView } from './table.ts';
import type { Timeline } from './timeline.ts';
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
  readonly #options: ReaderOptions;

  constructor(parts: ReaderOptions) {
    this.#options = parts;
  }

  get(key: string): { entry: Entry | undefined; revision: number } {
    const { table, timeline } = this.#options;
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
    const { clock, timeline, watchers } = this.#options;
    const startMs = timeline.nowMs();
    const startMonotonicMs = clock.monotonicMs();
    const source: SnapshotSource = {
      view: () => this.#view(),
      since: (revision) => watchers.since(revision),
      whenDelivered: (revision) => this.#whenDelivered(revision),
      entryOf: (row) => this.#entry(row, startMs),
      isAlive: ({ lease }) => (lease?.expiresAtMs ?? Infinity) > startMonotonicMs,
    };
    return stableSnapshot(source, prefix);
  }

  #view(): TableView {
    this.#options.assertOpen();
    return this.#options.table.view();
  }

  #locate(view: TableView, key: string): KeyLocation {
    const nowMs = this.#options.timeline.nowMs();
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
   * Waits until the watchers have the changes of a revision. The table shows a durable transaction before the watchers
   * receive its changes.
   */
  async #whenDelivered(revision: number): Promise<void> {
    while (this.#options.watchers.revision < revision) {
      this.#options.assertOpen();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Undefined when the row has expired. */
  #entry({ key, row }: KeyedRow, nowMs: number): Entry | undefined {
    const { leases, timeline } = this.#options;
    if (isExpired(row, nowMs, leases.all)) return undefined;
    return entryOfRow(key, row, timeline, leases.all);
  }
}
