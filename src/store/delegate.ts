import type { LeaseStore } from './store.ts';

/** A store that is another one but for the methods that are replaced. */
export function delegateStore(store: LeaseStore, replaced: Partial<LeaseStore>): LeaseStore {
  // Required: a member that the interface gains, be it optional, cannot be forgotten here.
  const same: Required<Omit<LeaseStore, 'checkHistory'>> & Pick<LeaseStore, 'checkHistory'> = {
    label: store.label,
    get: (key) => store.get(key),
    locate: (key) => store.locate(key),
    snapshot: (prefix, options) => store.snapshot(prefix, options),
    watch: (prefix, fromRevision, signal, followed) =>
      store.watch(prefix, fromRevision, signal, followed),
    ...(store.checkHistory === undefined ? {} : { checkHistory: store.checkHistory.bind(store) }),
    put: (key, value, options) => store.put(key, value, options),
    delete: (key, options) => store.delete(key, options),
    deleteTree: (prefix) => store.deleteTree(prefix),
    writeTrouble: () => store.writeTrouble?.(),
    grantLease: (ttlSeconds) => store.grantLease(ttlSeconds),
    renewLease: (id) => store.renewLease(id),
    revokeLease: (id) => store.revokeLease(id),
    close: () => store.close(),
  };
  return { ...same, ...replaced };
}
