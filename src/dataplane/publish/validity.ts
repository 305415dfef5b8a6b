/**
 * How long an answer in the table holds, unless a change withdraws it earlier. A lease ends at a whole second of the
 * clock (`serviceTtl`). So a TTL that a lease limits falls by one each second until it reaches the least TTL. Any other
 * TTL stays the same until the lease has less time left. The table reduces falling TTLs by itself. It holds an answer
 * until one of its TTLs begins or ceases to fall, but at most 15 s, or a quarter of the least TTL that a lease limits if
 * that is less, because it does not notice the renewal of the lease.
 */
import type { Response } from '../../dns/message.ts';
import { type Rr, Type } from '../../dns/rr.ts';
import { serialLifeSeconds } from '../../zone/answer.ts';
import type { Basis } from '../../zone/tree/lookupState.ts';
import { leaseLeftOf } from '../../zone/tree/ttl.ts';
import type { ZoneSettings } from '../../zone/tree/view.ts';

/** For a sample, and for an answer that depends on other servers' answers. */
const SHORT_LIFE_SECONDS = 1;
/** For an answer with more records than rotations: other records come first in the next rotations. */
const ROTATIONS_LIFE_SECONDS = 15;
/** An SOA's serial follows a clock that may be set. */
const SOA_LIFE_SECONDS = 15;
const LEASED_LIFE_SECONDS = 15;

/** After a renewal TTLs are too low until the answer is computed again, by a quarter at most. */
const TTL_PART = 4;

/** Whether the question has the same answer until a name changes on which the answer depends. */
export function isLasting({ isSample, isForeign }: Basis): boolean {
  return !isSample && !isForeign;
}

/**
 * How many seconds the answer holds; infinite if only a change ends it. `hasAllRotations`: every record comes first in
 * one of the answer's rotations.
 */
export function lifeSeconds(
  response: Response,
  basis: Basis,
  settings: ZoneSettings,
  hasAllRotations: boolean,
  unixSeconds: number,
): number {
  let life = Number.POSITIVE_INFINITY;
  if (basis.isLeased) life = leasedLifeSeconds(response, settings);
  if (!isLasting(basis)) life = Math.min(life, SHORT_LIFE_SECONDS);
  if (!hasAllRotations) life = Math.min(life, ROTATIONS_LIFE_SECONDS);
  if ([...response.answer, ...response.authority].some(({ type }) => type === Type.SOA)) {
    life = Math.min(life, serialLifeSeconds(unixSeconds), SOA_LIFE_SECONDS);
  }
  return life;
}

function leasedLifeSeconds(
  { answer, authority, additional }: Response,
  { minLeaseTtlSeconds }: ZoneSettings,
): number {
  let leastTtl = Number.POSITIVE_INFINITY;
  let life = LEASED_LIFE_SECONDS;
  for (const rrs of [answer, authority, additional]) {
    for (const rr of rrs) {
      const { ttlSeconds } = rr;
      const left = leaseLeftOf(rr);
      if (left <= ttlSeconds) leastTtl = Math.min(leastTtl, ttlSeconds);
      if (ttlSeconds <= minLeaseTtlSeconds) continue;
      const steps = left > ttlSeconds ? left - ttlSeconds : ttlSeconds - minLeaseTtlSeconds;
      life = Math.min(life, steps + 1);
    }
  }
  return Math.max(1, Math.min(life, Math.floor(leastTtl / TTL_PART)));
}

/** Whether a record's TTL falls by one every second while the answer holds. */
export function falls(rr: Rr, { minLeaseTtlSeconds }: ZoneSettings): boolean {
  return rr.ttlSeconds > minLeaseTtlSeconds && leaseLeftOf(rr) <= rr.ttlSeconds;
}
