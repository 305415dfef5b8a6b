/** The TTL of what a service publishes. */
import type { Registration } from './tree.ts';
import type { Work } from './work.ts';

/** RFC 2181 §8: receivers take a TTL with the top bit set for 0. */
const MAX_TTL_SECONDS = 2 ** 31 - 1;

/** For a lease whose end is not known yet: soon it will be. */
const UNKNOWN_LEFT_SECONDS = 5;

/**
 * min(the service's TTL, what is left of its lease) of those that are set, else the default. Both ends of what is left
 * are cut to whole seconds of the clock, so that all TTLs of an answer fall at the same moment, and a lease of 360 s is
 * worth 360 s right after the write.
 */
export function ttlOf(work: Work, { attributes, lease }: Registration): number {
  const { settings, nowMs } = work.view;
  const own = attributes.ttlSeconds || settings.ttlSeconds;
  if (lease === undefined) return own;
  work.isLeased = true;
  if (lease.expiresAtMs === undefined) return Math.min(own, UNKNOWN_LEFT_SECONDS);
  const leftSeconds = Math.floor(lease.expiresAtMs / 1000) - Math.floor(nowMs / 1000);
  const left = Math.min(Math.max(leftSeconds, settings.minLeaseTtlSeconds), MAX_TTL_SECONDS);
  return attributes.ttlSeconds === 0 ? left : Math.min(own, left);
}
