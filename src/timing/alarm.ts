/** One alarm: for the next deadline of a store, however far away that is. */
import type { Clock, Timer } from './clock.ts';

const MAX_TIMER_MS = 2 ** 31 - 1;

/** Rings once at or after the monotonic time that was set last, however far away it is. */
export class Alarm {
  readonly #clock: Clock;
  readonly #ring: () => void;
  #atMs: number | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock;
    this.#ring = ring;
  }

  /** `undefined` switches it off. */
  set(atMs: number | undefined): void {
    if (atMs === this.#atMs) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#atMs = atMs;
    if (atMs !== undefined) this.#wait(atMs);
  }

  #wait(atMs: number): void {
    const leftMs = Math.ceil(atMs - this.#clock.monotonicMs());
    const delayMs = Math.min(Math.max(leftMs, 1), MAX_TIMER_MS);
    this.#timer = this.#clock.startTimer(delayMs, () => this.#fire(atMs));
  }

  #fire(atMs: number): void {
    if (this.#clock.monotonicMs() < atMs) {
      this.#wait(atMs);
      return;
    }
    this.#timer = undefined;
    this.#atMs = undefined;
    this.#ring();
  }
}
