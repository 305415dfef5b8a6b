/**
 * Shares one watch of a store between all clients of this process that watch the same prefix. etcd sends every change
 * to every watch: a thousand watches of one key are a thousand copies of each value, on both sides. Here a prefix below
 * a root uses the root's watch, and every other prefix has one watch. The clients' watches get their changes from these
 * watches. A client has a share of the watches of other prefixes, and some of them are for trusted clients only.
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
import type { Caller } from '../exchange/exchange.ts';

/** How far back a client's watch may start, and how far it may fall behind. */
const HISTORY = { changes: 10_000, octets: 32 * 1024 * 1024 };
const BEHIND = { changes: 2 * HISTORY.changes, octets: 2 * HISTORY.octets };
/** A watch of the store continues for this long after its last client. */
const IDLE_MS = 10_000;
/** The maximum number of watches of the store. The first watch of each root is always possible. */
const MAX_WATCHES = 32;
/** Only trusted clients make more watches than this. */
const MAX_IN_SHARES = 24;
/** The maximum number of these watches that an untrusted client uses at once. */
const MAX_PER_CLIENT = 8;

/** Releases the use of a watch. */
type Leave = () => void;

/** A client's place at a watch of the store. `watch` is undefined if the client needs one for itself. */
interface WatchPlace {
  readonly watch: SharedWatch | undefined;
  readonly leave: Leave;
}

/** The start of a watch. */
interface WatchStart {
  readonly prefix: string;
  readonly fromRevision: number;
  readonly followed: FollowedHistory | undefined;
}

export class SharedWatches {
  readonly #store: LeaseStore;
  readonly #roots: readonly string[];
  /** A prefix has several watches if a client started earlier than the existing ones. */
  readonly #all = new Set<SharedWatch>();
  /** Watches of the store for a single client. */
  readonly #unshared = new Set<{ readonly share: string | undefined }>();

  /** `roots` are prefixes that cover most of the clients' prefixes. */
  constructor(store: LeaseStore, roots: readonly string[]) {
    this.#store = store;
    this.#roots = roots;
  }

  /** `base`, which writes to the same store, with the shared watches for one client. */
  storeFor(base: LeaseStore, caller: Caller): LeaseStore {
    return delegateStore(base, {
      watch: (prefix, fromRevision, signal, followed) =>
        this.#watch({ prefix, fromRevision, followed }, caller, signal),
    });
  }

  async *#watch(
    start: WatchStart,
    caller: Caller,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    checkPrefix(start.prefix);
    const place =
      this.#placeFor(start, caller.share) ??
      ((await caller.isTrusted()) ? this.#placeFor(start, undefined) : undefined);
    if (place === undefined) {
      const cause = 'too many different watches at once, or too many of this address';
      throw new StoreError('unavailable', cause);
    }
    try {
      yield* this.#watchAt(place, start, signal);
    } finally {
      place.leave();
    }
  }

  async *#watchAt(
    { watch }: WatchPlace,
    start: WatchStart,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    const { prefix, fromRevision, followed } = start;
    if (watch === undefined) {
      yield* this.#store.watch(prefix, fromRevision, signal, followed);
      return;
    }
    // If this client's start made the watch, the watch checks the history itself.
    const isChecked = followed === undefined || watch.start.followed === followed;
    if (!isChecked) await this.#store.checkHistory?.(prefix, fromRevision - 1, followed);
    yield* watch.watch(start, signal);
  }

  /** Undefined: no watch is free for this client. `share` is undefined for a place outside all shares. */
  #placeFor(start: WatchStart, share: string | undefined): WatchPlace | undefined {
    const { prefix, fromRevision, followed } = start;
    const root = this.#roots.find((one) => prefix.startsWith(one));
    const watched = root ?? prefix;
    const present = [...this.#all].filter((one) => one.start.prefix === watched);
    // The oldest watch is most likely to be established.
    const known = present.find((one) => one.covers(fromRevision));
    if (known !== undefined) {
      // Without this method, the existing watch cannot be checked against the client's history.
      const canCheck = followed === undefined || this.#store.checkHistory !== undefined;
      if (!canCheck) return this.#unsharedPlace(share);
      const hasShare = known.isFree || known.isUsedBy(share) || this.#hasShare(share);
      return hasShare ? { watch: known, leave: known.join(share) } : undefined;
    }
    const isFree = root !== undefined && present.length === 0;
    if (!isFree && !(this.#hasShare(share) && this.#makeRoom(share))) return undefined;
    const onEnd = () => this.#all.delete(watch);
    const watch = new SharedWatch(this.#store, { ...start, prefix: watched }, isFree, onEnd);
    this.#all.add(watch);
    return { watch, leave: watch.join(share) };
  }

  #unsharedPlace(share: string | undefined): WatchPlace | undefined {
    if (!this.#hasShare(share) || !this.#makeRoom(share)) return undefined;
    const own = { share };
    this.#unshared.add(own);
    return { watch: undefined, leave: () => this.#unshared.delete(own) };
  }

  /** Whether the client may use one more watch. */
  #hasShare(share: string | undefined): boolean {
    if (share === undefined) return true;
    const shared = [...this.#all].filter((one) => !one.isFree && one.isUsedBy(share));
    const unshared = [...this.#unshared].filter((one) => one.share === share);
    return shared.length + unshared.length < MAX_PER_CLIENT;
  }

  /** False: there is no room for one more watch. */
  #makeRoom(share: string | undefined): boolean {
    const counted = [...this.#all].filter((one) => !one.isFree);
    const maximum = share === undefined ? MAX_WATCHES : MAX_IN_SHARES;
    if (counted.length + this.#unshared.size < maximum) return true;
    const idle = counted.find((shared) => shared.isIdle);
    idle?.close();
    return idle !== undefined;
  }
}

/** One watch of the store and the clients' watches that it feeds. */
class SharedWatch {
  readonly start: WatchStart;
  /** Whether it is the first watch of a root, which does not count against the limits. */
  readonly isFree: boolean;
  readonly #watchers: Watchers;
  readonly #history: History;
  readonly #ending = new AbortController();
  readonly #onEnd: () => void;
  #end: StoreError | undefined;
  /** The number of watches of each client's share; the key undefined is for those outside all shares. */
  readonly #clients = new Map<string | undefined, number>();
  #idleTimer: NodeJS.Timeout | undefined;

  constructor(store: LeaseStore, start: WatchStart, isFree: boolean, onEnd: () => void) {
    this.start = start;
    this.isFree = isFree;
    this.#history = new History(start.fromRevision - 1, HISTORY);
    this.#watchers = new Watchers(this.#history, BEHIND);
    this.#onEnd = onEnd;
    void this.#follow(store);
  }

  get isIdle(): boolean {
    return this.#clients.size === 0;
  }

  isUsedBy(share: string | undefined): boolean {
    return this.#clients.has(share);
  }

  /** Counts a client, which keeps the watch from being idle until it leaves. */
  join(share: string | undefined): Leave {
    clearTimeout(this.#idleTimer);
    this.#clients.set(share, (this.#clients.get(share) ?? 0) + 1);
    return () => {
      const left = (this.#clients.get(share) ?? 0) - 1;
      if (left > 0) this.#clients.set(share, left);
      else this.#clients.delete(share);
      if (this.isIdle) this.#idleTimer = setTimeout(() => this.close(), IDLE_MS).unref();
    };
  }

  covers(fromRevision: number): boolean {
    return this.#end === undefined && fromRevision >= this.#history.firstRevision;
  }

  async *watch(
    start: WatchStart,
    signal: AbortSignal,
  ): AsyncGenerator<WatchBatch, void, undefined> {
    if (this.#end !== undefined) throw this.#endFor(start, this.#end);
    try {
      yield* this.#watchers.watch(start.prefix, start.fromRevision, signal);
    } catch (error) {
      const end = this.#end;
      throw end !== undefined && error === end ? this.#endFor(start, end) : error;
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
