/** RRSIG records (RFC 4034 §3): when a signature is valid, and which octets it covers. */
import { wireName } from '../dns/name.ts';
import { type Rr, Type } from '../dns/rr.ts';
import { canonicalRrset } from './canonical.ts';
import type { SigningKey } from './signingKey.ts';

/** A signature begins so long before it is made, for validators whose clock is slow. */
const EARLIER_SECONDS = 3600;
/** Signatures end at different times: each lasts up to this part of the validity less. */
const JITTER_PART = 10;
/** A signature is made again when this part of the validity is left. */
const REFRESH_PART = 4;

/** Seconds since 1970. */
export interface SignatureTimes {
  readonly inception: number;
  readonly expiration: number;
  /** From then on another signature is made. */
  readonly refresh: number;
}

/** An RRset to sign. */
export interface UnsignedSet {
  readonly rrs: readonly Rr[];
  /** The canonical form, which also identifies the RRset. */
  readonly octets: Buffer;
  readonly originalTtlSeconds: number;
}

export function unsignedSet(rrs: readonly Rr[], originalTtlSeconds: number): UnsignedSet {
  return { rrs, originalTtlSeconds, octets: canonicalRrset(rrs, originalTtlSeconds) };
}

export function signatureTimes(
  { octets }: UnsignedSet,
  nowSeconds: number,
  validitySeconds: number,
): SignatureTimes {
  const most = Math.floor(validitySeconds / JITTER_PART);
  const expiration = nowSeconds + validitySeconds - (hashOf(octets) % (most + 1));
  const refresh = expiration - Math.floor(validitySeconds / REFRESH_PART);
  return { inception: nowSeconds - EARLIER_SECONDS, expiration, refresh };
}

/** FNV-1a. */
function hashOf(octets: Uint8Array): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < octets.length; i++)
    hash = Math.imul(hash ^ (octets[i] as number), 0x01000193);
  return hash >>> 0;
}

/** The data of the RRSIG before the signature (RFC 4034 §3.1). */
export function rrsigHead(
  { rrs: [first], originalTtlSeconds }: UnsignedSet,
  { algorithm, tag, zone }: SigningKey,
  { inception, expiration }: SignatureTimes,
): Buffer {
  if (first === undefined) throw new RangeError('an RRset has a record');
  const head = Buffer.alloc(18);
  head.writeUInt16BE(first.type, 0);
  head.writeUInt8(algorithm, 2);
  head.writeUInt8(labelsOf(first), 3);
  head.writeUInt32BE(originalTtlSeconds, 4);
  head.writeUInt32BE(expiration % 2 ** 32, 8);
  head.writeUInt32BE(inception % 2 ** 32, 12);
  head.writeUInt16BE(tag, 16);
  return Buffer.concat([head, wireName(zone)]);
}

/** The octets to sign (RFC 4034 §3.1.8.1). */
export function signedOctets(head: Uint8Array, { octets }: UnsignedSet): Buffer {
  return Buffer.concat([head, octets]);
}

/** RFC 4034 §3.1.3: a wildcard label does not count. */
function labelsOf({ owner }: Rr): number {
  return owner[0] === '*' ? owner.length - 1 : owner.length;
}

/** The RRSIG beside a record that it covers. It keeps the record's other properties, because its TTL falls as theirs. */
export function rrsigBeside(rr: Rr, data: Uint8Array): Rr {
  return { ...rr, type: Type.RRSIG, rdata: { kind: 'unknown', octets: data } };
}
