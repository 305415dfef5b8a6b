/**
 * Long work in small pieces: DNS is answered on the same thread, so a listing of a million keys gives way after every
 * page and every piece of its reply, and of all listings that run only one has a piece in a turn of the loop.
 */
import { delegateStore } from '../../../store/delegate.ts';
import type { LeaseStore, SnapshotPage } from '../../../store/store.ts';

/** Resolves when the caller may do its next piece of work. */
export type YieldLoop = () => Promise<void>;

/** A piece waits so many turns for others at most. */
const MAX_TURNS = 100;

/**
 * One queue for all who share it: one of them goes on in each turn of the loop, in the order of their asking, but in no
 * turn in which something `came`. Node accepts one connection in a turn, so that a crowd of them would otherwise have
 * to wait for a piece of work each.
 */
export function createYieldLoop(came: () => boolean = () => false): YieldLoop {
  let last = Promise.resolve();
  const nextTurn = (): Promise<void> =>
    new Promise((resolve) => {
      let turns = 0;
      const turn = () => {
        if (came() && ++turns < MAX_TURNS) setImmediate(turn);
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
 * Undefined for the first requests of a turn of the loop, a promise for those after them, who begin in later turns: when
 * a thousand come at once, what else there is to do comes in between.
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

/** The store, with snapshots that give way between their pages. */
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
    // Most snapshots here are one small page and end before this.
    if (page.entries.length > 0) await yieldLoop();
  }
}
