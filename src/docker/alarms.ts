/** What a container has timers for, each at most once. */
import type { Clock, Timer } from '../store/clock.ts';

export type Alarm = 'retry' | 'ending' | 'held' | 'health';

/** A timer of more fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export class Alarms {
  readonly #clock: Clock;
  readonly #timers = new Map<Alarm, Timer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  has(alarm: Alarm): boolean {
    return this.#timers.has(alarm);
  }

  /** Rings once, in place of an alarm of that kind that is still to ring. One that is far away may ring too early. */
  set(alarm: Alarm, delayMs: number, ring: () => void): void {
    this.cancel(alarm);
    const timer = this.#clock.startTimer(Math.min(delayMs, MAX_TIMER_MS), () => {
      this.#timers.delete(alarm);
      ring();
    });
    this.#timers.set(alarm, timer);
  }

  cancel(alarm: Alarm): void {
    this.#timers.get(alarm)?.cancel();
    this.#timers.delete(alarm);
  }

  cancelAll(): void {
    for (const alarm of this.#timers.keys()) this.cancel(alarm);
  }
}
