/**
 * The contract between the embedded store and its storage: rows in the order of their keys' UTF-8 octets, views that
 * later writes do not change, and transactions. `memory:` keeps rows in a tree, `file:` keeps them in lmdb. A table
 * does not know conditions, watches, leases or expiry.
 */

/** `deadlineMs` is on the store's timeline (timeline.ts). */
export interface Lifetime {
  readonly ttlSeconds: number;
  readonly deadlineMs: number;
}

export interface TableRow {
  readonly value: Uint8Array;
  readonly createRevision: number;
  readonly modRevision: number;
  /** The row's own TTL. A row has a lifetime or a lease or neither, never both. */
  readonly lifetime: Lifetime | undefined;
  /** Id of the lease that the row shares with other rows (leases.ts). */
  readonly lease: number | undefined;
}

export interface KeyedRow {
  readonly key: string;
  readonly row: TableRow;
}

/** The most rows, and the most octets of keys and values, in one page. A page may always have one row. */
export interface PageBounds {
  readonly rows: number;
  readonly octets: number;
}

export const UNBOUNDED: PageBounds = { rows: Infinity, octets: Infinity };

/** Counts the rows of a page against its bounds. */
export class PageFill {
  readonly #bounds: PageBounds;
  #rows = 0;
  #octets = 0;

  constructor(bounds: PageBounds) {
    this.#bounds = bounds;
  }

  /** Counts a row of that many octets; false if the page is full without it. */
  add(octets: number): boolean {
    this.#octets += octets;
    const isFull = this.#rows === this.#bounds.rows || this.#octets > this.#bounds.octets;
    if (this.#rows > 0 && isFull) return false;
    this.#rows++;
    return true;
  }
}

export interface RowPage {
  readonly rows: readonly KeyedRow[];
  /** The prefix has no rows after this page. */
  readonly isLast: boolean;
}

/**
 * The table as it was at one revision. The caller releases a view in the same turn of the event loop: while a view
 * exists, lmdb cannot reuse the space of overwritten rows.
 */
export interface TableView {
  readonly revision: number;
  get(key: string): TableRow | undefined;
  /** The rows below the prefix whose keys are greater than `after`, keys ascending by octets. */
  page(prefix: string, after: string | undefined, bounds: PageBounds): RowPage;
  release(): void;
}

/** Reads see the writes of the same transaction. `previous` is the row that `get` or `below` returned for the key. */
export interface RowWriter {
  get(key: string): TableRow | undefined;
  /** All rows below the prefix, keys ascending by octets. */
  below(prefix: string): readonly KeyedRow[];
  set(key: string, row: TableRow, previous: TableRow | undefined): void;
  delete(key: string, previous: TableRow): void;
}

export interface Written {
  /** The table's revision after the transaction. */
  readonly revision: number;
}

export interface Table {
  /** Unique to this table. It never changes. */
  readonly identity: string;
  /** A key's row and the table's revision at the same instant. */
  get(key: string): { readonly row: TableRow | undefined; readonly revision: number };
  view(): TableView;
  /** Up to `limit` keys whose deadline is at or before the instant, the earliest first. */
  due(nowMs: number, limit: number): string[];
  earliestDeadlineMs(): number | undefined;
  /**
   * Runs `work` in one transaction and passes it the revision that the previous transaction left. Resolves when every
   * write is durable, even if the revision did not change. Rejects when the table kept none of the writes. The caller
   * runs one transaction at a time.
   */
  write<T extends Written>(work: (rows: RowWriter, revision: number) => T): Promise<T>;
  close(): Promise<void>;
}

/**
 * Compares two strings as their UTF-8 octets compare (negative, 0, positive), without encoding them. That is the order
 * of UTF-16 code units except for surrogates, which stand for characters above U+FFFF.
 */
export function compareOctets(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const unitA = a.charCodeAt(i);
    const unitB = b.charCodeAt(i);
    if (unitA !== unitB) return octetRank(unitA) - octetRank(unitB);
  }
  return a.length - b.length;
}

function octetRank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}
