/**
 * Keeps the records of the previous run while the engine is down. A registrar that has just started does not know its
 * engine's id, so it cannot tell which lock is its own. Until the engine answers, it renews the leases that were left
 * on this machine, which it recognizes by the boot key in the locks. It writes no key and takes no lock: a live holder
 * is not disturbed, and the registrar that takes over finds everything unchanged. It renews only after a standby
 * elsewhere, whose engine may be up, has had time to challenge the holder and to take over.
 */
import type { Lease } from '../../service/change.ts';
import { asStoreError, type LeaseStore } from '../../store/store.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock } from '../../timing/clock.ts';
import { WakeableSleep } from '../../timing/sleep.ts';
import { challengeBeside, LOCKS, parseHolder } from './lock.ts';

export interface OrphanLeasesOptions {
  readonly store: LeaseStore;
  readonly bootKey: string;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * Fractions of the lease's lifetime. A standby reads the lock every sixth and challenges the holder below a third
 * (leadership.ts), so it has usually done so by the time a fifth is left. With less, one call that hangs could cost the
 * records.
 */
const RENEW_BELOW = 1 / 5;
const READ_AGAIN = 1 / 15;
const READ_EVERY_MS = 10_000;
/** The interval for a lease of unknown lifetime: short enough if it lives for five seconds. */
const UNKNOWN_PAUSE_MS = 5_000 / 3;
const BACKOFF = { minMs: 200, maxMs: 5_000 };

export class OrphanLeases {
  readonly #options: OrphanLeasesOptions;
  readonly #sleep: WakeableSleep;
  #failures = 0;
  #isStopped = false;

  constructor(options: OrphanLeasesOptions) {
    this.#options = options;
    this.#sleep = new WakeableSleep(options.clock);
  }

  start(): void {
    void this.#run();
  }

  /** It cannot be started again. */
  stop(): void {
    this.#isStopped = true;
    this.#sleep.wake();
  }

  async #run(): Promise<void> {
    while (!this.#isStopped) await this.#sleep.sleep(await this.#attempt());
  }

  /** Returns the delay until the next attempt. */
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
    let pauseMs = READ_EVERY_MS;
    for await (const { entries } of this.#options.store.snapshot(LOCKS)) {
      for (const { key, value } of entries) {
        if (this.#isStopped) return pauseMs;
        if (parseHolder(value)?.bootKey !== this.#options.bootKey) continue;
        pauseMs = Math.min(pauseMs, await this.#renew(key));
      }
    }
    return pauseMs;
  }

  /** Renews the lease of one lock if that is due. Returns the delay until it may be due again. */
  async #renew(key: string): Promise<number> {
    const { store, bootKey, clock } = this.#options;
    // A read of a single key may give the lifetime of a lease that a listing does not give.
    const { entry } = await store.get(key);
    if (entry?.lease === undefined) return READ_EVERY_MS;
    const { value, lease } = entry;
    const holder = parseHolder(value);
    if (holder?.bootKey !== bootKey || lease.id !== holder.lease) return READ_EVERY_MS;
    const ttlMs = ttlMsOf(lease);
    const dueInMs = (lease.expiresAtMs ?? 0) - clock.monotonicMs() - ttlMs * RENEW_BELOW;
    if (ttlMs > 0 && dueInMs > 0) return Math.ceil(dueInMs);
    const isChallenged = (await store.get(challengeBeside(key))).entry !== undefined;
    if (isChallenged) return ttlMs > 0 ? ttlMs * READ_AGAIN : UNKNOWN_PAUSE_MS;
    if (this.#isStopped || !(await store.renewLease(lease.id))) return READ_EVERY_MS;
    return ttlMsOf(lease) * (1 - RENEW_BELOW) || UNKNOWN_PAUSE_MS;
  }
}

function ttlMsOf({ ttlSeconds = 0 }: Lease): number {
  return ttlSeconds * 1000;
}
