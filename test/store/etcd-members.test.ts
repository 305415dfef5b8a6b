/** Clusters with dead members, and leases that other clients renew. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Entry } from '../../src/service/change.ts';
import { Endpoint } from '../../src/store/etcd/endpoint.ts';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { Mirror } from '../../src/store/mirror.ts';
import { type LeaseStore, type Store, StoreError } from '../../src/store/store.ts';
import { type Etcd, startEtcd, startEtcdCluster } from '../support/etcd.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { startProxy } from '../support/proxy.ts';
import { CheckedReplica, contentOf } from '../support/replica.ts';
import { until } from '../support/until.ts';

const PREFIX = '/skydns/';
const KEY = `${PREFIX}a`;
const NOBODY = '127.0.0.1:1';

const isUnavailable = (error: unknown): true => {
  assert.ok(error instanceof StoreError, String(error));
  assert.equal(error.code, 'unavailable', error.message);
  return true;
};

const isUp = (store: Store): Promise<boolean> =>
  store.get(KEY).then(
    () => true,
    () => false,
  );

/** Closes what a test opened, the last one first. */
type Keep = <T extends { close(): unknown }>(closable: T) => T;

type Play = (etcd: Etcd, keep: Keep) => Promise<void>;

async function playWithEtcd(command: string, use: Play): Promise<void> {
  const etcd = await startEtcd({ command });
  const kept: Array<{ close(): unknown }> = [];
  try {
    await use(etcd, (closable) => {
      kept.unshift(closable);
      return closable;
    });
  } finally {
    for (const closable of kept) await closable.close();
    await etcd.stop();
  }
}

async function putRevision(store: Store, key: string, value: string): Promise<number> {
  const result = await store.put(key, Buffer.from(value));
  assert.ok(result.done);
  return result.entry.modRevision;
}

describe('etcd versions', { concurrency: 3 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => membersAndLeases(command));
});

function membersAndLeases(command: string): void {
  const withEtcd = (use: Play) => playWithEtcd(command, use);

  describe('members', { concurrency: 2 }, () => {
    it(
      'The etcd store opens without a member, rejects calls, and recovers by itself',
      { timeout: 60_000 },
      () =>
        withEtcd(async (etcd, keep) => {
          await etcd.kill();
          const store = keep(new EtcdStore({ endpoints: [etcd.endpoint] }));
          await assert.rejects(store.get(KEY), isUnavailable);
          await assert.rejects(store.put(KEY, Buffer.of(), { ttlSeconds: 9 }), isUnavailable);
          await etcd.restart();
          await until('it answers', () => isUp(store));
        }),
    );

    it('The etcd store uses the next member for reads and writes when one refuses', () =>
      withEtcd(async (etcd, keep) => {
        const store = keep(new EtcdStore({ endpoints: [NOBODY, '127.0.0.1:2', etcd.endpoint] }));
        assert.ok((await store.put(KEY, Buffer.from('1'))).done);
        assert.equal((await store.get(KEY)).entry?.value.toString(), '1');
      }));

    it('A call on a dead connection ends at its deadline, and the next uses another member', () =>
      withEtcd(async (etcd, keep) => {
        const proxy = keep(await startProxy(etcd.endpoint));
        const endpoints = [proxy.endpoint, etcd.endpoint];
        const store = keep(new EtcdStore({ endpoints, callTimeoutMs: 1_000 }));
        await store.get(KEY);
        proxy.blackhole(true);
        const startMs = performance.now();
        await assert.rejects(store.put(KEY, Buffer.from('1')), isUnavailable);
        const tookMs = performance.now() - startMs;
        assert.ok(tookMs > 900 && tookMs < 4_000, `${tookMs} ms`);
        assert.ok((await store.put(KEY, Buffer.from('2'))).done);
      }));

    it('A write that waits on a dead connection delays no other write', { timeout: 60_000 }, () =>
      withEtcd(async (etcd, keep) => {
        const proxy = keep(await startProxy(etcd.endpoint));
        const endpoints = [proxy.endpoint, etcd.endpoint];
        const store = keep(new EtcdStore({ endpoints, callTimeoutMs: 30_000 }));
        await store.get(KEY);
        proxy.blackhole(true);
        let isWaiting = true;
        const first = assert.rejects(store.put(KEY, Buffer.from('1')), isUnavailable);
        void first.finally(() => {
          isWaiting = false;
        });
        // After a fifth of the call's time.
        await sleep(7_000);
        assert.ok((await store.put(KEY, Buffer.from('2'))).done);
        assert.ok(isWaiting, 'it was given up, or sent again');
        await store.close();
        await first;
        const direct = keep(new EtcdStore({ endpoints: [etcd.endpoint] }));
        assert.equal((await direct.get(KEY)).entry?.value.toString(), '2');
      }),
    );

    it('A call that is safe to repeat reaches another member within its deadline', () =>
      withEtcd(async (etcd, keep) => {
        const proxy = keep(await startProxy(etcd.endpoint));
        const endpoints = [proxy.endpoint, etcd.endpoint];
        const [forRead, forLease, forGrant] = [1, 2, 3].map(() =>
          keep<LeaseStore>(new EtcdStore({ endpoints, callTimeoutMs: 3_000 })),
        ) as [LeaseStore, LeaseStore, LeaseStore];
        await forRead.put(KEY, Buffer.from('1'));
        const { id } = await forLease.grantLease(60);
        await forGrant.get(KEY);
        proxy.blackhole(true);
        const [read, isRenewed, granted] = await Promise.all([
          forRead.get(KEY),
          forLease.renewLease(id),
          forGrant.grantLease(60),
        ]);
        assert.deepEqual([read.entry?.value.toString(), isRenewed], ['1', true]);
        assert.ok(await forRead.renewLease(granted.id));
      }));

    it(
      'The etcd store closes its connections to a member that accepts them and never answers',
      { timeout: 60_000 },
      () =>
        withEtcd(async (etcd, keep) => {
          const proxy = keep(await startProxy(etcd.endpoint));
          proxy.blackhole(true);
          const store = keep(new EtcdStore({ endpoints: [proxy.endpoint], callTimeoutMs: 500 }));
          for (let i = 0; i < 3; i++) await assert.rejects(store.get(KEY), isUnavailable);
          await until('its connections are ended', () => proxy.connections() < 3);
          proxy.blackhole(false);
          await until('a new connection works', () => isUp(store));
        }),
    );

    it('The etcd store retries a silent member over a new connection', { timeout: 60_000 }, () =>
      withEtcd(async (etcd, keep) => {
        const proxy = keep(await startProxy(etcd.endpoint));
        const patience = { callTimeoutMs: 500, watchSilenceMs: 300, keepaliveTimeMs: 600_000 };
        const store = keep(new EtcdStore({ endpoints: [proxy.endpoint], ...patience }));
        const { revision } = await store.get(KEY);
        const follow = () =>
          store.watch(PREFIX, revision + 1, new AbortController().signal)[Symbol.asyncIterator]();
        const watch = follow();
        await watch.next();
        const silence = assert.rejects(Promise.resolve(watch.next()), isUnavailable);
        // By then the store knows that the member answers requests for a sign of life.
        await sleep(2_000);
        proxy.blackhole(true);
        await silence;
        await assert.rejects(store.get(KEY), isUnavailable);
        // The earlier connections stay dead.
        proxy.blackhole(false);
        const again = follow();
        assert.equal((await again.next()).done, false);
        await again.return?.(undefined);
      }),
    );

    it('A call that starts while the store reconnects succeeds', () =>
      withEtcd(async (etcd) => {
        const endpoint = new Endpoint({
          address: etcd.endpoint,
          tls: undefined,
          keepaliveTimeMs: 8_000,
          keepaliveTimeoutMs: 5_000,
          connectTimeoutMs: 5_000,
        });
        const read = () =>
          endpoint.call(
            'KV',
            'range',
            { key: Buffer.from(KEY) },
            { timeoutMs: 5_000, token: undefined },
          );
        await read();
        for (let i = 0; i < 20; i++) await Promise.all([read(), endpoint.reconnect(), read()]);
        endpoint.close();
      }));

    it(
      'The keepalive detects a dead member that sends no progress notifications',
      { timeout: 60_000 },
      () =>
        withEtcd(async (etcd, keep) => {
          const proxy = keep(await startProxy(etcd.endpoint));
          const store = keep(
            new EtcdStore({ endpoints: [proxy.endpoint], watchSilenceMs: 600_000 }),
          );
          const { revision } = await store.get(KEY);
          const batches = store.watch(PREFIX, revision + 1, new AbortController().signal);
          const watch = batches[Symbol.asyncIterator]();
          await watch.next();
          const startMs = performance.now();
          proxy.blackhole(true);
          await assert.rejects(Promise.resolve(watch.next()), isUnavailable);
          const tookMs = performance.now() - startMs;
          assert.ok(tookMs < 20_000, `${tookMs} ms`);
        }),
    );

    it('An etcd watch survives the failure and the isolation of its member', {
      timeout: 90_000,
    }, async () => {
      const cluster = await startEtcdCluster(3, command);
      const [one, two, three] = cluster as [Etcd, Etcd, Etcd];
      const store = new EtcdStore({ endpoints: cluster.map((etcd) => etcd.endpoint) });
      const direct = new EtcdStore({ endpoints: [three.endpoint] });
      const replica = new CheckedReplica();
      const mirror = new Mirror({ store, prefix: PREFIX, replica });
      try {
        await until('there is a leader', () => isUp(direct), 30_000);
        mirror.start();
        await mirror.waitFor(await putRevision(direct, KEY, '1'));
        await one.kill();
        await until('a leader', () => isUp(direct), 30_000);
        await mirror.waitFor(await putRevision(direct, KEY, '2'));
        // Member three is alone: it still accepts connections but cannot commit.
        await two.kill();
        await until('it is noticed', () => mirror.state().kind === 'stale', 30_000);
        await Promise.all([one.restart(), two.restart()]);
        await until('a leader', () => isUp(direct), 30_000);
        await mirror.waitFor(await putRevision(direct, KEY, '3'));
        assert.deepEqual(replica.content(), await contentOf(direct, PREFIX));
        assert.deepEqual(replica.gaps, []);
      } finally {
        mirror.close();
        await Promise.all([store.close(), direct.close()]);
        await Promise.all(cluster.map((etcd) => etcd.stop()));
      }
    });
  });

  describe('leases', { concurrency: 2 }, () => {
    it(
      'The etcd store follows another client’s renewal and does not take a lease id for a TTL',
      { timeout: 60_000 },
      () =>
        withEtcd(async (etcd, keep) => {
          const granted = /lease (\w+) granted/.exec(
            await etcd.etcdctl(['lease', 'grant', '6']),
          )?.[1];
          assert.ok(granted !== undefined);
          await etcd.etcdctl(['put', `--lease=${granted}`, KEY, 'x']);
          const store = keep(new EtcdStore({ endpoints: [etcd.endpoint] }));
          const entry = (await store.get(KEY)).entry as Entry;
          assert.equal(BigInt(entry.lease?.id ?? 0), BigInt(`0x${granted}`));
          assert.equal(entry.lease?.ttlSeconds, 6);
          const firstMs = entry.lease?.expiresAtMs ?? Infinity;
          const leftMs = firstMs - performance.now();
          assert.ok(leftMs > 2_000 && leftMs <= 6_000, `${leftMs} ms left`);
          await sleep(2_000);
          await etcd.etcdctl(['lease', 'keep-alive', '--once', granted]);
          await until('the renewal shows', () => (entry.lease?.expiresAtMs ?? 0) > firstMs + 1_000);
        }),
    );

    it('All entries of an etcd lease share one lease object in snapshots and watches', () =>
      withEtcd(async (etcd, keep) => {
        const granted = /lease (\w+) granted/.exec(
          await etcd.etcdctl(['lease', 'grant', '60']),
        )?.[1];
        for (const k of ['1', '2'])
          await etcd.etcdctl(['put', `--lease=${granted}`, PREFIX + k, 'x']);
        const store = keep(new EtcdStore({ endpoints: [etcd.endpoint] }));
        const leases = new Set();
        for await (const { entries } of store.snapshot(PREFIX)) {
          for (const { lease } of entries) leases.add(lease);
        }
        for await (const { changes } of store.watch(PREFIX, 1, AbortSignal.timeout(10_000))) {
          for (const change of changes) if (change.kind === 'put') leases.add(change.entry.lease);
          if (changes.some((change) => change.kind === 'put' && change.entry.key.endsWith('2')))
            break;
        }
        assert.equal(leases.size, 1);
      }));

    it('A put to etcd whose condition fails leaves no lease behind', () =>
      withEtcd(async (etcd, keep) => {
        const store = keep(new EtcdStore({ endpoints: [etcd.endpoint] }));
        await store.put(KEY, Buffer.from('1'));
        const options = { ttlSeconds: 600, if: { kind: 'absent' } } as const;
        assert.ok(!(await store.put(KEY, Buffer.from('2'), options)).done);
        assert.match(await etcd.etcdctl(['lease', 'list']), /found 0 leases/);
      }));
  });
}
