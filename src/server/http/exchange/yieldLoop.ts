/**
 * Divides long work into pieces, because the same thread answers DNS: a listing of a million keys lets the event loop
 * run other work after every page and every piece of its reply. All listings together do one piece in each turn of the
 * event loop.
 */
import { delegateStore } from '../../../store/delegate.ts';
import type { LeaseStore, SnapshotPage } from '../../../store/store.ts';

/** Resolves when the caller may do its next piece of work. */
export type YieldLoop = () => Promise<void>;

/** The maximum number of turns of the event loop for which a piece waits because connections keep arriving. */
const MAX_TURNS = 100;

/**
 * One queue for all callers: in each turn of the event loop the next caller continues, unless `hasOpened` reports a new
 * connection. Node accepts one connection in a turn, so each of many new connections would otherwise wait for a piece
 * of work.
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
 * Limits how many requests begin in one turn of the event loop, so that other work runs even if a thousand requests
 * arrive at once. Returns undefined if the request may begin at once, otherwise a promise that resolves when it may.
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

/** The store with snapshots that let the event loop run other work between their pages. */
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
