/** How long what was known of an engine still counts while it is away. */
import type { Clock, Timer } from '../store/clock.ts';

export interface GraceOptions {
  readonly clock: Clock;
  readonly graceMs: number;
  readonly onOver: (afterMs: number) => void;
}

export class Grace {
  readonly #options: GraceOptions;
  #timer: Timer | undefined;
  #isOver = false;

  constructor(options: GraceOptions) {
    this.#options = options;
  }

  /** The engine has been away for so long that nothing counts any more. */
  get isOver(): boolean {
    return this.#isOver;
  }

  /** The engine is away. Gives whether that is news. */
  begin(): boolean {
    if (this.#timer !== undefined) return false;
    const { clock, graceMs, onOver } = this.#options;
    this.#timer = clock.startTimer(graceMs, () => {
      this.#isOver = true;
      onOver(graceMs);
    });
    return true;
  }

  /** The engine is there, or nobody waits for it any more. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isOver = false;
  }
}
