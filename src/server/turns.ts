/**
 * Who may work next. Node serves all sockets from one loop, so a connection that has a thousand queries in its buffer
 * would hold up every other client; here each taker does one step at a time, round robin, and after `stepsPerTurn`
 * steps in all the loop goes back to whatever else waits: other sockets, what workers hand over, the store. A few dozen
 * steps keep that wait below a millisecond, and are as many as the loop takes from a UDP socket at a time.
 */
export interface Taker {
  /** Does one piece of work. True if there may be more. Never throws. */
  step(): boolean;
}

export interface Turns {
  /** Has `step` called soon, in this turn of the loop or a later one, for as long as it returns true. */
  add(taker: Taker): void;
  remove(taker: Taker): void;
}

export function createTurns(stepsPerTurn: number): Turns {
  const waiting = new Set<Taker>(); // a Set keeps the order of insertion: the first in it has waited longest
  let scheduled = false;

  // The check phase follows the poll phase that delivered the octets, so waiting for it delays nothing.
  const schedule = () => {
    if (scheduled || waiting.size === 0) return;
    scheduled = true;
    setImmediate(takeTurn);
  };

  const takeTurn = () => {
    scheduled = false;
    let budget = stepsPerTurn;
    for (const taker of waiting) {
      waiting.delete(taker);
      if (taker.step()) waiting.add(taker); // a Set's iteration comes round to what was added during it
      budget -= 1;
      if (budget === 0) break;
    }
    schedule();
  };

  return {
    add(taker) {
      waiting.add(taker);
      schedule();
    },
    remove(taker) {
      waiting.delete(taker);
    },
  };
}

/** Settles after the event loop has looked at every socket once more. */
export function fullTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}
