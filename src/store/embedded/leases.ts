/**
 * The leases that keys share. A lease is rows of the core's own, whose keys do not begin with `/` and so are below no
 * prefix that anyone can name:
 *
 *     lease/ID           its TTL and deadline
 *     leased/ID/KEY      one for each of its keys
 *
 * A key's row names only the id, so a renewal writes one row however many keys there are. What entries carry is one
 * object for each lease, kept here, whose end moves as soon as a transaction renews it: a reader must not miss a key
 * whose lease was renewed in time because the disk is slow, as no change would bring that key back.
 */
import type { Lease } from '../../service/change.ts';
import type { Timeline } from './history.ts';
import type { KeyedRow, Lifetime, Table, TableRow } from './table.ts';

const LEASES = 'lease/';
const NOTHING = new Uint8Array(0);

/** The row that says of a key that a lease has it. */
export const MEMBER_ROW: TableRow = leaseRow(undefined);

/** The row of a lease itself. */
export function leaseRow(lifetime: Lifetime | undefined): TableRow {
  return { value: NOTHING, createRevision: 0, modRevision: 0, lifetime, lease: undefined };
}

export function leaseKey(id: number): string {
  return LEASES + id;
}

/** The id, if this is the key of a lease's row. */
export function leaseIdOf(key: string): number | undefined {
  return key.startsWith(LEASES) ? Number(key.slice(LEASES.length)) : undefined;
}

/** What the keys of a lease have before them in its rows for them. */
export function membersPrefix(id: number): string {
  return `leased/${id}/`;
}

/** The id that a text names. Ids of another form are nobody's. */
export function parseLeaseId(text: string): number | undefined {
  return /^[1-9][0-9]{0,14}$/.test(text) ? Number(text) : undefined;
}

/** One lease as its entries carry it. */
export class SharedLease implements Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  readonly #timeline: Timeline;
  /** On the store's timeline. */
  deadlineMs: number;

  constructor(id: number, { ttlSeconds, deadlineMs }: Lifetime, timeline: Timeline) {
    this.id = String(id);
    this.ttlSeconds = ttlSeconds;
    this.deadlineMs = deadlineMs;
    this.#timeline = timeline;
  }

  get expiresAtMs(): number {
    return this.#timeline.toMonotonicMs(this.deadlineMs);
  }
}

/**
 * Every lease that a row of the table can name, by id, and what the transaction at work changes about them. Whatever
 * begins must be followed by `keep` or `undo` before the next transaction.
 */
export class EmbeddedLeases {
  readonly #timeline: Timeline;
  readonly #byId = new Map<number, SharedLease>();
  /** Deadlines before the transaction; `undefined`: the lease is new. */
  readonly #formerDeadlines = new Map<number, number | undefined>();
  readonly #ended = new Set<number>();

  /** Those that the table holds. */
  constructor(table: Pick<Table, 'view'>, timeline: Timeline) {
    this.#timeline = timeline;
    for (const { key, row } of leaseRows(table)) {
      const id = leaseIdOf(key);
      if (id !== undefined && row.lifetime !== undefined) this.#add(id, row.lifetime);
    }
  }

  get all(): ReadonlyMap<number, SharedLease> {
    return this.#byId;
  }

  /** The transaction grants or renews it. */
  set(id: number, lifetime: Lifetime): SharedLease {
    const known = this.#byId.get(id);
    if (!this.#formerDeadlines.has(id)) this.#formerDeadlines.set(id, known?.deadlineMs);
    if (known === undefined) return this.#add(id, lifetime);
    known.deadlineMs = lifetime.deadlineMs;
    return known;
  }

  /** The transaction ends it; readers of what was before still find it. */
  end(id: number): void {
    this.#ended.add(id);
  }

  /** The transaction is durable. */
  commit(): void {
    for (const id of this.#ended) this.#byId.delete(id);
    this.#clearPending();
  }

  /** Nothing of the transaction was kept. */
  rollBack(): void {
    for (const [id, deadlineMs] of this.#formerDeadlines) {
      const known = this.#byId.get(id);
      if (known !== undefined && deadlineMs !== undefined) known.deadlineMs = deadlineMs;
      else this.#byId.delete(id);
    }
    this.#clearPending();
  }

  #clearPending(): void {
    this.#formerDeadlines.clear();
    this.#ended.clear();
  }

  #add(id: number, lifetime: Lifetime): SharedLease {
    const lease = new SharedLease(id, lifetime, this.#timeline);
    this.#byId.set(id, lease);
    return lease;
  }
}

function leaseRows(table: Pick<Table, 'view'>): readonly KeyedRow[] {
  const view = table.view();
  try {
    return view.page(LEASES, undefined, { rows: Infinity, octets: Infinity }).rows;
  } finally {
    view.release();
  }
}
