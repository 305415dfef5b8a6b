/**
 * store/embedded/: The store that runs inside this process: transactions, leases, history and watchers over a table.
 * Imports: service, store, timing.
 * Used by: app/process, server/http/api, store/file.
 *
 * This file is the store that `memory:` and `file:` share: one queue of writes over a table. A transaction takes all
 * writes that are waiting, so many callers share one flush to the disk. A write's promise settles after its transaction
 * is durable and its changes were passed to the watchers. Reads see the last committed transaction.
 *
 * One alarm waits for the earliest deadline. A late alarm never makes an expired row visible: reads skip expired rows,
 * and writes delete them first.
 */
import { randomInt } from 'node:crypto';
import type { Entry, Lease } from '../../service/change.ts';
import { backoffMs } from '../../timing/backoff.ts';
import { Alarm, type Clock } from '../../timing/clock.ts';
import {
  checkGrantedTtl,
  checkKey,
  checkLifetime,
  checkPrefix,
  checkValue,
  MAX_LEASES,
  noSuchLease,
  tooManyLeases,
} from '../limits.ts';
import {
  type Condition,
  type DeleteResult,
  type FollowedHistory,
  type KeyLocation,
  type LeaseStore,
  type PutOptions,
  type PutResult,
  type SnapshotPage,
  StoreError,
  type WatchBatch,
} from '../store.ts';
import { type ChangeBounds, History } from './history.ts';
import { EmbeddedLeases } from './leases.ts';
import { EmbeddedReader } from './reader.ts';
import type { Table } from './table.ts';
import type { Timeline } from './timeline.ts';
import { Transaction } from './transaction.ts';
import { Watchers } from './watchers.ts';

const EXPIRIES_PER_TRANSACTION = 1000;
/** The backoff after a failed transaction. The first pause is long, because lmdb prints each failure. */
const RETRY = { minMs: 1_000, maxMs: 16_000 };
/**
 * Lease ids are random, so that no store assigns one twice. They are greater than every revision, because the lease of
 * a key with a TTL of its own has the key's modRevision as its id.
 */
const LEASE_IDS = { min: 2 ** 47, max: 2 ** 48 - 1 };
const HISTORY: ChangeBounds = { changes: 10_000, octets: 32 * 1024 * 1024 };

export interface EmbeddedStoreOptions {
  readonly label: string;
  readonly table: Table;
  readonly clock: Clock;
  /** The time scale of the rows' deadlines. */
  readonly timeline: Timeline;
  /**
   * How many recent changes the store remembers, from which a watch can start; default 10,000 changes or 32 MiB. A
   * watcher may fall behind by twice as much.
   */
  readonly history?: ChangeBounds | undefined;
  /** Runs after the table was closed, even if closing it failed. */
  readonly afterClose?: (() => Promise<void>) | undefined;
}

/** A write in the queue and the functions that resolve or reject its caller's promise. */
interface PendingWrite {
  run(transaction: Transaction): void;
  resolve(): void;
  reject(error: StoreError): void;
}

export class EmbeddedStore implements LeaseStore {
  readonly label: string;
  readonly #table: Table;
  readonly #timeline: Timeline;
  readonly #clock: Clock;
  readonly #leases: EmbeddedLeases;
  readonly #watchers: Watchers;
  readonly #reads: EmbeddedReader;
  readonly #alarm: Alarm;
  readonly #afterClose: () => Promise<void>;
  #queue: PendingWrite[] = [];
  #draining: Promise<void> | undefined;
  #writeTrouble: string | undefined;
  #failuresInARow = 0;
  #closing: Promise<void> | undefined;

  constructor(options: EmbeddedStoreOptions) {
    this.label = options.label;
    this.#table = options.table;
    this.#clock = options.clock;
    this.#timeline = options.timeline;
    this.#leases = new EmbeddedLeases(options.table, options.timeline);
    this.#afterClose = options.afterClose ?? (async () => undefined);
    const bounds = options.history ?? HISTORY;
    const history = new History(revisionOf(options.table), bounds);
    this.#watchers = new Watchers(history, {
      changes: bounds.changes * 2,
      octets: bounds.octets * 2,
    });
    this.#watchers.setCurrent();
    this.#reads = new EmbeddedReader({
      ...options,
      leases: this.#leases,
      watchers: this.#watchers,
      assertOpen: () => this.#assertOpen(),
    });
    this.#alarm = new Alarm(options.clock, () => this.#drain());
  }

  /**
   * Deletes the rows that expired while the store was down, and starts to wait for the next deadline. Succeeds even if
   * the disk accepts no writes: the store tries again later, and reads skip expired rows.
   */
  async start(): Promise<void> {
    await this.#write(() => undefined).catch((error: StoreError) => {
      if (this.#writeTrouble === undefined) throw error;
    });
  }

  writeTrouble(): string | undefined {
    return this.#writeTrouble;
  }

  async get(key: string): Promise<{ entry: Entry | undefined; revision: number }> {
    this.#assertOpen();
    checkKey(key);
    return this.#reads.get(key);
  }

  async locate(key: string): Promise<KeyLocation> {
    this.#assertOpen();
    checkKey(key);
    return this.#reads.locate(key);
  }

  async *snapshot(prefix: string): AsyncGenerator<SnapshotPage, void, undefined> {
    this.#assertOpen();
    checkPrefix(prefix);
    const { identity: history } = this.#table;
    for await (const page of this.#reads.snapshot(prefix)) yield { ...page, history };
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    this.#assertOpen();
    checkPrefix(prefix);
    if (followed !== undefined) this.#checkHistory(followed, fromRevision - 1);
    yield* this.#watchers.watch(prefix, fromRevision, signal);
  }

  async put(key: string, value: Uint8Array, options: PutOptions = {}): Promise<PutResult> {
    checkKey(key);
    checkValue(value);
    checkLifetime(options);
    const ownValue = value.slice();
    const result = await this.#write((transaction) => transaction.put(key, ownValue, options));
    if (result === 'no such lease') throw noSuchLease(options.lease ?? '');
    return result;
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

  async grantLease(ttlSeconds: number): Promise<Lease> {
    checkGrantedTtl(ttlSeconds);
    const id = randomInt(LEASE_IDS.min, LEASE_IDS.max);
    const granted = await this.#write((transaction) =>
      this.#leases.all.size < MAX_LEASES ? transaction.grantLease(id, ttlSeconds) : undefined,
    );
    if (granted === undefined) throw tooManyLeases();
    return granted;
  }

  async renewLease(id: string): Promise<boolean> {
    return this.#write((transaction) => transaction.renewLease(id));
  }

  async revokeLease(id: string): Promise<void> {
    return this.#write((transaction) => transaction.revokeLease(id));
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** A write whose transaction has begun still gets the transaction's result; queued writes reject. */
  async #close(): Promise<void> {
    this.#alarm.set(undefined);
    const error = this.#closedError();
    for (const write of this.#queue.splice(0)) write.reject(error);
    this.#watchers.endAll(error);
    await this.#draining;
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
    this.#draining ??= this.#drainQueue();
  }

  /** Runs transactions until the queue is empty and no deadline has passed, then sets the alarm. */
  async #drainQueue(): Promise<void> {
    let wakeAtMs: number | undefined;
    do {
      wakeAtMs = await this.#transact();
    } while (this.#closing === undefined && (this.#queue.length > 0 || this.#isDue(wakeAtMs)));
    // This runs in the same turn of the event loop as the last check of the queue and the clock, so a later write
    // starts a new loop.
    this.#draining = undefined;
    if (this.#closing === undefined) this.#alarm.set(wakeAtMs);
  }

  /** Runs one transaction with all waiting writes and returns the monotonic time to wake at. Never rejects. */
  async #transact(): Promise<number | undefined> {
    let writes: PendingWrite[] = [];
    try {
      const done = await this.#table.write((rows, revision) => {
        const transaction = new Transaction(rows, revision, this.#leases, this.#timeline);
        transaction.expire(this.#table.due(this.#timeline.nowMs(), EXPIRIES_PER_TRANSACTION));
        writes = this.#queue.splice(0);
        for (const write of writes) write.run(transaction);
        return transaction;
      });
      this.#leases.commit();
      this.#writeTrouble = undefined;
      this.#failuresInARow = 0;
      for (const batch of done.batches) this.#watchers.deliver(batch);
      for (const write of writes) write.resolve();
      const deadlineMs = this.#table.earliestDeadlineMs();
      return deadlineMs === undefined ? undefined : this.#timeline.toMonotonicMs(deadlineMs);
    } catch (cause) {
      this.#leases.rollBack();
      const error = this.#failure(cause);
      this.#writeTrouble = error.message;
      for (const write of writes.length > 0 ? writes : this.#queue.splice(0)) write.reject(error);
      return this.#clock.monotonicMs() + backoffMs(++this.#failuresInARow, RETRY);
    }
  }

  #isDue(wakeAtMs: number | undefined): boolean {
    return wakeAtMs !== undefined && wakeAtMs <= this.#clock.monotonicMs();
  }

  #checkHistory({ history }: FollowedHistory, seenRevision: number): void {
    // A store that was restored from a copy counts as the same store at an earlier revision.
    if (history === this.#table.identity && seenRevision <= revisionOf(this.#table)) return;
    throw new StoreError('replaced', `${this.label} is not the store that was watched before`);
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
