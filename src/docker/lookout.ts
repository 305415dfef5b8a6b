/** Watches where the registrar finds itself: the host's addresses and its own networks may change while it runs. */
import { isDeepStrictEqual } from 'node:util';
import type { Clock, Timer } from '../store/clock.ts';
import { EngineError, type EngineInfo } from './engine.ts';
import type { Surroundings } from './surroundings.ts';

export interface LookoutOptions {
  /** May reject with an `EngineError`. */
  readonly surroundings: (info: EngineInfo) => Promise<Surroundings>;
  readonly clock: Clock;
  /** They are others than before, or seen for the first time. */
  readonly onChange: (surroundings: Surroundings) => void;
}

const LOOK_EVERY_MS = 15_000;

export class Lookout {
  readonly #options: LookoutOptions;
  #seen: Surroundings | undefined;
  #info: EngineInfo | undefined;
  #timer: Timer | undefined;
  #isClosed = false;

  constructor(options: LookoutOptions) {
    this.#options = options;
  }

  /** Once, now. Rejects with an `EngineError`. */
  async look(info: EngineInfo): Promise<void> {
    const surroundings = await this.#options.surroundings(info);
    if (this.#isClosed || isDeepStrictEqual(surroundings, this.#seen)) return;
    this.#seen = surroundings;
    this.#options.onChange(surroundings);
  }

  /** From now on, until closed. Called again when the engine tells something else of itself. */
  watch(info: EngineInfo): void {
    const isWatching = this.#info !== undefined;
    this.#info = info;
    if (!isWatching) this.#wait();
  }

  close(): void {
    this.#isClosed = true;
    this.#timer?.cancel();
  }

  #wait(): void {
    if (this.#isClosed) return;
    const again = (): void => void this.#lookAgain();
    this.#timer = this.#options.clock.startTimer(LOOK_EVERY_MS, again);
  }

  async #lookAgain(): Promise<void> {
    try {
      if (this.#info !== undefined) await this.look(this.#info);
    } catch (error) {
      // While the engine is gone nothing is known to have changed.
      if (!(error instanceof EngineError)) throw error;
    }
    this.#wait();
  }
}
