/**
 * A clock that only a test advances. Its timers have the limit of Node's: a delay of 2^31 ms or more fires after 1 ms,
 * so that a test finds code that exceeds it.
 */
import type { Clock, Timer } from '../../src/timing/clock.ts';

interface FakeTimer extends Timer {
  readonly atMs: number;
  readonly callback: () => void;
}

export class FakeClock implements Clock {
  #monotonicMs = 5000;
  #wallMs: number;
  #timers: FakeTimer[] = [];
  /** How often a timer fired, to show that no code polls. */
  fired = 0;

  constructor(wallMs = Date.UTC(2026, 0, 1)) {
    this.#wallMs = wallMs;
  }

  monotonicMs(): number {
    return this.#monotonicMs;
  }

  wallMs(): number {
    return this.#wallMs;
  }

  startTimer(delayMs: number, callback: () => void): Timer {
    const atMs = this.#monotonicMs + (delayMs > 0 && delayMs < 2 ** 31 ? delayMs : 1);
    const timer: FakeTimer = {
      atMs,
      callback,
      cancel: () => {
        this.#timers = this.#timers.filter((each) => each !== timer);
      },
    };
    this.#timers.push(timer);
    return timer;
  }

  /** Timers that have neither fired nor been cancelled. */
  get pending(): number {
    return this.#timers.length;
  }

  /** Advances both clocks. Timers fire in the order of their deadlines, and the event loop runs after each. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#monotonicMs + ms;
    for (;;) {
      const next = this.#timers.filter((each) => each.atMs <= endMs).sort(byTime)[0];
      if (next === undefined) break;
      this.#moveTo(next.atMs);
      next.cancel();
      this.fired++;
      next.callback();
      await runEventLoop();
    }
    this.#moveTo(endMs);
    await runEventLoop();
  }

  /** Advances both clocks without firing a timer, as when the event loop is late. */
  stall(ms: number): void {
    this.#moveTo(this.#monotonicMs + ms);
  }

  /** Moves only the wall clock, forward or back. */
  jumpWall(ms: number): void {
    this.#wallMs += ms;
  }

  #moveTo(monotonicMs: number): void {
    this.#wallMs += monotonicMs - this.#monotonicMs;
    this.#monotonicMs = monotonicMs;
  }
}

function byTime(a: FakeTimer, b: FakeTimer): number {
  return a.atMs - b.atMs;
}

async function runEventLoop(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
}
