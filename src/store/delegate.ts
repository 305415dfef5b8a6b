import type { LeaseStore } from './store.ts';

/** Returns a store that passes every call on to `store`, except for the replaced methods. */
export function delegateStore(store: LeaseStore, replaced: Partial<LeaseStore>): LeaseStore {
  // The type requires every member: when the interface gains one, even an optional one, the compiler reports it here.
  // A replaced `watch` would not replace `watchMerged`, so the delegate does not have it.
  const same: Required<Omit<LeaseStore, 'checkHistory' | 'watchMerged'>> &
    Pick<LeaseStore, 'checkHistory'> = {
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
