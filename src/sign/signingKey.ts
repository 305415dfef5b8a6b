/**
 * sign/: DNSSEC keys, signatures and denial of existence for RRsets. Pure.
 * Imports: dns, dns/presentation.
 * Used by: app/answering, cli/host, cli/signing, dataplane/publish, server, tools/doctor.
 *
 * A key that signs: the private key as `node:crypto` takes it, and the DNSKEY record's data (RFC 4034 §2) with its key
 * tag. Signing itself happens where the caller wants it: `algorithmOf` says how.
 */
import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import type { Name } from '../dns/name.ts';
import type { KeyDates } from './keyDates.ts';
import { Algorithm, type KeyFile } from './keyFile.ts';

export interface SigningKey {
  /** Folded. */
  readonly zone: Name;
  readonly flags: number;
  readonly algorithm: number;
  readonly tag: number;
  /** The data of the DNSKEY record. */
  readonly dnskey: Uint8Array;
  readonly privateKey: KeyObject;
  readonly dates: KeyDates;
  /** The key is always in use. */
  readonly isUndated: boolean;
}

export type SigningKeyOutcome =
  | { readonly kind: 'key'; readonly key: SigningKey; readonly warning?: string | undefined }
  | { readonly kind: 'refused'; readonly reason: string };

/** Checks that the private key fits the public one. */
export function signingKeyOf(file: KeyFile): SigningKeyOutcome {
  const jwk = jwkOf(file);
  if (jwk === undefined) return { kind: 'refused', reason: 'the .private file lacks fields' };
  try {
    const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
    const { zone, flags, algorithm, dates, isUndated } = file;
    const dnskey = dnskeyData(file);
    const key = { zone, flags, algorithm, dates, isUndated, dnskey, privateKey };
    if (!fits(algorithm, privateKey, jwk)) return MISFIT;
    const warning =
      algorithm === Algorithm.RSASHA256
        ? 'RSA signatures take five times as long as those of ECDSAP256SHA256; make a new key'
        : undefined;
    return { kind: 'key', key: { ...key, tag: keyTag(dnskey) }, warning };
  } catch {
    // OpenSSL refuses a point that is not on the curve, or another key's private part.
    return MISFIT;
  }
}

const MISFIT: SigningKeyOutcome = {
  kind: 'refused',
  reason: 'the .private file does not fit the .key file',
};

/** How `node:crypto` signs with keys of an algorithm. ECDSA signatures are two numbers of 32 octets (RFC 6605 §4). */
export function algorithmOf(algorithm: number): {
  readonly digest: string | null;
  readonly dsaEncoding?: 'ieee-p1363';
} {
  switch (algorithm) {
    case Algorithm.ED25519:
      return { digest: null };
    case Algorithm.ECDSAP256SHA256:
      return { digest: 'sha256', dsaEncoding: 'ieee-p1363' };
    default:
      return { digest: 'sha256' };
  }
}

const SAMPLE = Buffer.from('soradns');

function fits(algorithm: number, key: KeyObject, jwk: JsonWebKey): boolean {
  const { digest, ...encoding } = algorithmOf(algorithm);
  const { d: _d, p: _p, q: _q, dp: _dp, dq: _dq, qi: _qi, ...publicJwk } = jwk;
  const publicKey = createPublicKey({ key: publicJwk, format: 'jwk' });
  const signature = sign(digest, SAMPLE, { key, ...encoding });
  return verify(digest, SAMPLE, { key: publicKey, ...encoding }, signature);
}

type JsonWebKey = Record<string, string>;

/** The public part is the DNSKEY's, so that a private key that does not fit it fails. */
function jwkOf({ algorithm, publicKey, secrets }: KeyFile): JsonWebKey | undefined {
  const d = secrets.get('PrivateKey');
  switch (algorithm) {
    case Algorithm.ECDSAP256SHA256: {
      if (d === undefined || publicKey.length !== 64) return undefined;
      const [x, y] = [publicKey.subarray(0, 32), publicKey.subarray(32)].map(base64Url);
      return { kty: 'EC', crv: 'P-256', d: base64Url(leftPadded(d, 32)), x: x ?? '', y: y ?? '' };
    }
    case Algorithm.ED25519:
      if (d?.length !== 32 || publicKey.length !== 32) return undefined;
      return { kty: 'OKP', crv: 'Ed25519', d: base64Url(d), x: base64Url(publicKey) };
    default:
      return rsaJwk(publicKey, secrets);
  }
}

/** RFC 3110 §2: the exponent's length in one octet or, after a zero, in two. */
function rsaJwk(publicKey: Uint8Array, secrets: KeyFile['secrets']): JsonWebKey | undefined {
  const [first = 0, second = 0, third = 0] = publicKey;
  const exponentAt = first === 0 ? 3 : 1;
  const modulusAt = exponentAt + (first === 0 ? (second << 8) | third : first);
  const secretNames = {
    d: 'PrivateExponent',
    p: 'Prime1',
    q: 'Prime2',
    dp: 'Exponent1',
    dq: 'Exponent2',
    qi: 'Coefficient',
  };
  const jwk: JsonWebKey = {
    kty: 'RSA',
    e: base64Url(publicKey.subarray(exponentAt, modulusAt)),
    n: base64Url(publicKey.subarray(modulusAt)),
  };
  for (const [member, name] of Object.entries(secretNames)) {
    const octets = secrets.get(name);
    if (octets === undefined) return undefined;
    jwk[member] = base64Url(octets);
  }
  return jwk;
}

function base64Url(octets: Uint8Array): string {
  return Buffer.from(octets).toString('base64url');
}

function leftPadded(octets: Uint8Array, length: number): Buffer {
  return Buffer.concat([Buffer.alloc(Math.max(0, length - octets.length)), octets]);
}

/** The data of a DNSKEY record (RFC 4034 §2.1). */
export function dnskeyData({
  flags,
  algorithm,
  publicKey,
}: Pick<KeyFile, 'flags' | 'algorithm' | 'publicKey'>): Uint8Array {
  return Buffer.concat([Buffer.from([flags >> 8, flags & 0xff, 3, algorithm]), publicKey]);
}

/** RFC 4034, appendix B. */
export function keyTag(dnskey: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < dnskey.length; i++) {
    sum += (i & 1) === 1 ? (dnskey[i] as number) : (dnskey[i] as number) << 8;
  }
  return (sum + (sum >>> 16)) & 0xffff;
}
