import { after, before } from 'node:test';
import { openEtcdStore } from '../../src/store/etcd.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { storeContract } from './contract.ts';

let etcd: Etcd;

before(async () => {
  etcd = await startEtcd();
});
after(() => etcd.stop());

storeContract(
  'etcd:',
  async () => {
    const store = openEtcdStore({ endpoints: [etcd.endpoint] });
    return { store, close: () => store.close() };
  },
  {
    // etcd gives no lease less than 2 s, and looks for expired ones twice a second.
    expirySlackMs: 3_000,
    canCompact: async (revision) => void (await etcd.etcdctl(['compaction', `${revision}`])),
  },
);
