/**
 * Keeps what the run before this one left, while the engine is away and nobody knows whose records they are: renews the
 * lease that a lock names which was taken at the same place. It writes no key and takes no lock, so that a holder that
 * lives is not disturbed, and whoever takes over finds all as it was left. And it comes only when nobody else did: a
 * standby elsewhere, whose engine may be there, has doubted the holder by then, asked it, and had no answer. For how long
 * it does so is told to it for each run: the store does not say since when the engine is away.
 */
import type { Lease } from '../../service/change.ts';
import { asStoreError, type LeaseStore } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import { challengeBeside, LOCKS, parseHolder } from './lock.ts';

export interface OrphanLeasesOptions {
  readonly store: LeaseStore;
  /** As holders name theirs. */
  readonly bootKey: string;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * In parts of the lease's time. A standby looks every sixth and doubts below a third (`tenure.ts`), so that it has most
 * often asked by then, and the next time if not; later, one call that hangs would cost the records.
 */
const RENEW_BELOW = 1 / 5;
const LOOK_AGAIN = 1 / 15;
const LOOK_EVERY_MS = 10_000;
/** Where no life is known: what a lease of five seconds allows. */
const UNKNOWN_PAUSE_MS = 5_000 / 3;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

export class OrphanLeases {
  readonly #options: OrphanLeasesOptions;
  readonly #nap: WakeableSleep;
  #failures = 0;
  #isStopped = false;

  constructor(options: OrphanLeasesOptions) {
    this.#options = options;
    this.#nap = new WakeableSleep(options.clock);
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
      asStoreError(error);
      return backoffMs(++this.#failures, BACKOFF, this.#options.random);
    }
  }

  async #renewAll(): Promise<number> {
    let pauseMs = LOOK_EVERY_MS;
    for await (const { entries } of this.#options.store.snapshot(LOCKS)) {
      for (const { key, value } of entries) {
        if (this.#isStopped) return pauseMs;
        if (parseHolder(value)?.bootKey !== this.#options.bootKey) continue;
        pauseMs = Math.min(pauseMs, await this.#renew(key));
      }
    }
    return pauseMs;
  }

  /** Of one lock, if it is due. Gives the time until it may be. */
  async #renew(key: string): Promise<number> {
    const { store, bootKey: place, clock } = this.#options;
    // Of so few keys the leases' lives are known, which those of a whole listing need not be.
    const { entry } = await store.get(key);
    if (entry?.lease === undefined) return LOOK_EVERY_MS;
    const { value, lease } = entry;
    const holder = parseHolder(value);
    if (holder?.bootKey !== place || lease.id !== holder.lease) return LOOK_EVERY_MS;
    const ttlMs = ttlMsOf(lease);
    const dueInMs = (lease.expiresAtMs ?? 0) - clock.monotonicMs() - ttlMs * RENEW_BELOW;
    if (ttlMs > 0 && dueInMs > 0) return Math.ceil(dueInMs);
    const isDoubted = (await store.get(challengeBeside(key))).entry !== undefined;
    if (isDoubted) return ttlMs > 0 ? ttlMs * LOOK_AGAIN : UNKNOWN_PAUSE_MS;
    if (this.#isStopped || !(await store.renewLease(lease.id))) return LOOK_EVERY_MS;
    return ttlMsOf(lease) * (1 - RENEW_BELOW) || UNKNOWN_PAUSE_MS;
  }
}

function ttlMsOf({ ttlSeconds = 0 }: Lease): number {
  return ttlSeconds * 1000;
}
