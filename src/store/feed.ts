/**
 * One watch that feeds one or several replicas of the keys below a prefix. A listing that the watch needs is one
 * listing for all replicas: at the start, and when the store has forgotten the revision or is another store. A replica
 * that joins later, or that threw, is listed alone while the watch goes on for the others.
 *
 * Invariants: the cursor is the last revision whose changes every replica has, except those that need a listing; a lost
 * watch continues from the next one. A listing beside the watch is of the watch's history, and of no earlier revision
 * than the cursor had when it began.
 */
import { backoffMs } from '../timing/backoff.ts';
import type { Clock } from '../timing/clock.ts';
import { WakeableSleep } from '../timing/sleep.ts';
import type { FedReplica } from './fedReplica.ts';
import { NewestEntry } from './fingerprint.ts';
import { type FollowedHistory, type Store, StoreError, type WatchBatch } from './store.ts';

export interface FeedOptions {
  readonly store: Store;
  readonly prefix: string;
  readonly clock: Clock;
  /** Returns 0 to below 1, for the jitter of the backoff. */
  readonly random: () => number;
}

/**
 * The pause before an attempt is random between nothing and a ceiling, so that many mirrors that lost their store at the
 * same moment do not return at the same moment. The ceiling doubles with each failure in a row. Before a listing it is at
 * least the time that the last listing took: that time is long for many keys and for a busy store.
 */
const RETRY = { minMs: 50, maxMs: 5_000 };
/** After this long without a pause the feed lets the event loop run other work. */
const SLICE_MS = 8;

interface Listed {
  readonly revision: number;
  readonly history: string;
  readonly newest: NewestEntry;
}

/** Runs from the first `join` until all replicas have left. */
export class Feed {
  readonly #options: FeedOptions;
  readonly #abort = new AbortController();
  readonly #backoff: WakeableSleep;
  readonly #replicas = new Set<FedReplica>();
  /** Replicas that are listed alone, each with the pause before its next listing. */
  readonly #alone = new Map<FedReplica, WakeableSleep>();
  #isRunning = false;
  /** All replicas need a listing, and the watch waits for it. */
  #mustList = true;
  /** Counts the listings for all replicas; each of them ends the listings for single replicas. */
  #round = 0;
  #cursor = 0;
  /** The history of the cursor; undefined when it is uncertain. */
  #history: string | undefined;
  #newest = new NewestEntry();
  /** Whether the watch has brought all changes that the store had when the watch began. */
  #isCurrent = false;
  #failuresInARow = 0;
  /** How long the last listing took, complete or not. */
  #listingMs = 0;
  #sliceFromMs = 0;

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#backoff = new WakeableSleep(options.clock);
  }

  join(replica: FedReplica): void {
    if (this.#abort.signal.aborted || replica.isClosed) return;
    this.#replicas.add(replica);
    if (!this.#isRunning) void this.#run();
    else if (!this.#mustList) void this.#listAlone(replica);
  }

  /** Calls to the store that are in progress end when the store closes. */
  leave(replica: FedReplica): void {
    this.#replicas.delete(replica);
    this.#alone.get(replica)?.wake();
    if (this.#replicas.size > 0) return;
    this.#abort.abort();
    this.#backoff.wake();
  }

  /** The replica threw. */
  onThrown(replica: FedReplica, error: unknown): void {
    this.#failAlone(replica, error);
    // A listing for all replicas is followed by one for each replica that still needs it.
    if (!this.#mustList) void this.#listAlone(replica);
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    while (!this.#abort.signal.aborted) {
      try {
        if (this.#mustList) await this.#listForAll();
        await this.#follow();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        await this.#backoff.sleep(this.#onFailure(error));
      }
    }
  }

  async #listForAll(): Promise<void> {
    this.#round++;
    const replicas = [...this.#replicas];
    const listed = await this.#list(replicas, () => false);
    if (listed === undefined) return;
    for (const replica of replicas) replica.endListing(listed.revision, listed.history);
    this.#cursor = listed.revision;
    this.#history = listed.history;
    this.#newest = listed.newest;
    this.#mustList = false;
    for (const replica of this.#replicas) if (replica.needsListing) void this.#listAlone(replica);
  }

  /** Lists for one replica until it can take the watch's changes, or until all need a listing. */
  async #listAlone(replica: FedReplica): Promise<void> {
    if (this.#alone.has(replica)) return;
    const backoff = new WakeableSleep(this.#options.clock);
    this.#alone.set(replica, backoff);
    const isDue = (): boolean => replica.needsListing && !replica.isClosed && !this.#mustList;
    while (isDue()) {
      if (replica.retryInMs > 0) await backoff.sleep(replica.retryInMs);
      if (isDue()) await this.#tryAlone(replica);
    }
    this.#alone.delete(replica);
  }

  async #tryAlone(replica: FedReplica): Promise<void> {
    const round = this.#round;
    const cursor = this.#cursor;
    const isOver = (): boolean => this.#mustList || this.#round !== round || replica.isClosed;
    try {
      const listed = await this.#list([replica], isOver);
      if (listed === undefined) return;
      if (listed.revision < cursor || listed.history !== this.#history)
        throw new StoreError('unavailable', 'the snapshot does not fit the watch');
      replica.endListing(listed.revision, listed.history);
    } catch (error) {
      if (!isOver()) this.#failAlone(replica, error);
    }
  }

  /** Undefined if it was over before the last page. */
  async #list(replicas: readonly FedReplica[], isOver: () => boolean): Promise<Listed | undefined> {
    const { store, prefix, clock } = this.#options;
    const startMs = clock.monotonicMs();
    const newest = new NewestEntry();
    let revision = 0;
    let history = '';
    for (const replica of replicas) replica.beginListing();
    try {
      for await (const page of store.snapshot(prefix, { bulk: true })) {
        if (this.#abort.signal.aborted || isOver()) return undefined;
        ({ revision, history } = page);
        newest.addPage(page);
        for (const replica of replicas) replica.addPage(page);
      }
    } finally {
      this.#listingMs = clock.monotonicMs() - startMs;
    }
    if (this.#abort.signal.aborted || isOver()) return undefined;
    return { revision, history, newest };
  }

  /** Brings the changes of a watch until the watch fails. */
  async #follow(): Promise<void> {
    const { store, prefix } = this.#options;
    const { signal } = this.#abort;
    this.#isCurrent = false;
    const watch = (store.watchMerged ?? store.watch).bind(store);
    for await (const batch of watch(prefix, this.#cursor + 1, signal, this.#followed())) {
      if (signal.aborted) return;
      this.#deliver(batch);
      await this.#yieldIfBusy();
    }
    throw new StoreError('unavailable', 'the watch ended');
  }

  #followed(): FollowedHistory | undefined {
    const history = this.#history;
    return history === undefined ? undefined : { history, fingerprint: this.#newest.fingerprint() };
  }

  #deliver(batch: WatchBatch): void {
    this.#failuresInARow = 0;
    this.#cursor = batch.revision;
    this.#newest.addBatch(batch);
    this.#isCurrent ||= batch.changes.length === 0;
    for (const replica of this.#replicas) replica.receive(batch, this.#isCurrent);
  }

  /** Records a failure of the watch, or of the listing for all, and returns how long to wait before the next attempt. */
  #onFailure(error: unknown): number {
    const code = error instanceof StoreError ? error.code : undefined;
    // Any other error is a bug, and what it left behind is uncertain.
    const isUncertain = code === undefined || code === 'replaced';
    if (isUncertain) this.#history = undefined;
    if (isUncertain || code === 'compacted') {
      this.#mustList = true;
      for (const replica of this.#replicas) replica.requireListing(isUncertain);
    }
    const failuresInARow = ++this.#failuresInARow;
    const retryInMs = this.#pauseMs(failuresInARow, this.#mustList);
    for (const replica of this.#replicas)
      if (this.#mustList || !replica.needsListing)
        replica.onFailure({ error, retryInMs, failuresInARow });
    return retryInMs;
  }

  /** Records a failure of one replica, or of a listing for it. */
  #failAlone(replica: FedReplica, error: unknown): void {
    const failuresInARow = replica.failuresInARow + 1;
    const retryInMs = this.#pauseMs(failuresInARow, true);
    replica.onFailure({ error, retryInMs, failuresInARow });
  }

  #pauseMs(failuresInARow: number, isBeforeListing: boolean): number {
    const listingMs = isBeforeListing ? Math.min(this.#listingMs, RETRY.maxMs) : 0;
    return this.#options.random() * Math.max(backoffMs(failuresInARow, RETRY), listingMs);
  }

  /** Lets the event loop run other work when a burst of changes has kept it busy. */
  async #yieldIfBusy(): Promise<void> {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#sliceFromMs < SLICE_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceFromMs = this.#options.clock.monotonicMs();
  }
}
