/**
 * Leases seen through another server. A renewal there changes no key, so no watch tells of it; a lease that is read
 * when little of it is left asks again. The server deletes what has expired, so a key that it did not delete lives.
 */
import type { Lease } from '../service/change.ts';

/** Gives what is left of the lease of a key, if the key still has that lease. */
export type AskLease = (key: string) => Promise<Lease | undefined>;

const AT_ONCE = 8;
const ASK_AGAIN_MS = 1000;

/** Asks for leases, a few at a time; a failure means only that the old end stays for a while. */
export class Renewals {
  readonly #ask: AskLease;
  #asking = 0;

  constructor(ask: AskLease) {
    this.#ask = ask;
  }

  /** The lease of `key`, renewing itself through these. */
  lease(lease: Lease, key: string): Lease {
    return new RemoteLease(lease, key, this);
  }

  renew(key: string, leaseId: string, take: (expiresAtMs: number) => void): void {
    if (this.#asking >= AT_ONCE) return;
    this.#asking++;
    this.#ask(key)
      .then((found) => {
        if (found?.id === leaseId) take(found.expiresAtMs);
      })
      .catch(() => undefined)
      .finally(() => {
        this.#asking--;
      });
  }
}

class RemoteLease implements Lease {
  readonly id: string;
  readonly ttlSeconds: number;
  readonly #key: string;
  readonly #renewals: Renewals;
  #expiresAtMs: number;
  #askAgainAtMs: number;

  constructor(lease: Lease, key: string, renewals: Renewals) {
    this.id = lease.id;
    this.ttlSeconds = lease.ttlSeconds;
    this.#expiresAtMs = lease.expiresAtMs;
    this.#key = key;
    this.#renewals = renewals;
    this.#askAgainAtMs = lease.expiresAtMs - (lease.ttlSeconds * 1000) / 2;
  }

  get expiresAtMs(): number {
    const nowMs = performance.now();
    if (nowMs >= this.#askAgainAtMs) {
      this.#askAgainAtMs = nowMs + ASK_AGAIN_MS;
      this.#renewals.renew(this.#key, this.id, (expiresAtMs) => {
        this.#expiresAtMs = expiresAtMs;
      });
    }
    return this.#expiresAtMs;
  }
}
