import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import type { FollowedHistory, SnapshotPage, Store, WatchBatch } from '../../src/store/store.ts';
import { untilCut } from './cutWatch.ts';

/** A memory store with small pages whose single operations can be made to fail. */
export class FaultyStore implements Store {
  readonly label = 'faulty';
  /** The next calls throw these, one each. */
  readonly watchFaults: unknown[] = [];
  /** The next snapshots throw these, one each, after this many pages. */
  readonly snapshotFaults: Array<{ afterPages: number; error: unknown }> = [];
  readonly #pageSize = 10;
  readonly #old: Store[] = [];
  #inner = createMemoryStore();
  #cut: ((error: unknown) => void) | undefined;

  async get(key: string): ReturnType<Store['get']> {
    return this.#inner.get(key);
  }

  locate: Store['locate'] = (key) => this.#inner.locate(key);

  async *snapshot(prefix: string): AsyncGenerator<SnapshotPage> {
    const fault = this.snapshotFaults.shift();
    let pages = 0;
    for await (const { revision, history, entries } of this.#inner.snapshot(prefix)) {
      for (let from = 0; from < Math.max(1, entries.length); from += this.#pageSize) {
        if (fault?.afterPages === pages++) throw fault.error;
        yield { revision, history, entries: entries.slice(from, from + this.#pageSize) };
      }
    }
  }

  async *watch(
    prefix: string,
    from: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncGenerator<WatchBatch> {
    if (this.watchFaults.length > 0) throw this.watchFaults.shift();
    const cut = new Promise<never>((_, reject) => {
      this.#cut = reject;
    });
    yield* untilCut((ends) => this.#inner.watch(prefix, from, ends, followed), signal, cut);
  }

  /** Ends the current watch. */
  cut(error: unknown): void {
    this.#cut?.(error);
  }

  /** Replaces the store with an empty store. */
  replace(): void {
    this.#old.push(this.#inner);
    this.#inner = createMemoryStore();
  }

  put: Store['put'] = (key, value, options) => this.#inner.put(key, value, options);
  delete: Store['delete'] = (key, options) => this.#inner.delete(key, options);
  deleteTree: Store['deleteTree'] = (prefix) => this.#inner.deleteTree(prefix);

  async close(): Promise<void> {
    for (const store of [this.#inner, ...this.#old]) await store.close();
  }
}
