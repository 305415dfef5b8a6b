/** Shared watches: they keep the contract of a store, and etcd has few watches. */
import assert from 'node:assert/strict';
import { after, before, describe, it, test } from 'node:test';
import { SharedWatches } from '../../../src/server/http/api/sharedWatches.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { EtcdStore } from '../../../src/store/etcd/etcdStore.ts';
import { NewestEntry } from '../../../src/store/fingerprint.ts';
import type { LeaseStore, WatchBatch } from '../../../src/store/store.ts';
import { storeContract } from '../../store/contract.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { bytes, drain, mustPut, nextChanges, rejectsWith } from '../../support/storeCalls.ts';
import { until } from '../../support/until.ts';

const TRUSTED = { share: 'trusted', isTrusted: async () => true };

function shareWatches(store: LeaseStore, roots: readonly string[]): LeaseStore {
  return new SharedWatches(store, roots).storeFor(store, TRUSTED);
}

storeContract('shared watches', async () => {
  const store = shareWatches(createMemoryStore(), ['/']);
  return { store, close: () => store.close() };
});

storeContract('shared watches of other prefixes than the root', async () => {
  const store = shareWatches(createMemoryStore(), ['/elsewhere/']);
  return { store, close: () => store.close() };
});

describe('clients that watch an etcd through one process', { concurrency: 1 }, () => {
  let etcd: Etcd;
  let store: LeaseStore;
  before(async () => {
    etcd = await startEtcd();
    store = shareWatches(new EtcdStore({ endpoints: [etcd.endpoint] }), [
      '/skydns/',
      '/registrar/',
    ]);
  });
  after(async () => {
    await store.close();
    await etcd.stop();
  });

  /** The number of etcd's open watches. */
  async function watchersOfEtcd(): Promise<number> {
    const metrics = await (await fetch(`http://${etcd.endpoint}/metrics`)).text();
    return Number(/^etcd_debugging_mvcc_watcher_total (\d+)/m.exec(metrics)?.[1]);
  }

  function watch(prefix: string, fromRevision: number, signal: AbortSignal) {
    return store.watch(prefix, fromRevision, signal)[Symbol.asyncIterator]();
  }

  const CLIENTS = 300;
  for (const prefix of ['/skydns/a/', '/', '/other/']) {
    it(`Shared watches below ${prefix} get every change through one watch of etcd`, async () => {
      const ending = new AbortController();
      const key = `${prefix === '/' ? '/x/' : prefix}key`;
      const { entry } = await mustPut(store, key, 'before');
      const from = entry.modRevision + 1;
      const watchers = await watchersOfEtcd();
      const clients = Array.from({ length: CLIENTS }, () => watch(prefix, from, ending.signal));
      const told = Promise.all(clients.map((client) => nextChanges(client)));
      await until('etcd has the watch', async () => (await watchersOfEtcd()) > watchers);
      await mustPut(store, key, 'after');
      const batches: WatchBatch[] = await told;
      assert.equal(await watchersOfEtcd(), watchers + 1);
      assert.equal(new Set(batches).size, 1, 'all have the same batch');
      ending.abort();
    });
  }

  it('A shared watch that starts at an earlier revision gets the earlier changes', async () => {
    const ending = new AbortController();
    const { entry: first } = await mustPut(store, '/skydns/early/1', '1');
    const { entry: second } = await mustPut(store, '/skydns/early/2', '2');
    const late = watch('/skydns/early/', second.modRevision, ending.signal);
    assert.equal((await nextChanges(late)).revision, second.modRevision);
    const early = watch('/skydns/early/', first.modRevision, ending.signal);
    assert.equal((await nextChanges(early)).revision, first.modRevision);
    assert.equal((await nextChanges(early)).revision, second.modRevision);
    ending.abort();
  });

  it('A shared watch with another history ends with an error, and the others continue', async () => {
    const ending = new AbortController();
    const { entry } = await mustPut(store, '/skydns/past/1', '1');
    const from = entry.modRevision + 1;
    const other = watch('/skydns/past/', from, ending.signal);
    const next = nextChanges(other);
    const seen = new NewestEntry();
    for await (const page of store.snapshot('/skydns/past/')) seen.addPage(page);
    const strange = { history: '17', fingerprint: seen.fingerprint() };
    const watching = store.watch('/skydns/past/', from, ending.signal, strange);
    await rejectsWith('replaced', drain(watching));
    await mustPut(store, '/skydns/past/2', '2');
    assert.equal((await next).changes.length, 1);
    ending.abort();
  });

  it('A shared watch from a compacted revision ends with an error, and the clients that joined it retry', async () => {
    const fresh = shareWatches(new EtcdStore({ endpoints: [etcd.endpoint] }), [
      '/skydns/',
      '/registrar/',
    ]);
    const { entry } = await mustPut(fresh, '/skydns/old/1', '1');
    await mustPut(fresh, '/skydns/old/1', '2');
    await etcd.etcdctl(['compact', String(entry.modRevision + 1)]);
    const ending = new AbortController();
    const old = fresh.watch('/skydns/old/', 1, ending.signal);
    const joined = fresh.watch('/skydns/old/', entry.modRevision + 2, ending.signal);
    await Promise.all([
      rejectsWith('compacted', drain(old)),
      rejectsWith('unavailable', drain(joined)),
    ]);
    const again = fresh.watch('/skydns/old/', entry.modRevision + 2, ending.signal);
    const next = nextChanges(again[Symbol.asyncIterator]());
    await fresh.put('/skydns/old/1', bytes('3'));
    assert.equal((await next).changes.length, 1);
    ending.abort();
    await fresh.close();
  });

  it('Shared watches are limited in their number of prefixes, and names can still be watched', async () => {
    const ending = new AbortController();
    const { entry } = await mustPut(store, '/skydns/bound/1', '1');
    const from = entry.modRevision + 1;
    const outcomes = Array.from({ length: 40 }, (_, n) =>
      nextChanges(watch(`/p${n}/`, from, ending.signal)).catch((error: Error) => error.message),
    );
    const refused = await Promise.race(outcomes);
    assert.match(String(refused), /^too many different watches at once/);
    const next = nextChanges(watch('/skydns/bound/', from, ending.signal));
    await mustPut(store, '/skydns/bound/2', '2');
    assert.equal((await next).changes.length, 1);
    ending.abort();
  });
});

test('One address without the token cannot take the watches of other addresses or of a trusted client', async () => {
  const store = createMemoryStore();
  const watches = new SharedWatches(store, ['/skydns/']);
  const ending = new AbortController();
  const watch = (prefix: string, share: string, isTrusted = false) => {
    const shared = watches.storeFor(store, { share, isTrusted: async () => isTrusted });
    return shared.watch(prefix, 1, ending.signal)[Symbol.asyncIterator]().next();
  };
  for (const share of ['a', 'b', 'c', 'd']) {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 32 }, (_, n) => watch(`/${share}${n}/`, share)),
    );
    const established = outcomes.filter(({ status }) => status === 'fulfilled').length;
    assert.equal(established, share === 'd' ? 0 : 8, share);
  }
  await watch('/skydns/x/', 'a');
  await watch('/other/', 'a', true);
  ending.abort();
  await store.close();
});
