/**
 * A time scale that outlives a process. Deadlines live on it, and it runs with the monotonic clock while the store is
 * open, so that a jump of the wall clock expires nothing. What it stands at when a store opens is the store's business
 * (`file:` adds the time that it was down).
 */
import type { Clock } from '../clock.ts';

/** Milliseconds that begin at `startMs` when it is made and pass as the monotonic clock's do. */
export class Timeline {
  readonly #clock: Clock;
  readonly #aheadMs: number;

  constructor(clock: Clock, startMs: number) {
    this.#clock = clock;
    this.#aheadMs = startMs - clock.monotonicMs();
  }

  nowMs(): number {
    return this.#clock.monotonicMs() + this.#aheadMs;
  }

  /** The monotonic time of an instant of this timeline. */
  toMonotonicMs(instantMs: number): number {
    return instantMs - this.#aheadMs;
  }
}
