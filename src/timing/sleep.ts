/** The pause of a background loop, which an event can end early. */
import type { Clock } from './clock.ts';

export class WakeableSleep {
  readonly #clock: Clock;
  #isWoken = false;
  #end: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Resolves after `pauseMs`, or at `wake` if that comes first; at once if `wake` was called since the last sleep.
   * Without `pauseMs` only `wake` ends the sleep.
   */
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
