/** The TTLs of services' records, and how their leases limit them. */
import type { Name } from '../../dns/name.ts';
import { Class, MAX_TTL_SECONDS, type Rdata, type Rr } from '../../dns/rr.ts';
import type { LookupState } from './lookupState.ts';
import type { Registration } from './tree.ts';

/** A TTL, and the remaining time of the leases that may limit it. */
export interface Ttl {
  readonly ttlSeconds: number;
  /** Seconds until the first of the leases ends; infinite without a lease. */
  readonly leaseLeftSeconds: number;
}

/** For a lease whose end is not known yet: the store reports it soon. */
const UNKNOWN_LEFT_SECONDS = 5;

/**
 * A service's TTL, at most the time left of its lease, which counts as `minLeaseTtlSeconds` at least, and as 5 s while
 * it is unknown. A service that sets no TTL gets the time left or, without a lease, the default; while the time left is
 * unknown, it gets the default, at most 5 s. `state.isLeased` becomes true if the service has a lease, so every record
 * of a service must take its TTL here. The end of the lease and the current time are both rounded down to whole
 * seconds, so that all TTLs of an answer fall at the same moment, and a lease of 360 s gives 360 s right after the
 * write.
 */
export function serviceTtl(state: LookupState, { attributes, lease }: Registration): Ttl {
  const { settings, nowMs } = state.view;
  const own = attributes.ttlSeconds || settings.ttlSeconds;
  if (lease === undefined || state.view.listing !== undefined) {
    return { ttlSeconds: own, leaseLeftSeconds: Number.POSITIVE_INFINITY };
  }
  state.isLeased = true;
  if (lease.expiresAtMs === undefined) {
    return {
      ttlSeconds: Math.min(own, UNKNOWN_LEFT_SECONDS),
      leaseLeftSeconds: UNKNOWN_LEFT_SECONDS,
    };
  }
  const leaseLeftSeconds = Math.floor(lease.expiresAtMs / 1000) - Math.floor(nowMs / 1000);
  const left = Math.min(Math.max(leaseLeftSeconds, settings.minLeaseTtlSeconds), MAX_TTL_SECONDS);
  const ttlSeconds = attributes.ttlSeconds === 0 ? left : Math.min(own, left);
  return { ttlSeconds, leaseLeftSeconds };
}

export function leastTtl(a: Ttl, b: Ttl): Ttl {
  return {
    ttlSeconds: Math.min(a.ttlSeconds, b.ttlSeconds),
    leaseLeftSeconds: Math.min(a.leaseLeftSeconds, b.leaseLeftSeconds),
  };
}

/** A record whose TTL leases may limit; see `Ttl`. Encoding ignores the field. */
interface LeasedRr extends Rr {
  readonly leaseLeftSeconds?: number;
}

/** See `Ttl.leaseLeftSeconds`. */
export function leaseLeftOf({ leaseLeftSeconds }: LeasedRr): number {
  return leaseLeftSeconds ?? Number.POSITIVE_INFINITY;
}

/** A record with its TTL, the remaining time of its leases, and its rank. */
export function timedRr(owner: Name, type: number, rdata: Rdata, ttl: Ttl, rank?: number): Rr {
  const { ttlSeconds, leaseLeftSeconds } = ttl;
  const plain: Rr = { owner, type, class: Class.IN, ttlSeconds, rdata };
  const rr = rank === undefined ? plain : { ...plain, rank };
  if (leaseLeftSeconds === Number.POSITIVE_INFINITY) return rr;
  const leased: LeasedRr = { ...rr, leaseLeftSeconds };
  return leased;
}
