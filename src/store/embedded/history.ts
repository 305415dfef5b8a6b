/**
 * The most recent changes, for watches that begin in the past. Bounded by their number and by their octets; what falls
 * out is forgotten for good, and a watch from before it is `compacted`.
 */
import { type Change, keyOfChange } from '../../service/change.ts';
import type { Clock } from '../../timing/clock.ts';
import { StoreError, type WatchBatch } from '../store.ts';

/** How much may wait or be remembered: changes, and octets of their keys and values. */
export interface ChangeBounds {
  readonly changes: number;
  readonly octets: number;
}

/** What a batch weighs against `Bounds.octets`; a change's own objects are counted as 200. */
export function batchOctets(batch: WatchBatch): number {
  let octets = 0;
  for (const change of batch.changes) octets += changeOctets(change);
  return octets;
}

function changeOctets(change: Change): number {
  const value = change.kind === 'put' ? change.entry.value.length : 0;
  return 200 + keyOfChange(change).length + value + (change.previous?.value.length ?? 0);
}

export class History {
  readonly #bounds: ChangeBounds;
  /** Ascending by revision; those before `#head` are forgotten and wait to be cut off. */
  #batches: WatchBatch[] = [];
  #head = 0;
  #changes = 0;
  #octets = 0;
  /** The least revision from which on everything is known. */
  #firstRevision: number;
  #revision: number;

  /** `revision` is the last one that happened before the history begins. */
  constructor(revision: number, bounds: ChangeBounds) {
    this.#bounds = bounds;
    this.#firstRevision = revision + 1;
    this.#revision = revision;
  }

  /** The least one from which on everything is known. */
  get firstRevision(): number {
    return this.#firstRevision;
  }

  /** The last one that is known. */
  get revision(): number {
    return this.#revision;
  }

  add(batch: WatchBatch): void {
    this.#batches.push(batch);
    this.#revision = batch.revision;
    this.#changes += batch.changes.length;
    this.#octets += batchOctets(batch);
    while (this.#changes > this.#bounds.changes || this.#octets > this.#bounds.octets) {
      this.#forgetFirst();
    }
  }

  /** All batches from a revision on, as they were added. Throws StoreError `compacted`. */
  since(fromRevision: number): WatchBatch[] {
    if (Math.max(fromRevision, 1) < this.#firstRevision) {
      const known = `the store knows its changes from ${this.#firstRevision} on`;
      throw new StoreError('compacted', `revision ${fromRevision} is forgotten: ${known}`);
    }
    let low = this.#head;
    let high = this.#batches.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#batches[middle] as WatchBatch).revision < fromRevision) low = middle + 1;
      else high = middle;
    }
    return this.#batches.slice(low);
  }

  #forgetFirst(): void {
    const batch = this.#batches[this.#head] as WatchBatch;
    this.#changes -= batch.changes.length;
    this.#octets -= batchOctets(batch);
    this.#firstRevision = batch.revision + 1;
    this.#batches[this.#head++] = { revision: batch.revision, changes: [] };
    if (this.#head * 2 < this.#batches.length) return;
    this.#batches = this.#batches.slice(this.#head);
    this.#head = 0;
  }
}

/**
 * A time scale that outlives a process. Deadlines live on it, and it runs with the monotonic clock while the store is
 * open, so that a jump of the wall clock expires nothing. What it stands at when a store opens is the store's business
 * (`file:` adds the time that it was down).
 */

/** Milliseconds that begin at `startMs` when it is made and pass as the monotonic clock's do. */
export class Timeline {
  readonly #clock: Clock;
  readonly #aheadMs: number;

  constructor(clock: Clock, startMs: number) {
    this.#clock = clock;
    this.#aheadMs = startMs - clock.monotonicMs();
  }

  nowMs(): number {
    return this.#clock.monotonicMs() + this.#aheadMs;
  }

  /** The monotonic time of an instant of this timeline. */
  toMonotonicMs(instantMs: number): number {
    return instantMs - this.#aheadMs;
  }
}
