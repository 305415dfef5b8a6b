/** A pause of a loop that others can end. */
import type { Clock } from './clock.ts';

export class Nap {
  readonly #clock: Clock;
  #isWoken = false;
  #end: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Ends at `wake`; at once if that was called since the last sleep. Without a time it waits for `wake` only. */
  sleep(pauseMs?: number): Promise<void> {
    return new Promise((resolve) => {
      const timer =
        pauseMs === undefined || this.#isWoken
          ? undefined
          : this.#clock.startTimer(pauseMs, () => this.#end?.());
      this.#end = () => {
        timer?.cancel();
        this.#end = undefined;
        this.#isWoken = false;
        resolve();
      };
      if (this.#isWoken) this.#end();
    });
  }

  wake(): void {
    this.#isWoken = true;
    this.#end?.();
  }
}
