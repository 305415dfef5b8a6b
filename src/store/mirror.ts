/**
 * Keeps a replica equal to the keys below a prefix of a store: loads them at one revision, then applies every change
 * from the next revision on.
 *
 * Invariants: the cursor is the last revision whose changes the replica has, and a lost watch continues from the next
 * one. When the store has forgotten that revision, or is another store, the mirror takes a snapshot at one revision and
 * applies the difference in one step. A reader of a loaded replica therefore never sees an empty or partial state.
 */
import type { Change } from '../service/change.ts';
import { backoffMs } from '../timing/backoff.ts';
import { type Clock, systemClock } from '../timing/clock.ts';
import { WakeableSleep } from '../timing/sleep.ts';
import { NewestEntry } from './fingerprint.ts';
import { SnapshotDiff } from './snapshotDiff.ts';
import { type FollowedHistory, type Store, StoreError } from './store.ts';

/** The state that the mirror maintains. */
export interface Replica {
  /** Makes all changes visible at once. */
  apply(changes: readonly Change[]): void;
  /** The replica's keys with their revisions. Not called during `apply`. */
  revisions(): Iterable<readonly [key: string, modRevision: number]>;
}

/** Times are on the clock's monotonic scale. */
export type MirrorState =
  | { readonly kind: 'loading'; readonly sinceMs: number; readonly reason: string | undefined }
  | { readonly kind: 'synced'; readonly revision: number; readonly lastEventAtMs: number }
  /** The replica equals the store at `revision`. The mirror has lost the store since `sinceMs`. */
  | {
      readonly kind: 'stale';
      readonly revision: number;
      readonly sinceMs: number;
      readonly reason: string;
    };

/** Events for the operator's log. */
export type MirrorEvent =
  | {
      readonly kind: 'loaded';
      readonly revision: number;
      readonly keys: number;
      readonly tookMs: number;
    }
  | {
      readonly kind: 'lost';
      readonly error: unknown;
      readonly retryInMs: number;
      /** 1 for the first failure after a success. */
      readonly failuresInARow: number;
    }
  | { readonly kind: 'resumed'; readonly revision: number }
  | {
      readonly kind: 'relisted';
      readonly revision: number;
      readonly puts: number;
      readonly deletes: number;
      readonly tookMs: number;
    };

export interface MirrorCounters {
  /** Changes received through the watch. */
  readonly events: number;
  /** Failed watches, loads and relists. */
  readonly failures: number;
  /** Complete snapshots after the first. */
  readonly resyncs: number;
}

export interface MirrorOptions {
  readonly store: Store;
  readonly prefix: string;
  readonly replica: Replica;
  /** Must not throw. */
  readonly onEvent?: (event: MirrorEvent) => void;
  readonly clock?: Clock;
  /** Returns 0 to below 1, for the jitter of the backoff. */
  readonly random?: () => number;
}

/**
 * The pause before an attempt is random between nothing and a ceiling, so that many mirrors that lost their store at the
 * same moment do not return at the same moment. The ceiling doubles with each failure in a row. Before a listing it is at
 * least the time that the last listing took: that time is long for many keys and for a busy store.
 */
const RETRY = { minMs: 50, maxMs: 5_000 };
/**
 * A watch without messages counts as healthy after this time without a failure. It is longer than any store waits for a
 * silent peer, so a watch whose liveness is still being probed does not count.
 */
const HEALTHY_AFTER_MS = 6_000;
/** After this long without a pause the mirror lets the event loop run other work. */
const SLICE_MS = 8;

/** Does nothing until `start`. No method rejects or throws, even if the store fails. */
export class Mirror {
  readonly #options: MirrorOptions;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  readonly #backoff: WakeableSleep;
  readonly #waiting: Array<{ revision: number; resolve: () => void }> = [];
  readonly #counters = { events: 0, failures: 0, resyncs: 0 };
  #state: MirrorState;
  #loaded = false;
  #mustList = true;
  /** The revision of the replica. During a load: the revision of the snapshot of which the replica may have a part. */
  #cursor = 0;
  /** The history of the cursor and of the replica's revisions; undefined when it is uncertain. */
  #history: string | undefined;
  #newest = new NewestEntry();
  #failuresInARow = 0;
  /** How long the last listing took, complete or not. */
  #listingMs = 0;
  #sliceFromMs = 0;
  readonly #loadingSinceMs: number;

  constructor(options: MirrorOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#backoff = new WakeableSleep(this.#clock);
    this.#loadingSinceMs = this.#clock.monotonicMs();
    this.#state = { kind: 'loading', sinceMs: this.#loadingSinceMs, reason: undefined };
  }

  start(): void {
    void this.#run();
  }

  state(): MirrorState {
    return this.#state;
  }

  counters(): MirrorCounters {
    return { ...this.#counters };
  }

  /** Resolves when the replica has the changes of all revisions up to that one below the prefix. */
  waitFor(revision: number): Promise<void> {
    if (this.#loaded && this.#cursor >= revision) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ revision, resolve }));
  }

  /** Stops changing the replica. Calls to the store that are in progress end when the store closes. */
  close(): void {
    this.#abort.abort();
    this.#backoff.wake();
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        if (this.#mustList) await this.#timedList();
        await this.#follow();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        await this.#backoff.sleep(this.#onFailure(error));
      }
    }
  }

  async #timedList(): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    try {
      await this.#list(startMs);
    } finally {
      this.#listingMs = this.#clock.monotonicMs() - startMs;
    }
  }

  /** Brings the replica to one revision of the store: page by page in the first load, later in one step. */
  async #list(startMs: number): Promise<void> {
    const { store, prefix, replica } = this.#options;
    const difference = new SnapshotDiff(replica.revisions(), this.#history);
    this.#newest = new NewestEntry();
    let history: string | undefined;
    const changes: Change[] = [];
    let revision = 0;
    let keys = 0;
    for await (const page of store.snapshot(prefix, { bulk: true })) {
      if (this.#abort.signal.aborted) return;
      ({ revision, history } = page);
      this.#newest.addPage(page);
      keys += page.entries.length;
      const puts = difference.putsOf(page);
      if (this.#loaded) append(changes, puts);
      else this.#applyPart(revision, puts);
    }
    if (this.#abort.signal.aborted) return;
    append(changes, difference.deletes(revision));
    if (changes.length > 0) replica.apply(changes);
    this.#history = history;
    this.#onListed(revision, keys, changes, startMs);
  }

  /** Applies a part of the first load. If the load breaks off, the next one compares its snapshot with this part. */
  #applyPart(revision: number, puts: readonly Change[]): void {
    this.#options.replica.apply(puts);
    this.#cursor = revision;
  }

  #onListed(revision: number, keys: number, changes: readonly Change[], startMs: number): void {
    const tookMs = this.#clock.monotonicMs() - startMs;
    const deletes = changes.filter((change) => change.kind === 'delete').length;
    const puts = changes.length - deletes;
    if (this.#loaded) {
      this.#counters.resyncs++;
      this.#options.onEvent?.({ kind: 'relisted', revision, puts, deletes, tookMs });
    } else {
      this.#options.onEvent?.({ kind: 'loaded', revision, keys, tookMs });
    }
    this.#loaded = true;
    this.#mustList = false;
    this.#state = { kind: 'synced', revision, lastEventAtMs: this.#clock.monotonicMs() };
    this.#advance(revision);
  }

  /** Applies the changes of a watch until the watch fails. */
  async #follow(): Promise<void> {
    const { store, prefix, replica } = this.#options;
    const healthTimer = this.#clock.startTimer(HEALTHY_AFTER_MS, () => this.#onAlive());
    try {
      const { signal } = this.#abort;
      const from = this.#cursor + 1;
      const watch = (store.watchMerged ?? store.watch).bind(store);
      for await (const batch of watch(prefix, from, signal, this.#followed())) {
        if (signal.aborted) return;
        if (batch.changes.length > 0) replica.apply(batch.changes);
        this.#newest.addBatch(batch);
        this.#counters.events += batch.changes.length;
        this.#onAlive();
        this.#advance(batch.revision);
        await this.#yieldIfBusy();
      }
    } finally {
      healthTimer.cancel();
    }
    throw new StoreError('unavailable', 'the watch ended');
  }

  #followed(): FollowedHistory | undefined {
    const history = this.#history;
    return history === undefined ? undefined : { history, fingerprint: this.#newest.fingerprint() };
  }

  #onAlive(): void {
    if (this.#state.kind === 'stale') {
      this.#options.onEvent?.({ kind: 'resumed', revision: this.#cursor });
    }
    this.#failuresInARow = 0;
    const lastEventAtMs = this.#clock.monotonicMs();
    this.#state = { kind: 'synced', revision: this.#cursor, lastEventAtMs };
  }

  #advance(revision: number): void {
    this.#cursor = revision;
    if (this.#state.kind === 'synced') this.#state = { ...this.#state, revision };
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.revision <= revision) waiting.resolve();
      else this.#waiting.push(waiting);
    }
  }

  /** Records the failure and returns how long to wait before the next attempt. */
  #onFailure(error: unknown): number {
    this.#counters.failures++;
    const code = error instanceof StoreError ? error.code : undefined;
    // Any other error comes from the replica, whose content is then uncertain.
    const isUncertain = code === undefined || code === 'replaced';
    if (isUncertain) this.#history = undefined;
    if (isUncertain || code === 'compacted') this.#mustList = true;
    this.#state = this.#failedState(error instanceof Error ? error.message : String(error));
    const { random = Math.random } = this.#options;
    const failuresInARow = ++this.#failuresInARow;
    const listingMs = this.#mustList ? Math.min(this.#listingMs, RETRY.maxMs) : 0;
    const retryInMs = random() * Math.max(backoffMs(failuresInARow, RETRY), listingMs);
    this.#options.onEvent?.({ kind: 'lost', error, retryInMs, failuresInARow });
    return retryInMs;
  }

  #failedState(reason: string): MirrorState {
    const before = this.#state;
    if (!this.#loaded) return { kind: 'loading', sinceMs: this.#loadingSinceMs, reason };
    const sinceMs = before.kind === 'stale' ? before.sinceMs : this.#clock.monotonicMs();
    return { kind: 'stale', revision: this.#cursor, sinceMs, reason };
  }

  /** Lets the event loop run other work when a burst of changes has kept it busy. */
  async #yieldIfBusy(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sliceFromMs < SLICE_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceFromMs = this.#clock.monotonicMs();
  }
}

function append(all: Change[], some: readonly Change[]): void {
  for (const change of some) all.push(change);
}
