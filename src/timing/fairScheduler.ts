/**
 * Fair scheduling of work that one thread does for many clients. Node serves all sockets from one event loop, so a TCP
 * connection with a thousand queries in its buffer would delay every other client. Each task does one step at a time,
 * round robin, until the time slice has used up its steps or its time. Then the loop returns to sockets, worker threads
 * and the store.
 *
 * A few dozen cheap steps keep a slice below a millisecond; the loop reads as many datagrams from a UDP socket at a
 * time. After a slice that overran its time, the scheduler pauses for as long as the slice took: costly queries, which
 * cost the client nothing, get at most half of the thread.
 */
export interface Task {
  /** Does one piece of work. Returns true if there may be more. Never throws. */
  step(): boolean;
}

export interface SliceLimits {
  /** Steps of all tasks together in one time slice. */
  readonly steps: number;
  /** No step begins after this time. */
  readonly sliceMs: number;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
}

/** The longest pause after a slice: a single step may have been slow because the machine was. */
const MAX_PAUSE_MS = 50;

export class FairScheduler {
  readonly #limits: SliceLimits;
  readonly #waiting = new Set<Task>(); // a Set keeps the order of insertion: its first task has waited longest
  /** A slice runs, or will. */
  #isScheduled = false;

  constructor(limits: SliceLimits) {
    this.#limits = limits;
  }

  /** Calls `step` soon, in this turn of the event loop or a later one, again and again while it returns true. */
  add(task: Task): void {
    this.#waiting.add(task);
    this.#schedule(0);
  }

  remove(task: Task): void {
    this.#waiting.delete(task);
  }

  #schedule(pauseMs: number): void {
    if (this.#isScheduled || this.#waiting.size === 0) return;
    this.#isScheduled = true;
    // The check phase follows the poll phase that delivered the octets, so waiting for it delays nothing.
    if (pauseMs === 0) setImmediate(this.#runSlice);
    else setTimeout(this.#runSlice, pauseMs);
  }

  readonly #runSlice = (): void => {
    const { steps, sliceMs, nowMs } = this.#limits;
    const beganMs = nowMs();
    let stepsLeft = steps;
    let tookMs = 0;
    for (const task of this.#waiting) {
      this.#waiting.delete(task);
      if (task.step()) this.#waiting.add(task); // a Set's iteration also visits what is added during it
      stepsLeft -= 1;
      tookMs = nowMs() - beganMs;
      if (stepsLeft === 0 || tookMs >= sliceMs) break;
    }
    // Not before: a step may add its task again, and that must not schedule a slice without the pause.
    this.#isScheduled = false;
    this.#schedule(tookMs > sliceMs ? Math.min(tookMs, MAX_PAUSE_MS) : 0);
  };
}

/** Resolves after the event loop has polled every socket once more. */
export function afterNextPoll(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(() => setImmediate(resolve));
  });
}
