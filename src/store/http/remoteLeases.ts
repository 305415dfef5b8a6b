/**
 * The leases of another soradns server: one object for each id, which all entries of the lease share. A renewal at the
 * server changes no key, so no watch reports it. When the expiry of a lease is read with less than half of the lease's
 * time left, the lease therefore requests its expiry from the server again, through one of its keys. The server deletes
 * expired keys, so a key that it did not delete exists.
 */
import type { Lease } from '../../service/change.ts';
import { WeakLeases } from '../weakLeases.ts';

/** Reads the current lease of a key from the server; undefined if the key has none. */
export type ReadLease = (key: string) => Promise<Lease | undefined>;

const MAX_IN_FLIGHT = 8;
const READ_AGAIN_MS = 1000;
/** The most keys that one request reads before it finds one that still has the lease. */
const READS_A_REQUEST = 32;
const KEYS_A_LEASE = 256;

/** Sends a few requests at a time. After a failed request the old expiry stays, at least for `READ_AGAIN_MS`. */
export class RemoteLeases {
  readonly #read: ReadLease;
  readonly #leases = new WeakLeases<RemoteLease>();
  #inFlight = 0;

  constructor(read: ReadLease) {
    this.#read = read;
  }

  /**
   * The shared lease object, updated with the lease that the server has just sent. `key` is the key of the entry that
   * the server sent with the lease, if any.
   */
  lease(seen: Lease, key?: string): Lease {
    const lease = this.#leases.get(seen.id) ?? this.#leases.add(new RemoteLease(seen.id, this));
    lease.update(seen, key);
    return lease;
  }

  /** Records that this store renewed the lease, at `renewedAtMs` at the earliest. */
  renewed(id: string, renewedAtMs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    const { ttlSeconds } = lease;
    if (ttlSeconds === undefined) return;
    lease.update({ id, ttlSeconds, expiresAtMs: renewedAtMs + ttlSeconds * 1000 });
  }

  /** Requests the lease's expiry through its keys, until one of them still has the lease. */
  requestUpdate(lease: RemoteLease): void {
    if (this.#inFlight >= MAX_IN_FLIGHT) return;
    this.#inFlight++;
    this.#update(lease)
      .catch(() => undefined)
      .finally(() => {
        this.#inFlight--;
      });
  }

  async #update(lease: RemoteLease): Promise<void> {
    for (let reads = 0; reads < READS_A_REQUEST; reads++) {
      const key = lease.takeKey();
      if (key === undefined) return;
      let found: Lease | undefined;
      try {
        found = await this.#read(key);
      } catch (error) {
        lease.addKey(key);
        throw error;
      }
      if (found?.id !== lease.id) continue;
      lease.update(found, key);
      return;
    }
  }
}

class RemoteLease implements Lease {
  readonly id: string;
  readonly #leases: RemoteLeases;
  /** Some keys that had the lease when they were last seen, the one seen longest ago first. */
  readonly #keys = new Set<string>();
  #ttlSeconds: number | undefined;
  #expiresAtMs: number | undefined;
  #readAgainAtMs = 0;

  constructor(id: string, renewals: RemoteLeases) {
    this.id = id;
    this.#leases = renewals;
  }

  get ttlSeconds(): number | undefined {
    return this.#ttlSeconds;
  }

  get expiresAtMs(): number | undefined {
    const nowMs = performance.now();
    if (this.#keys.size > 0 && nowMs >= this.#readAgainAtMs) {
      this.#readAgainAtMs = nowMs + READ_AGAIN_MS;
      this.#leases.requestUpdate(this);
    }
    return this.#expiresAtMs;
  }

  /** Copies the server's data, unless the server itself does not know the expiry yet. */
  update({ ttlSeconds, expiresAtMs }: Lease, key?: string): void {
    if (key !== undefined) this.addKey(key);
    if (ttlSeconds === undefined || expiresAtMs === undefined) return;
    this.#ttlSeconds = ttlSeconds;
    this.#expiresAtMs = expiresAtMs;
    const halfMs = (ttlSeconds * 1000) / 2;
    this.#readAgainAtMs = Math.max(expiresAtMs - halfMs, performance.now() + READ_AGAIN_MS);
  }

  /** The key has the lease. */
  addKey(key: string): void {
    this.#keys.delete(key);
    this.#keys.add(key);
    if (this.#keys.size > KEYS_A_LEASE) this.takeKey();
  }

  /** Removes and returns the key that was seen longest ago. */
  takeKey(): string | undefined {
    const [first] = this.#keys;
    if (first !== undefined) this.#keys.delete(first);
    return first;
  }
}
