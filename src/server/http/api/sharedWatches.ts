/**
 * Shares one watch of a store between all clients of this process that watch the same prefix. etcd sends every change
 * to every watch: a thousand watches of one key are a thousand copies of each value, on both sides. Here a prefix below
 * a root uses the root's watch, and every other prefix has one watch. The clients' watches get their changes from these
 * watches.
 */
import { delegateStore } from '../../../store/delegate.ts';
import { History } from '../../../store/embedded/history.ts';
import { Watchers } from '../../../store/embedded/watchers.ts';
import { checkPrefix } from '../../../store/limits.ts';
import {
  type FollowedHistory,
  type LeaseStore,
  StoreError,
  type WatchBatch,
} from '../../../store/store.ts';

/** How far back a client's watch may start, and how far it may fall behind. */
const HISTORY = { changes: 10_000, octets: 32 * 1024 * 1024 };
const BEHIND = { changes: 2 * HISTORY.changes, octets: 2 * HISTORY.octets };
/** A watch of the store continues for this long after its last client. */
const IDLE_MS = 10_000;
/** The maximum number of watches of the store. The first watch of each root is always possible. */
const MAX_WATCHES = 32;

/** Returns the store with shared watches. `roots` are prefixes that cover most of the clients' prefixes. */
export function shareWatches(store: LeaseStore, roots: readonly string[]): LeaseStore {
  const shared = new SharedWatches(store, roots);
  return delegateStore(store, {
    watch: (prefix, fromRevision, signal, followed) =>
      shared.watch(prefix, fromRevision, signal, followed),
  });
}

/** The start of a watch. */
interface WatchStart {
  readonly prefix: string;
  readonly fromRevision: number;
  readonly followed: FollowedHistory | undefined;
}

class SharedWatches {
  readonly #store: LeaseStore;
  readonly #roots: readonly string[];
  /** A prefix has several watches if a client started earlier than the existing ones. */
  readonly #all = new Set<SharedWatch>();
  /** Watches of the store for a single client. */
  #unshared = 0;

  constructor(store: LeaseStore, roots: readonly string[]) {
    this.#store = store;
    this.#roots = roots;
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed: FollowedHistory | undefined,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    checkPrefix(prefix);
    const start = { prefix, fromRevision, followed };
    const shared = this.#sharedFor(start);
    if (shared === undefined) {
      yield* this.#watchUnshared(start, signal);
      return;
    }
    // If this client's start made the watch, the watch checks the history itself.
    const isChecked = followed === undefined || shared.start.followed === followed;
    if (!isChecked) await this.#store.checkHistory?.(prefix, fromRevision - 1, followed);
    yield* shared.watch(start, signal);
  }

  /** Undefined if the existing watch cannot be checked against the client's history. */
  #sharedFor({ prefix, fromRevision, followed }: WatchStart): SharedWatch | undefined {
    const root = this.#roots.find((one) => prefix.startsWith(one));
    const watched = root ?? prefix;
    const present = [...this.#all].filter(({ start }) => start.prefix === watched);
    // The oldest watch is most likely to be established.
    const known = present.find((one) => one.covers(fromRevision));
    if (known !== undefined) {
      const canCheck = followed === undefined || this.#store.checkHistory !== undefined;
      return canCheck ? known : undefined;
    }
    if (root === undefined || present.length > 0) this.#makeRoom();
    const shared = new SharedWatch(this.#store, { prefix: watched, fromRevision, followed }, () =>
      this.#all.delete(shared),
    );
    this.#all.add(shared);
    return shared;
  }

  async *#watchUnshared(
    { prefix, fromRevision, followed }: WatchStart,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    this.#makeRoom();
    this.#unshared++;
    try {
      yield* this.#store.watch(prefix, fromRevision, signal, followed);
    } finally {
      this.#unshared--;
    }
  }

  #makeRoom(): void {
    if (this.#all.size + this.#unshared < MAX_WATCHES) return;
    const idle = [...this.#all].find((shared) => shared.isIdle);
    if (idle === undefined) {
      throw new StoreError('unavailable', 'too many different watches at once');
    }
    idle.close();
  }
}

/** One watch of the store and the clients' watches that it feeds. */
class SharedWatch {
  readonly start: WatchStart;
  readonly #watchers: Watchers;
  readonly #history: History;
  readonly #ending = new AbortController();
  readonly #onEnd: () => void;
  #end: StoreError | undefined;
  #clients = 0;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(store: LeaseStore, start: WatchStart, onEnd: () => void) {
    this.start = start;
    this.#history = new History(start.fromRevision - 1, HISTORY);
    this.#watchers = new Watchers(this.#history, BEHIND);
    this.#onEnd = onEnd;
    void this.#follow(store);
  }

  get isIdle(): boolean {
    return this.#clients === 0;
  }

  covers(fromRevision: number): boolean {
    return this.#end === undefined && fromRevision >= this.#history.firstRevision;
  }

  async *watch(
    start: WatchStart,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    if (this.#end !== undefined) throw this.#endFor(start, this.#end);
    this.#clients++;
    clearTimeout(this.#idleTimer);
    try {
      yield* this.#watchers.watch(start.prefix, start.fromRevision, signal);
    } catch (error) {
      const end = this.#end;
      throw end !== undefined && error === end ? this.#endFor(start, end) : error;
    } finally {
      this.#clients--;
      if (this.#clients === 0) this.#idleTimer = setTimeout(() => this.close(), IDLE_MS).unref();
    }
  }

  close(): void {
    this.#ending.abort();
    this.#endAll(new StoreError('unavailable', 'the watch was closed'));
  }

  async #follow(store: LeaseStore): Promise<void> {
    const { prefix, fromRevision, followed } = this.start;
    try {
      for await (const batch of store.watch(prefix, fromRevision, this.#ending.signal, followed)) {
        if (batch.changes.length > 0) this.#watchers.deliver(batch);
        else this.#watchers.setCurrent();
      }
      this.#endAll(new StoreError('unavailable', 'the watch ended'));
    } catch (cause) {
      const message = cause instanceof Error ? cause.message : String(cause);
      this.#endAll(
        cause instanceof StoreError ? cause : new StoreError('unavailable', message, { cause }),
      );
    }
  }

  #endAll(error: StoreError): void {
    if (this.#end !== undefined) return;
    clearTimeout(this.#idleTimer);
    this.#end = error;
    this.#onEnd();
    this.#watchers.endAll(error);
  }

  /** An error about this watch's start may not apply to the client's start, so the client must try again. */
  #endFor({ fromRevision, followed }: WatchStart, error: StoreError): StoreError {
    const isAboutStart = error.code === 'compacted' || error.code === 'replaced';
    const isSameStart = fromRevision <= this.start.fromRevision && followed === this.start.followed;
    if (!isAboutStart || isSameStart) return error;
    return new StoreError('unavailable', 'the watch ended', { cause: error });
  }
}
