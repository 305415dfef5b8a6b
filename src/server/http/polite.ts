/**
 * Long work in small pieces: DNS is answered on the same thread, so a listing of a million keys gives way after every
 * page and every piece of its reply, and of all listings that run only one has a piece in a turn of the loop.
 */
import type { LeaseStore, SnapshotPage } from '../../store/store.ts';

/** Resolves when the caller may do its next piece of work. */
export type GiveWay = () => Promise<void>;

/** One queue for all who share it: one of them goes on in each turn of the loop, in the order of their asking. */
export function createGiveWay(): GiveWay {
  let last = Promise.resolve();
  return () => {
    last = last.then(() => new Promise<void>((resolve) => setImmediate(resolve)));
    return last;
  };
}

/** The store, with snapshots that give way between their pages. */
export function politeStore(store: LeaseStore, giveWay: GiveWay): LeaseStore {
  return {
    label: store.label,
    get: (key) => store.get(key),
    snapshot: (prefix, options) => politePages(store.snapshot(prefix, options), giveWay),
    watch: (prefix, fromRevision, signal, past) => store.watch(prefix, fromRevision, signal, past),
    put: (key, value, options) => store.put(key, value, options),
    delete: (key, options) => store.delete(key, options),
    deleteTree: (prefix) => store.deleteTree(prefix),
    grantLease: (ttlSeconds) => store.grantLease(ttlSeconds),
    renewLease: (id) => store.renewLease(id),
    revokeLease: (id) => store.revokeLease(id),
    close: () => store.close(),
  };
}

async function* politePages(
  pages: AsyncIterable<SnapshotPage>,
  giveWay: GiveWay,
): AsyncGenerator<SnapshotPage, void, undefined> {
  for await (const page of pages) {
    yield page;
    // Most snapshots here are one small page and end before this.
    if (page.entries.length > 0) await giveWay();
  }
}
