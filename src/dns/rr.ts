/** Resource records (RFC 1035 §3.2) as values: owner name, type, class, TTL and rdata. */
import { type Name, nameKey } from './name.ts';

/**
 * The TYPE and QTYPE numbers that have a meaning in this program; RRs of any other are carried unchanged (RFC 3597).
 */
export const Type = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  PTR: 12,
  HINFO: 13,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  SRV: 33,
  DNAME: 39,
  OPT: 41,
  DS: 43,
  RRSIG: 46,
  NSEC: 47,
  DNSKEY: 48,
  NSEC3: 50,
  CDS: 59,
  CDNSKEY: 60,
  /** Only in type bitmaps: the name does not exist (RFC 9824 §3.1). */
  NXNAME: 128,
  TSIG: 250,
  IXFR: 251,
  AXFR: 252,
  ANY: 255,
} as const;

/** The greatest TTL. Receivers treat one with the top bit set as 0 (RFC 2181 §8). */
export const MAX_TTL_SECONDS: number = 2 ** 31 - 1;

export const Class = { IN: 1, CH: 3, HS: 4, ANY: 255 } as const;

/** RCODE (RFC 1035 §4.1.1, RFC 6895); 16 and above need an OPT record for their upper bits. */
export const Rcode = {
  NOERROR: 0,
  FORMERR: 1,
  SERVFAIL: 2,
  NXDOMAIN: 3,
  NOTIMP: 4,
  REFUSED: 5,
  NOTAUTH: 9,
  BADVERS: 16,
  BADCOOKIE: 23,
} as const;

/** The errors of a TSIG record (RFC 8945 §3); in a reply with one the rcode is NOTAUTH. */
export const TsigError = { NONE: 0, BADSIG: 16, BADKEY: 17, BADTIME: 18, BADTRUNC: 22 } as const;

export type Rdata =
  /** A: dotted quad. AAAA: any RFC 4291 text form. */
  | { readonly kind: 'address'; readonly address: string }
  /** NS, CNAME, PTR, DNAME. */
  | { readonly kind: 'name'; readonly target: Name }
  | {
      readonly kind: 'srv';
      readonly priority: number;
      readonly weight: number;
      readonly port: number;
      readonly target: Name;
    }
  | { readonly kind: 'mx'; readonly preference: number; readonly exchange: Name }
  /** Octet strings (one char per octet), each of at most 255. */
  | { readonly kind: 'txt'; readonly strings: readonly string[] }
  | {
      readonly kind: 'soa';
      readonly mname: Name;
      readonly rname: Name;
      readonly serial: number;
      readonly refreshSeconds: number;
      readonly retrySeconds: number;
      readonly expireSeconds: number;
      readonly minimumSeconds: number;
    }
  | { readonly kind: 'hinfo'; readonly cpu: string; readonly os: string }
  /** Any other type (RFC 3597). Names in the rdata are decompressed. */
  | { readonly kind: 'unknown'; readonly octets: Uint8Array };

export interface Rr {
  readonly owner: Name;
  readonly type: number;
  readonly class: number;
  readonly ttlSeconds: number;
  readonly rdata: Rdata;
  /** RRs of a lower rank come first in every order of their RRset. No message carries it. */
  readonly rank?: number;
}

/** The runs of RRs of one rank, of an RRset that is in the order of the ranks. */
export function rankGroups(rrset: readonly Rr[]): readonly (readonly Rr[])[] {
  const groups: Rr[][] = [];
  let last: Rr | undefined;
  for (const rr of rrset) {
    const group = groups.at(-1);
    if (group === undefined || rr.rank !== last?.rank) groups.push([rr]);
    else group.push(rr);
    last = rr;
  }
  return groups;
}

/** One text for the records of an RRset, and another one for those of any other (RFC 2181 §5). */
export function rrsetKey({ owner, type }: Pick<Rr, 'owner' | 'type'>): string {
  return `${type} ${nameKey(owner)}`;
}
