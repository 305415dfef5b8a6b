/** Writers that choose a leader at once, on every kind of store. */
import assert from 'node:assert/strict';
import test, { after } from 'node:test';
import { chooseInstance } from '../../../src/ambassador/names/chooseInstance.ts';
import { printName } from '../../../src/dns/name.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { EtcdStore } from '../../../src/store/etcd/etcdStore.ts';
import { HttpStore } from '../../../src/store/http/httpStore.ts';
import type { Store } from '../../../src/store/store.ts';
import { startEtcd } from '../../support/etcd.ts';
import { startHttp } from '../../support/http.ts';
import { name } from '../../support/zone.ts';

const PREFIX = '/skydns/';
const WRITERS = 10;
const ROUNDS = 5;
const service = name('mysql.skydns.local');
const instance = (n: number) => name(`${n}.mysql.skydns.local`);

const closing: (() => Promise<unknown> | undefined)[] = [];
after(async () => {
  for (const close of closing.reverse()) await close();
});

/** Opens as many clients of one store as there are writers. */
const STORES: Readonly<Record<string, () => Promise<readonly Store[]>>> = {
  async memory() {
    const store = createMemoryStore();
    closing.push(() => store.close());
    return Array.from({ length: WRITERS }, () => store);
  },
  async http() {
    const server = await startHttp({ token: 'secret' });
    closing.push(() => server.stop());
    return opened(() => new HttpStore({ url: server.url, token: 'secret' }));
  },
  async etcd() {
    const etcd = await startEtcd();
    closing.push(() => etcd.stop());
    return opened(() => new EtcdStore({ endpoints: [etcd.endpoint] }));
  },
};

function opened(open: () => Store): readonly Store[] {
  return Array.from({ length: WRITERS }, () => {
    const store = open();
    closing.push(() => store.close());
    return store;
  });
}

async function chosen(store: Store | undefined): Promise<string> {
  const { entry } = (await store?.get('/skydns-leader/local/skydns/mysql')) ?? {};
  return JSON.parse(Buffer.from(entry?.value ?? '').toString('utf8')).instance;
}

for (const [kind, open] of Object.entries(STORES))
  test(`Of ten writers that replace one choice at once in a ${kind} store exactly one succeeds`, async () => {
    const stores = await open();
    let former = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const expected = former === 0 ? 'none' : instance(former);
      const results = await Promise.all(
        stores.map((store, n) =>
          chooseInstance(store, PREFIX, {
            name: service,
            instance: instance(100 * (round + 1) + n),
            expected,
          }),
        ),
      );
      const winners = results.flatMap(({ kind: result }, n) => (result === 'chosen' ? [n] : []));
      assert.equal(winners.length, 1, JSON.stringify(results));
      former = 100 * (round + 1) + (winners[0] ?? 0);
      assert.equal(await chosen(stores[0]), printName(instance(former)));
      for (const result of results)
        if (result.kind !== 'chosen')
          assert.deepEqual(result, { kind: 'conflict', current: instance(former) });
    }
  });

test('Of ten writers that state no expectation the choice of one stands, and the others know whether it is theirs', async () => {
  const [store] = (await STORES.memory?.()) ?? [];
  assert.ok(store !== undefined);
  const results = await Promise.all(
    Array.from({ length: WRITERS }, (_, n) =>
      chooseInstance(store, PREFIX, { name: service, instance: instance(n) }),
    ),
  );
  const winners = results.flatMap(({ kind }, n) => (kind === 'chosen' ? [n] : []));
  assert.deepEqual(
    winners.map((n) => printName(instance(n))),
    [await chosen(store)],
  );
});

test('A writer replaces any choice, but only the one that it expects if it expects one', async () => {
  const store = createMemoryStore();
  const choose = (n: number, expected?: 'none' | number) =>
    chooseInstance(store, PREFIX, {
      name: service,
      instance: instance(n),
      ...(expected !== undefined && {
        expected: expected === 'none' ? expected : instance(expected),
      }),
    });
  assert.deepEqual(await choose(1, 2), { kind: 'conflict', current: undefined });
  assert.deepEqual(await choose(1), { kind: 'chosen' });
  assert.deepEqual(await choose(2, 'none'), { kind: 'conflict', current: instance(1) });
  assert.deepEqual(await choose(2, 1), { kind: 'chosen' });
  assert.deepEqual(await choose(3), { kind: 'chosen' });
  await store.put('/skydns-leader/local/skydns/mysql', Buffer.from('not JSON'));
  assert.deepEqual(await choose(4, 'none'), { kind: 'conflict', current: undefined });
  assert.deepEqual(await choose(4), { kind: 'chosen' });
  await store.close();
});

test('A name that no key can stand for has no leader that could be chosen', async () => {
  const store = createMemoryStore();
  const odd = name('a\\.b.skydns.local');
  const result = await chooseInstance(store, PREFIX, { name: odd, instance: odd });
  assert.deepEqual(result, { kind: 'unstorable' });
  await store.close();
});
