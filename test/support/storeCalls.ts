/** Calls of a store for its tests. The calls must succeed, read to the end, or fail in a given way. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Change, Entry } from '../../src/service/change.ts';
import {
  type SnapshotPage,
  type Store,
  StoreError,
  type WatchBatch,
} from '../../src/store/store.ts';

const WAIT_MS = 20_000;

export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
export const text = (value: Uint8Array): string => Buffer.from(value).toString('utf8');

export async function mustPut(store: Store, key: string, value: string, ttlSeconds?: number) {
  const result = await store.put(key, bytes(value), { ttlSeconds });
  assert.ok(result.done, `put ${key}`);
  return result;
}

export async function mustDelete(store: Store, key: string) {
  const result = await store.delete(key);
  assert.ok(result.done, `delete ${key}`);
  return result;
}

export function mustHave<T>(value: T | undefined): T {
  assert.notEqual(value, undefined);
  return value as T;
}

export async function pagesOf(store: Store, prefix: string): Promise<SnapshotPage[]> {
  const pages: SnapshotPage[] = [];
  for await (const page of store.snapshot(prefix)) pages.push(page);
  return pages;
}

export async function entriesOf(store: Store, prefix: string): Promise<Entry[]> {
  return (await pagesOf(store, prefix)).flatMap((page) => page.entries);
}

/** The watch's changes from the revision on, up to the first change (by default a put) of the last key. */
export async function changesUntil(
  store: Store,
  prefix: string,
  fromRevision: number,
  lastKey: string,
  last: { readonly kind: Change['kind'] } = { kind: 'put' },
): Promise<Change[]> {
  const batches = await batchesUntil(store, prefix, fromRevision, lastKey, last);
  return batches.flatMap((batch) => batch.changes);
}

/** The watch's batches that have changes, up to the one with the last change. */
export async function batchesUntil(
  store: Store,
  prefix: string,
  fromRevision: number,
  lastKey: string,
  last: { readonly kind: Change['kind'] } = { kind: 'put' },
): Promise<WatchBatch[]> {
  const batches: WatchBatch[] = [];
  const abort = new AbortController();
  const timer = setTimeout(() => abort.abort(), WAIT_MS);
  try {
    for await (const batch of store.watch(prefix, fromRevision, abort.signal)) {
      if (batch.changes.length > 0) batches.push(batch);
      const isLast = (change: Change) => change.kind === last.kind && keyOf(change) === lastKey;
      if (batch.changes.some(isLast)) return batches;
    }
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
  return assert.fail(`no ${last.kind} of ${lastKey} after ${batches.length} batches`);
}

/** The next batch with changes. */
export async function nextChanges(watch: AsyncIterator<WatchBatch>): Promise<WatchBatch> {
  for (;;) {
    const next = await watch.next();
    assert.ok(!next.done, 'the watch ended');
    if (next.value.changes.length > 0) return next.value;
  }
}

/** The first batch of a watch from the first revision. */
export async function firstBatch(store: Store, prefix: string): Promise<WatchBatch | undefined> {
  for await (const batch of store.watch(prefix, 1, AbortSignal.timeout(20_000))) return batch;
  return undefined;
}

export async function drain(iterable: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of iterable);
}

export async function inGroups<T>(
  items: readonly T[],
  size: number,
  run: (item: T) => Promise<unknown>,
): Promise<void> {
  for (let i = 0; i < items.length; i += size) await Promise.all(items.slice(i, i + size).map(run));
}

/** The promise's result; fails when the promise takes longer than any of these calls may take. */
export async function soon<T>(promise: Promise<T>): Promise<T> {
  const abort = new AbortController();
  const late = sleep(WAIT_MS, undefined, { signal: abort.signal }).then(
    () => assert.fail(`nothing happened in ${WAIT_MS} ms`),
    () => undefined as never,
  );
  try {
    return await Promise.race([promise, late]);
  } finally {
    abort.abort();
  }
}

export async function rejectsWith(
  code: StoreError['code'],
  promise: Promise<unknown>,
): Promise<void> {
  await assert.rejects(promise, (error) => assertCode(error, code));
}

export function assertCode(error: unknown, code: StoreError['code']): true {
  assert.ok(error instanceof StoreError, String(error));
  assert.equal(error.code, code);
  assert.ok(!error.message.includes('\n'), 'one line');
  return true;
}

export function assertAscending(batches: readonly WatchBatch[]): void {
  let last = 0;
  for (const { revision, changes } of batches) {
    assert.ok(revision >= last);
    if (changes.length > 0) assert.ok(revision > last || last === 0);
    assert.ok(changes.every((change) => modRevisionOf(change) === revision));
    last = revision;
  }
}

export function isDelete(change: Change): boolean {
  return change.kind === 'delete';
}

export function keyOf(change: Change): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}

export function modRevisionOf(change: Change): number {
  return change.kind === 'put' ? change.entry.modRevision : change.modRevision;
}

export function shown(change: Change): string {
  return change.kind === 'put'
    ? `put ${change.entry.key} ${text(change.entry.value)}`
    : `delete ${change.key}`;
}

/** An entry without the parts that may differ between two reads (the buffer's class, a lease's clock). */
export function comparable(entry: Entry | undefined) {
  if (entry === undefined) return undefined;
  const { key, value, createRevision, modRevision, lease } = entry;
  return { key, value: [...value], createRevision, modRevision, ttlSeconds: lease?.ttlSeconds };
}
