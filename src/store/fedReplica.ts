/**
 * One replica of a feed: up to which revision it has the store's changes, and what it still needs. The feed brings it
 * the pages of a listing, then the changes of the watch. While the watch goes on beside a listing, the changes wait for
 * the listing's end.
 *
 * After a replica has thrown, its content is uncertain. It is listed again, and the feed's other replicas are not
 * affected.
 */
import { type Change, keyOfChange, revisionOf } from '../service/change.ts';
import type { Clock } from '../timing/clock.ts';
import type { MirrorCounters, MirrorEvent, MirrorState, Replica } from './mirrorState.ts';
import { SnapshotDiff } from './snapshotDiff.ts';
import type { SnapshotPage, WatchBatch } from './store.ts';

export interface FedReplicaOptions {
  readonly replica: Replica;
  /** Must not throw. */
  readonly onEvent: ((event: MirrorEvent) => void) | undefined;
  readonly clock: Clock;
  /** Called when the replica threw; it needs a listing then. */
  readonly onThrown: (error: unknown) => void;
}

/** Why the replica has no newer state, and when the feed tries again. */
export interface FeedFailure {
  readonly error: unknown;
  readonly retryInMs: number;
  readonly failuresInARow: number;
}

interface Listing {
  readonly startMs: number;
  readonly difference: SnapshotDiff;
  /** Of a replica that is loaded: they become visible in one step. */
  readonly changes: Change[];
  /** The last change of each key that the watch brought meanwhile. */
  readonly meanwhile: Map<string, Change>;
  /** The revision of the watch's last batch meanwhile. */
  watchedTo: number;
  keys: number;
}

export class FedReplica {
  readonly #options: FedReplicaOptions;
  readonly #waiting: Array<{ revision: number; resolve: () => void }> = [];
  readonly #counters = { events: 0, failures: 0, resyncs: 0 };
  readonly #loadingSinceMs: number;
  #state: MirrorState;
  #isLoaded = false;
  #isClosed = false;
  #needsListing = true;
  /** The last failure since the last batch of a watch. */
  #failure: FeedFailure | undefined;
  #listing: Listing | undefined;
  /** The revision of the replica. During a load: the revision of the snapshot of which the replica may have a part. */
  #cursor = 0;
  /** The history of the replica's revisions; undefined when it is uncertain. */
  #history: string | undefined;

  constructor(options: FedReplicaOptions) {
    this.#options = options;
    this.#loadingSinceMs = options.clock.monotonicMs();
    this.#state = { kind: 'loading', sinceMs: this.#loadingSinceMs, reason: undefined };
  }

  /** Whether it takes no changes before its next listing. */
  get needsListing(): boolean {
    return this.#needsListing;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Failures since the last batch of a watch. */
  get failuresInARow(): number {
    return this.#failure?.failuresInARow ?? 0;
  }

  /** The pause after the last failure; 0 after a success. */
  get retryInMs(): number {
    return this.#failure?.retryInMs ?? 0;
  }

  state(): MirrorState {
    return this.#state;
  }

  counters(): MirrorCounters {
    return { ...this.#counters };
  }

  waitFor(revision: number): Promise<void> {
    if (this.#isLoaded && this.#cursor >= revision) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ revision, resolve }));
  }

  /** Stops changing the replica. */
  close(): void {
    this.#isClosed = true;
    this.#listing = undefined;
  }

  /** The watch has lost its place. `isUncertain`: the next snapshot's revisions may be those of another history. */
  requireListing(isUncertain: boolean): void {
    this.#needsListing = true;
    this.#listing = undefined;
    if (isUncertain) this.#history = undefined;
  }

  beginListing(): void {
    this.#attempt(() => {
      this.#listing = {
        startMs: this.#options.clock.monotonicMs(),
        difference: new SnapshotDiff(this.#options.replica.revisions(), this.#history),
        changes: [],
        meanwhile: new Map(),
        watchedTo: 0,
        keys: 0,
      };
    });
  }

  addPage(page: SnapshotPage): void {
    const listing = this.#listing;
    if (listing === undefined) return;
    listing.keys += page.entries.length;
    const puts = listing.difference.putsOf(page);
    if (this.#isLoaded) for (const put of puts) listing.changes.push(put);
    else this.#applyPart(page.revision, puts);
  }

  /** All pages were added. The changes of the watch that are newer than the snapshot follow in the same step. */
  endListing(revision: number, history: string): void {
    const listing = this.#listing;
    if (listing === undefined) return;
    const { changes } = listing;
    for (const change of listing.difference.deletes(revision)) changes.push(change);
    for (const change of listing.meanwhile.values())
      if (revisionOf(change) > revision) changes.push(change);
    if (changes.length > 0 && !this.#attempt(() => this.#options.replica.apply(changes))) return;
    this.#history = history;
    this.#onListed(revision, listing);
  }

  /** Brings a batch of the watch. `isCurrent`: the watch has brought what the store had when the watch began. */
  receive(batch: WatchBatch, isCurrent: boolean): void {
    if (this.#listing !== undefined) addMeanwhile(this.#listing, batch);
    if (this.#isClosed || this.#needsListing) return;
    const changes = changesAfter(this.#cursor, batch.changes);
    if (changes.length > 0 && !this.#attempt(() => this.#options.replica.apply(changes))) return;
    this.#counters.events += changes.length;
    this.#failure = undefined;
    if (isCurrent) this.#onCurrent(batch.revision);
    if (batch.revision > this.#cursor) this.#advance(batch.revision);
  }

  /** The watch, or the listing that this replica needs, has failed. */
  onFailure(failure: FeedFailure): void {
    const { error } = failure;
    this.#listing = undefined;
    this.#counters.failures++;
    this.#failure = failure;
    this.#state = this.#failedState(error instanceof Error ? error.message : String(error));
    this.#options.onEvent?.({ kind: 'lost', ...failure });
  }

  /** Applies a part of the first load. If the load breaks off, the next one compares its snapshot with this part. */
  #applyPart(revision: number, puts: readonly Change[]): void {
    if (this.#attempt(() => this.#options.replica.apply(puts))) this.#cursor = revision;
  }

  #onListed(revision: number, { startMs, changes, keys, watchedTo }: Listing): void {
    const tookMs = this.#options.clock.monotonicMs() - startMs;
    const deletes = changes.filter((change) => change.kind === 'delete').length;
    const puts = changes.length - deletes;
    if (this.#isLoaded) {
      this.#counters.resyncs++;
      this.#options.onEvent?.({ kind: 'relisted', revision, puts, deletes, tookMs });
    } else {
      this.#options.onEvent?.({ kind: 'loaded', revision, keys, tookMs });
    }
    this.#isLoaded = true;
    this.#needsListing = false;
    this.#listing = undefined;
    this.#cursor = Math.max(revision, watchedTo);
    this.#setSynced();
    this.#advance(this.#cursor);
  }

  #onCurrent(revision: number): void {
    if (this.#state.kind === 'stale')
      this.#options.onEvent?.({ kind: 'resumed', revision: Math.max(revision, this.#cursor) });
    this.#setSynced();
  }

  #setSynced(): void {
    const lastEventAtMs = this.#options.clock.monotonicMs();
    this.#state = { kind: 'synced', revision: this.#cursor, lastEventAtMs };
  }

  #advance(revision: number): void {
    this.#cursor = revision;
    if (this.#state.kind !== 'loading') this.#state = { ...this.#state, revision };
    for (const waiting of this.#waiting.splice(0)) {
      if (waiting.revision <= revision) waiting.resolve();
      else this.#waiting.push(waiting);
    }
  }

  #failedState(reason: string): MirrorState {
    const before = this.#state;
    if (!this.#isLoaded) return { kind: 'loading', sinceMs: this.#loadingSinceMs, reason };
    const sinceMs = before.kind === 'stale' ? before.sinceMs : this.#options.clock.monotonicMs();
    return { kind: 'stale', revision: this.#cursor, sinceMs, reason };
  }

  /** Whether the replica did not throw. */
  #attempt(work: () => void): boolean {
    try {
      work();
      return true;
    } catch (error) {
      this.requireListing(true);
      this.#options.onThrown(error);
      return false;
    }
  }
}

function addMeanwhile(listing: Listing, { revision, changes }: WatchBatch): void {
  for (const change of changes) {
    const key = keyOfChange(change);
    // The map keeps the order of the last changes.
    listing.meanwhile.delete(key);
    listing.meanwhile.set(key, change);
  }
  listing.watchedTo = Math.max(listing.watchedTo, revision);
}

/** A replica that was listed beside the watch may be ahead of it. */
function changesAfter(revision: number, changes: readonly Change[]): readonly Change[] {
  const [first] = changes;
  if (first === undefined || revisionOf(first) > revision) return changes;
  return changes.filter((change) => revisionOf(change) > revision);
}
