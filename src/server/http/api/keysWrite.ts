/**
 * PUT, POST and DELETE of the keys API. The tree's rules (no key below a leaf, no value on a directory) are checked
 * before the write. A comparison is part of the write: the write's condition is the revision of the entry that was
 * compared. If another client writes the key in between, the comparison is repeated.
 */
import type { Entry } from '../../../service/change.ts';
import { directoryPrefix } from '../../../service/keyTree.ts';
import type { Condition, PutResult, Store } from '../../../store/store.ts';
import type { KeyParameters } from './form.ts';
import { absent, done, type KeysOutcome } from './keysRead.ts';
import { isDirectory, leafAbove, readNode } from './listing.ts';
import {
  deletedNode,
  directoryNode,
  entryNode,
  failure,
  now,
  type V2Failure,
  valueText,
} from './v2Responses.ts';

const ATTEMPTS = 16;
/**
 * Attempts at a name for POST. An attempt fails only if another writer takes the name, so this many writers at once all
 * get names.
 */
const NAMING_ATTEMPTS = 256;
const NOTHING = new Uint8Array(0);
const DIRECTORY_TTL = '"ttl" of a directory is not supported: set it on the keys below';

interface KeyWrite {
  readonly store: Store;
  readonly key: string;
  readonly p: KeyParameters;
}

/** PUT: set, create, update, refresh, compareAndSwap, and directories. */
export async function putKey(store: Store, key: string, p: KeyParameters): Promise<KeysOutcome> {
  const location = await store.locate(key);
  const { entry: leaf, revision } = location;
  if (key === '/') return failure(107, '/', revision);
  const blockingLeaf = leaf === undefined ? leafAbove(key, location) : undefined;
  if (blockingLeaf !== undefined) return failure(104, blockingLeaf, revision);
  const write: KeyWrite = { store, key, p };
  // For writers a key with a value is a leaf, even if a v3 store has keys below it.
  if (leaf === undefined && isDirectory(key, location)) return putOnDirectory(write, revision);
  if (p.prevExist === false) return create(write);
  const compares = p.prevValue !== undefined || (p.prevIndex ?? 0) > 0;
  if (compares || p.prevExist === true || p.refresh) return swap(write, compares);
  if (p.dir) return setDirectory(write, leaf);
  return set(write);
}

async function putOnDirectory({ store, key, p }: KeyWrite, revision: number): Promise<KeysOutcome> {
  if (p.prevExist === false) return failure(105, key, revision);
  const compares = p.prevValue !== undefined || (p.prevIndex ?? 0) > 0;
  if (compares || p.prevExist !== true || (p.value ?? '') !== '') {
    return failure(102, key, revision);
  }
  if (p.ttlSeconds !== undefined) return failure(209, DIRECTORY_TTL, revision);
  const { directory } = await readNode(store, key, 'nothing');
  const result = await store.put(directoryPrefix(key), NOTHING);
  if (!result.done) throw new Error('an unconditional put was refused');
  const { entry } = result;
  const created = Math.min(directory?.createRevision ?? entry.createRevision, entry.createRevision);
  const action = 'update';
  const event = {
    action,
    node: directoryNode(key, entry.modRevision, created),
    prevNode: directoryNode(key, created, created),
  };
  return done(entry.modRevision, p.noValueOnSuccess ? { action } : event);
}

async function set({ store, key, p }: KeyWrite): Promise<KeysOutcome> {
  return putOutcome('set', await store.put(key, newValue(p), ttlOf(p)), key, p);
}

async function create({ store, key, p }: KeyWrite): Promise<KeysOutcome> {
  if (p.dir && p.ttlSeconds !== undefined) return failure(209, DIRECTORY_TTL);
  if (p.dir) {
    const { entry, revision } = await store.get(key);
    if (entry !== undefined) return failure(105, key, revision);
  }
  const where = p.dir ? directoryPrefix(key) : key;
  const value = p.dir ? NOTHING : newValue(p);
  const result = await store.put(where, value, { ...ttlOf(p), if: { kind: 'absent' } });
  return putOutcome('create', result, key, p);
}

/** Creates a directory, in place of the leaf if the key has one. */
async function setDirectory({ store, key, p }: KeyWrite, leaf?: Entry): Promise<KeysOutcome> {
  if (p.ttlSeconds !== undefined) return failure(209, DIRECTORY_TTL);
  // The marker is written first, so a reader in between finds the leaf.
  const result = await store.put(directoryPrefix(key), NOTHING, { if: { kind: 'absent' } });
  if (!result.done) return failure(102, key, result.revision);
  if (leaf === undefined) return putOutcome('set', result, key, p);
  await store.delete(key, { if: { kind: 'modRevision', modRevision: leaf.modRevision } });
  return putOutcome('set', { ...result, previous: leaf }, key, p);
}

/** update, refresh and compareAndSwap: overwrites only the entry that was compared. */
async function swap({ store, key, p }: KeyWrite, compares: boolean): Promise<KeysOutcome> {
  const action = compares ? 'compareAndSwap' : p.prevExist === true ? 'update' : 'set';
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { entry, revision } = await store.get(key);
    if (entry === undefined) return absent(key, await store.locate(key));
    const mismatch = compare(entry, p, revision);
    if (mismatch !== undefined) return mismatch;
    const value = p.refresh ? entry.value : newValue(p);
    const result = await store.put(key, value, { ...ttlOf(p), if: exactly(entry) });
    if (result.done) return putOutcome(action, result, key, p);
  }
  return tooBusy(key);
}

function compare(entry: Entry, p: KeyParameters, revision: number): V2Failure | undefined {
  const current = valueText(entry.value);
  const causes: string[] = [];
  if (p.prevValue !== undefined && p.prevValue !== current) {
    causes.push(`[${p.prevValue} != ${current}]`);
  }
  if ((p.prevIndex ?? 0) > 0 && p.prevIndex !== entry.modRevision) {
    causes.push(`[${p.prevIndex} != ${entry.modRevision}]`);
  }
  return causes.length === 0 ? undefined : failure(101, causes.join(' '), revision);
}

function putOutcome(action: string, result: PutResult, key: string, p: KeyParameters): KeysOutcome {
  if (!result.done) return failure(105, key, result.revision);
  const { entry, previous } = result;
  const clock = now();
  const event = {
    action,
    node: entryNode(entry, clock),
    ...(previous === undefined ? {} : { prevNode: entryNode(previous, clock) }),
  };
  const status = previous === undefined ? 201 : 200;
  return done(entry.modRevision, p.noValueOnSuccess ? { action } : event, status);
}

/**
 * POST: creates a key below `key`. Its name is higher than the name of every key that an earlier POST created, because
 * it is a revision that the store has not reached yet.
 */
export async function postKey(store: Store, key: string, p: KeyParameters): Promise<KeysOutcome> {
  const location = await store.locate(key);
  const { entry: leaf, revision } = location;
  if (leaf !== undefined && !isDirectory(key, location)) return failure(104, key, revision);
  const blockingLeaf = leaf === undefined ? leafAbove(key, location) : undefined;
  if (blockingLeaf !== undefined) return failure(104, blockingLeaf, revision);
  if (p.dir && p.ttlSeconds !== undefined) return failure(209, DIRECTORY_TTL);
  const value = p.dir ? NOTHING : newValue(p);
  let next = revision + 1;
  for (let attempt = 0; attempt < NAMING_ATTEMPTS; attempt++) {
    const name = directoryPrefix(key) + String(next).padStart(20, '0');
    const where = p.dir ? directoryPrefix(name) : name;
    const result = await store.put(where, value, { ...ttlOf(p), if: { kind: 'absent' } });
    if (result.done) return putOutcome('create', result, key, p);
    next = Math.max(next, result.revision) + 1;
  }
  return tooBusy(key, NAMING_ATTEMPTS);
}

/** DELETE: delete, compareAndDelete, and directories. */
export async function deleteKey(store: Store, key: string, p: KeyParameters): Promise<KeysOutcome> {
  if (key === '/') return failure(107, '/', (await store.get(key)).revision);
  const compares = p.prevValue !== undefined || (p.prevIndex ?? 0) > 0;
  const { leaf, directory, revision, location } = await readNode(store, key, 'nothing');
  if (leaf !== undefined && !(directory !== undefined && p.recursive)) {
    return deleteLeaf({ store, key, p }, compares);
  }
  if (directory === undefined) return absent(key, location);
  if (compares || !(p.dir || p.recursive)) return failure(102, key, revision);
  if (directory.size > 0 && !p.recursive) return failure(108, key, revision);
  const created = directory.createRevision;
  if (leaf !== undefined) await store.delete(key);
  const { revision: deletedAt } = p.recursive
    ? await store.deleteTree(directoryPrefix(key))
    : await store.delete(directoryPrefix(key));
  return done(deletedAt, {
    action: 'delete',
    node: directoryNode(key, deletedAt, created),
    prevNode: directoryNode(key, created, created),
  });
}

async function deleteLeaf({ store, key, p }: KeyWrite, compares: boolean): Promise<KeysOutcome> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const { entry, revision } = await store.get(key);
    if (entry === undefined) return absent(key, await store.locate(key));
    const mismatch = compare(entry, p, revision);
    if (mismatch !== undefined) return mismatch;
    const result = await store.delete(key, { if: exactly(entry) });
    if (!result.done) continue;
    const { deleted } = result;
    return done(result.revision, {
      action: compares ? 'compareAndDelete' : 'delete',
      node: deletedNode(key, result.revision, deleted.createRevision),
      prevNode: entryNode(deleted, now()),
    });
  }
  return tooBusy(key);
}

function exactly(entry: Entry): Condition {
  return { kind: 'modRevision', modRevision: entry.modRevision };
}

function newValue(p: KeyParameters): Uint8Array {
  return Buffer.from(p.value ?? '', 'utf8');
}

/** etcd deletes a key with `ttl=0` at its next check of the clock. A store's shortest TTL is 1 s. */
function ttlOf(p: KeyParameters): { ttlSeconds?: number } {
  return p.ttlSeconds === undefined ? {} : { ttlSeconds: Math.max(1, p.ttlSeconds) };
}

function tooBusy(key: string, attempts = ATTEMPTS): V2Failure {
  return failure(300, `other writers changed ${key} ${attempts} times in a row`);
}
