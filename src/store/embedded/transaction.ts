/**
 * What one write means: conditions, revisions, leases and expiry, over the rows of one transaction of the table.
 *
 * Every write that changes something takes the next revision and leaves one batch of changes for the watchers. A row
 * past its deadline is never seen: whoever meets one deletes it first, at a revision of its own.
 */
import type { Change, Entry } from '../../service/change.ts';
import type { Timeline } from '../clock.ts';
import type { Condition, DeleteResult, PutOptions, PutResult, WatchBatch } from '../store.ts';
import type { Lifetime, Row, RowWriter, Written } from './table.ts';

/** The row as the rest of the program sees it. */
export function entryOf(key: string, row: Row, timeline: Timeline): Entry {
  const { value, createRevision, modRevision, lifetime } = row;
  const lease = lifetime && {
    id: String(modRevision),
    ttlSeconds: lifetime.ttlSeconds,
    expiresAtMs: timeline.toMonotonicMs(lifetime.deadlineMs),
  };
  return { key, value, createRevision, modRevision, lease };
}

/** Whether the row's time is over at an instant of the timeline. */
export function isExpired(row: Row, nowMs: number): boolean {
  return row.lifetime !== undefined && row.lifetime.deadlineMs <= nowMs;
}

export class Transaction implements Written {
  readonly batches: WatchBatch[] = [];
  readonly #rows: RowWriter;
  readonly #timeline: Timeline;
  readonly #nowMs: number;
  #revision: number;

  /** `revision` is the table's before this transaction. */
  constructor(rows: RowWriter, revision: number, timeline: Timeline) {
    this.#rows = rows;
    this.#revision = revision;
    this.#timeline = timeline;
    this.#nowMs = timeline.nowMs();
  }

  get revision(): number {
    return this.#revision;
  }

  /** Deletes those of the keys whose time is over. */
  expire(keys: readonly string[]): void {
    for (const key of keys) this.#current(key);
  }

  put(key: string, value: Uint8Array, options: PutOptions): PutResult {
    const old = this.#current(key);
    const previous = old && this.#entry(key, old);
    if (!holds(options.if, previous)) {
      return { done: false, current: previous, revision: this.#revision };
    }
    const modRevision = this.#revision + 1;
    const createRevision = old?.createRevision ?? modRevision;
    const lifetime = this.#lifetime(options.ttlSeconds);
    const row: Row = { value, createRevision, modRevision, lifetime };
    this.#rows.set(key, row, old);
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
    this.#delete(key, row);
    return { done: true, deleted: current, revision: this.#revision };
  }

  deleteTree(prefix: string): { deleted: number; revision: number } {
    const modRevision = this.#revision + 1;
    const changes: Change[] = [];
    let deleted = 0;
    for (const { key, row } of this.#rows.below(prefix)) {
      if (!isExpired(row, this.#nowMs)) deleted++;
      this.#rows.delete(key, row);
      changes.push({ kind: 'delete', key, modRevision, previous: this.#entry(key, row) });
    }
    if (changes.length > 0) this.#commit(changes);
    return { deleted, revision: this.#revision };
  }

  #current(key: string): Row | undefined {
    const row = this.#rows.get(key);
    if (row === undefined || !isExpired(row, this.#nowMs)) return row;
    this.#delete(key, row);
    return undefined;
  }

  #delete(key: string, row: Row): void {
    const modRevision = this.#revision + 1;
    const previous = this.#entry(key, row);
    this.#rows.delete(key, row);
    this.#commit([{ kind: 'delete', key, modRevision, previous }]);
  }

  #commit(changes: readonly Change[]): void {
    this.#revision++;
    this.batches.push({ revision: this.#revision, changes });
  }

  #lifetime(ttlSeconds: number | undefined): Lifetime | undefined {
    if (ttlSeconds === undefined) return undefined;
    return { ttlSeconds, deadlineMs: this.#nowMs + ttlSeconds * 1000 };
  }

  #entry(key: string, row: Row): Entry {
    return entryOf(key, row, this.#timeline);
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
