/**
 * A mirror that reads a real etcd through a proxy with faults, another one beside it that shares its watch, and a direct
 * connection for comparison.
 */
import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { Mirror } from '../../src/store/mirror.ts';
import type { LeaseStore, Store } from '../../src/store/store.ts';
import { type Clock, systemClock } from '../../src/timing/clock.ts';
import { type Etcd, startEtcd } from './etcd.ts';
import { type FaultyProxy, startProxy } from './proxy.ts';
import { CheckedReplica, contentOf } from './replica.ts';
import { until } from './until.ts';

export const PREFIX = '/skydns/local/';
export const SEED = Number(process.env.SORADNS_TEST_SEED ?? 20_240_607);

/** Shortens the pauses between attempts, so that hundreds of faults fit into a test. */
export const hasty: Clock = {
  ...systemClock,
  startTimer: (delayMs, callback) => systemClock.startTimer(delayMs / 500, callback),
};

export interface Scene {
  readonly etcd: Etcd;
  readonly proxy: FaultyProxy;
  /** Connected to etcd directly. */
  readonly direct: Store;
  /** The mirror's store, connected through the proxy. */
  readonly proxied: Store;
  readonly replica: CheckedReplica;
  readonly mirror: Mirror;
  /** Of the mirror beside it, which joined after the first mirror's load. */
  readonly beside: CheckedReplica;
}

export interface SceneOptions {
  /** The command that starts etcd. */
  readonly command: string;
  readonly clock?: Clock;
  /** Wraps the mirror's store. */
  readonly wrap?: (store: LeaseStore) => Store;
}

export async function onScene(
  options: SceneOptions,
  play: (scene: Scene) => Promise<void>,
): Promise<void> {
  const etcd = await startEtcd({ command: options.command });
  const proxy = await startProxy(etcd.endpoint);
  const direct = new EtcdStore({ endpoints: [etcd.endpoint] });
  const store = new EtcdStore({ endpoints: [proxy.endpoint], callTimeoutMs: 3_000 });
  const replica = new CheckedReplica();
  const { clock = hasty, wrap = (same: LeaseStore) => same } = options;
  const mirror = new Mirror({ store: wrap(store), prefix: PREFIX, replica, clock });
  const beside = new CheckedReplica();
  const second = mirror.beside({ replica: beside });
  try {
    mirror.start();
    await until('the mirror is loaded', () => mirror.state().kind === 'synced');
    const first = await direct.put(`${PREFIX}first`, Buffer.of());
    if (first.done) await mirror.waitFor(first.entry.modRevision);
    second.start();
    await until('the mirror beside it is loaded', () => second.state().kind === 'synced');
    await play({ etcd, proxy, direct, proxied: store, replica, mirror, beside });
  } finally {
    second.close();
    mirror.close();
    await Promise.all([store.close(), direct.close(), proxy.close()]);
    await etcd.stop();
  }
}

/** Waits until the mirror has every write, and compares both replicas with etcd. */
export async function assertTrue(scene: Scene, revision: number): Promise<void> {
  const { direct, replica, mirror, beside } = scene;
  await Promise.race([mirror.waitFor(revision), sleep(40_000, undefined, { ref: false })]);
  await sleep(20);
  // A lease may end between the two reads.
  let held: string[] = [];
  let there: string[] = [];
  for (let attempt = 0; attempt < 20; attempt++) {
    there = await contentOf(direct, PREFIX);
    await sleep(50);
    held = replica.content();
    if (held.join() === there.join() && beside.content().join() === there.join()) return;
  }
  assert.deepEqual(held, there, `seed ${SEED}`);
  assert.deepEqual(beside.content(), there, `beside it, seed ${SEED}`);
}

/** Whether the store answers. */
export const isUp = (store: Store): Promise<boolean> =>
  store.get(PREFIX).then(
    () => true,
    () => false,
  );

/** The first `count` multiples of `step`, from 0 on. */
export const every = (step: number, count: number): number[] =>
  Array.from({ length: count }, (_, i) => i * step);
