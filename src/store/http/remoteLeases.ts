/**
 * The leases of another soradns server: one object for each id, which all its entries share. A renewal at the server
 * changes no key, so no watch reports it. A lease therefore asks the server for its expiry again when it is read with
 * less than half of its time left. The server deletes expired keys, so a key that it did not delete lives.
 */
import type { Lease } from '../../service/change.ts';
import { WeakLeases } from '../weakLeases.ts';

/** Returns the lease of a key now, if the key still has it. */
export type AskLease = (key: string) => Promise<Lease | undefined>;

const AT_ONCE = 8;
const ASK_AGAIN_MS = 1000;

/** Sends a few questions at a time. After a failure the old expiry stays for a while. */
export class RemoteLeases {
  readonly #ask: AskLease;
  readonly #leases = new WeakLeases<RemoteLease>();
  #asking = 0;

  constructor(ask: AskLease) {
    this.#ask = ask;
  }

  /** The shared lease object, updated with a lease that the server has just sent, for `key` if it came with one. */
  lease(seen: Lease, key?: string): Lease {
    const lease = this.#leases.get(seen.id) ?? this.#leases.add(new RemoteLease(seen.id, this));
    lease.update(seen, key);
    return lease;
  }

  /** This store renewed the lease, at `renewedAtMs` at the earliest. */
  renewed(id: string, renewedAtMs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    const { ttlSeconds } = lease;
    if (ttlSeconds === undefined) return;
    lease.update({ id, ttlSeconds, expiresAtMs: renewedAtMs + ttlSeconds * 1000 });
  }

  /** Asks for the lease's expiry by the last key that had it. */
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

  /** Takes over the server's data; the server itself may not know the expiry yet. */
  update({ ttlSeconds, expiresAtMs }: Lease, key = this.#key): void {
    this.#key = key;
    if (ttlSeconds === undefined || expiresAtMs === undefined) return;
    this.#ttlSeconds = ttlSeconds;
    this.#expiresAtMs = expiresAtMs;
    const halfMs = (ttlSeconds * 1000) / 2;
    this.#askAgainAtMs = Math.max(expiresAtMs - halfMs, performance.now() + ASK_AGAIN_MS);
  }
}
