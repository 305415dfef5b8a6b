/** Time for all that keeps deadlines or pauses on a store: a clock that tests can put in place of the system's. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Never goes back and never jumps; its zero means nothing. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may jump either way. */
  wallMs(): number;
  /** Calls back once, with the limits of `setTimeout`: 2^31 ms and more fire at once. */
  startTimer(delayMs: number, callback: () => void): Timer;
}

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  startTimer(delayMs, callback) {
    const timeout = setTimeout(callback, delayMs);
    return { cancel: () => clearTimeout(timeout) };
  },
};
