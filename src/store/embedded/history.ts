/** The history of an embedded store: its most recent changes, and the sizes of changes. */
import { type Change, keyOfChange } from '../../service/change.ts';
import { StoreError, type WatchBatch } from '../store.ts';

/** Bounds a queue or a history: number of changes, and octets of their keys and values. */
export interface ChangeBounds {
  readonly changes: number;
  readonly octets: number;
}

/** A batch's size in `ChangeBounds.octets`; each change counts 200 octets for its own objects. */
export function batchOctets(batch: WatchBatch): number {
  let octets = 0;
  for (const change of batch.changes) octets += changeOctets(change);
  return octets;
}

function changeOctets(change: Change): number {
  const value = change.kind === 'put' ? change.entry.value.length : 0;
  return 200 + keyOfChange(change).length + value + (change.previous?.value.length ?? 0);
}

/**
 * The most recent changes, for watches that start at an earlier revision. Bounded by number and by octets. The history
 * forgets the oldest batches first, and a watch from before them fails with `compacted`.
 */
export class History {
  readonly #bounds: ChangeBounds;
  /** Ascending by revision. Batches before `#head` are forgotten, and are removed from the array later. */
  #batches: WatchBatch[] = [];
  #head = 0;
  #changes = 0;
  #octets = 0;
  /** The history has every change from this revision on. */
  #firstRevision: number;
  #revision: number;

  /** `revision` is the last one before the history starts. */
  constructor(revision: number, bounds: ChangeBounds) {
    this.#bounds = bounds;
    this.#firstRevision = revision + 1;
    this.#revision = revision;
  }

  /** The history has every change from this revision on. */
  get firstRevision(): number {
    return this.#firstRevision;
  }

  /** The revision of the last batch. */
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

  /** All batches from a revision on, in the order of `add`. Throws StoreError `compacted`. */
  since(fromRevision: number): WatchBatch[] {
    if (Math.max(fromRevision, 1) < this.#firstRevision) {
      const rest = `it has the changes from ${this.#firstRevision} on`;
      throw new StoreError(
        'compacted',
        `the store has forgotten revision ${fromRevision}: ${rest}`,
      );
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
