/**
 * The store that `memory:` and `file:` share: one queue of writes over a table.
 *
 * All writes that wait when a transaction begins go into it together, so many callers share one flush to the disk. A
 * write's promise settles after its transaction is durable and its changes were handed to the watchers. Reads see the
 * last committed transaction. One alarm waits for the earliest deadline; a late alarm never shows an expired row, as
 * reads leave those out and writes delete them first.
 */
import type { Entry } from '../../service/change.ts';
import { Alarm, type Clock, type Timeline } from '../clock.ts';
import {
  type Condition,
  type DeleteResult,
  type PutOptions,
  type PutResult,
  type SnapshotPage,
  type Store,
  StoreError,
  type WatchBatch,
} from '../store.ts';
import { type Bounds, History } from './history.ts';
import { checkKey, checkPrefix, checkTtl, checkValue } from './limits.ts';
import type { KeyedRow, Table, TableView } from './table.ts';
import { entryOf, isExpired, Transaction } from './transaction.ts';
import { Watchers } from './watchers.ts';

const PAGE_ROWS = 1000;
const EXPIRIES_PER_TRANSACTION = 1000;
const RETRY_MS = 1000;
const HISTORY: Bounds = { changes: 10_000, octets: 32 * 1024 * 1024 };

export interface EmbeddedParts {
  readonly label: string;
  readonly table: Table;
  readonly clock: Clock;
  /** What the rows' deadlines are measured on. */
  readonly timeline: Timeline;
  /** What a watch can begin with; default 10,000 changes or 32 MiB. A watcher may fall behind by twice that. */
  readonly history?: Bounds | undefined;
  /** Runs when the table is closed, also when closing it failed. */
  readonly afterClose?: (() => Promise<void>) | undefined;
}

/** A write in the queue, and what tells its caller. */
interface PendingWrite {
  run(transaction: Transaction): void;
  resolve(): void;
  reject(error: StoreError): void;
}

export class EmbeddedStore implements Store {
  readonly label: string;
  readonly #table: Table;
  readonly #timeline: Timeline;
  readonly #clock: Clock;
  readonly #watchers: Watchers;
  readonly #alarm: Alarm;
  readonly #afterClose: () => Promise<void>;
  readonly #views = new Set<TableView>();
  #queue: PendingWrite[] = [];
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(parts: EmbeddedParts) {
    this.label = parts.label;
    this.#table = parts.table;
    this.#clock = parts.clock;
    this.#timeline = parts.timeline;
    this.#afterClose = parts.afterClose ?? (async () => undefined);
    const bounds = parts.history ?? HISTORY;
    const history = new History(revisionOf(parts.table), bounds);
    this.#watchers = new Watchers(history, {
      changes: bounds.changes * 2,
      octets: bounds.octets * 2,
    });
    this.#alarm = new Alarm(parts.clock, () => this.#drain());
  }

  /** Deletes what expired while the store was down, and begins to wait for the next deadline. */
  async start(): Promise<void> {
    await this.#write(() => undefined);
  }

  async get(key: string): Promise<{ entry: Entry | undefined; revision: number }> {
    this.#assertOpen();
    checkKey(key);
    const { row, revision } = this.#table.get(key);
    const seen = row !== undefined && !isExpired(row, this.#timeline.nowMs());
    return { entry: seen ? entryOf(key, row, this.#timeline) : undefined, revision };
  }

  async *snapshot(prefix: string): AsyncGenerator<SnapshotPage, void, undefined> {
    this.#assertOpen();
    checkPrefix(prefix);
    const view = this.#table.view();
    const nowMs = this.#timeline.nowMs();
    this.#views.add(view);
    try {
      let after: string | undefined;
      do {
        this.#assertOpen();
        const rows = view.page(prefix, after, PAGE_ROWS);
        if (rows.length > 0 || after === undefined) {
          yield { revision: view.revision, entries: this.#entries(rows, nowMs) };
        }
        after = rows.length === PAGE_ROWS ? rows.at(-1)?.key : undefined;
      } while (after !== undefined);
    } finally {
      this.#views.delete(view);
      view.release();
    }
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    this.#assertOpen();
    checkPrefix(prefix);
    yield* this.#watchers.watch(prefix, fromRevision, signal);
  }

  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    checkKey(key);
    checkValue(value);
    checkTtl(options.ttlSeconds);
    const ownValue = value.slice();
    return this.#write((transaction) => transaction.put(key, ownValue, options));
  }

  async delete(
    key: string,
    options: { readonly if?: Condition | undefined } = {},
  ): Promise<DeleteResult> {
    checkKey(key);
    return this.#write((transaction) => transaction.delete(key, options.if));
  }

  async deleteTree(prefix: string): Promise<{ deleted: number; revision: number }> {
    checkPrefix(prefix);
    return this.#write((transaction) => transaction.deleteTree(prefix));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Writes whose transaction has begun still get their true result. */
  async #close(): Promise<void> {
    this.#alarm.set(undefined);
    const error = this.#closedError();
    for (const write of this.#queue.splice(0)) write.reject(error);
    this.#watchers.endAll(error);
    await this.#draining;
    for (const view of this.#views) view.release();
    await this.#table.close().finally(this.#afterClose);
  }

  #write<T>(run: (transaction: Transaction) => T): Promise<T> {
    this.#assertOpen();
    return new Promise<T>((resolve, reject) => {
      let result: T;
      this.#queue.push({
        run: (transaction) => {
          result = run(transaction);
        },
        resolve: () => resolve(result),
        reject,
      });
      this.#drain();
    });
  }

  #drain(): void {
    this.#draining ??= this.#drainQueue().finally(() => {
      this.#draining = undefined;
      if (this.#queue.length > 0) this.#drain();
    });
  }

  /** Runs transactions until nothing waits and nothing is due, then sets the alarm. */
  async #drainQueue(): Promise<void> {
    let wakeAtMs: number | undefined;
    do {
      wakeAtMs = await this.#transact();
    } while (this.#closing === undefined && (this.#queue.length > 0 || this.#isDue(wakeAtMs)));
    if (this.#closing === undefined) this.#alarm.set(wakeAtMs);
  }

  /** One transaction with all that waits; gives back the monotonic time to wake at. Never rejects. */
  async #transact(): Promise<number | undefined> {
    let writes: PendingWrite[] = [];
    try {
      const done = await this.#table.write((rows, revision) => {
        const transaction = new Transaction(rows, revision, this.#timeline);
        transaction.expire(this.#table.due(this.#timeline.nowMs(), EXPIRIES_PER_TRANSACTION));
        writes = this.#queue.splice(0);
        for (const write of writes) write.run(transaction);
        return transaction;
      });
      for (const batch of done.batches) this.#watchers.publish(batch);
      for (const write of writes) write.resolve();
      const deadlineMs = this.#table.earliestDeadlineMs();
      return deadlineMs === undefined ? undefined : this.#timeline.toMonotonicMs(deadlineMs);
    } catch (cause) {
      const error = this.#failure(cause);
      for (const write of writes.length > 0 ? writes : this.#queue.splice(0)) write.reject(error);
      return this.#clock.monotonicMs() + RETRY_MS;
    }
  }

  #isDue(wakeAtMs: number | undefined): boolean {
    return wakeAtMs !== undefined && wakeAtMs <= this.#clock.monotonicMs();
  }

  #entries(rows: readonly KeyedRow[], nowMs: number): Entry[] {
    const entries: Entry[] = [];
    for (const { key, row } of rows) {
      if (!isExpired(row, nowMs)) entries.push(entryOf(key, row, this.#timeline));
    }
    return entries;
  }

  #assertOpen(): void {
    if (this.#closing !== undefined) throw this.#closedError();
  }

  #closedError(): StoreError {
    return new StoreError('unavailable', `${this.label} is closed`);
  }

  #failure(cause: unknown): StoreError {
    if (cause instanceof StoreError) return cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    return new StoreError('unavailable', `writing to ${this.label} failed: ${reason}`, { cause });
  }
}

function revisionOf(table: Table): number {
  const view = table.view();
  const { revision } = view;
  view.release();
  return revision;
}
