/**
 * The leases of etcd's entries: one shared `Lease` for each id, and the calls about leases. etcd does not report the
 * TTL of a key's lease, nor its renewals by other clients, so the store looks a lease up when its id first appears, and
 * again whenever half of the remaining time has passed.
 *
 * In a store with many leases only those are looked up whose expiry is read: each host has a lease and a server, so
 * their lookups of all leases would grow with the square of the number of hosts. A lease that rests is looked up once
 * its expiry is read; until the answer it has no expiry if the known one has passed.
 *
 * Until the first answer a lease has no TTL and no expiry. The expiry may be in the past for a moment, because a key
 * ends with etcd's delete event, and never because of a clock in this process. Ids stay decimal strings, because they
 * go up to 2^63.
 */
import type { Lease } from '../../service/change.ts';
import { WeakLeases } from '../weakLeases.ts';
import type { Cluster } from './cluster.ts';
import { isNoSuchLease, malformed } from './failure.ts';

class KnownLease implements Lease {
  readonly id: string;
  ttlSeconds: number | undefined;
  /** As `expiresAtMs`, without the effects of reading it. */
  knownExpiryMs: number | undefined;
  /** Not looked up until its expiry is read. A lease of this store's own never rests. */
  isResting = false;
  isOwn = false;
  /** When the last renewal by this store was answered. */
  renewedAtMs = Number.NEGATIVE_INFINITY;
  /** Whether the expiry was read since the last lookup. */
  wasRead = false;
  readonly #onWake: (lease: KnownLease) => void;

  constructor({ id, ttlSeconds, expiresAtMs }: Lease, onWake: (lease: KnownLease) => void) {
    this.id = id;
    this.ttlSeconds = ttlSeconds;
    this.knownExpiryMs = expiresAtMs;
    this.#onWake = onWake;
  }

  get expiresAtMs(): number | undefined {
    this.wasRead = true;
    if (this.isResting) this.#onWake(this);
    return this.knownExpiryMs;
  }
}

/** etcd's answer about one lease; `gone`: the lease does not exist. */
export type LeaseLife =
  | { readonly kind: 'alive'; readonly ttlSeconds: number; readonly remainingSeconds: number }
  | { readonly kind: 'gone' };

export interface EtcdLeasesOptions {
  /** Reads the lease from etcd. Rejects when etcd does not answer. */
  readonly lookUp: (id: string) => Promise<LeaseLife>;
  /** Monotonic, as `performance.now`. */
  readonly nowMs: () => number;
  readonly concurrency?: number;
  /** With more leases than this only those are looked up whose expiry is read. */
  readonly many?: number;
}

const TICK_MS = 1_000;
const MIN_PAUSE_MS = 500;
const RETRY_MS = 2_000;
const DEFAULT_CONCURRENCY = 16;
const DEFAULT_MANY = 64;

export class EtcdLeases {
  readonly #options: EtcdLeasesOptions;
  readonly #leases = new WeakLeases<KnownLease>((id) => this.#lookUpAtTick.delete(id));
  /** The tick of each id's next lookup. An id in the list of another tick is outdated and ignored. */
  readonly #lookUpAtTick = new Map<string, number>();
  /** Ids to look up now. */
  readonly #queue = new Set<string>();
  /** Ids to look up later, by the tick of that time. */
  readonly #later = new Map<number, string[]>();
  /** Lookups that come before the queue and wait for others in flight. */
  #waitingFirst = 0;
  readonly #inFlight = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: EtcdLeasesOptions) {
    this.#options = options;
  }

  /** The shared lease of that id. A new lease is looked up in the background, unless there are many. */
  of(id: string): Lease {
    const known = this.#leases.get(id);
    if (known !== undefined) return known;
    const lease = this.#add(id, undefined, undefined);
    if (this.#areMany()) lease.isResting = true;
    else this.#enqueue(id);
    return lease;
  }

  /** The new lease that etcd granted to this store, at `grantedAtMs` at the earliest. */
  granted(id: string, ttlSeconds: number, grantedAtMs: number): Lease {
    const expiresAtMs = grantedAtMs + ttlSeconds * 1_000;
    const lease = this.#add(id, ttlSeconds, expiresAtMs);
    lease.isOwn = true;
    this.#schedule(id, expiresAtMs);
    return lease;
  }

  /** Records that this store renewed the lease, at `renewedAtMs` at the earliest. */
  renewed(id: string, ttlSeconds: number, renewedAtMs: number): void {
    const lease = this.#leases.get(id);
    if (lease === undefined) return;
    lease.ttlSeconds = ttlSeconds;
    lease.knownExpiryMs = renewedAtMs + ttlSeconds * 1_000;
    lease.renewedAtMs = this.#options.nowMs();
    lease.isResting = false;
    this.#schedule(id, lease.knownExpiryMs);
  }

  /**
   * Looks up the leases that have no expiry yet, once and before all other lookups. Resolves when etcd has answered, or
   * when the lookups have failed.
   */
  async lookUpUnknown(ids: Iterable<string>): Promise<void> {
    const lookUps: Promise<void>[] = [];
    for (const id of ids) {
      const lease = this.#leases.get(id);
      if (this.#closed || lease === undefined || lease.expiresAtMs !== undefined) continue;
      this.#queue.delete(id);
      lookUps.push(this.#updateFirst(id));
    }
    await Promise.all(lookUps);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
    this.#queue.clear();
  }

  #add(id: string, ttlSeconds: number | undefined, expiresAtMs: number | undefined): KnownLease {
    this.#lookUpAtTick.delete(id);
    const lease = new KnownLease({ id, ttlSeconds, expiresAtMs }, this.#wake);
    return this.#leases.add(lease);
  }

  #areMany(): boolean {
    return this.#leases.size > (this.#options.many ?? DEFAULT_MANY);
  }

  readonly #wake = (lease: KnownLease): void => {
    lease.isResting = false;
    const { knownExpiryMs = 0 } = lease;
    if (knownExpiryMs <= this.#options.nowMs()) lease.knownExpiryMs = undefined;
    this.#enqueue(lease.id);
  };

  #enqueue(id: string): void {
    if (this.#closed) return;
    this.#queue.add(id);
    this.#pump();
  }

  #pump(): void {
    for (const id of this.#queue) {
      if (this.#waitingFirst > 0 || this.#isFull()) return;
      this.#queue.delete(id);
      if (this.#leases.get(id) !== undefined) void this.#update(id);
    }
  }

  #isFull(): boolean {
    return this.#inFlight.size >= (this.#options.concurrency ?? DEFAULT_CONCURRENCY);
  }

  /** Looks the lease up as soon as fewer lookups than the limit are in flight, before those in the queue. */
  async #updateFirst(id: string): Promise<void> {
    this.#waitingFirst++;
    while (this.#isFull() && !this.#inFlight.has(id)) await Promise.race(this.#inFlight.values());
    this.#waitingFirst--;
    await this.#update(id);
  }

  #update(id: string): Promise<void> {
    const lookup = this.#inFlight.get(id) ?? this.#lookUp(id);
    this.#inFlight.set(id, lookup);
    return lookup;
  }

  async #lookUp(id: string): Promise<void> {
    const sentAtMs = this.#options.nowMs();
    const life = await this.#options.lookUp(id).catch(() => undefined);
    this.#inFlight.delete(id);
    const lease = this.#leases.get(id);
    if (lease !== undefined) {
      lease.wasRead = false;
      lease.isResting = false;
      if (life === undefined) this.#lookUpLater(id, RETRY_MS);
      // An earlier lookup may tell the time before the renewal.
      else if (sentAtMs > lease.renewedAtMs) this.#apply(lease, life, sentAtMs);
    }
    this.#pump();
  }

  #apply(lease: KnownLease, life: LeaseLife, sentAtMs: number): void {
    if (life.kind === 'gone') {
      lease.knownExpiryMs = Math.min(lease.knownExpiryMs ?? sentAtMs, sentAtMs);
      return;
    }
    // etcd rounds the remaining time down to seconds, and measured it between request and answer. The stored expiry
    // stays if it fits the answer.
    const earliestMs = sentAtMs + life.remainingSeconds * 1_000;
    const latestMs = this.#options.nowMs() + (life.remainingSeconds + 1) * 1_000;
    const knownMs = lease.knownExpiryMs ?? earliestMs;
    lease.knownExpiryMs = knownMs >= earliestMs && knownMs <= latestMs ? knownMs : earliestMs;
    lease.ttlSeconds = life.ttlSeconds;
    this.#schedule(lease.id, lease.knownExpiryMs);
  }

  #schedule(id: string, expiresAtMs: number): void {
    const leftMs = expiresAtMs - this.#options.nowMs();
    this.#lookUpLater(id, Math.max(MIN_PAUSE_MS, leftMs / 2));
  }

  #lookUpLater(id: string, pauseMs: number): void {
    if (this.#closed || this.#leases.get(id) === undefined) return;
    const tick = Math.ceil((this.#options.nowMs() + pauseMs) / TICK_MS);
    this.#lookUpAtTick.set(id, tick);
    const ids = this.#later.get(tick);
    if (ids === undefined) this.#later.set(tick, [id]);
    else ids.push(id);
    this.#timer ??= setInterval(() => this.#onTick(), TICK_MS).unref();
  }

  #onTick(): void {
    const now = this.#options.nowMs() / TICK_MS;
    for (const [tick, ids] of this.#later) {
      if (tick > now) continue;
      this.#later.delete(tick);
      for (const id of ids) {
        if (this.#lookUpAtTick.get(id) === tick) this.#onDue(id);
      }
    }
    if (this.#later.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #onDue(id: string): void {
    const lease = this.#leases.get(id);
    const mayRest = lease !== undefined && !lease.isOwn && !lease.wasRead;
    if (mayRest && this.#areMany()) lease.isResting = true;
    else this.#enqueue(id);
  }
}

/** Whether the text can be a lease id of etcd: an int64 above 0. */
export function isLeaseId(id: string): boolean {
  return /^[1-9][0-9]{0,18}$/.test(id) && BigInt(id) < 2n ** 63n;
}

/** A new lease and the TTL that etcd gave it, which is at least about 1.5 election timeouts (2 s by default). */
export async function grantLease(
  cluster: Cluster,
  ttlSeconds: number,
): Promise<{ id: string; ttlSeconds: number }> {
  const response = await cluster.call('leaseGrant', { TTL: String(ttlSeconds) });
  if (response.ID === '0') throw malformed('a lease id');
  return { id: response.ID, ttlSeconds: Number(response.TTL) };
}

/** Restarts a lease's time. Returns its TTL, or undefined if the lease does not exist. */
export async function keepLeaseAlive(cluster: Cluster, id: string): Promise<number | undefined> {
  const response = await cluster.call('leaseKeepAlive', { ID: id });
  const ttlSeconds = Number(response.TTL);
  return ttlSeconds > 0 ? ttlSeconds : undefined;
}

/** Ends a lease and its keys. Does nothing if the lease has ended already. */
export async function revokeLease(cluster: Cluster, id: string): Promise<void> {
  try {
    await cluster.call('leaseRevoke', { ID: id });
  } catch (error) {
    if (!isNoSuchLease(error)) throw error;
  }
}

/** Ends an unused lease. If etcd cannot be reached, the lease ends by its TTL. */
export async function abandonLease(cluster: Cluster, id: string): Promise<void> {
  await revokeLease(cluster, id).catch(() => undefined);
}

/** The remaining time of a lease. */
export async function lookUpLease(cluster: Cluster, id: string): Promise<LeaseLife> {
  const response = await cluster.call('leaseTimeToLive', { ID: id });
  const remainingSeconds = Number(response.TTL);
  if (remainingSeconds < 0) return { kind: 'gone' };
  return { kind: 'alive', ttlSeconds: Number(response.grantedTTL), remainingSeconds };
}
