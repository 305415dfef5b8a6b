/**
 * What the embedded core asks of its storage: rows in the order of their keys' UTF-8 octets, views that later writes do
 * not change, and transactions. `memory:` keeps rows in a tree, `file:` in lmdb; neither knows what a condition, a
 * watch, a lease or an expiry is.
 */

/** How long a row lives: `deadlineMs` is on the store's timeline (clock.ts). */
export interface Lifetime {
  readonly ttlSeconds: number;
  readonly deadlineMs: number;
}

export interface TableRow {
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  /** A life of its own; not together with a lease. */
  readonly lifetime: Lifetime | undefined;
  /** Id of the lease that it shares with others (leases.ts). */
  readonly lease: number | undefined;
}

export interface KeyedRow {
  readonly key: string;
  readonly row: TableRow;
}

/** What one page may hold: so many rows, and so many octets of keys and values. One row is always allowed. */
export interface PageBounds {
  readonly rows: number;
  readonly octets: number;
}

export interface RowPage {
  readonly rows: readonly KeyedRow[];
  /** Nothing of the range is behind it. */
  readonly isLast: boolean;
}

/**
 * The table as it was at one revision. Whoever has a view releases it in the same turn of the event loop: as long as one
 * is held, the space of what is overwritten meanwhile cannot be used again.
 */
export interface TableView {
  readonly revision: number;
  get(key: string): TableRow | undefined;
  /** The rows below the prefix, keys ascending by octets, those behind the key `after` only. */
  page(prefix: string, after: string | undefined, bounds: PageBounds): RowPage;
  release(): void;
}

/** Reads here see the writes of the same transaction. `previous` is what `get` or `below` gave for the key. */
export interface RowWriter {
  get(key: string): TableRow | undefined;
  /** All rows below the prefix, keys ascending by octets. */
  below(prefix: string): readonly KeyedRow[];
  set(key: string, row: TableRow, previous: TableRow | undefined): void;
  delete(key: string, previous: TableRow): void;
}

/** What a transaction did: the table's revision after it. */
export interface Written {
  readonly revision: number;
}

export interface Table {
  /** No two tables have the same, and a table keeps its own. */
  readonly identity: string;
  /** A key's row, and the revision at which that was so. */
  get(key: string): { readonly row: TableRow | undefined; readonly revision: number };
  view(): TableView;
  /** Up to `limit` keys whose deadline is at or before the instant, the earliest first. */
  due(nowMs: number, limit: number): string[];
  earliestDeadlineMs(): number | undefined;
  /**
   * Runs `work` in one transaction, with the revision that the one before left, and settles when all that it wrote is
   * durable, also when that took no revision. Rejects when nothing of it was kept. The core never has two at work.
   */
  write<T extends Written>(work: (rows: RowWriter, revision: number) => T): Promise<T>;
  close(): Promise<void>;
}
