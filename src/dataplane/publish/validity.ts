/**
 * For how long an answer in the table holds, if no change withdraws it before. Leases end at whole seconds of the clock
 * (`serviceTtl`), so a TTL that a lease limits falls by one each second until it reaches the least TTL, and another one
 * stays until what is left of the lease is less. The table lets TTLs fall by itself, and holds an answer until one of
 * them begins or ceases to fall.
 */
import type { Response } from '../../dns/message.ts';
import { type Rr, Type } from '../../dns/rr.ts';
import { serialLifeSeconds } from '../../zone/answer.ts';
import type { Basis } from '../../zone/lookupState.ts';
import { leaseLeftOf } from '../../zone/ttl.ts';
import type { ZoneSettings } from '../../zone/view.ts';

/** A sample, or an answer that rests on other servers' answers. */
const SHORT_LIFE_SECONDS = 1;
/** An answer with more records than rotations, so that other records come first in the next ones. */
const ROTATIONS_LIFE_SECONDS = 15;
/** An SOA's serial follows a clock that may be set. */
const SOA_LIFE_SECONDS = 15;
const LEASED_LIFE_SECONDS = 15;

/** The table does not notice the renewal of a lease: TTLs are then too low, by a quarter at most. */
const TTL_PART = 4;

/** Whether the same question has the same answer until a name changes that the answer rests on. */
export function isLasting({ isSample, isForeign }: Basis): boolean {
  return !isSample && !isForeign;
}

/** Infinite if nothing but a change ends the answer. `hasAllRotations`: every record comes first in one of them. */
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
      leastTtl = Math.min(leastTtl, ttlSeconds);
      if (ttlSeconds <= minLeaseTtlSeconds) continue;
      const left = leaseLeftOf(rr);
      const steps = left > ttlSeconds ? left - ttlSeconds : ttlSeconds - minLeaseTtlSeconds;
      life = Math.min(life, steps + 1);
    }
  }
  return Math.max(1, Math.min(life, Math.floor(leastTtl / TTL_PART)));
}

/** Whether a record's TTL falls with every second for as long as the answer holds. */
export function falls(rr: Rr, { minLeaseTtlSeconds }: ZoneSettings): boolean {
  return rr.ttlSeconds > minLeaseTtlSeconds && leaseLeftOf(rr) <= rr.ttlSeconds;
}
