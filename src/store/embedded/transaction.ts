/**
 * The effect of one write on the rows of one transaction: conditions, revisions, leases and expiry.
 *
 * Every write that changes a row takes the next revision and adds one batch of changes for the watchers. A write never
 * sees an expired row: it first deletes that row, at a revision of its own, together with every row of the same lease.
 *
 * Invariants: a row with a lease has a member row (leases.ts), and its lease exists.
 */
import type { Change, Entry, Lease } from '../../service/change.ts';
import type { Condition, DeleteResult, PutOptions, PutResult, WatchBatch } from '../store.ts';
import {
  type EmbeddedLeases,
  leaseIdOf,
  leaseKey,
  leaseRow,
  MEMBER_ROW,
  membersPrefix,
  parseLeaseId,
  type SharedLease,
} from './leases.ts';
import type { Lifetime, RowWriter, TableRow, Written } from './table.ts';
import type { Timeline } from './timeline.ts';

type SharedLeases = ReadonlyMap<number, SharedLease>;

/** The entry of a row. */
export function entryOfRow(
  key: string,
  row: TableRow,
  timeline: Timeline,
  leases: SharedLeases,
): Entry {
  const { value, createRevision, modRevision } = row;
  const lease = row.lease === undefined ? ownLease(row, timeline) : leases.get(row.lease);
  return { key, value, createRevision, modRevision, lease };
}

function ownLease({ lifetime, modRevision }: TableRow, timeline: Timeline): Lease | undefined {
  return (
    lifetime && {
      id: String(modRevision),
      ttlSeconds: lifetime.ttlSeconds,
      expiresAtMs: timeline.toMonotonicMs(lifetime.deadlineMs),
    }
  );
}

/** Whether the row has expired at an instant of the timeline. */
export function isExpired(row: TableRow, nowMs: number, leases: SharedLeases): boolean {
  const life = row.lease === undefined ? row.lifetime : leases.get(row.lease);
  return life !== undefined && life.deadlineMs <= nowMs;
}

export class Transaction implements Written {
  readonly batches: WatchBatch[] = [];
  readonly #rows: RowWriter;
  readonly #leases: EmbeddedLeases;
  readonly #timeline: Timeline;
  readonly #nowMs: number;
  #revision: number;

  /** `revision` is the table's revision before this transaction. */
  constructor(rows: RowWriter, revision: number, leases: EmbeddedLeases, timeline: Timeline) {
    this.#rows = rows;
    this.#revision = revision;
    this.#leases = leases;
    this.#timeline = timeline;
    this.#nowMs = timeline.nowMs();
  }

  get revision(): number {
    return this.#revision;
  }

  /** Deletes the keys that have expired; `keys` are candidates. */
  expire(keys: readonly string[]): void {
    for (const key of keys) {
      const lease = leaseIdOf(key);
      if (lease === undefined) this.#current(key);
      else this.#lease(lease);
    }
  }

  put(key: string, value: Uint8Array, options: PutOptions): PutResult | 'no such lease' {
    const old = this.#current(key);
    const previous = old && this.#entry(key, old);
    if (!holds(options.if, previous)) {
      return { done: false, current: previous, revision: this.#revision };
    }
    const lease = options.lease === undefined ? undefined : this.#leaseNamed(options.lease);
    if (lease === undefined && options.lease !== undefined) return 'no such lease';
    const modRevision = this.#revision + 1;
    const createRevision = old?.createRevision ?? modRevision;
    const { ttlSeconds } = options;
    const lifetime = ttlSeconds === undefined ? undefined : this.#lifetime(ttlSeconds);
    const row: TableRow = { value, createRevision, modRevision, lifetime, lease: lease?.id };
    this.#rows.set(key, row, old);
    this.#moveMember(key, old?.lease, row.lease);
    const entry = this.#entry(key, row);
    this.#commit([{ kind: 'put', entry, previous }]);
    return { done: true, entry, previous };
  }

  delete(key: string, condition: Condition | undefined): DeleteResult {
    const row = this.#current(key);
    const current = row && this.#entry(key, row);
    if (row === undefined || current === undefined || !holds(condition, current)) {
      return { done: false, current, revision: this.#revision };
    }
    this.#commit([this.#deleteRow(key, row)]);
    return { done: true, deleted: current, revision: this.#revision };
  }

  deleteTree(prefix: string): { deleted: number; revision: number } {
    const live = this.#rows.below(prefix).filter(({ row }) => !this.#isExpired(row));
    const changes = live.map(({ key, row }) => this.#deleteRow(key, row));
    if (changes.length > 0) this.#commit(changes);
    return { deleted: changes.length, revision: this.#revision };
  }

  /** `id` is a lease id that the store has never used. */
  grantLease(id: number, ttlSeconds: number): Lease {
    const lifetime = this.#lifetime(ttlSeconds);
    this.#rows.set(leaseKey(id), leaseRow(lifetime), undefined);
    return this.#leases.set(id, lifetime);
  }

  /** Returns whether the lease exists. */
  renewLease(name: string): boolean {
    const lease = this.#leaseNamed(name);
    if (lease === undefined) return false;
    const { id, row } = lease;
    const lifetime = this.#lifetime(row.lifetime?.ttlSeconds ?? 0);
    this.#rows.set(leaseKey(id), leaseRow(lifetime), row);
    this.#leases.set(id, lifetime);
    return true;
  }

  revokeLease(name: string): void {
    const lease = this.#leaseNamed(name);
    if (lease !== undefined) this.#endLease(lease.id, lease.row);
  }

  #leaseNamed(name: string): { readonly id: number; readonly row: TableRow } | undefined {
    const id = parseLeaseId(name);
    const row = id === undefined ? undefined : this.#lease(id);
    return id === undefined || row === undefined ? undefined : { id, row };
  }

  /** The lease's row. Ends the lease first if it has expired. */
  #lease(id: number): TableRow | undefined {
    const row = this.#rows.get(leaseKey(id));
    if (row === undefined || !this.#isExpired(row)) return row;
    this.#endLease(id, row);
    return undefined;
  }

  #endLease(id: number, row: TableRow): void {
    const prefix = membersPrefix(id);
    const keys = this.#rows.below(prefix).map((member) => member.key.slice(prefix.length));
    const changes: Change[] = [];
    for (const key of keys) {
      const member = this.#rows.get(key);
      if (member !== undefined) changes.push(this.#deleteRow(key, member));
    }
    this.#rows.delete(leaseKey(id), row);
    this.#leases.end(id);
    if (changes.length > 0) this.#commit(changes);
  }

  /** The key's row. Deletes it first if it has expired. */
  #current(key: string): TableRow | undefined {
    const row = this.#rows.get(key);
    if (row === undefined || !this.#isExpired(row)) return row;
    if (row.lease === undefined) this.#commit([this.#deleteRow(key, row)]);
    else this.#lease(row.lease);
    return undefined;
  }

  /** Deletes a row and returns the change at the next revision. */
  #deleteRow(key: string, row: TableRow): Change {
    const previous = this.#entry(key, row);
    const ranOut = previous.lease && this.#isExpired(row);
    this.#rows.delete(key, row);
    this.#moveMember(key, row.lease, undefined);
    return { kind: 'delete', key, modRevision: this.#revision + 1, previous, ranOut };
  }

  #moveMember(key: string, from: number | undefined, to: number | undefined): void {
    if (from === to) return;
    if (from !== undefined) this.#rows.delete(membersPrefix(from) + key, MEMBER_ROW);
    if (to !== undefined) this.#rows.set(membersPrefix(to) + key, MEMBER_ROW, undefined);
  }

  #commit(changes: readonly Change[]): void {
    this.#revision++;
    this.batches.push({ revision: this.#revision, changes });
  }

  #lifetime(ttlSeconds: number): Lifetime {
    return { ttlSeconds, deadlineMs: this.#nowMs + ttlSeconds * 1000 };
  }

  #entry(key: string, row: TableRow): Entry {
    return entryOfRow(key, row, this.#timeline, this.#leases.all);
  }

  #isExpired(row: TableRow): boolean {
    return isExpired(row, this.#nowMs, this.#leases.all);
  }
}

function holds(condition: Condition | undefined, current: Entry | undefined): boolean {
  switch (condition?.kind) {
    case undefined:
      return true;
    case 'absent':
      return current === undefined;
    case 'present':
      return current !== undefined;
    case 'modRevision':
      return current?.modRevision === condition.modRevision;
    case 'value':
      return current !== undefined && Buffer.compare(current.value, condition.value) === 0;
  }
}
