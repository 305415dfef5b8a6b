/** One timer for a point in time, however far away: a store sets it to the earliest deadline that it has. */
import { type Clock, MAX_TIMER_MS, type Timer } from './clock.ts';

export class Alarm {
  readonly #clock: Clock;
  readonly #callback: () => void;
  #atMs: number | undefined;
  #timer: Timer | undefined;

  constructor(clock: Clock, callback: () => void) {
    this.#clock = clock;
    this.#callback = callback;
  }

  /** Calls back once at or after this monotonic time, in place of the time set before. `undefined` switches it off. */
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
    this.#timer = this.#clock.startTimer(delayMs, () => this.#onTimer(atMs));
  }

  #onTimer(atMs: number): void {
    if (this.#clock.monotonicMs() < atMs) {
      this.#wait(atMs);
      return;
    }
    this.#timer = undefined;
    this.#atMs = undefined;
    this.#callback();
  }
}
