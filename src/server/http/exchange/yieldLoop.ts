/**
 * Divides long work into pieces, because the same thread answers DNS: a listing of a million keys yields the event loop
 * after every page and every piece of its reply. Of all listings together one does one piece in a turn of the event
 * loop.
 */
import { delegateStore } from '../../../store/delegate.ts';
import type { LeaseStore, SnapshotPage } from '../../../store/store.ts';

/** Resolves when the caller may do its next piece of work. */
export type YieldLoop = () => Promise<void>;

/** The most turns of the event loop that a piece waits for new connections. */
const MAX_TURNS = 100;

/**
 * One queue for all callers: one of them continues in each turn of the event loop, in the order of their calls, but in
 * no turn in which `hasOpened` reports a new connection. Node accepts one connection in a turn, so each connection of a
 * crowd would otherwise wait for a piece of work.
 */
export function createYieldLoop(hasOpened: () => boolean = () => false): YieldLoop {
  let last = Promise.resolve();
  const nextTurn = (): Promise<void> =>
    new Promise((resolve) => {
      let turns = 0;
      const turn = () => {
        if (hasOpened() && ++turns < MAX_TURNS) setImmediate(turn);
        else resolve();
      };
      setImmediate(turn);
    });
  return () => {
    last = last.then(nextTurn);
    return last;
  };
}

/**
 * Limits how many requests begin in one turn of the event loop: undefined for the first ones, a promise for later ones.
 * When a thousand arrive at once, other work runs in between.
 */
export type Pace = () => Promise<void> | undefined;

export function createPace(perTurn: number): Pace {
  const waiting: (() => void)[] = [];
  let begun = 0;
  const turn = () => {
    begun = 0;
    for (const begin of waiting.splice(0, perTurn)) {
      begun++;
      begin();
    }
    if (begun > 0) setImmediate(turn);
  };
  return () => {
    if (begun === 0) setImmediate(turn);
    if (begun < perTurn && waiting.length === 0) {
      begun++;
      return undefined;
    }
    return new Promise((resolve) => waiting.push(resolve));
  };
}

/** The store with snapshots that yield the event loop between their pages. */
export function yieldingStore(store: LeaseStore, yieldLoop: YieldLoop): LeaseStore {
  return delegateStore(store, {
    snapshot: (prefix, options) => yieldingPages(store.snapshot(prefix, options), yieldLoop),
  });
}

async function* yieldingPages(
  pages: AsyncIterable<SnapshotPage>,
  yieldLoop: YieldLoop,
): AsyncGenerator<SnapshotPage, void, undefined> {
  for await (const page of pages) {
    yield page;
    // Most snapshots have one small page and end before this.
    if (page.entries.length > 0) await yieldLoop();
  }
}
