/**
 * Time as the embedded stores see it: an injected clock, a timeline that outlives a process, and one alarm.
 *
 * Deadlines live on a timeline that runs with the monotonic clock while the store is open, so that a jump of the wall
 * clock expires nothing. What the timeline stands at when a store opens is the store's business (`file:` adds the time
 * that it was down).
 */
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
