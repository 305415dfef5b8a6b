/**
 * Measures how long the engine is absent. The registrar removes all records when the configured time has passed;
 * without a configured time the records stay as long as the registrar runs.
 */
import type { Clock, Timer } from '../timing/clock.ts';
import type { ReplacedSocket } from './engine/replacedSocket.ts';

export interface GracePeriodOptions {
  readonly clock: Clock;
  readonly graceMs: number | undefined;
  /** While the socket is unlinked, the engine is absent for this registrar alone, and the period starts again. */
  readonly socket: Pick<ReplacedSocket, 'isUnlinked'> | undefined;
  readonly onExpired: (afterMs: number) => void;
}

/** The shortest interval between two checks of an unlinked socket. */
const MIN_PAUSE_MS = 1_000;

export class GracePeriod {
  readonly #options: GracePeriodOptions;
  #timer: Timer | undefined;
  #isRunning = false;
  #isExpired = false;

  constructor(options: GracePeriodOptions) {
    this.#options = options;
  }

  /** Whether the engine was absent for the whole period, so that the registrar removes all records. */
  get isExpired(): boolean {
    return this.#isExpired;
  }

  /** Call it whenever the engine cannot be reached. Returns whether this call began the period. */
  begin(): boolean {
    if (this.#isRunning) return false;
    this.#isRunning = true;
    const { graceMs } = this.#options;
    if (graceMs !== undefined) this.#wait(graceMs, graceMs);
    return true;
  }

  /** Call it when the engine answers, and at the end of the registrar. */
  end(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#isRunning = false;
    this.#isExpired = false;
  }

  #wait(delayMs: number, graceMs: number): void {
    const { clock, socket, onExpired } = this.#options;
    this.#timer = clock.startTimer(delayMs, () => {
      if (socket?.isUnlinked() === true) {
        this.#wait(Math.max(graceMs, MIN_PAUSE_MS), graceMs);
        return;
      }
      this.#isExpired = true;
      onExpired(graceMs);
    });
  }
}
