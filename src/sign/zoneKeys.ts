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
  const active = keys.filter((key) => isActive(key, nowSeconds));
  const isSigned = active.some((key) => published.includes(key));
  const signing = (flags: number): readonly SigningKey[] => {
    if (!isSigned) return [];
    const algorithms = [...new Set(active.map(({ algorithm }) => algorithm))];
    return algorithms.flatMap((algorithm) => {
      const ofAlgorithm = active.filter((key) => key.algorithm === algorithm);
      // A key without a DNSKEY cannot replace one with it.
      const known = ofAlgorithm.filter((key) => published.includes(key));
      const unknown = ofAlgorithm.filter((key) => !published.includes(key));
      return [...ofKind(known, flags), ...ofKind(unknown, flags)];
    });
  };
  const keySigning = signing(KeyFlags.KSK).filter((key) => published.includes(key));
  return {
    published,
    keySigning,
    zoneSigning: signing(KeyFlags.ZSK),
    synced: published.filter((key) => isSynced(key, keySigning, nowSeconds)),
    isUnsigning: published.some(({ dates }) => hasCome(dates.Unsign, nowSeconds)),
  };
}

/** Keys of one kind alone sign everything. */
function ofKind(keys: readonly SigningKey[], flags: number): readonly SigningKey[] {
  const wanted = keys.filter((key) => key.flags === flags);
  return wanted.length > 0 ? wanted : keys;
}

export function isPublished({ dates, isUndated }: SigningKey, nowSeconds: number): boolean {
  if (isUndated) return true;
  return hasCome(dates.Publish ?? dates.Activate, nowSeconds) && !hasCome(dates.Delete, nowSeconds);
}

/**
 * Whether the key signs. It may do so before its DNSKEY is published and after it has left: the signatures of another
 * algorithm are in all caches before the DNSKEY (RFC 6781 §4.1.4).
 */
export function isActive({ dates, isUndated }: SigningKey, nowSeconds: number): boolean {
  if (isUndated) return true;
  const { Activate, Inactive, Delete } = dates;
  return hasCome(Activate, nowSeconds) && !hasCome(Inactive ?? Delete, nowSeconds);
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
