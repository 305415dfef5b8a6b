/**
 * store/: The contract that every store keeps, and the mirror that keeps a replica equal to a store.
 * Imports: service, timing.
 * Used by: ambassador/follow, ambassador/names, app, app/ambassador, app/answering, app/process, app/registrar, cli,
 *   cli/commands, cli/linking, registrar, registrar/leadership, registrar/reconcile, server/http, server/http/api,
 *   server/http/exchange, store/embedded, store/etcd, store/file, store/http, tools/doctor.
 *
 * A store holds keys and values with revisions, and a watch follows its changes from any revision. The four
 * implementations (memory, file, etcd, http) pass the same tests, `test/store/contract.ts`.
 *
 * A revision counts the writes of the whole store: every write (a put, a delete, a deleteTree, an expiry) makes the
 * next one. A prefix always ends in `/` and means the keys that begin with it.
 */
import type { Change, Entry, Lease } from '../service/change.ts';

/** One page of a snapshot, keys ascending by octets. Every page of a snapshot carries the same revision and history. */
export interface SnapshotPage {
  readonly revision: number;
  /**
   * Names the history whose writes the revision counts. A store that was wiped or replaced has another history. etcd
   * cannot name its history: two etcds may have the same name for different histories, so see
   * `FollowedHistory.fingerprint`.
   */
  readonly history: string;
  readonly entries: readonly Entry[];
}

/**
 * Changes that became visible together. A batch without changes reports that the watch works, and that the watcher has
 * every change up to `revision`.
 */
export interface WatchBatch {
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** The history whose revisions a watcher follows, with enough detail for a store to recognise it. */
export interface FollowedHistory {
  readonly history: string;
  /** Undefined: the prefix had no keys. */
  readonly fingerprint: EntryFingerprint | undefined;
}

/** Identifies one write of one key below the prefix. A store that has the same write has the same history. */
export interface EntryFingerprint {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Of the value and the lease's id (`fingerprint.ts`). */
  readonly digest: string;
  /** The last revision at which the watcher knows that the key still had this entry. */
  readonly revision: number;
}

/** The store checks the condition and writes in one step; if the condition does not hold, it does not write. */
export type Condition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  | { readonly kind: 'modRevision'; readonly modRevision: number }
  | { readonly kind: 'value'; readonly value: Uint8Array };

/** A key's position in the tree that the slashes in all keys form. A key with keys below it is a directory. */
export interface KeyLocation {
  readonly revision: number;
  readonly entry: Entry | undefined;
  /**
   * The first key on the path from the root to this key (itself included) that has no keys below it; undefined if all
   * keys on the path have keys below them.
   */
  readonly end: string | undefined;
  /**
   * Whether `end` has an entry. If `end` is above the key, that entry is a leaf that blocks the path in etcd's v2 tree.
   */
  readonly endHasEntry: boolean;
}

export interface SnapshotOptions {
  /**
   * The caller reads all of the snapshot at once, so pages may be large and fetched ahead. Otherwise the first page is
   * small.
   */
  readonly bulk?: boolean;
}

export interface PutOptions {
  /** 1 or more: the store deletes the key after that time unless it is written again. Absent: the key stays. */
  readonly ttlSeconds?: number | undefined;
  /** Id of a lease from `grantLease`; the key ends with the lease. Not together with `ttlSeconds`. */
  readonly lease?: string | undefined;
  readonly if?: Condition | undefined;
}

export type PutResult =
  | { readonly done: true; readonly entry: Entry; readonly previous: Entry | undefined }
  /** The condition did not hold for `current`. */
  | { readonly done: false; readonly current: Entry | undefined; readonly revision: number };

export type DeleteResult =
  | { readonly done: true; readonly deleted: Entry; readonly revision: number }
  /** The condition did not hold, or the key does not exist (`current` is undefined). */
  | { readonly done: false; readonly current: Entry | undefined; readonly revision: number };

export interface Store {
  /** The `--store` text without credentials, for logs and readiness. */
  readonly label: string;

  /** The key's entry and the store's revision at the same instant. */
  get(key: string): Promise<{ entry: Entry | undefined; revision: number }>;

  /**
   * The key's entry, and how far its path exists in the tree of keys. The cost does not depend on the number of keys.
   */
  locate(key: string): Promise<KeyLocation>;

  /** All keys below a prefix as they were at one revision. Yields at least one page, even if there are no keys. */
  snapshot(prefix: string, options?: SnapshotOptions): AsyncIterable<SnapshotPage>;

  /**
   * Every change below the prefix from `fromRevision` on, in order and each once, as it happens. Changes of one
   * revision come in one batch. A batch without changes follows as soon as the watch is established and has brought all
   * changes up to then. The iteration throws StoreError `compacted` when the store has forgotten `fromRevision`, and
   * `unavailable` when the connection to the store fails. It returns when `signal` is aborted. It does not reconnect:
   * the caller keeps the last batch's revision and watches again from the next one. With `followed` it throws
   * `replaced` when the store has another history, or cannot rule that out.
   */
  watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncIterable<WatchBatch>;

  /**
   * As `watch`, for a replica: a batch may have the changes of several revisions, in order, and no change has its
   * `previous`. Absent in stores that save no work by it.
   */
  watchMerged?(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncIterable<WatchBatch>;

  /**
   * Checks a history as a watch from the revision after `seenRevision` does, and throws `replaced` in the same cases.
   * Absent in stores that check a history only when a watch starts.
   */
  checkHistory?(prefix: string, seenRevision: number, followed: FollowedHistory): Promise<void>;

  put(key: string, value: Uint8Array, options?: PutOptions): Promise<PutResult>;

  delete(key: string, options?: { readonly if?: Condition | undefined }): Promise<DeleteResult>;

  /** Deletes all keys below a prefix at one revision, and returns the number of deleted keys. */
  deleteTree(prefix: string): Promise<{ deleted: number; revision: number }>;

  /**
   * Why the store accepts no writes although it can be read; undefined while it accepts them. Absent in stores that
   * accept writes whenever they can be read.
   */
  writeTrouble?(): string | undefined;

  /** Frees connections, files and timers. Pending calls reject, and watches end. */
  close(): Promise<void>;
}

/**
 * A store whose keys can share a lease. A registrar needs it: when the registrar dies, every key that it wrote ends.
 */
export interface LeaseStore extends Store {
  /** Creates a lease without keys. The store deletes the lease and its keys when no renewal comes for `ttlSeconds`. */
  grantLease(ttlSeconds: number): Promise<Lease>;
  /** Restarts the lease's time. False: the lease does not exist, and no key has it. */
  renewLease(id: string): Promise<boolean>;
  /** Ends the lease and deletes its keys at one revision. Does nothing if the lease has ended already. */
  revokeLease(id: string): Promise<void>;
}

export type StoreErrorCode =
  /**
   * The store could not be reached or did not answer within the deadline. A write may have happened, or may still
   * happen. Trying again may help.
   */
  | 'unavailable'
  /** The store has forgotten the revision from which `watch` should start. The caller takes a snapshot. */
  | 'compacted'
  /**
   * The store has another history than the watcher followed. The caller takes a snapshot and does not compare its
   * revisions with earlier ones.
   */
  | 'replaced'
  /** The store refused the user, password, token or certificate. */
  | 'denied'
  /** The store does not accept the key, value or TTL (too large, out of range), or the named lease does not exist. */
  | 'invalid';

export class StoreError extends Error {
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

/** Returns a StoreError. Rethrows any other error, because it is a bug. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  throw error;
}
