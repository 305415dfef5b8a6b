/**
 * Keeps a replica true to what a store holds below a prefix: a load at one revision, then every change from the next
 * one on, for ever.
 *
 * Invariants: the cursor is the last revision whose changes the replica has; a lost watch goes on from the one after
 * it. When the store no longer knows that revision, or is another store by now, all is listed again at one revision and
 * what differs is applied in one step, so that a reader of the replica never meets an empty or half state once it was
 * loaded.
 */
import type { Change } from '../service/change.ts';
import { backoffMs } from '../timing/backoff.ts';
import { type Clock, systemClock } from '../timing/clock.ts';
import { WakeableSleep } from '../timing/sleep.ts';
import { NewestEntry, SnapshotDiff } from './snapshotDiff.ts';
import { type FollowedHistory, type Store, StoreError } from './store.ts';

/** What the mirror keeps true. */
export interface Replica {
  /** Makes all changes visible at once. */
  apply(changes: readonly Change[]): void;
  /** What it holds. Not called while a change is applied. */
  revisions(): Iterable<readonly [key: string, modRevision: number]>;
}

/** Times are on the clock's monotonic scale. */
export type MirrorState =
  | { readonly kind: 'loading'; readonly sinceMs: number; readonly reason: string | undefined }
  | { readonly kind: 'synced'; readonly revision: number; readonly lastEventAtMs: number }
  /** The replica is as the store was at `revision`; the store was lost since. */
  | {
      readonly kind: 'stale';
      readonly revision: number;
      readonly sinceMs: number;
      readonly reason: string;
    };

/** What an operator may want to read in a log. */
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
      /** 1 for the first after all was well. */
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
  /** Changes that came through the watch. */
  readonly events: number;
  /** Times that a watch, a load or a relist failed. */
  readonly failures: number;
  /** Complete lists after the first. */
  readonly resyncs: number;
}

export interface MirrorOptions {
  readonly store: Store;
  readonly prefix: string;
  readonly replica: Replica;
  /** Must not throw. */
  readonly onEvent?: (event: MirrorEvent) => void;
  readonly clock?: Clock;
  /** 0 to below 1, for the jitter of the pauses. */
  readonly random?: () => number;
}

const RETRY = { minMs: 50, maxMs: 5_000 };
/**
 * A watch that says nothing, but has not failed for so long either, counts as a good one. Longer than any store waits for
 * a peer that is gone without a word: a watch that is still being asked for is none.
 */
const SETTLED_MS = 6_000;
/** After so much work in a row the rest of the process gets its turn. */
const SLICE_MS = 8;

/** Does nothing until `start`. No method rejects or throws, whatever the store does. */
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
  /** Revision of what the replica holds; while loading, of what it may hold parts of. */
  #cursor = 0;
  /** Names the history that the cursor and the replica's revisions belong to; undefined: that is in doubt. */
  #history: string | undefined;
  #lastSeen = new NewestEntry();
  #failuresInARow = 0;
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

  /** Stops changing the replica. Calls to the store that are under way end with the store. */
  close(): void {
    this.#abort.abort();
    this.#backoff.wake();
  }

  async #run(): Promise<void> {
    while (!this.#abort.signal.aborted) {
      try {
        if (this.#mustList) await this.#list();
        await this.#follow();
      } catch (error) {
        if (this.#abort.signal.aborted) return;
        await this.#backoff.sleep(this.#onFailure(error));
      }
    }
  }

  /** Brings the replica to one revision of the store: page by page the first time, later all at once. */
  async #list(): Promise<void> {
    const startMs = this.#clock.monotonicMs();
    const { store, prefix, replica } = this.#options;
    const difference = new SnapshotDiff(replica.revisions(), this.#history);
    this.#lastSeen = new NewestEntry();
    let history: string | undefined;
    const changes: Change[] = [];
    let revision = 0;
    let keys = 0;
    for await (const page of store.snapshot(prefix, { bulk: true })) {
      if (this.#abort.signal.aborted) return;
      ({ revision, history } = page);
      this.#lastSeen.readPage(page);
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

  /** A part of the first load. Should the load break off, the next one compares with what came of it. */
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

  /** Applies what the watch says, until it fails. */
  async #follow(): Promise<void> {
    const { store, prefix, replica } = this.#options;
    const settled = this.#clock.startTimer(SETTLED_MS, () => this.#onAlive());
    try {
      const { signal } = this.#abort;
      for await (const batch of store.watch(prefix, this.#cursor + 1, signal, this.#followed())) {
        if (signal.aborted) return;
        if (batch.changes.length > 0) replica.apply(batch.changes);
        this.#lastSeen.readBatch(batch);
        this.#counters.events += batch.changes.length;
        this.#onAlive();
        this.#advance(batch.revision);
        await this.#giveWay();
      }
    } finally {
      settled.cancel();
    }
    throw new StoreError('unavailable', 'the watch ended');
  }

  #followed(): FollowedHistory | undefined {
    const history = this.#history;
    return history === undefined
      ? undefined
      : { history, fingerprint: this.#lastSeen.fingerprint() };
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

  /** Notes the failure, and says how long to wait. */
  #onFailure(error: unknown): number {
    this.#counters.failures++;
    const code = error instanceof StoreError ? error.code : undefined;
    // What is no fault of the store's (a replica that threw) leaves the replica in doubt.
    const isInDoubt = code === undefined || code === 'replaced';
    if (isInDoubt) this.#history = undefined;
    if (isInDoubt || code === 'compacted') this.#mustList = true;
    this.#state = this.#failedState(error instanceof Error ? error.message : String(error));
    const { random = Math.random } = this.#options;
    const failuresInARow = ++this.#failuresInARow;
    const retryInMs = backoffMs(failuresInARow, RETRY, random);
    this.#options.onEvent?.({ kind: 'lost', error, retryInMs, failuresInARow });
    return retryInMs;
  }

  #failedState(reason: string): MirrorState {
    const before = this.#state;
    if (!this.#loaded) return { kind: 'loading', sinceMs: this.#loadingSinceMs, reason };
    const sinceMs = before.kind === 'stale' ? before.sinceMs : this.#clock.monotonicMs();
    return { kind: 'stale', revision: this.#cursor, sinceMs, reason };
  }

  /** Lets other work in when a burst of changes has kept the process busy for a while. */
  async #giveWay(): Promise<void> {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - this.#sliceFromMs < SLICE_MS) return;
    await new Promise((resolve) => setImmediate(resolve));
    this.#sliceFromMs = this.#clock.monotonicMs();
  }
}

function append(all: Change[], some: readonly Change[]): void {
  for (const change of some) all.push(change);
}
