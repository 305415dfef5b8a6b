/**
 * What is read of an embedded store: the last transaction that is durable, without the rows whose time is over. Each
 * look has a view of its own, which it gives up before anything else runs.
 */
import type { Entry } from '../../service/change.ts';
import type { Clock } from '../clock.ts';
import { firstFailing, prefixOf, wayTo } from '../place.ts';
import type { Place } from '../store.ts';
import type { Leases } from './leases.ts';
import { type EntryPage, type SnapshotSource, snapshotPages } from './snapshot.ts';
import type { KeyedRow, Table, TableView } from './table.ts';
import type { Timeline } from './timeline.ts';
import { entryOf, isExpired } from './transaction.ts';
import type { Watchers } from './watchers.ts';

/**
 * How many expired rows a look steps over. So many are there only while the disk takes no writes, and then count as there:
 * their directories do no harm.
 */
const MAX_LOOKS = 1_000;

export interface ReadsParts {
  readonly table: Table;
  readonly clock: Clock;
  readonly timeline: Timeline;
  readonly leases: Leases;
  readonly watchers: Watchers;
  /** Throws once the store is closed. */
  readonly assertOpen: () => void;
}

export class Reads {
  readonly #parts: ReadsParts;

  constructor(parts: ReadsParts) {
    this.#parts = parts;
  }

  get(key: string): { entry: Entry | undefined; revision: number } {
    const { table, timeline } = this.#parts;
    const { row, revision } = table.get(key);
    return { entry: row && this.#entry({ key, row }, timeline.nowMs()), revision };
  }

  locate(key: string): Place {
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
      published: (revision) => this.#published(revision),
      entryOf: (row) => this.#entry(row, startMs),
      isAlive: ({ lease }) => (lease?.expiresAtMs ?? Infinity) > startMonotonicMs,
    };
    return snapshotPages(source, prefix);
  }

  #view(): TableView {
    this.#parts.assertOpen();
    return this.#parts.table.view();
  }

  #locate(view: TableView, key: string): Place {
    const nowMs = this.#parts.timeline.nowMs();
    const way = wayTo(key);
    const hasBelow = (n: number) => this.#hasBelow(view, prefixOf(way[n] ?? key), nowMs);
    const entryAt = (one: string) => {
      const row = view.get(one);
      return row && this.#entry({ key: one, row }, nowMs);
    };
    const search = firstFailing(way.length, 1);
    let step = search.next();
    while (!step.done) step = search.next(step.value.map(hasBelow));
    const end = way[step.value];
    const entry = entryAt(key);
    const atEnd = end === key ? entry : end && entryAt(end);
    return { revision: view.revision, entry, end, endHasEntry: atEnd !== undefined };
  }

  #hasBelow(view: TableView, prefix: string, nowMs: number): boolean {
    let after: string | undefined;
    for (let looks = 0; looks < MAX_LOOKS; looks++) {
      const { rows, isLast } = view.page(prefix, after, { rows: 1, octets: 0 });
      const [first] = rows;
      if (first === undefined) return false;
      if (this.#entry(first, nowMs) !== undefined) return true;
      if (isLast) return false;
      after = first.key;
    }
    return true;
  }

  /** The table shows a transaction as soon as it is durable, a moment before its changes are published. */
  async #published(revision: number): Promise<void> {
    while (this.#parts.watchers.revision < revision) {
      this.#parts.assertOpen();
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Undefined once its time is over. */
  #entry({ key, row }: KeyedRow, nowMs: number): Entry | undefined {
    const { leases, timeline } = this.#parts;
    if (isExpired(row, nowMs, leases.all)) return undefined;
    return entryOf(key, row, timeline, leases.all);
  }
}
