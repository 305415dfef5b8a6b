/** How long what was known of an engine still counts while it is away: for ever, unless a time is given. */
import type { Clock, Timer } from '../timing/clock.ts';

export interface GracePeriodOptions {
  readonly clock: Clock;
  readonly graceMs: number | undefined;
  /** Whether the time does not count, as the engine is away for us alone. */
  readonly isOurFault: () => boolean;
  readonly onExpired: (afterMs: number) => void;
}

/** Between two looks at whether the time counts by now. */
const MIN_PAUSE_MS = 1_000;

export class GracePeriod {
  readonly #options: GracePeriodOptions;
  #timer: Timer | undefined;
  #isAway = false;
  #isExpired = false;

  constructor(options: GracePeriodOptions) {
    this.#options = options;
  }

  /** The engine has been away for so long that nothing counts any more. */
  get isExpired(): boolean {
    return this.#isExpired;
  }

  /** The engine is away. Gives whether that is news. */
  begin(): boolean {
    if (this.#isAway) return false;
    this.#isAway = true;
    const { graceMs } = this.#options;
    if (graceMs !== undefined) this.#wait(graceMs, graceMs);
    return true;
  }

  /** The engine is there, or nobody waits for it any more. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isAway = false;
    this.#isExpired = false;
  }

  #wait(delayMs: number, graceMs: number): void {
    const { clock, isOurFault: isExcused, onExpired: onOver } = this.#options;
    this.#timer = clock.startTimer(delayMs, () => {
      if (isExcused()) {
        this.#wait(Math.max(graceMs, MIN_PAUSE_MS), graceMs);
        return;
      }
      this.#isExpired = true;
      onOver(graceMs);
    });
  }
}
