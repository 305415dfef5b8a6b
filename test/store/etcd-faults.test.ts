/**
 * No event may be lost: a mirror behind a proxy that cuts, delays and swallows, while a writer works on etcd directly.
 * After each round the mirror's replica must equal an etcd range, and at every single change it must have held what the
 * change says it replaced.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Clock, systemClock } from '../../src/store/clock.ts';
import { delegateStore } from '../../src/store/delegate.ts';
import { openEtcdStore } from '../../src/store/etcd.ts';
import { createMirror, type Mirror } from '../../src/store/mirror.ts';
import type { LeaseStore, Store } from '../../src/store/store.ts';
import { seededRandom, startChurn } from '../support/churn.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { type Direction, type FaultyProxy, startProxy } from '../support/proxy.ts';
import { CheckedReplica, contentOf } from '../support/replica.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/local/';
const SEED = Number(process.env.SORADNS_TEST_SEED ?? 20_240_607);

/** Pauses between attempts shrink, so that hundreds of faults fit into a test. */
const hasty: Clock = {
  ...systemClock,
  startTimer: (delayMs, callback) => systemClock.startTimer(delayMs / 50, callback),
};

interface Scene {
  readonly etcd: Etcd;
  readonly proxy: FaultyProxy;
  /** Straight to etcd. */
  readonly direct: Store;
  readonly replica: CheckedReplica;
  readonly mirror: Mirror;
}

interface SceneOptions {
  readonly clock?: Clock;
  /** Puts something between the mirror and its store. */
  readonly wrap?: (store: LeaseStore) => Store;
}

async function onScene(
  options: SceneOptions,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const etcd = await startEtcd();
  const proxy = await startProxy(etcd.endpoint);
  const direct = openEtcdStore({ endpoints: [etcd.endpoint] });
  const store = openEtcdStore({ endpoints: [proxy.endpoint], callTimeoutMs: 3_000 });
  const replica = new CheckedReplica();
  const { clock = hasty, wrap = (same: LeaseStore) => same } = options;
  const mirror = createMirror({ store: wrap(store), prefix: PREFIX, replica, clock });
  try {
    mirror.start();
    await until('the mirror is loaded', () => mirror.state().kind === 'synced');
    const first = await direct.put(`${PREFIX}first`, Buffer.of());
    if (first.done) await mirror.waitFor(first.entry.modRevision);
    await play({ etcd, proxy, direct, replica, mirror });
  } finally {
    mirror.close();
    await Promise.all([store.close(), direct.close(), proxy.close()]);
    await etcd.stop();
  }
}

/** Waits until the mirror has all that was written, and compares. */
async function assertTrue(scene: Scene, revision: number): Promise<void> {
  const { direct, replica, mirror } = scene;
  await Promise.race([mirror.waitFor(revision), sleep(40_000, undefined, { ref: false })]);
  await sleep(20);
  // A lease may end between the two looks.
  let held: string[] = [];
  let there: string[] = [];
  for (let attempt = 0; attempt < 20; attempt++) {
    there = await contentOf(direct, PREFIX);
    await sleep(50);
    held = replica.content();
    if (held.join() === there.join()) return;
  }
  assert.deepEqual(held, there, `seed ${SEED}`);
}

async function churnThroughCuts(
  scene: Scene,
  direction: Direction,
  counts: readonly number[],
): Promise<void> {
  const { proxy, direct } = scene;
  for (let from = 0; from < counts.length; from += 25) {
    const churn = startChurn(direct, PREFIX, seededRandom(SEED + from));
    for (const octets of counts.slice(from, from + 25)) {
      const before = proxy.cuts();
      proxy.cutAfter(direction, octets);
      await until(`the cut after ${octets} octets`, () => proxy.cuts() > before, 20_000);
    }
    await assertTrue(scene, await churn.stop());
    assert.deepEqual(scene.replica.gaps, [], `seed ${SEED}`);
  }
}

const every = (step: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => i * step);

describe('no event is lost', { concurrency: 2 }, () => {
  it('when the connection is cut at any octet towards the client', { timeout: 120_000 }, () =>
    onScene({}, async (scene) => {
      // By threes through connecting, asking and creating the watch; then far into the stream of events.
      await churnThroughCuts(scene, 'toClient', [...every(3, 300), ...every(97, 100)]);
      assert.equal(scene.mirror.counters().resyncs, 0);
      assert.ok(scene.mirror.counters().failures > 100);
    }),
  );

  it('when the connection is cut at any octet towards the server', { timeout: 120_000 }, () =>
    onScene({}, async (scene) => {
      await churnThroughCuts(scene, 'toServer', every(3, 250));
      assert.equal(scene.mirror.counters().resyncs, 0);
    }),
  );

  it('when pieces are late and connections are reset', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      const { proxy, direct } = scene;
      const random = seededRandom(SEED);
      proxy.delay(() => random() * 30);
      for (let round = 0; round < 5; round++) {
        const churn = startChurn(direct, PREFIX, random);
        for (let i = 0; i < 10; i++) {
          await sleep(random() * 60);
          proxy.reset();
        }
        await assertTrue(scene, await churn.stop());
      }
      assert.deepEqual(scene.replica.gaps, []);
    }),
  );

  it('when etcd is killed and comes back', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      const { etcd, direct } = scene;
      for (let round = 0; round < 3; round++) {
        const churn = startChurn(direct, PREFIX, seededRandom(SEED + round));
        await until('some writes', () => churn.writes() > 50);
        await churn.stop();
        await etcd.restart();
        await until('etcd is back', () => isUp(direct));
        const again = startChurn(direct, PREFIX, seededRandom(SEED + 10 + round));
        await until('more writes', () => again.writes() > 50);
        await assertTrue(scene, await again.stop());
      }
      assert.deepEqual(scene.replica.gaps, []);
    }),
  );
});

const isUp = (store: Store): Promise<boolean> =>
  store.get(PREFIX).then(
    () => true,
    () => false,
  );

describe('a dead peer is found within 20 s, and left behind', { concurrency: 2 }, () => {
  it('blackhole', { timeout: 60_000 }, () =>
    onScene({ clock: systemClock }, async (scene) => {
      const { proxy, mirror, direct } = scene;
      const startMs = performance.now();
      proxy.blackhole(true);
      const churn = startChurn(direct, PREFIX, seededRandom(SEED));
      await until('it is noticed', () => mirror.state().kind === 'stale', 20_000);
      console.log(`# blackhole noticed after ${Math.round(performance.now() - startMs)} ms`);
      const revision = await churn.stop();
      await sleep(6_000);
      assert.equal(mirror.state().kind, 'stale');
      proxy.blackhole(false);
      await until('it is back', () => mirror.state().kind === 'synced', 20_000);
      await assertTrue(scene, revision);
      assert.deepEqual(scene.replica.gaps, []);
    }),
  );

  it('SIGSTOP', { timeout: 60_000 }, () =>
    onScene({ clock: systemClock }, async (scene) => {
      const { etcd, mirror, direct } = scene;
      const startMs = performance.now();
      etcd.pause();
      await until('it is noticed', () => mirror.state().kind === 'stale', 20_000);
      console.log(`# SIGSTOP noticed after ${Math.round(performance.now() - startMs)} ms`);
      etcd.resume();
      await until('etcd is back', () => isUp(direct), 20_000);
      const churn = startChurn(direct, PREFIX, seededRandom(SEED));
      await until('it is back', () => mirror.state().kind === 'synced', 20_000);
      await assertTrue(scene, await churn.stop());
      assert.deepEqual(scene.replica.gaps, []);
    }),
  );
});

describe('a store that forgot', { concurrency: 2 }, () => {
  it('what was compacted away is listed again, in one step', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      const { etcd, proxy, direct, replica, mirror } = scene;
      for (let i = 0; i < 3_000; i += 100) {
        await Promise.all(
          every(1, 100).map((k) => direct.put(`${PREFIX}many/${i + k}`, Buffer.from('1'))),
        );
      }
      for (let round = 1; round <= 3; round++) {
        await mirror.waitFor((await modRevisionOf(direct.put(`${PREFIX}go`, Buffer.of()))) ?? 0);
        const steps = replica.sizes.length;
        await proxy.refuse(true);
        proxy.reset();
        for (const k of every(1, 100)) await direct.put(`${PREFIX}many/${k}`, Buffer.from('2'));
        for (const k of every(1, 50)) await direct.delete(`${PREFIX}many/${2_000 + k}`);
        for (const k of every(1, 50))
          await direct.put(`${PREFIX}new/${round}/${k}`, Buffer.from('3'));
        const { revision } = await direct.get(PREFIX);
        await etcd.etcdctl(['compaction', `${revision}`]);
        await proxy.refuse(false);
        await until('it was listed again', () => mirror.counters().resyncs === round);
        await assertTrue(scene, revision);
        assert.deepEqual(replica.sizes.slice(steps), [replica.entries.size], 'one step');
        for (const k of every(1, 50))
          await direct.put(`${PREFIX}many/${2_000 + k}`, Buffer.from('4'));
      }
    }),
  );

  it('a wiped store is listed again, though its revisions are smaller', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      const { etcd, direct, mirror } = scene;
      const put = (k: number, value: string) => direct.put(`${PREFIX}${k}`, Buffer.from(value));
      for (const k of every(1, 20)) await put(k, 'old');
      await until('all is there', () => scene.replica.entries.size === 21);
      await etcd.restart({ wipe: true });
      await until('etcd is back', () => isUp(direct));
      // The same keys at the same revisions, with other values.
      for (const k of every(1, 10)) await put(k, 'new');
      const { revision } = await direct.get(PREFIX);
      await until('it was listed again', () => mirror.counters().resyncs > 0);
      await assertTrue(scene, revision);
      await mirror.waitFor((await modRevisionOf(put(30, 'more'))) ?? Number.NaN);
      await assertTrue(scene, revision + 1);
    }),
  );
});

describe('a store that was wiped, and has as many writes as before again', {
  concurrency: 2,
}, () => {
  /** Wipes etcd while the mirror cannot reach it, writes, and lets the mirror come back. */
  async function wipe(scene: Scene, write: (store: Store) => Promise<void>): Promise<void> {
    const { etcd, proxy, direct, mirror } = scene;
    await proxy.refuse(true);
    proxy.reset();
    await until('the loss is noticed', () => mirror.state().kind === 'stale');
    await etcd.restart({ wipe: true });
    await until('etcd is back', () => isUp(direct));
    await write(direct);
    await proxy.refuse(false);
  }

  async function putAll(store: Store, keys: readonly number[], value: string): Promise<void> {
    for (const key of keys) await store.put(`${PREFIX}${key}`, Buffer.from(value));
  }

  it('under other keys', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      await putAll(scene.direct, every(1, 20), 'old');
      await until('all is there', () => scene.replica.entries.size === 21);
      const steps = scene.replica.sizes.length;
      await wipe(scene, (store) => putAll(store, every(2, 40), 'new'));
      await until('it was listed again', () => scene.mirror.counters().resyncs > 0);
      assert.deepEqual(scene.replica.sizes.slice(steps), [40], 'one step');
      await assertTrue(scene, (await scene.direct.get(PREFIX)).revision);
    }),
  );

  it('under the same keys at the same revisions', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      await putAll(scene.direct, every(1, 20), 'old');
      await until('all is there', () => scene.replica.entries.size === 21);
      await wipe(scene, async (store) => {
        await store.put(`${PREFIX}first`, Buffer.of());
        await putAll(store, every(1, 20), 'new');
      });
      await until('it was listed again', () => scene.mirror.counters().resyncs > 0);
      await assertTrue(scene, (await scene.direct.get(PREFIX)).revision);
    }),
  );

  it('and forgot them', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      const { etcd, direct } = scene;
      await putAll(direct, every(1, 20), 'old');
      await until('all is there', () => scene.replica.entries.size === 21);
      await wipe(scene, async (store) => {
        await store.put(`${PREFIX}first`, Buffer.of());
        await putAll(store, every(1, 40), 'new');
        await etcd.etcdctl(['compaction', `${(await store.get(PREFIX)).revision}`]);
      });
      await until('it was listed again', () => scene.mirror.counters().resyncs > 0);
      await assertTrue(scene, (await direct.get(PREFIX)).revision);
    }),
  );

  it('where there was nothing below the prefix', { timeout: 60_000 }, () =>
    onScene({}, async (scene) => {
      await scene.direct.delete(`${PREFIX}first`);
      const replica = new CheckedReplica();
      const store = openEtcdStore({ endpoints: [scene.proxy.endpoint] });
      const mirror = createMirror({ store, prefix: PREFIX, replica, clock: hasty });
      try {
        mirror.start();
        await until('it is loaded', () => mirror.state().kind === 'synced');
        await wipe(scene, (direct) => putAll(direct, every(1, 10), 'new'));
        await until('all is there', () => replica.entries.size === 10);
        assert.equal(mirror.counters().resyncs, 1);
      } finally {
        mirror.close();
        await store.close();
      }
    }),
  );
});

const modRevisionOf = async (put: ReturnType<Store['put']>): Promise<number | undefined> => {
  const result = await put;
  return result.done ? result.entry.modRevision : undefined;
};

describe('the test itself', () => {
  it('sees the loss when a watch goes on from the newest revision', { timeout: 60_000 }, () =>
    onScene({ wrap: forgetful }, async (scene) => {
      await assert.rejects(
        churnThroughCuts(scene, 'toClient', every(97, 50)),
        assert.AssertionError,
      );
    }),
  );
});

/** A store whose watch begins where the store is, not where it was asked to. */
function forgetful(store: LeaseStore): Store {
  return delegateStore(store, {
    async *watch(prefix, _fromRevision, signal) {
      const { revision } = await store.get(prefix);
      yield* store.watch(prefix, revision + 1, signal);
    },
  });
}
