/**
 * timing/: Clocks, timers, pauses and turns of the event loop.
 * Imports: nothing.
 * Used by: app, app/registrar, cli/commands, registrar, registrar/engine, registrar/leadership, registrar/observe,
 *   registrar/reconcile, server, store, store/embedded, store/file.
 */

/** Time for all that keeps deadlines or pauses on a store: a clock that tests can put in place of the system's. */
export interface Timer {
  cancel(): void;
}

export interface Clock {
  /** Never goes back and never jumps; its zero means nothing. */
  monotonicMs(): number;
  /** Milliseconds since 1970; may jump either way. */
  wallMs(): number;
  /** Calls back once, never before `monotonicMs` has gone on by the delay. 2^31 ms and more fire at once. */
  startTimer(delayMs: number, callback: () => void): Timer;
}

const TIMEOUT_LIMIT_MS = 2 ** 31;

export const systemClock: Clock = {
  monotonicMs: () => performance.now(),
  wallMs: () => Date.now(),
  startTimer(delayMs, callback) {
    const dueMs = performance.now() + (delayMs < TIMEOUT_LIMIT_MS ? delayMs : 0);
    // Node counts whole milliseconds: a timeout often ends a fraction of one early.
    const ring = (): void => {
      const leftMs = dueMs - performance.now();
      if (leftMs > 0) timeout = setTimeout(ring, Math.ceil(leftMs));
      else callback();
    };
    let timeout = setTimeout(ring, delayMs);
    return { cancel: () => clearTimeout(timeout) };
  },
};
