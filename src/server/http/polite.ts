/**
 * Long work in small pieces: DNS is answered on the same thread, so a listing of a million keys gives way after every
 * page and every piece of its reply, and of all listings that run only one has a piece in a turn of the loop.
 */
import { delegateStore } from '../../store/delegate.ts';
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
  return delegateStore(store, {
    snapshot: (prefix, options) => politePages(store.snapshot(prefix, options), giveWay),
  });
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
