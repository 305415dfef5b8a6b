import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import type { LeaseStore, Store } from '../../src/store/store.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { batchesUntil, nextChanges, shown } from '../support/storeCalls.ts';
import { storeContract } from './contract.ts';

const history = { changes: 4000, octets: 1e8 };
const value = new TextEncoder().encode('v');
let opened: Store | undefined;

storeContract(
  'memory:',
  async () => {
    const store = createMemoryStore({ history });
    opened = store;
    return { store, close: () => store.close() };
  },
  {
    async canCompact() {
      const store = opened;
      assert.ok(store !== undefined);
      for (let i = 0; i <= history.changes; i++) await store.put('/filler', new Uint8Array(0));
    },
  },
);

describe('memory: expiry on a fake clock', () => {
  it('A key of a memory: store expires at its deadline and not a millisecond earlier', async () => {
    const { store, clock } = withFakeClock();
    await store.put('/a', value, { ttlSeconds: 2 });
    await clock.advance(1999);
    assert.deepEqual(await keysOf(store), ['/a']);
    await clock.advance(1);
    assert.deepEqual(await keysOf(store), []);
    assert.equal((await store.get('/a')).revision, 2);
    await store.close();
  });

  it('A key of a memory: store with a TTL of 50 days expires after 50 days without polling', async () => {
    const { store, clock } = withFakeClock();
    const ttlSeconds = 50 * 86_400;
    await store.put('/a', value, { ttlSeconds });
    await clock.advance(ttlSeconds * 1000 - 1);
    assert.deepEqual(await keysOf(store), ['/a']);
    assert.ok(clock.fired < 5, `${clock.fired} timers`);
    await clock.advance(1);
    assert.deepEqual(await keysOf(store), []);
    await store.close();
  });

  it('A memory: store with a late timer shows no expired key to reads or writes', async () => {
    const { store, clock } = withFakeClock();
    await store.put('/a', value, { ttlSeconds: 1 });
    await store.put('/b', value, { ttlSeconds: 1 });
    clock.stall(5000);
    assert.equal((await store.get('/a')).entry, undefined);
    assert.deepEqual(await keysOf(store), []);
    const created = await store.put('/a', value, { if: { kind: 'absent' } });
    assert.ok(created.done && created.entry.modRevision === 5 && created.previous === undefined);
    assert.equal((await store.delete('/b')).done, false);
    await store.close();
  });

  it('A jump of the wall clock expires no key of a memory: store', async () => {
    const { store, clock } = withFakeClock();
    await store.put('/a', value, { ttlSeconds: 10 });
    clock.jumpWall(86_400_000);
    await clock.advance(9999);
    assert.deepEqual(await keysOf(store), ['/a']);
    clock.jumpWall(-2 * 86_400_000);
    await clock.advance(1);
    assert.deepEqual(await keysOf(store), []);
    await store.close();
  });

  it('Thousands of keys that expire together get their own revisions in the order of their deadlines', async () => {
    const { store, clock } = withFakeClock();
    const keys = Array.from({ length: 3000 }, (_, i) => `/${(i * 7919) % 3000}`);
    for (const key of keys) await store.put(key, value, { ttlSeconds: 1 + Number(key.slice(1)) });
    const watch = store.watch('/', 3001, new AbortController().signal)[Symbol.asyncIterator]();
    clock.stall(2000_000);
    await clock.advance(0);
    for (let i = 0; i < 2000; i++) {
      const { value: batch } = await watch.next();
      assert.deepEqual([batch.revision, batch.changes[0]?.key], [3001 + i, `/${i}`]);
    }
    assert.equal((await keysOf(store)).length, 1000);
    await store.close();
  });
});

describe('memory: an ended lease among many due keys', () => {
  const meetings: Record<string, (store: LeaseStore, lease: string) => Promise<unknown>> = {
    'a put': async (store) => {
      const created = await store.put('/l/b', value, { if: { kind: 'absent' } });
      assert.ok(created.done && created.previous === undefined);
    },
    'a put on it': (store, lease) =>
      assert.rejects(store.put('/x', value, { lease }), { code: 'invalid' }),
    'a delete': async (store) => assert.equal((await store.delete('/l/b')).done, false),
    'a deleteTree': async (store) => assert.equal((await store.deleteTree('/l/')).deleted, 0),
    'a renewal': async (store, lease) => assert.equal(await store.renewLease(lease), false),
    'a revocation': (store, lease) => store.revokeLease(lease),
  };
  for (const [what, meet] of Object.entries(meetings)) {
    it(`After a lease has ended, ${what} finds all its keys deleted at one revision`, async () => {
      const { store, clock } = withFakeClock();
      const { id } = await store.grantLease(2);
      for (const key of ['/l/a', '/l/b', '/l/c']) await store.put(key, value, { lease: id });
      for (let i = 0; i < 1500; i++) await store.put(`/own/${i}`, value, { ttlSeconds: 1 });
      await clock.advance(0);
      clock.stall(5000);
      await meet(store, id);
      const batches = await batchesUntil(store, '/l/', 1504, '/l/b', { kind: 'delete' });
      assert.deepEqual(batches.at(-1)?.changes.map(shown), [
        'delete /l/a',
        'delete /l/b',
        'delete /l/c',
      ]);
      await store.close();
    });
  }
});

describe('memory: bounds', () => {
  it('A lease of a memory: store lasts at most a day, and a key can live longer', async () => {
    const store = createMemoryStore();
    assert.equal((await store.grantLease(86_400)).ttlSeconds, 86_400);
    const refused = {
      code: 'invalid',
      message: 'the TTL of a lease is a whole number of seconds, 1..86400',
    };
    await assert.rejects(store.grantLease(86_401), refused);
    await assert.rejects(store.grantLease(9_000_000_000), refused);
    assert.ok((await store.put('/a', value, { ttlSeconds: 31_536_000 })).done);
    await store.close();
  });

  it('A memory: store accepts at most 10,000 leases until some end', async () => {
    const store = createMemoryStore();
    const flood = Array.from({ length: 10_100 }, () => store.grantLease(86_400));
    const outcomes = await Promise.allSettled(flood);
    const granted = outcomes.flatMap((outcome) =>
      outcome.status === 'fulfilled' ? [outcome.value.id] : [],
    );
    assert.equal(granted.length, 10_000);
    await assert.rejects(store.grantLease(60), { code: 'unavailable', message: /10000 leases/ });
    const [first = ''] = granted;
    await store.put('/kept', value, { lease: granted[1] });
    await store.revokeLease(first);
    assert.equal((await store.grantLease(60)).ttlSeconds, 60);
    await assert.rejects(store.grantLease(60), { code: 'unavailable' });
    assert.ok(await store.renewLease(granted[1] ?? ''));
    await store.close();
  });

  it('A snapshot of a memory: store has pages of 1,000 keys', async () => {
    const store = createMemoryStore();
    for (let i = 0; i < 2000; i++) await store.put(`/${i}`, value);
    const sizes: number[] = [];
    for await (const page of store.snapshot('/')) sizes.push(page.entries.length);
    assert.deepEqual(sizes, [1000, 1000]);
    await store.close();
  });

  it('A memory: store ends only the watch whose client does not read', async () => {
    const store = createMemoryStore({ history: { changes: 100, octets: 1e6 } });
    const { signal } = new AbortController();
    const slow = store.watch('/', 1, signal)[Symbol.asyncIterator]();
    const elsewhere = store.watch('/b/', 1, signal)[Symbol.asyncIterator]();
    const first = nextChanges(elsewhere);
    await Promise.all([nextChanges(slow), store.put('/a/0', value)]);
    for (let i = 1; i <= 202; i++) await store.put(`/a/${i}`, value);
    await assert.rejects(slow.next(), { name: 'StoreError', code: 'compacted' });
    await store.put('/b/x', value);
    assert.equal((await first).changes.length, 1);
    await store.close();
  });

  it('The history of a memory: store is also limited in octets', async () => {
    const store = createMemoryStore({ history: { changes: 1000, octets: 100_000 } });
    for (let i = 0; i < 10; i++) await store.put(`/${i}`, new Uint8Array(30_000));
    const { signal } = new AbortController();
    const old = store.watch('/', 7, signal)[Symbol.asyncIterator]();
    await assert.rejects(old.next(), { code: 'compacted' });
    const known = store.watch('/', 8, signal)[Symbol.asyncIterator]();
    assert.equal((await known.next()).value.revision, 8);
    await store.close();
  });

  it('A memory: store refuses invalid keys and prefixes', async () => {
    const store = createMemoryStore();
    const invalid = { name: 'StoreError', code: 'invalid' };
    await store.put(`/${'k'.repeat(1899)}`, value);
    for (const key of ['', 'a', `/${'k'.repeat(1900)}`, `/${'é'.repeat(950)}`, '/\ud800']) {
      await assert.rejects(store.put(key, value), invalid, JSON.stringify(key.slice(0, 10)));
    }
    for (const ttlSeconds of [0.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      await assert.rejects(store.put('/a', value, { ttlSeconds }), invalid);
    }
    await assert.rejects(store.deleteTree('/a'), invalid);
    await assert.rejects(
      store.watch('/a', 1, AbortSignal.abort())[Symbol.asyncIterator]().next(),
      invalid,
    );
    await store.close();
  });
});

function withFakeClock(): { store: LeaseStore; clock: FakeClock } {
  const clock = new FakeClock();
  return { store: createMemoryStore({ clock }), clock };
}

async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.snapshot('/')) keys.push(...page.entries.map((each) => each.key));
  return keys;
}

it('A memory: store that starts above the old revisions ends old watches with compacted', async () => {
  const before = createMemoryStore({ revision: 1_000 });
  const put = await before.put('/a', Buffer.from('x'));
  assert.ok(put.done && put.entry.modRevision === 1_001);
  const after = createMemoryStore({ revision: 2_000 });
  const watch = after.watch('/', put.entry.modRevision + 1, new AbortController().signal);
  await assert.rejects(
    async () => {
      for await (const _ of watch) assert.fail('a batch came');
    },
    { code: 'compacted' },
  );
  await Promise.all([before.close(), after.close()]);
});
