/**
 * Leases seen through another server: one object for each id, which all entries that carry it share. A renewal there
 * changes no key, so no watch tells of it; a lease that is read when little of it is left asks again. The server deletes
 * what has expired, so a key that it did not delete lives. An id leaves the table when nothing refers to its lease.
 */
import type { Lease } from '../../service/change.ts';
import { WeakLeases } from '../weakLeases.ts';

/** Gives what is left of the lease of a key, if the key still has that lease. */
export type AskLease = (key: string) => Promise<Lease | undefined>;

const AT_ONCE = 8;
const ASK_AGAIN_MS = 1000;

/** The leases that are known, and the questions about them: a few at a time; a failure means only that the old end stays for a while. */
export class RemoteLeases {
  readonly #ask: AskLease;
  readonly #leases = new WeakLeases<RemoteLease>();
  #asking = 0;

  constructor(ask: AskLease) {
    this.#ask = ask;
  }

  /** The lease that was seen just now, of `key` if it has one, renewing itself through these. */
  lease(seen: Lease, key?: string): Lease {
    const lease = this.#leases.get(seen.id) ?? this.#leases.add(new RemoteLease(seen.id, this));
    lease.update(seen, key);
    return lease;
  }

  /** The lease was renewed through this store, at that time at the earliest. */
  renewed(id: string, renewedAtMs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    const { ttlSeconds } = lease;
    if (ttlSeconds === undefined) return;
    lease.update({ id, ttlSeconds, expiresAtMs: renewedAtMs + ttlSeconds * 1000 });
  }

  /** Asks what the lease is now by the key that it had last. */
  requestUpdate(lease: RemoteLease, key: string): void {
    if (this.#asking >= AT_ONCE) return;
    this.#asking++;
    this.#ask(key)
      .then((found) => {
        if (found?.id === lease.id) lease.update(found);
      })
      .catch(() => undefined)
      .finally(() => {
        this.#asking--;
      });
  }
}

class RemoteLease implements Lease {
  readonly id: string;
  readonly #renewals: RemoteLeases;
  #key: string | undefined;
  #ttlSeconds: number | undefined;
  #expiresAtMs: number | undefined;
  #askAgainAtMs = 0;

  constructor(id: string, renewals: RemoteLeases) {
    this.id = id;
    this.#renewals = renewals;
  }

  get ttlSeconds(): number | undefined {
    return this.#ttlSeconds;
  }

  get expiresAtMs(): number | undefined {
    const nowMs = performance.now();
    if (this.#key !== undefined && nowMs >= this.#askAgainAtMs) {
      this.#askAgainAtMs = nowMs + ASK_AGAIN_MS;
      this.#renewals.requestUpdate(this, this.#key);
    }
    return this.#expiresAtMs;
  }

  /** What the server says of it, which may not know itself yet. */
  update({ ttlSeconds, expiresAtMs }: Lease, key = this.#key): void {
    this.#key = key;
    if (ttlSeconds === undefined || expiresAtMs === undefined) return;
    this.#ttlSeconds = ttlSeconds;
    this.#expiresAtMs = expiresAtMs;
    const halfMs = (ttlSeconds * 1000) / 2;
    this.#askAgainAtMs = Math.max(expiresAtMs - halfMs, performance.now() + ASK_AGAIN_MS);
  }
}
