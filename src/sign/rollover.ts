/**
 * Plans how a key is replaced, as dates: a ZSK by pre-publication (RFC 6781 §4.1.1.1), a KSK or the one key that signs
 * everything by a double DNSKEY (§4.1.2), and an algorithm with its signatures first (§4.1.4). Pure.
 */
import { hasCome, type KeyDates } from './keyDates.ts';
import { KeyFlags } from './keyFile.ts';
import type { SigningKey } from './signingKey.ts';

/** For the servers to get the key files and to read them, for clocks that differ, and for the parent's secondaries. */
const MARGIN_SECONDS = 3600;

export interface RollTimes {
  readonly nowSeconds: number;
  /** The TTL of the DNSKEY records. */
  readonly ttlSeconds: number;
  /** The longest TTL of the zone's records. */
  readonly longestTtlSeconds: number;
}

interface NewKey {
  readonly flags: number;
  readonly algorithm: number;
  readonly dates: KeyDates;
}

interface DateChange {
  readonly key: SigningKey;
  readonly dates: KeyDates;
}

export interface RollPlan {
  readonly made: readonly NewKey[];
  readonly changed: readonly DateChange[];
}

type RollStage =
  /** No successor is there: `startRoll`. */
  | { readonly kind: 'start'; readonly old: SigningKey }
  /** The successor is in use, and the old key waits for the parent: `finishRoll`. */
  | { readonly kind: 'finish'; readonly old: readonly SigningKey[]; readonly next: SigningKey }
  | { readonly kind: 'refused'; readonly reason: string };

/** Whether the parent or a resolver may trust the key: a KSK, or any key of a zone without KSKs. */
export function isTrusted(key: SigningKey, keys: readonly SigningKey[]): boolean {
  return key.flags === KeyFlags.KSK || keys.every(({ flags }) => flags !== KeyFlags.KSK);
}

/** Where the replacement of a zone's trusted keys, or of its other ones, has got to. */
export function rollStage(
  keys: readonly SigningKey[],
  trusted: boolean,
  nowSeconds: number,
): RollStage {
  const inUse = keys.filter((key) => isTrusted(key, keys) === trusted && isInUse(key, nowSeconds));
  const isEnding = ({ dates }: SigningKey): boolean =>
    (dates.Inactive ?? dates.Delete) !== undefined;
  const ending = inUse.filter(isEnding);
  const [first, ...others] = inUse.filter((key) => !ending.includes(key));
  if (first === undefined) return stageOfEnding(ending, trusted);
  if (ending.length > 0) return refused(`${tagsOf(ending)}: the replacement has its dates already`);
  const rest = [first, ...others];
  const leaving = rest.filter(({ dates }) => dates.SyncDelete !== undefined);
  const staying = rest.filter((key) => !leaving.includes(key));
  const [next, second] = staying;
  if (second !== undefined) {
    const hint = 'give those to replace dates with dnssec-settime';
    return refused(`${tagsOf(staying)} are in use; ${hint}`);
  }
  // The successor's files are gone if all keys are leaving.
  if (next === undefined || leaving.length === 0) return { kind: 'start', old: next ?? first };
  return { kind: 'finish', old: leaving, next };
}

/** Keys may be made with an end, and without a successor. */
function stageOfEnding([old, ...others]: readonly SigningKey[], trusted: boolean): RollStage {
  if (old === undefined) return refused('no such key is in use');
  // Only the parent's change of the DS says when a trusted key may leave.
  if (trusted || others.length > 0)
    return refused(
      `${tagsOf([old, ...others])}: remove its end with dnssec-settime -I none -D none`,
    );
  return { kind: 'start', old };
}

function isInUse({ dates: { Inactive, Delete } }: SigningKey, nowSeconds: number): boolean {
  return !hasCome(Inactive, nowSeconds) && !hasCome(Delete, nowSeconds);
}

function refused(reason: string): RollStage {
  return { kind: 'refused', reason };
}

export function tagsOf(keys: readonly SigningKey[]): string {
  const [only] = keys;
  if (keys.length === 1 && only !== undefined) return `key ${only.tag}`;
  return `keys ${keys.map(({ tag }) => tag).join(', ')}`;
}

/** The successors of a key of a zone, and the dates with which it leaves, as far as they are known yet. */
export function startRoll(
  old: SigningKey,
  keys: readonly SigningKey[],
  algorithm: number,
  times: RollTimes,
): RollPlan {
  const { nowSeconds: now, ttlSeconds, longestTtlSeconds } = times;
  const Created = now;
  const { flags } = old;
  if (!isTrusted(old, keys)) {
    // Before it signs, its DNSKEY is in all caches; after the old one has signed, its signatures leave them.
    const Activate = now + ttlSeconds + MARGIN_SECONDS;
    const Delete = Activate + longestTtlSeconds + MARGIN_SECONDS;
    const made = [{ flags, algorithm, dates: { Created, Publish: now, Activate } }];
    return { made, changed: [change(old, { Inactive: Activate, Delete }, now)] };
  }
  const isSame = algorithm === old.algorithm;
  const Publish = isSame ? now : now + longestTtlSeconds + MARGIN_SECONDS;
  const SyncPublish = Publish + ttlSeconds + MARGIN_SECONDS;
  const dates = { Created, Publish, Activate: now };
  const zsks = isSame ? [] : othersOf(old, keys, now);
  const made = [
    { flags, algorithm, dates: { ...dates, SyncPublish } },
    ...zsks.slice(0, 1).map((zsk) => ({ flags: zsk.flags, algorithm, dates })),
  ];
  return { made, changed: [change(old, { SyncDelete: SyncPublish }, now)] };
}

/** Keys of the zone that leave with a key of another algorithm than its successor. */
function othersOf(old: SigningKey, keys: readonly SigningKey[], now: number): SigningKey[] {
  return keys.filter(
    (key) => key.algorithm === old.algorithm && !isTrusted(key, keys) && isInUse(key, now),
  );
}

/** Other dates for a key. One without dates has been in use from the beginning. */
function change(key: SigningKey, dates: KeyDates, now: number): DateChange {
  const known = key.isUndated ? { Publish: now, Activate: now } : {};
  return { key, dates: { ...known, ...dates } };
}

/** The end of the old keys, once the parent names the successor alone; its old DS leaves the caches within a time. */
export function finishRoll(
  { old, next }: Extract<RollStage, { kind: 'finish' }>,
  keys: readonly SigningKey[],
  dsSeconds: number,
  { nowSeconds, ttlSeconds, longestTtlSeconds }: RollTimes,
): RollPlan {
  const { Publish = 0, Activate = 0 } = next.dates;
  // Until then caches have signatures, and DNSKEY records, that only the old key makes valid.
  const cached = Math.max(Activate + longestTtlSeconds, Publish + ttlSeconds);
  const end = Math.max(nowSeconds + dsSeconds, cached) + MARGIN_SECONDS;
  const changed = old.flatMap((key) => {
    if (key.algorithm === next.algorithm) return [change(key, { Inactive: end, Delete: end }, 0)];
    // Validators may want signatures of each algorithm that a cached DNSKEY has.
    const dates = { Delete: end, Inactive: end + ttlSeconds + MARGIN_SECONDS };
    return [key, ...othersOf(key, keys, nowSeconds)].map((each) => change(each, dates, 0));
  });
  return { made: [], changed };
}
