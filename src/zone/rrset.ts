/** RRsets from parts: one TTL for the whole set (RFC 2181 §5.2), no record twice (§5), in the order of the parts. */
import { type Name, nameKey } from '../dns/name.ts';
import type { Rdata, Rr } from '../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../dns/wire.ts';
import { type Ttl, timedRr } from './ttl.ts';

/** Rdata with the TTL of its service. */
export interface TimedRdata {
  readonly rdata: Rdata;
  readonly ttl: Ttl;
}

/** One RRset; equal rdata appears once. */
export function rrset(owner: Name, type: number, members: readonly TimedRdata[]): Rr[] {
  let ttlSeconds = Number.POSITIVE_INFINITY;
  let leaseLeftSeconds = Number.POSITIVE_INFINITY;
  for (const { ttl } of members) {
    ttlSeconds = Math.min(ttlSeconds, ttl.ttlSeconds);
    leaseLeftSeconds = Math.min(leaseLeftSeconds, ttl.leaseLeftSeconds);
  }
  const ttl = { ttlSeconds, leaseLeftSeconds };
  const seen = new Set<string>();
  const records: Rr[] = [];
  for (const { rdata } of members) {
    if (members.length > 1) {
      const identity = rdataIdentity(rdata);
      if (seen.has(identity)) continue;
      seen.add(identity);
    }
    records.push(timedRr(owner, type, rdata, ttl));
  }
  return records;
}

/** Room for one RRset in 64 KB, beside header, question, SOA and OPT. */
const MAX_RRSET_OCTETS = 60_000;

/**
 * As many items as a message over TCP can carry, since no transport can carry a larger RRset. Each start, a fraction in
 * [0, 1), gives another part of a larger set.
 */
export function fitting<T>(
  items: readonly T[],
  octetsOf: (item: T) => number,
  start: number,
): readonly T[] {
  let octets = 0;
  for (const item of items) octets += octetsOf(item);
  if (octets <= MAX_RRSET_OCTETS) return items;
  const first = Math.floor(start * items.length);
  const kept: T[] = [];
  octets = 0;
  for (let i = 0; i < items.length; i++) {
    const item = items[(first + i) % items.length] as T;
    octets += octetsOf(item);
    if (octets > MAX_RRSET_OCTETS) break;
    kept.push(item);
  }
  return kept;
}

/** `fitting` for texts, whose rdata is their octets and a length for each string. */
export function fittingTexts(members: readonly TimedRdata[], start: number): readonly TimedRdata[] {
  return fitting(members, ({ rdata }) => COMPRESSED_RR_OCTETS + textOctets(rdata), start);
}

function textOctets(rdata: Rdata): number {
  if (rdata.kind !== 'txt') return 0;
  let octets = 0;
  for (const string of rdata.strings) octets += 1 + string.length;
  return octets;
}

/** Appends the records that the section lacks; `seen` holds the identities of the section's records. */
export function appendNew(section: Rr[], seen: Set<string>, records: readonly Rr[]): void {
  for (const rr of records) {
    const identity = `${nameKey(rr.owner)} ${rr.type} ${rdataIdentity(rr.rdata)}`;
    if (seen.has(identity)) continue;
    seen.add(identity);
    section.push(rr);
  }
}

function rdataIdentity(rdata: Rdata): string {
  switch (rdata.kind) {
    case 'address':
      return rdata.address;
    case 'name':
      return nameKey(rdata.target);
    case 'srv':
      return `${rdata.priority} ${rdata.weight} ${rdata.port} ${nameKey(rdata.target)}`;
    case 'mx':
      return `${rdata.preference} ${nameKey(rdata.exchange)}`;
    default:
      return JSON.stringify(rdata);
  }
}
