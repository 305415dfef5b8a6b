/** The time scale of an embedded store's deadlines. */
import type { Clock } from '../../timing/clock.ts';

/**
 * Milliseconds that start at `startMs` and pass as the monotonic clock's do, so a jump of the wall clock expires
 * nothing. Deadlines are on this scale. `file:` continues it across restarts and adds the time that the store was down.
 */
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
