/** What a zone tells its parent about its keys: DS (RFC 4034 §5, RFC 6605), CDS and CDNSKEY (RFC 7344, RFC 8078). */
import { createHash } from 'node:crypto';
import { type Name, printName, wireName } from '../dns/name.ts';
import { Class, type Rr, Type } from '../dns/rr.ts';
import type { SigningKey } from './signingKey.ts';

export const DIGESTS = { sha256: 2, sha384: 4 } as const;
export type Digest = keyof typeof DIGESTS;
const DIGEST_NAMES = Object.keys(DIGESTS) as readonly Digest[];

/** The data of the DS record, which CDS shares. */
function dsData({ zone, tag, algorithm, dnskey }: SigningKey, digest: Digest): Buffer {
  const head = Buffer.from([tag >> 8, tag & 0xff, algorithm, DIGESTS[digest]]);
  const hash = createHash(digest).update(wireName(zone)).update(dnskey).digest();
  return Buffer.concat([head, hash]);
}

/** Whether the data of a DS record is that of the key. Of a digest that is not made here, only the key tag is compared. */
export function namesKey(ds: Uint8Array, key: SigningKey): boolean {
  const [high = 0, low = 0, algorithm, digestType] = ds;
  if (((high << 8) | low) !== key.tag || algorithm !== key.algorithm) return false;
  const digest = DIGEST_NAMES.find((name) => DIGESTS[name] === digestType);
  return digest === undefined || Buffer.compare(dsData(key, digest), ds) === 0;
}

/** The DS record in zone-file text. */
export function printDs(key: SigningKey, digest: Digest): string {
  const hash = dsData(key, digest).subarray(4).toString('hex').toUpperCase();
  return `${printName(key.zone)} IN DS ${key.tag} ${key.algorithm} ${DIGESTS[digest]} ${hash}`;
}

/** The DNSKEY record in zone-file text. */
export function printDnskey({ zone, dnskey, flags, algorithm }: SigningKey): string {
  const base64 = Buffer.from(dnskey.subarray(4)).toString('base64');
  return `${printName(zone)} IN DNSKEY ${flags} 3 ${algorithm} ${base64}`;
}

/** RFC 8078 §4: the parent is to remove the DS. */
const DELETE_CDS = Buffer.from([0, 0, 0, 0, 0]);
const DELETE_CDNSKEY = Buffer.from([0, 0, 3, 0, 0]);

export interface KeyRecords {
  readonly published: readonly SigningKey[];
  /** The keys that the parent is to have. */
  readonly synced: readonly SigningKey[];
  /** The parent is to remove the DS. */
  readonly isUnsigning: boolean;
}

/** The zone's own records of a type: DNSKEY, CDS or CDNSKEY, at its apex; or DS, above its apex. */
export function keyRecords(
  owner: Name,
  type: number,
  { published, synced, isUnsigning }: KeyRecords,
  ttlSeconds: number,
): readonly Rr[] {
  switch (type) {
    case Type.DNSKEY:
      return rrsOf(published.map(({ dnskey }) => dnskey));
    case Type.CDS:
      return rrsOf(isUnsigning ? [DELETE_CDS] : synced.map((key) => dsData(key, 'sha256')));
    case Type.CDNSKEY:
      return rrsOf(isUnsigning ? [DELETE_CDNSKEY] : synced.map(({ dnskey }) => dnskey));
    case Type.DS:
      return rrsOf(isUnsigning ? [] : synced.map((key) => dsData(key, 'sha256')));
    default:
      return [];
  }

  function rrsOf(data: readonly Uint8Array[]): Rr[] {
    return data.map((octets) => {
      const rdata = { kind: 'unknown', octets } as const;
      return { owner, type, class: Class.IN, ttlSeconds, rdata };
    });
  }
}
