/** The requests of a snapshot to etcd. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { LeaseStore, SnapshotOptions } from '../../src/store/store.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { until } from '../support/until.ts';

const KEYS = 3_000;
const PREFIX = '/skydns/';

describe('etcd versions', { concurrency: 1 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => snapshots(command));
});

function snapshots(command: string): void {
  let etcd: Etcd;
  let store: LeaseStore;

  /** The number of ranges that etcd has answered. */
  async function ranges(): Promise<number> {
    const response = await fetch(`http://${etcd.endpoint}/metrics`);
    const line = /^grpc_server_handled_total\{grpc_code="OK",grpc_method="Range",.*\} (\d+)$/m;
    return Number(line.exec(await response.text())?.[1] ?? 0);
  }

  async function sizes(options?: SnapshotOptions): Promise<number[]> {
    const found = [];
    for await (const { entries } of store.snapshot(PREFIX, options)) found.push(entries.length);
    return found;
  }

  async function firstPage(options?: SnapshotOptions): Promise<number> {
    for await (const { entries } of store.snapshot(PREFIX, options)) return entries.length;
    return 0;
  }

  before(async () => {
    etcd = await startEtcd({ command });
    store = new EtcdStore({ endpoints: [etcd.endpoint] });
    const value = Buffer.alloc(300, 'x');
    for (let i = 0; i < KEYS; i += 100) {
      await Promise.all(
        Array.from({ length: 100 }, (_, k) => store.put(`${PREFIX}${i + k}`, value)),
      );
    }
  });
  after(async () => {
    await store.close();
    await etcd.stop();
  });

  describe('snapshots', () => {
    it('An etcd snapshot requests one small page when no more is read', async () => {
      const asked = await ranges();
      assert.equal(await firstPage(), 256);
      // Any request after those of the snapshot.
      await store.get(PREFIX);
      await store.get(PREFIX);
      assert.equal((await ranges()) - asked, 1 + 2);
    });

    it('An etcd snapshot has pages of half a megabyte, and larger ones in bulk', async () => {
      const [first = 0, ...others] = await sizes();
      assert.equal(first, 256);
      assert.ok(
        others.length > 1 && others.every((size) => size > 1_000 && size < 1_700),
        `${others}`,
      );
      assert.deepEqual(await sizes({ bulk: true }), [500, KEYS - 500]);
    });

    it('An etcd snapshot in bulk reads one page ahead', async () => {
      const asked = await ranges();
      for await (const _ of store.snapshot(PREFIX, { bulk: true })) {
        await until('the next page was sent', async () => (await ranges()) - asked === 2);
        break;
      }
    });
  });
}
