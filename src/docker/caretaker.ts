/**
 * Keeps what the run before this one left, while the engine is away and nobody knows whose records they are: renews the
 * lease that a lock names which was taken at the same place. It writes no key and takes no lock, so that a holder that
 * lives is not disturbed, and whoever takes over finds all as it was left.
 */
import type { Clock } from '../store/clock.ts';
import type { LeaseStore } from '../store/store.ts';
import { backoffMs } from './backoff.ts';
import { LOCKS, parseHolder } from './lock.ts';
import { Nap } from './nap.ts';
import { storeFailure } from './storeFailure.ts';

export interface CaretakerOptions {
  readonly store: LeaseStore;
  /** As holders name theirs. */
  readonly place: string;
  readonly clock: Clock;
  readonly random: () => number;
}

const RENEW_EVERY = 1 / 3;
const LOOK_EVERY_MS = 10_000;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

export class Caretaker {
  readonly #options: CaretakerOptions;
  readonly #nap: Nap;
  #failures = 0;
  #isStopped = false;

  constructor(options: CaretakerOptions) {
    this.#options = options;
    this.#nap = new Nap(options.clock);
  }

  start(): void {
    void this.#run();
  }

  /** For good. */
  stop(): void {
    this.#isStopped = true;
    this.#nap.wake();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) await this.#nap.sleep(await this.#attempt());
  }

  /** Gives the time until the next one is due. */
  async #attempt(): Promise<number> {
    try {
      const pauseMs = await this.#renewAll();
      this.#failures = 0;
      return pauseMs;
    } catch (error) {
      storeFailure(error);
      return backoffMs(++this.#failures, BACKOFF, this.#options.random);
    }
  }

  async #renewAll(): Promise<number> {
    const { store, place } = this.#options;
    let pauseMs = LOOK_EVERY_MS;
    for await (const { entries } of store.snapshot(LOCKS)) {
      for (const { value, lease } of entries) {
        const holder = parseHolder(value);
        if (holder?.place !== place || lease === undefined || lease.id !== holder.lease) continue;
        if (this.#isStopped) return pauseMs;
        const { id, ttlSeconds = 0 } = lease;
        if ((await store.renewLease(id)) && ttlSeconds > 0)
          pauseMs = Math.min(pauseMs, ttlSeconds * 1000 * RENEW_EVERY);
      }
    }
    return pauseMs;
  }
}
