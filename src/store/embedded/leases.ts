/**
 * The leases of an embedded store. A lease consists of rows whose keys do not begin with `/`, so no prefix of a client
 * covers them:
 *
 *     lease/ID           its TTL and deadline
 *     leased/ID/KEY      one for each of its keys
 *
 * A key's row has only the lease's id, so a renewal writes one row however many keys the lease has. All entries of a
 * lease carry one object, kept here, whose deadline moves as soon as a transaction renews the lease. If it moved only
 * after a slow disk had flushed, a reader would drop the keys of a lease that was renewed in time, and no change would
 * bring them back.
 */
import type { Lease } from '../../service/change.ts';
import type { KeyedRow, Lifetime, Table, TableRow } from './table.ts';
import type { Timeline } from './timeline.ts';

const LEASES = 'lease/';
const NOTHING = new Uint8Array(0);

/** The value of every `leased/ID/KEY` row. */
export const MEMBER_ROW: TableRow = leaseRow(undefined);

/** The row of the lease itself. */
export function leaseRow(lifetime: Lifetime | undefined): TableRow {
  return { value: NOTHING, createRevision: 0, modRevision: 0, lifetime, lease: undefined };
}

export function leaseKey(id: number): string {
  return LEASES + id;
}

/** The lease's id if this is the key of a lease's row. */
export function leaseIdOf(key: string): number | undefined {
  return key.startsWith(LEASES) ? Number(key.slice(LEASES.length)) : undefined;
}

/** The prefix of the rows that list a lease's keys. */
export function membersPrefix(id: number): string {
  return `leased/${id}/`;
}

/** Undefined for a text that cannot be an id of this store. */
export function parseLeaseId(text: string): number | undefined {
  return /^[1-9][0-9]{0,14}$/.test(text) ? Number(text) : undefined;
}

/** The lease object that its entries share. */
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
 * Every lease of the table, by id, and the changes of the running transaction. The caller ends each transaction with
 * `commit` or `rollBack`.
 */
export class EmbeddedLeases {
  readonly #timeline: Timeline;
  readonly #byId = new Map<number, SharedLease>();
  /** Deadlines before the transaction; undefined for a new lease. */
  readonly #formerDeadlines = new Map<number, number | undefined>();
  readonly #ended = new Set<number>();

  /** Reads the leases of the table. */
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

  /** The transaction grants or renews the lease. */
  set(id: number, lifetime: Lifetime): SharedLease {
    const known = this.#byId.get(id);
    if (!this.#formerDeadlines.has(id)) this.#formerDeadlines.set(id, known?.deadlineMs);
    if (known === undefined) return this.#add(id, lifetime);
    known.deadlineMs = lifetime.deadlineMs;
    return known;
  }

  /** The transaction ends the lease. Readers find it until the transaction is durable. */
  end(id: number): void {
    this.#ended.add(id);
  }

  /** The transaction is durable. */
  commit(): void {
    for (const id of this.#ended) this.#byId.delete(id);
    this.#clearPending();
  }

  /** The table kept nothing of the transaction. */
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
