/**
 * store/: The contract that every store keeps, and the mirror that follows one.
 * Imports: service, timing.
 * Used by: app, app/process, app/registrar, cli, cli/commands, registrar, registrar/leadership,
 *   registrar/reconcile, server/http, server/http/api, server/http/exchange, store/embedded, store/etcd,
 *   store/file, store/http, tools/doctor.
 *
 * The store: keys and values with revisions, watched from a revision on. Four implementations (memory, file, etcd,
 * http) keep the contract in `test/store/contract.ts`.
 *
 * A revision counts the writes of the whole store: every write (a put, a delete, a deleteTree, an expiry) makes the
 * next one. A prefix always ends in `/` and means the keys that begin with it.
 */
import type { Change, Entry, Lease } from '../service/change.ts';

/** One page of a snapshot, keys ascending by octets. Every page of a snapshot carries the same revision and history. */
export interface SnapshotPage {
  readonly revision: number;
  /**
   * Names the history that the revision counts: a store that was wiped or put in another's place has another one. Two
   * stores may have the same name for theirs only where they cannot give themselves one (etcd), so see `Past.witness`.
   */
  readonly history: string;
  readonly entries: readonly Entry[];
}

/** Changes that became visible together. A batch without changes says only that all up to `revision` were seen. */
export interface WatchBatch {
  readonly revision: number;
  readonly changes: readonly Change[];
}

/** What a watcher knows of the history whose revisions it follows. */
export interface FollowedHistory {
  readonly history: string;
  /** Undefined: there was nothing below the prefix. */
  readonly fingerprint: EntryFingerprint | undefined;
}

/** An entry below the prefix as it was in that history, for a store to find it there again. */
export interface EntryFingerprint {
  readonly key: string;
  readonly createRevision: number;
  readonly modRevision: number;
  /** Of its value and its lease's id (`witness.ts`). */
  readonly digest: string;
  /** The last revision at which it is known to have been so. */
  readonly revision: number;
}

/** What must hold, in the same instant, for a write to happen. */
export type Condition =
  | { readonly kind: 'absent' }
  | { readonly kind: 'present' }
  | { readonly kind: 'modRevision'; readonly modRevision: number }
  | { readonly kind: 'value'; readonly value: Uint8Array };

/** A key in the tree that the slashes of all keys make, where a key with keys below it is a directory. */
export interface KeyLocation {
  readonly revision: number;
  readonly entry: Entry | undefined;
  /**
   * Where the way down to the key ends: the first of its components, itself the last of them, that has no keys below it;
   * undefined if all of them have.
   */
  readonly end: string | undefined;
  /** Whether `end` has an entry: on the way down to another key it is in the way. */
  readonly endHasEntry: boolean;
}

export interface SnapshotOptions {
  /** All of it will be read, and soon: pages may be large and come early. Otherwise the first is small. */
  readonly bulk?: boolean;
}

export interface PutOptions {
  /** 1 or more: the key goes away by itself after that time, unless it is written again. Absent: it stays. */
  readonly ttlSeconds?: number | undefined;
  /** Id of a lease that `grantLease` gave; the key ends with it. Not together with `ttlSeconds`. */
  readonly lease?: string | undefined;
  readonly if?: Condition | undefined;
}

export type PutResult =
  | { readonly done: true; readonly entry: Entry; readonly previous: Entry | undefined }
  /** The condition did not hold; `current` is what it was compared with. */
  | { readonly done: false; readonly current: Entry | undefined; readonly revision: number };

export type DeleteResult =
  | { readonly done: true; readonly deleted: Entry; readonly revision: number }
  /** The condition did not hold, or there was nothing to delete (`current` is undefined). */
  | { readonly done: false; readonly current: Entry | undefined; readonly revision: number };

export interface Store {
  /** For logs and readiness: the `--store` text without credentials. */
  readonly label: string;

  /** The key's entry, and the store's revision at that instant. */
  get(key: string): Promise<{ entry: Entry | undefined; revision: number }>;

  /** The key's entry, and how far down the tree the key's directories go. Costs the same however many keys there are. */
  locate(key: string): Promise<KeyLocation>;

  /** All keys below a prefix as they were at one revision. At least one page, also when there are no keys. */
  snapshot(prefix: string, options?: SnapshotOptions): AsyncIterable<SnapshotPage>;

  /**
   * Every change below the prefix from `fromRevision` on, in order, each once, as it happens; changes of one revision
   * come in one batch. It ends only by throwing (StoreError `compacted` when `fromRevision` is no longer known,
   * `unavailable` when the store was lost) or, silently, when `signal` is aborted. It does not reconnect: the caller
   * holds the cursor (the last batch's revision) and watches again from the one after it. With a `past` it throws
   * `replaced` where that is another history, or may be.
   */
  watch(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
    followed?: FollowedHistory,
  ): AsyncIterable<WatchBatch>;

  /**
   * Throws `replaced` where a watch with this past, from the revision after the one that was seen last, would. Absent
   * where only a watch can tell.
   */
  checkHistory?(prefix: string, seenRevision: number, followed: FollowedHistory): Promise<void>;

  put(key: string, value: Uint8Array, options?: PutOptions): Promise<PutResult>;

  delete(key: string, options?: { readonly if?: Condition | undefined }): Promise<DeleteResult>;

  /** Deletes all keys below a prefix at one revision; gives back how many there were. */
  deleteTree(prefix: string): Promise<{ deleted: number; revision: number }>;

  /**
   * Why it takes no writes for now, although all that it holds can be read; undefined: it does, as far as is known.
   * Absent where being out of reach is all that can happen.
   */
  writeTrouble?(): string | undefined;

  /** Frees connections, files and timers. Pending calls reject, watches end. */
  close(): Promise<void>;
}

/** A store whose keys can share a life: what a registrar needs, so that all it wrote goes with it. */
export interface LeaseStore extends Store {
  /** A lease without keys; it and its keys go away when it is not renewed for `ttlSeconds`. */
  grantLease(ttlSeconds: number): Promise<Lease>;
  /** Begins the lease's time anew; false: there is no such lease (any more), and no key of it. */
  renewLease(id: string): Promise<boolean>;
  /** Ends the lease and deletes its keys, at one revision. Nothing happens if it has ended already. */
  revokeLease(id: string): Promise<void>;
}

export type StoreErrorCode =
  /** Not reached, or no answer within the deadline: a write may have been done, or still be. Trying again may help. */
  | 'unavailable'
  /** `watch` from a revision that the store has forgotten: take a snapshot. */
  | 'compacted'
  /** `watch` on in a history that is not this store's: take a snapshot, and compare no revisions with it. */
  | 'replaced'
  /** User, password, token or certificate refused. */
  | 'denied'
  /** The store cannot hold this (key or value too large, TTL out of range), or the lease named does not exist. */
  | 'invalid';

export class StoreError extends Error {
  readonly code: StoreErrorCode;
  constructor(code: StoreErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'StoreError';
    this.code = code;
  }
}

/** The error if it is the store's; anything else is a fault of ours, and thrown on. */
export function asStoreError(error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  throw error;
}
