/**
 * The watches of an embedded store, by prefix. The store looks up the watchers of a change by each prefix of the
 * change's key, so watchers of other prefixes do not make the change more expensive.
 *
 * Each watcher has a queue of the batches that it has not taken yet, up to `bounds`. When a watcher falls further
 * behind, the store ends it with `compacted`, as if it had forgotten the revision: the client takes a snapshot and
 * watches again. The largest waiting batch is not counted, so one batch of any size fits.
 */
import { type Change, keyOfChange } from '../../service/change.ts';
import { StoreError, type WatchBatch } from '../store.ts';
import { batchOctets, type ChangeBounds, type History } from './history.ts';

const NOTHING: ChangeBounds = { changes: 0, octets: 0 };

/** The queue of one watch: the store adds batches with `push`, and the watch takes them with `next`. */
class Watcher {
  readonly fromRevision: number;
  readonly #bounds: ChangeBounds;
  readonly #onEnd: (watcher: Watcher) => void;
  #batches: WatchBatch[] = [];
  #waiting: ChangeBounds = NOTHING;
  /** The most changes and the most octets of any one batch in the queue. */
  #largest: ChangeBounds = NOTHING;
  #end: { readonly error: StoreError | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(fromRevision: number, bounds: ChangeBounds, onEnd: (watcher: Watcher) => void) {
    this.fromRevision = fromRevision;
    this.#bounds = bounds;
    this.#onEnd = onEnd;
  }

  push(batch: WatchBatch): void {
    this.#batches.push(batch);
    const size = { changes: batch.changes.length, octets: batchOctets(batch) };
    this.#waiting = combined(this.#waiting, size, (a, b) => a + b);
    this.#largest = combined(this.#largest, size, Math.max);
    const behind = combined(this.#waiting, this.#largest, (a, b) => a - b);
    if (behind.changes > this.#bounds.changes || behind.octets > this.#bounds.octets) {
      this.end(new StoreError('compacted', 'the watch fell too far behind the store'));
    } else this.#wake?.();
  }

  /** Drops the queue. `next` then throws the error, or returns undefined if `error` is undefined. */
  end(error: StoreError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#batches = [];
    this.#onEnd(this);
    this.#wake?.();
  }

  /** All waiting batches, at least one; undefined when the watch ended without an error. */
  async next(): Promise<readonly WatchBatch[] | undefined> {
    while (this.#end === undefined) {
      if (this.#batches.length > 0) return this.#take();
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
    }
    if (this.#end.error !== undefined) throw this.#end.error;
    return undefined;
  }

  #take(): readonly WatchBatch[] {
    const batches = this.#batches;
    this.#batches = [];
    this.#waiting = NOTHING;
    this.#largest = NOTHING;
    return batches;
  }
}

export class Watchers {
  readonly #history: History;
  readonly #bounds: ChangeBounds;
  readonly #byPrefix = new Map<string, Set<Watcher>>();
  #isCurrent = false;

  /** `bounds` should be well above the history's, because the replay of the history waits in the same queue. */
  constructor(history: History, bounds: ChangeBounds) {
    this.#history = history;
    this.#bounds = bounds;
  }

  /** The last delivered revision. */
  get revision(): number {
    return this.#history.revision;
  }

  /** As `History.since`. */
  since(revision: number): readonly WatchBatch[] {
    return this.#history.since(revision);
  }

  /** The history has every change of the store up to now. The watches, and all later ones, report it. */
  setCurrent(): void {
    if (this.#isCurrent) return;
    this.#isCurrent = true;
    for (const watchers of this.#byPrefix.values())
      for (const each of watchers) this.#reportTo(each);
  }

  /** As `Store.watch`. The history provides the changes up to now. */
  async *watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    if (signal.aborted) return;
    const earlier = this.#history.since(fromRevision);
    const watcher = this.#add(prefix, fromRevision);
    const abort = () => watcher.end(undefined);
    signal.addEventListener('abort', abort, { once: true });
    try {
      for (const batch of earlier) offer(watcher, below(prefix, batch));
      if (this.#isCurrent) this.#reportTo(watcher);
      for (;;) {
        const batches = await watcher.next();
        if (batches === undefined) return;
        for (const batch of batches) {
          if (signal.aborted) return;
          yield batch;
        }
      }
    } finally {
      signal.removeEventListener('abort', abort);
      watcher.end(undefined);
    }
  }

  /** Adds the batch to the history and passes it to the watchers of its keys. Revisions ascend from call to call. */
  deliver(batch: WatchBatch): void {
    this.#history.add(batch);
    if (this.#byPrefix.size === 0) return;
    for (const [prefix, changes] of this.#grouped(batch)) {
      const part = { revision: batch.revision, changes };
      for (const watcher of this.#byPrefix.get(prefix) ?? []) offer(watcher, part);
    }
  }

  /** Ends every watch with the error. */
  endAll(error: StoreError): void {
    for (const watchers of this.#byPrefix.values()) for (const each of watchers) each.end(error);
  }

  /** Reports that the watch is established. */
  #reportTo(watcher: Watcher): void {
    const revision = Math.max(this.#history.revision, watcher.fromRevision - 1);
    watcher.push({ revision, changes: [] });
  }

  #add(prefix: string, fromRevision: number): Watcher {
    const watcher = new Watcher(fromRevision, this.#bounds, (ended) => this.#drop(prefix, ended));
    const watchers = this.#byPrefix.get(prefix);
    if (watchers === undefined) this.#byPrefix.set(prefix, new Set([watcher]));
    else watchers.add(watcher);
    return watcher;
  }

  #drop(prefix: string, watcher: Watcher): void {
    const watchers = this.#byPrefix.get(prefix);
    watchers?.delete(watcher);
    if (watchers?.size === 0) this.#byPrefix.delete(prefix);
  }

  #grouped(batch: WatchBatch): Map<string, Change[]> {
    const groups = new Map<string, Change[]>();
    for (const change of batch.changes) {
      const key = keyOfChange(change);
      for (let at = key.indexOf('/'); at !== -1; at = key.indexOf('/', at + 1)) {
        const prefix = key.slice(0, at + 1);
        if (!this.#byPrefix.has(prefix)) continue;
        const group = groups.get(prefix);
        if (group === undefined) groups.set(prefix, [change]);
        else group.push(change);
      }
    }
    return groups;
  }
}

function combined(
  a: ChangeBounds,
  b: ChangeBounds,
  combine: (a: number, b: number) => number,
): ChangeBounds {
  return { changes: combine(a.changes, b.changes), octets: combine(a.octets, b.octets) };
}

function offer(watcher: Watcher, batch: WatchBatch): void {
  if (batch.changes.length > 0 && batch.revision >= watcher.fromRevision) watcher.push(batch);
}

function below(prefix: string, batch: WatchBatch): WatchBatch {
  const changes = batch.changes.filter((change) => keyOfChange(change).startsWith(prefix));
  return { revision: batch.revision, changes };
}
