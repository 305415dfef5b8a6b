/** The state of a key at a time, what comes next, and whether it can be removed without harm. Pure. */
import { namesKey } from './delegation.ts';
import { hasCome, KEY_DATES, type KeyDate } from './keyDates.ts';
import { isTrusted, type RollTimes, tagsOf } from './rollover.ts';
import type { SigningKey } from './signingKey.ts';
import { isActive, isPublished } from './zoneKeys.ts';

export type KeyState =
  /** It waits for its first date. */
  | 'waiting'
  /** Its DNSKEY is there; it does not sign yet. */
  | 'published'
  /** It signs, and its DNSKEY is not there: before it is published, or after it has left. */
  | 'signing'
  | 'active'
  /** Its DNSKEY is there; it does not sign any more. */
  | 'inactive'
  | 'deleted';

/** What the parent says about a zone. */
export type ParentState =
  | {
      readonly kind: 'asked';
      /** The data of the DS records; none for an unsigned zone. */
      readonly ds: readonly Uint8Array[];
      /** Until then caches may have older records; 0 without records. */
      readonly ttlSeconds: number;
    }
  | { readonly kind: 'unknown'; readonly reason: string };

export interface KeyStatus {
  readonly state: KeyState;
  readonly next: NextStep | undefined;
  /** Why it has to stay; undefined if it can be removed. */
  readonly kept: string | undefined;
}

export interface NextStep {
  readonly step: string;
  /** Seconds since 1970; undefined if an operator has to do it. */
  readonly date?: number;
}

const STEPS: Readonly<Record<KeyDate, string>> = {
  Created: 'it is made',
  Publish: 'its DNSKEY is published',
  Activate: 'it signs',
  SyncPublish: 'CDS names it',
  Inactive: 'it stops signing',
  Delete: 'its DNSKEY leaves',
  SyncDelete: 'CDS stops naming it',
};

export function keyStatus(
  key: SigningKey,
  keys: readonly SigningKey[],
  parent: ParentState,
  times: RollTimes,
): KeyStatus {
  const kept = whyKept(key, keys, parent, times);
  const state = stateOf(key, times.nowSeconds);
  return { state, kept, next: nextStep(key, keys, parent, times, kept) };
}

function stateOf(key: SigningKey, now: number): KeyState {
  const { Activate, Delete } = key.dates;
  if (isPublished(key, now)) {
    if (isActive(key, now)) return 'active';
    return hasCome(Activate, now) ? 'inactive' : 'published';
  }
  if (isActive(key, now)) return 'signing';
  return hasCome(Delete, now) ? 'deleted' : 'waiting';
}

function whyKept(
  key: SigningKey,
  keys: readonly SigningKey[],
  parent: ParentState,
  { nowSeconds: now, longestTtlSeconds }: RollTimes,
): string | undefined {
  const { Publish, Activate, Inactive, Delete } = key.dates;
  switch (stateOf(key, now)) {
    case 'active':
    case 'signing':
      return 'it signs';
    case 'published':
      return Activate === undefined ? 'its DNSKEY is there' : 'it will sign';
    case 'waiting':
      return (Publish ?? Activate) === undefined ? undefined : 'it will sign';
    default:
  }
  const isParents = isTrusted(key, keys);
  if (isParents && parent.kind === 'unknown') return 'the parent is not known';
  if (isParents && isNamed(key, parent)) return "the parent's DS names it";
  const ttlSeconds = isParents && parent.kind === 'asked' ? parent.ttlSeconds : 0;
  const least = (Inactive ?? Delete ?? now) + Math.max(longestTtlSeconds, ttlSeconds);
  return least > now ? 'caches may need it' : undefined;
}

function isNamed(key: SigningKey, parent: ParentState): boolean {
  return parent.kind === 'asked' && parent.ds.some((ds) => namesKey(ds, key));
}

function nextStep(
  key: SigningKey,
  keys: readonly SigningKey[],
  parent: ParentState,
  { nowSeconds: now, longestTtlSeconds }: RollTimes,
  kept: string | undefined,
): NextStep | undefined {
  if (kept === undefined) return { step: 'remove its files' };
  const coming = KEY_DATES.map((name) => ({ step: STEPS[name], date: key.dates[name] ?? 0 }))
    .filter(({ date }) => date > now)
    .sort((a, b) => a.date - b.date);
  const [first] = coming;
  if (first !== undefined) return first;
  const { dates } = key;
  if (!isActive(key, now)) {
    const date = (dates.Inactive ?? dates.Delete ?? now) + longestTtlSeconds;
    return date > now ? { step: 'it can be removed', date } : undefined;
  }
  if (!isTrusted(key, keys) || parent.kind === 'unknown') return undefined;
  if (keys.some((each) => hasCome(each.dates.Unsign, now)))
    return isNamed(key, parent) ? { step: 'the parent removes its DS' } : undefined;
  const successors = keys.filter(
    (each) => each !== key && isTrusted(each, keys) && each.dates.SyncDelete === undefined,
  );
  if (dates.SyncDelete === undefined || successors.length === 0)
    return isNamed(key, parent)
      ? undefined
      : { step: 'give the parent its DS, or resolvers its DNSKEY' };
  return isNamed(key, parent)
    ? { step: `the parent replaces its DS by that of ${tagsOf(successors)}` }
    : { step: 'run dnssec roll again' };
}
