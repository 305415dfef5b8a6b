/**
 * No event may be lost: a mirror reads through a proxy that cuts and delays its connections, while a writer works on etcd
 * directly.
 * After each round the mirror's replica must equal an etcd range. At every change the replica must have had the entry
 * that the change replaces.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { delegateStore } from '../../src/store/delegate.ts';
import type { LeaseStore, Store } from '../../src/store/store.ts';
import {
  assertTrue,
  every,
  isUp,
  onScene,
  PREFIX,
  type Scene,
  SEED,
} from '../support/etcdScene.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import type { Direction } from '../support/proxy.ts';
import { seededRandom, startRandomWriter } from '../support/randomWriter.ts';
import { until } from '../support/until.ts';

async function churnThroughCuts(
  scene: Scene,
  direction: Direction,
  counts: readonly number[],
): Promise<void> {
  // To the client, the events carry enough octets, and the answers of calls would use up those that cut the watch.
  const endCalls = direction === 'toServer' ? keepCalling(scene.proxied) : () => undefined;
  try {
    for (let from = 0; from < counts.length; from += 25)
      await cutAtEach(scene, direction, counts.slice(from, from + 25), SEED + from);
  } finally {
    endCalls();
  }
}

/** Cuts the connections after each of these numbers of octets, and then compares the mirror with etcd. */
async function cutAtEach(
  scene: Scene,
  direction: Direction,
  counts: readonly number[],
  seed: number,
): Promise<void> {
  const { proxy, direct } = scene;
  const churn = startRandomWriter(direct, PREFIX, seededRandom(seed));
  for (const octets of counts) {
    const before = proxy.cuts();
    proxy.cutAfter(direction, octets);
    await until(`the cut after ${octets} octets`, () => proxy.cuts() > before, 20_000);
  }
  await assertTrue(scene, await churn.stop());
  assert.deepEqual([...scene.replica.gaps, ...scene.beside.gaps], [], `seed ${SEED}`);
}

/** Without calls too few octets would go to the server to cut a connection soon. Returns a function that ends the calls. */
function keepCalling(store: Store): () => void {
  let hasEnded = false;
  const call = async (): Promise<void> => {
    while (!hasEnded) {
      await store.get(PREFIX).catch(() => undefined);
      await sleep(5);
    }
  };
  void call();
  return () => {
    hasEnded = true;
  };
}

describe('etcd versions', { concurrency: 1 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => cuts(command));
});

function cuts(command: string): void {
  describe('lost connections', { concurrency: 2 }, () => {
    it(
      'A watch loses no event when the connection is cut at any octet to the client',
      { timeout: 240_000 },
      () =>
        onScene({ command }, async (scene) => {
          // Every third octet while the mirror connects, reads and creates the watch. Then fewer, far into the stream of
          // events: etcd sends the earlier ones only every 100 ms.
          const counts = [...every(3, 150), ...every(9, 100), ...every(97, 60)];
          await churnThroughCuts(scene, 'toClient', counts);
          assert.equal(scene.mirror.counters().resyncs, 0);
          assert.ok(scene.mirror.counters().failures > 100);
        }),
    );

    it(
      'A watch loses no event when the connection is cut at any octet to the server',
      { timeout: 240_000 },
      () =>
        onScene({ command }, async (scene) => {
          await churnThroughCuts(scene, 'toServer', every(3, 250));
          assert.equal(scene.mirror.counters().resyncs, 0);
        }),
    );

    it(
      'A watch loses no event when data is late and connections are reset',
      { timeout: 60_000 },
      () =>
        onScene({ command }, async (scene) => {
          const { proxy, direct } = scene;
          const random = seededRandom(SEED);
          proxy.delay(() => random() * 30);
          for (let round = 0; round < 5; round++) {
            const churn = startRandomWriter(direct, PREFIX, random);
            for (let i = 0; i < 10; i++) {
              await sleep(random() * 60);
              proxy.reset();
            }
            await assertTrue(scene, await churn.stop());
          }
          assert.deepEqual([...scene.replica.gaps, ...scene.beside.gaps], []);
        }),
    );

    it('A watch loses no event when etcd is killed and restarted', { timeout: 60_000 }, () =>
      onScene({ command }, async (scene) => {
        const { etcd, direct } = scene;
        for (let round = 0; round < 3; round++) {
          const churn = startRandomWriter(direct, PREFIX, seededRandom(SEED + round));
          await until('some writes', () => churn.writes() > 50);
          await churn.stop();
          await etcd.restart();
          await until('etcd is back', () => isUp(direct));
          const again = startRandomWriter(direct, PREFIX, seededRandom(SEED + 10 + round));
          await until('more writes', () => again.writes() > 50);
          await assertTrue(scene, await again.stop());
        }
        assert.deepEqual([...scene.replica.gaps, ...scene.beside.gaps], []);
      }),
    );
  });

  describe('the test itself', () => {
    it(
      'The test detects lost events when a watch continues from the newest revision',
      { timeout: 60_000 },
      () =>
        onScene({ command, wrap: forgetful }, async (scene) => {
          await assert.rejects(
            churnThroughCuts(scene, 'toClient', every(97, 50)),
            assert.AssertionError,
          );
        }),
    );
  });
}

/** A store whose watch starts at the store's current revision instead of the requested one. */
function forgetful(store: LeaseStore): Store {
  return delegateStore(store, {
    async *watch(prefix, _fromRevision, signal) {
      const { revision } = await store.get(prefix);
      yield* store.watch(prefix, revision + 1, signal);
    },
  });
}
