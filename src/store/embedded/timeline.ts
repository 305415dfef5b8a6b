/**
 * The time scale of an embedded store's deadlines, in milliseconds. It starts at `startMs` and advances with the
 * monotonic clock, so a jump of the wall clock expires nothing. `file:` continues the scale across restarts and adds
 * the time that the store was down.
 */
import type { Clock } from '../../timing/clock.ts';

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

  /** The monotonic time of an instant on this timeline. */
  toMonotonicMs(instantMs: number): number {
    return instantMs - this.#aheadMs;
  }
}
