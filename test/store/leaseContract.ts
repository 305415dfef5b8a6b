/** The part of the contract about leases. The keys of a lease end together. */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../../src/service/change.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import {
  batchesUntil,
  bytes,
  entriesOf,
  inGroups,
  isDelete,
  keyOf,
  modRevisionOf,
  mustDelete,
  mustHave,
  mustPut,
  rejectsWith,
  shown,
  text,
} from '../support/storeCalls.ts';
import type { Register } from './contract.ts';

export function leases(test: Register, slackMs: number): void {
  sharing(test);
  ending(test, slackMs);
  leaving(test);
}

function sharing(test: Register): void {
  test('Every result for a key of a lease has the lease', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const startMs = performance.now();
    const lease = await store.grantLease(600);
    assert.equal(lease.ttlSeconds, 600);
    const endMs = mustHave(lease.expiresAtMs);
    assert.ok(endMs >= startMs + 599_000);
    assert.ok(endMs <= performance.now() + 601_000);
    const entries = await putAll(store, lease.id, [`${prefix}a`, `${prefix}b/c`]);
    assert.equal(entries[0]?.modRevision, revision + 1, 'a grant makes no revision');
    await mustPut(store, `${prefix}own`, 'x', 600);
    await mustPut(store, `${prefix}end`, 'x');
    const batches = await batchesUntil(store, prefix, revision + 1, `${prefix}end`);
    const watched = batches.flatMap((batch) => batch.changes);
    const seen = [
      ...entries,
      ...(await entriesOf(store, prefix)),
      ...watched.flatMap((change) => (change.kind === 'put' ? [change.entry] : [])),
      mustHave((await store.get(`${prefix}a`)).entry),
    ];
    assert.equal(seen.length, 2 + 4 + 4 + 1);
    for (const entry of seen) {
      const isShared = entry.key === `${prefix}a` || entry.key === `${prefix}b/c`;
      assert.equal(entry.lease?.id === lease.id, isShared, entry.key);
      if (isShared) assert.equal(entry.lease?.ttlSeconds, 600);
    }
  });

  test('A renewal keeps all keys of a lease beyond the TTL and writes nothing', async (store, prefix) => {
    const lease = await store.grantLease(3);
    const firstEndMs = mustHave(lease.expiresAtMs);
    const ttlMs = mustHave(lease.ttlSeconds) * 1000;
    const [a] = await putAll(store, lease.id, [`${prefix}a`, `${prefix}b`]);
    const entry = mustHave(a);
    const { revision } = await store.get(prefix);
    while (performance.now() < firstEndMs + 2_000) {
      await sleep(500);
      const beforeMs = performance.now();
      assert.equal(await store.renewLease(lease.id), true);
      const endMs = entry.lease?.expiresAtMs ?? 0;
      assert.ok(endMs >= beforeMs + ttlMs - 20, 'what was seen before moves');
      assert.ok(endMs <= performance.now() + ttlMs + 20);
    }
    const keys = (await entriesOf(store, prefix)).map(({ key }) => key);
    assert.deepEqual(keys, [`${prefix}a`, `${prefix}b`]);
    await wroteNothingSince(store, prefix, revision);
  });

  test('A put with a missing lease is invalid and writes nothing', async (store, prefix) => {
    const { entry } = await mustPut(store, `${prefix}a`, 'old');
    const ended = await store.grantLease(60);
    await store.revokeLease(ended.id);
    for (const lease of [ended.id, '12', '0', '-1', '', 'x', '9'.repeat(30), '1\n2']) {
      const put = (key: string) => store.put(prefix + key, bytes('new'), { lease });
      await rejectsWith('invalid', put('a'));
      await rejectsWith('invalid', put('b'));
      await assert.rejects(put('a'), (error: Error) =>
        error.message.includes(JSON.stringify(lease)),
      );
      assert.equal(await store.renewLease(lease), false);
      await store.revokeLease(lease);
    }
    const left = await entriesOf(store, prefix);
    assert.deepEqual(
      left.map(({ key, modRevision }) => [key, modRevision]),
      [[`${prefix}a`, entry.modRevision]],
    );
  });

  test('A put with both a lease and a TTL, and a lease with an invalid TTL, are refused', async (store, prefix) => {
    const { id } = await store.grantLease(60);
    await rejectsWith('invalid', store.put(`${prefix}a`, bytes('x'), { lease: id, ttlSeconds: 5 }));
    for (const ttlSeconds of [0, -1, 1e11, 1.5]) {
      await rejectsWith('invalid', store.grantLease(ttlSeconds));
    }
    assert.deepEqual(await entriesOf(store, prefix), []);
    await store.revokeLease(id);
  });
}

function ending(test: Register, slackMs: number): void {
  test('A lease of 1 s without a renewal deletes all its keys at once', async (store, prefix) => {
    const other = await store.grantLease(600);
    await putAll(store, other.id, [`${prefix}other`]);
    const startMs = performance.now();
    const lease = await store.grantLease(1);
    const keys = Array.from({ length: 30 }, (_, i) => `${prefix}${i}`).sort();
    const [first] = await putAll(store, lease.id, keys);
    const batches = await batchesUntil(
      store,
      prefix,
      mustHave(first).modRevision,
      keys[0] as string,
      { kind: 'delete' },
    );
    const lateMs = performance.now() - startMs - mustHave(lease.ttlSeconds) * 1000;
    assert.ok(lateMs > -20 && lateMs < slackMs, `${lateMs} ms late`);
    const last = mustHave(batches.at(-1));
    assert.deepEqual(last.changes.map(keyOf).sort(), keys);
    assert.ok(last.changes.every((change) => modRevisionOf(change) === last.revision));
    assert.ok(last.changes.every((change) => change.previous?.lease?.id === lease.id));
    assert.equal(await store.renewLease(lease.id), false);
    await rejectsWith('invalid', store.put(`${prefix}0`, bytes('x'), { lease: lease.id }));
    const left = await entriesOf(store, prefix);
    assert.deepEqual(left.map(keyIn), [`${prefix}other`]);
    assert.equal(await store.renewLease(other.id), true);
  });

  test('A revocation deletes all keys of the lease once at one revision', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const lease = await store.grantLease(600);
    const other = await store.grantLease(600);
    await putAll(store, lease.id, [`${prefix}a`, `${prefix}b/c`]);
    await putAll(store, other.id, [`${prefix}other`]);
    await mustPut(store, `${prefix}stays`, 'x');
    await store.revokeLease(lease.id);
    await store.revokeLease(lease.id);
    await mustPut(store, `${prefix}end`, 'x');
    const batches = await batchesUntil(store, prefix, revision + 1, `${prefix}end`);
    const deletions = batches.filter((batch) => batch.changes.some(isDelete));
    assert.equal(deletions.length, 1);
    assert.deepEqual(deletions[0]?.changes.map(keyOf).sort(), [`${prefix}a`, `${prefix}b/c`]);
    const left = (await entriesOf(store, prefix)).map(keyIn);
    assert.deepEqual(left, [`${prefix}end`, `${prefix}other`, `${prefix}stays`]);
    assert.equal(await store.renewLease(lease.id), false);
    assert.equal(await store.renewLease(other.id), true);
  });

  test('A lease without keys ends without a change', async (store, prefix) => {
    const { revision } = await store.get(prefix);
    const lease = await store.grantLease(600);
    await store.revokeLease(lease.id);
    assert.equal(await store.renewLease(lease.id), false);
    await wroteNothingSince(store, prefix, revision);
  });

  test('A snapshot shows leases that end while it is read', async (store, prefix) => {
    const lease = await store.grantLease(600);
    const keys = Array.from({ length: 1500 }, (_, i) => prefix + String(i).padStart(4, '0'));
    await inGroups(keys, 100, (key) => putAll(store, lease.id, [key]));
    const seen: Entry[] = [];
    for await (const page of store.snapshot(prefix)) {
      if (seen.length === 0) await store.revokeLease(lease.id);
      seen.push(...page.entries);
    }
    assert.deepEqual(seen.map(keyIn), keys);
    assert.ok(seen.every((entry) => entry.lease?.id === lease.id));
    assert.deepEqual(await entriesOf(store, prefix), []);
  });
}

function leaving(test: Register): void {
  test('A put without the lease removes the key from the lease', async (store, prefix) => {
    const lease = await store.grantLease(600);
    const other = await store.grantLease(600);
    const names = ['again', 'bare', 'moved', 'own', 'reborn', 'tree/a'];
    await putAll(
      store,
      lease.id,
      names.map((name) => prefix + name),
    );
    const bare = await mustPut(store, `${prefix}bare`, 'new');
    await mustPut(store, `${prefix}own`, 'new', 600);
    await putAll(store, other.id, [`${prefix}moved`]);
    await mustDelete(store, `${prefix}reborn`);
    await mustPut(store, `${prefix}reborn`, 'new');
    await store.deleteTree(`${prefix}tree/`);
    await mustPut(store, `${prefix}tree/a`, 'new');
    await putAll(store, lease.id, [`${prefix}again`]);
    assert.equal(bare.entry.lease, undefined);
    assert.equal(bare.previous?.lease?.id, lease.id);
    await store.revokeLease(lease.id);
    await mustPut(store, `${prefix}end`, 'x');
    const { createRevision } = bare.entry;
    const batches = await batchesUntil(store, prefix, createRevision, `${prefix}end`);
    assert.deepEqual(batches.at(-2)?.changes.map(shown), [`delete ${prefix}again`]);
    const left = (await entriesOf(store, prefix)).map(keyIn);
    const stay = ['bare', 'end', 'moved', 'own', 'reborn', 'tree/a'];
    assert.deepEqual(
      left,
      stay.map((name) => prefix + name),
    );
    await store.revokeLease(other.id);
    assert.equal((await store.get(`${prefix}moved`)).entry, undefined);
  });

  test('A key that had its own TTL lives as long as its new lease', async (store, prefix) => {
    const lease = await store.grantLease(600);
    await mustPut(store, `${prefix}a`, 'old', 1);
    await putAll(store, lease.id, [`${prefix}a`]);
    const gone = await mustPut(store, `${prefix}gone`, 'x', 1);
    const from = gone.entry.modRevision;
    await batchesUntil(store, prefix, from, `${prefix}gone`, { kind: 'delete' });
    await sleep(600);
    assert.equal((await store.get(`${prefix}a`)).entry?.lease?.id, lease.id);
    await store.revokeLease(lease.id);
    assert.equal((await store.get(`${prefix}a`)).entry, undefined);
  });

  test('A put whose condition fails does not add the key to the lease', async (store, prefix) => {
    const lease = await store.grantLease(600);
    await mustPut(store, `${prefix}a`, 'old');
    const options = { lease: lease.id, if: { kind: 'absent' } } as const;
    assert.equal((await store.put(`${prefix}a`, bytes('new'), options)).done, false);
    assert.equal((await store.put(`${prefix}b`, bytes('new'), options)).done, true);
    await store.revokeLease(lease.id);
    const left = await entriesOf(store, prefix);
    assert.deepEqual(
      left.map((entry) => [entry.key, text(entry.value), entry.lease]),
      [[`${prefix}a`, 'old', undefined]],
    );
  });
}

/** Puts the keys under the lease, one after the other. */
async function putAll(store: LeaseStore, lease: string, keys: readonly string[]): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const key of keys) {
    const result = await store.put(key, bytes('x'), { lease });
    assert.ok(result.done, `put ${key}`);
    entries.push(result.entry);
  }
  return entries;
}

function keyIn(entry: Entry): string {
  return entry.key;
}

/**
 * Asserts that no revision after the given one lacks a change, and that none changed a key with the prefix. Leases of
 * earlier tests may end meanwhile, and their revisions have changes of other keys.
 */
async function wroteNothingSince(
  store: LeaseStore,
  prefix: string,
  revision: number,
): Promise<void> {
  const end = (await mustPut(store, `${prefix}end`, 'x')).entry;
  const batches = await batchesUntil(store, '/', revision + 1, end.key);
  const changes = batches.flatMap((batch) => batch.changes);
  const own = changes.filter((change) => keyOf(change).startsWith(prefix));
  assert.deepEqual(own.map(modRevisionOf), [end.modRevision]);
  const every = Array.from({ length: end.modRevision - revision }, (_, i) => revision + 1 + i);
  assert.deepEqual([...new Set(changes.map(modRevisionOf))], every);
}
