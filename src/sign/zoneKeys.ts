/**
 * The state of a zone's keys at a time, by the dates in their files: which are published as DNSKEY, which sign, and
 * which the parent is to have. A ZSK is replaced by pre-publication and a KSK by a double DNSKEY (RFC 6781 §4.1); both
 * are only dates.
 */
import { hasCome } from './keyDates.ts';
import { KeyFlags } from './keyFile.ts';
import type { SigningKey } from './signingKey.ts';

export interface ZoneKeys {
  readonly published: readonly SigningKey[];
  /** They sign DNSKEY, CDS and CDNSKEY. */
  readonly keySigning: readonly SigningKey[];
  /** They sign all other RRsets. */
  readonly zoneSigning: readonly SigningKey[];
  /** The keys that the parent is to have. */
  readonly synced: readonly SigningKey[];
  /** The parent is to remove the DS. */
  readonly isUnsigning: boolean;
}

/** The keys of one zone at a time. */
export function zoneKeysAt(keys: readonly SigningKey[], nowSeconds: number): ZoneKeys {
  const published = keys.filter((key) => isPublished(key, nowSeconds));
  const active = published.filter((key) => isActive(key, nowSeconds));
  const algorithms = [...new Set(active.map(({ algorithm }) => algorithm))];
  const signing = (flags: number) =>
    algorithms.flatMap((algorithm) => {
      const ofAlgorithm = active.filter((key) => key.algorithm === algorithm);
      const wanted = ofAlgorithm.filter((key) => key.flags === flags);
      // Keys of one kind alone sign everything.
      return wanted.length > 0 ? wanted : ofAlgorithm;
    });
  const keySigning = signing(KeyFlags.KSK);
  return {
    published,
    keySigning,
    zoneSigning: signing(KeyFlags.ZSK),
    synced: published.filter((key) => isSynced(key, keySigning, nowSeconds)),
    isUnsigning: published.some(({ dates }) => hasCome(dates.Unsign, nowSeconds)),
  };
}

export function isPublished({ dates, isUndated }: SigningKey, nowSeconds: number): boolean {
  if (isUndated) return true;
  return hasCome(dates.Publish ?? dates.Activate, nowSeconds) && !hasCome(dates.Delete, nowSeconds);
}

export function isActive({ dates, isUndated }: SigningKey, nowSeconds: number): boolean {
  if (isUndated) return true;
  return hasCome(dates.Activate, nowSeconds) && !hasCome(dates.Inactive, nowSeconds);
}

/** RFC 7344 §4.1: a DS may only name a key that signs the DNSKEY RRset. */
function isSynced(key: SigningKey, keySigning: readonly SigningKey[], nowSeconds: number): boolean {
  const { SyncPublish, SyncDelete } = key.dates;
  if (!keySigning.includes(key) || hasCome(SyncDelete, nowSeconds)) return false;
  return SyncPublish === undefined || hasCome(SyncPublish, nowSeconds);
}

/** The next date of one of the keys; infinite if none is to come. */
export function nextDateOf(keys: readonly SigningKey[], nowSeconds: number): number {
  const dates = keys.flatMap(({ dates }) => Object.values(dates));
  return Math.min(Number.POSITIVE_INFINITY, ...dates.filter((date) => date > nowSeconds));
}
