/**
 * A mirror whose etcd goes silent or loses history (compacted, wiped, started again). Afterwards the mirror's replica
 * must equal an etcd range, and in between it must not show a part of a change.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { Mirror } from '../../src/store/mirror.ts';
import type { Store } from '../../src/store/store.ts';
import { systemClock } from '../../src/timing/clock.ts';
import {
  assertTrue,
  every,
  hasty,
  isUp,
  onScene,
  PREFIX,
  type Scene,
  SEED,
} from '../support/etcdScene.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { seededRandom, startRandomWriter } from '../support/randomWriter.ts';
import { CheckedReplica } from '../support/replica.ts';
import { until } from '../support/until.ts';

const modRevisionOf = async (put: ReturnType<Store['put']>): Promise<number | undefined> => {
  const result = await put;
  return result.done ? result.entry.modRevision : undefined;
};

describe('etcd versions', { concurrency: 1 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => faults(command));
});

function faults(command: string): void {
  describe('dead members', { concurrency: 2 }, () => {
    it(
      'A mirror notices within 20 s that its member is behind a blackhole',
      { timeout: 60_000 },
      () =>
        onScene({ command, clock: systemClock }, async (scene) => {
          const { proxy, mirror, direct } = scene;
          const startMs = performance.now();
          proxy.blackhole(true);
          const churn = startRandomWriter(direct, PREFIX, seededRandom(SEED));
          await until('it is noticed', () => mirror.state().kind === 'stale', 20_000);
          console.log(`# blackhole noticed after ${Math.round(performance.now() - startMs)} ms`);
          const revision = await churn.stop();
          await sleep(6_000);
          assert.equal(mirror.state().kind, 'stale');
          proxy.blackhole(false);
          await until('it is back', () => mirror.state().kind === 'synced', 20_000);
          await assertTrue(scene, revision);
          assert.deepEqual([...scene.replica.gaps, ...scene.beside.gaps], []);
        }),
    );

    it('A mirror notices within 20 s that its member has stopped', { timeout: 60_000 }, () =>
      onScene({ command, clock: systemClock }, async (scene) => {
        const { etcd, mirror, direct } = scene;
        const startMs = performance.now();
        etcd.pause();
        await until('it is noticed', () => mirror.state().kind === 'stale', 20_000);
        console.log(`# SIGSTOP noticed after ${Math.round(performance.now() - startMs)} ms`);
        etcd.resume();
        await until('etcd is back', () => isUp(direct), 20_000);
        const churn = startRandomWriter(direct, PREFIX, seededRandom(SEED));
        await until('it is back', () => mirror.state().kind === 'synced', 20_000);
        await assertTrue(scene, await churn.stop());
        assert.deepEqual([...scene.replica.gaps, ...scene.beside.gaps], []);
      }),
    );
  });

  describe('compaction', { concurrency: 2 }, () => {
    it(
      'The mirror lists a compacted store again and applies it in one step',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
          const { etcd, proxy, direct, replica, mirror } = scene;
          for (let i = 0; i < 3_000; i += 100) {
            await Promise.all(
              every(1, 100).map((k) => direct.put(`${PREFIX}many/${i + k}`, Buffer.from('1'))),
            );
          }
          for (let round = 1; round <= 3; round++) {
            await mirror.waitFor(
              (await modRevisionOf(direct.put(`${PREFIX}go`, Buffer.of()))) ?? 0,
            );
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

    it(
      'The mirror lists a wiped store again although its revisions are smaller',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
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

  describe('wiped stores with as many writes as before', {
    concurrency: 2,
  }, () => {
    /** Wipes etcd while the mirror cannot reach it, writes, and reconnects the mirror. */
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

    it(
      'The mirror notices a wiped store that has other keys at the same revision',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
          await putAll(scene.direct, every(1, 20), 'old');
          await until('all is there', () => scene.replica.entries.size === 21);
          const steps = scene.replica.sizes.length;
          await wipe(scene, (store) => putAll(store, every(2, 40), 'new'));
          await until('it was listed again', () => scene.mirror.counters().resyncs > 0);
          assert.deepEqual(scene.replica.sizes.slice(steps), [40], 'one step');
          await assertTrue(scene, (await scene.direct.get(PREFIX)).revision);
        }),
    );

    it(
      'The mirror notices a wiped store that has the same keys at the same revisions',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
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

    it(
      'The mirror notices a wiped store that has compacted its revisions',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
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

    it(
      'The mirror notices a wiped store that had nothing below the prefix',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
          await scene.direct.delete(`${PREFIX}first`);
          const replica = new CheckedReplica();
          const store = new EtcdStore({ endpoints: [scene.proxy.endpoint] });
          const mirror = new Mirror({ store, prefix: PREFIX, replica, clock: hasty });
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
}
