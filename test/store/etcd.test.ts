import { after, before, describe } from 'node:test';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { ETCD_VERSIONS } from '../support/etcdVersions.ts';
import { storeContract } from './contract.ts';

describe('etcd versions', { concurrency: 3 }, () => {
  for (const { title, options, command } of ETCD_VERSIONS)
    describe(title, options, () => contract(command));
});

function contract(command: string): void {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd({ command });
  });
  after(() => etcd.stop());

  storeContract(
    'etcd:',
    async () => {
      const store = new EtcdStore({ endpoints: [etcd.endpoint] });
      return { store, close: () => store.close() };
    },
    {
      // etcd's shortest lease is 2 s, and etcd looks for expired leases twice a second.
      expirySlackMs: 3_000,
      canCompact: async (revision) => void (await etcd.etcdctl(['compaction', `${revision}`])),
    },
  );
}
