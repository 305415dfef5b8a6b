/**
 * Which TCP connection may work next. Node serves all sockets from one loop, so a connection that has a thousand queries
 * in its buffer would hold up every other client. Here each taker does one step at a time, round robin, until the turn's
 * steps or its time are used up; then the loop goes back to other sockets, to what workers hand over, and to the store.
 * A few dozen cheap steps keep that wait below a millisecond, and are as many as the loop takes from a UDP socket at a
 * time. After a turn that took longer than its time as much time is left to others, so that costly questions, which are
 * free for the client, get half of the thread at most.
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

export interface TurnLimits {
  readonly steps: number;
  readonly turnMs: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** The longest rest after a turn: a single step may have been slow because the machine was. */
const MAX_REST_MS = 50;

export function createTurns({ steps, turnMs, nowMs }: TurnLimits): Turns {
  const waiting = new Set<Taker>(); // a Set keeps the order of insertion: the first in it has waited longest
  let scheduled = false;

  const schedule = (restMs: number) => {
    if (scheduled || waiting.size === 0) return;
    scheduled = true;
    // The check phase follows the poll phase that delivered the octets, so waiting for it delays nothing.
    if (restMs === 0) setImmediate(takeTurn);
    else setTimeout(takeTurn, restMs);
  };

  const takeTurn = () => {
    scheduled = false;
    const beganMs = nowMs();
    let stepsLeft = steps;
    let tookMs = 0;
    for (const taker of waiting) {
      waiting.delete(taker);
      if (taker.step()) waiting.add(taker); // a Set's iteration comes round to what was added during it
      stepsLeft -= 1;
      tookMs = nowMs() - beganMs;
      if (stepsLeft === 0 || tookMs >= turnMs) break;
    }
    schedule(tookMs > turnMs ? Math.min(tookMs, MAX_REST_MS) : 0);
  };

  return {
    add(taker) {
      waiting.add(taker);
      schedule(0);
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
