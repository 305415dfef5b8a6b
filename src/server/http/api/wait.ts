/**
 * `wait=true`: the next change at or below a key as one etcd v2 event, or with `stream=true` each change as a line.
 *
 * A v2 client continues from modifiedIndex + 1, so it may get only one event of a revision. Some revisions of the store
 * change several keys (a directory deleted, a lease that expired, a transaction of etcd v3). The event of a directory
 * that a client of this server deleted is that directory's. Other deletions of several keys are the deletion of their
 * highest common directory that no longer exists. Otherwise a client with a waitIndex gets 401 and must list again. A
 * client without a waitIndex does not follow the history, and gets the first change. A stream carries all changes.
 */
import { type Change, keyOfChange } from '../../../service/change.ts';
import { directoryPrefix } from '../../../service/keyTree.ts';
import { delegateStore } from '../../../store/delegate.ts';
import type { LeaseStore, Store, StoreError, WatchBatch } from '../../../store/store.ts';
import type { TextCache } from './changeTexts.ts';
import { isDirectory } from './listing.ts';
import {
  deletedNode,
  directoryNode,
  type EventJson,
  entryNode,
  failure,
  failureOfStore,
  type Instant,
  isMarker,
  now,
  orStoreFailure,
  type V2Failure,
} from './v2Responses.ts';

export interface WaitRequest {
  readonly key: string;
  readonly recursive: boolean;
  /** The first revision to report. */
  readonly fromRevision: number;
  /** Whether the client gave a waitIndex. */
  readonly hasWaitIndex: boolean;
}

/** The events as lines; each is created once for all clients that wait for it. */
export type EventLines = TextCache<Buffer>;

/** What the waits of all clients share. */
export interface WaitShared {
  readonly eventLines: EventLines;
  readonly treeDeletions: TreeDeletions;
}

export type WaitOutcome =
  | { readonly kind: 'event'; readonly line: Buffer }
  | { readonly kind: 'aborted' }
  | V2Failure;

/** The first matching event; `aborted` when the signal came first. */
export async function nextEvent(
  store: Store,
  what: WaitRequest,
  signal: AbortSignal,
  shared: WaitShared,
): Promise<WaitOutcome> {
  return orStoreFailure<WaitOutcome>(async () => {
    for await (const batch of store.watch(watchedPrefix(what.key), what.fromRevision, signal)) {
      const waited = await eventOf(store, batch, what, shared);
      if (waited !== undefined) return waited;
    }
    return { kind: 'aborted' };
  }, failureOfWatch);
}

/** Passes every matching event to `take` until the signal aborts, `take` returns false, or the store fails. */
export async function streamEvents(
  store: Store,
  what: WaitRequest,
  signal: AbortSignal,
  { eventLines, treeDeletions }: WaitShared,
  take: (line: Buffer) => Promise<boolean>,
): Promise<WaitOutcome> {
  return orStoreFailure<WaitOutcome>(async () => {
    for await (const batch of store.watch(watchedPrefix(what.key), what.fromRevision, signal)) {
      const directory = await treeDeletions.directoryOf(batch);
      if (directory !== undefined && concerns(directory, what)) {
        if (!(await take(lineOf(directoryDeletion(directory, batch))))) return { kind: 'aborted' };
        continue;
      }
      for (const change of batch.changes.filter((one) => matches(keyOf(one), what))) {
        if (!(await take(changeLine(change, eventLines)))) return { kind: 'aborted' };
      }
    }
    return { kind: 'aborted' };
  }, failureOfWatch);
}

function failureOfWatch(error: StoreError): V2Failure {
  return error.code === 'compacted'
    ? failure(401, 'the requested history has been cleared')
    : failureOfStore(error);
}

/** The prefix of the key's directory, because a store watches prefixes and not keys. */
function watchedPrefix(key: string): string {
  return key.slice(0, key.lastIndexOf('/') + 1);
}

async function eventOf(
  store: Store,
  batch: WatchBatch,
  what: WaitRequest,
  { eventLines, treeDeletions }: WaitShared,
): Promise<WaitOutcome | undefined> {
  const directory =
    (await treeDeletions.directoryOf(batch)) ?? (await deletedDirectory(store, batch));
  if (directory !== undefined && concerns(directory, what)) {
    return { kind: 'event', line: lineOf(directoryDeletion(directory, batch)) };
  }
  const matching = batch.changes.filter((change) => matches(keyOf(change), what));
  const [first] = matching;
  if (first === undefined) return undefined;
  if (matching.length > 1 && what.hasWaitIndex) {
    const cause = `index ${batch.revision} changed ${matching.length} keys at once: list again`;
    return failure(401, cause, batch.revision);
  }
  return { kind: 'event', line: changeLine(first, eventLines) };
}

/** Whether the deletion of a directory is an event for this wait. */
function concerns(directory: string, what: WaitRequest): boolean {
  return isAbove(directory, what.key) || matches(directory, what);
}

/** The highest common directory of a batch's keys that has no keys left, if all of the batch's changes are deletions. */
async function deletedDirectory(
  store: Store,
  { changes }: WatchBatch,
): Promise<string | undefined> {
  if (changes.length < 2 || changes.some(({ kind }) => kind !== 'delete')) return undefined;
  const directory = commonDirectory(changes.map(keyOf));
  if (directory === '/') return undefined;
  const location = await store.locate(directory);
  if (isDirectory(directory, location)) return undefined;
  return location.endHasEntry ? directory : location.end;
}

const MAX_TREE_DELETIONS = 1_000;

/**
 * The latest directories that clients of this server deleted. A store does not record whether a request deleted a
 * directory or the last key below it.
 */
export class TreeDeletions {
  /** The deleted prefixes by revision, the oldest first. */
  readonly #prefixAt = new Map<number, string>();
  readonly #running = new Map<Promise<unknown>, string>();

  /** The store, with its deletions of trees recorded. */
  recordedIn(store: LeaseStore): LeaseStore {
    return delegateStore(store, {
      deleteTree: (prefix) => {
        const deleting = this.#recorded(prefix, store.deleteTree(prefix));
        this.#running.set(deleting, prefix);
        const forget = () => this.#running.delete(deleting);
        deleting.then(forget, forget);
        return deleting;
      },
    });
  }

  async #recorded(
    prefix: string,
    deleting: ReturnType<LeaseStore['deleteTree']>,
  ): ReturnType<LeaseStore['deleteTree']> {
    const done = await deleting;
    // A deletion of nothing has the revision of an earlier write.
    if (done.deleted > 0) this.#prefixAt.set(done.revision, prefix);
    const [oldest] = this.#prefixAt.keys();
    if (oldest !== undefined && this.#prefixAt.size > MAX_TREE_DELETIONS) {
      this.#prefixAt.delete(oldest);
    }
    return done;
  }

  /** The directory whose deletion made this batch. */
  async directoryOf({ revision, changes }: WatchBatch): Promise<string | undefined> {
    const isBelow = (prefix: string) =>
      changes.every((one) => one.kind === 'delete' && one.key.startsWith(prefix));
    if (changes.length === 0) return undefined;
    // A watch may report a deletion before the deleting call returns.
    const running = [...this.#running].filter(([, prefix]) => isBelow(prefix));
    await Promise.allSettled(running.map(([deleting]) => deleting));
    const prefix = this.#prefixAt.get(revision);
    if (prefix === undefined || prefix === '/' || !isBelow(prefix)) return undefined;
    return prefix.slice(0, -1);
  }
}

function commonDirectory(keys: readonly string[]): string {
  const common = keys.map((key) => directoryPrefix(key)).reduce((a, b) => commonStart(a, b));
  return common.slice(0, common.lastIndexOf('/')) || '/';
}

function commonStart(a: string, b: string): string {
  let length = 0;
  while (length < a.length && a[length] === b[length]) length++;
  return a.slice(0, length);
}

function isAbove(directory: string, key: string): boolean {
  return key.startsWith(directoryPrefix(directory));
}

function directoryDeletion(directory: string, { revision, changes }: WatchBatch): EventJson {
  const created = changes.reduce(
    (oldest, { previous }) => Math.min(oldest, previous?.createRevision ?? revision),
    revision,
  );
  return {
    action: 'delete',
    node: directoryNode(directory, revision, created),
    prevNode: directoryNode(directory, created, created),
  };
}

function matches(key: string, { key: wanted, recursive }: WaitRequest): boolean {
  if (key === wanted) return true;
  if (!recursive || !isAbove(wanted, key)) return false;
  return !key
    .slice(directoryPrefix(wanted).length)
    .split('/')
    .some((part) => part.startsWith('_'));
}

/** The key of the changed node: a directory's key for its marker. */
function keyOf(change: Change): string {
  const key = keyOfChange(change);
  return isMarker(key) ? key.slice(0, -1) : key;
}

function changeLine(change: Change, lines: EventLines): Buffer {
  return lines.of(change, () => lineOf(changeEvent(change, now())));
}

function lineOf(event: EventJson): Buffer {
  return Buffer.from(`${JSON.stringify(event)}\n`);
}

/**
 * A change as an event. A store does not record which request made a change, so every put is a `set`. A deletion is an
 * `expire` if the lease had run out.
 */
function changeEvent(change: Change, clock: Instant): EventJson {
  const { previous } = change;
  const prevNode = previous === undefined ? {} : { prevNode: entryNode(previous, clock) };
  if (change.kind === 'put') {
    return { action: 'set', node: entryNode(change.entry, clock), ...prevNode };
  }
  const ranOut = change.ranOut ?? (previous?.lease?.expiresAtMs ?? Infinity) <= clock.monotonicMs;
  const created = previous?.createRevision ?? change.modRevision;
  return {
    action: ranOut ? 'expire' : 'delete',
    node: deletedNode(change.key, change.modRevision, created),
    ...prevNode,
  };
}
