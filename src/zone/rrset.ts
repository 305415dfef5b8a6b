/** RRsets from parts: one TTL for the whole set (RFC 2181 §5.2), no record twice (§5), order by round robin or none. */
import { foldName, type Name, printName } from '../dns/name.ts';
import { Class, type Rdata, type Rr } from '../dns/rr.ts';

/** Rdata with the TTL of the service that it comes from. */
export interface TimedRdata {
  readonly rdata: Rdata;
  readonly ttlSeconds: number;
}

/** One RRset; equal rdata counts once. */
export function rrset(owner: Name, type: number, members: readonly TimedRdata[]): Rr[] {
  let ttlSeconds = Number.POSITIVE_INFINITY;
  for (const member of members) ttlSeconds = Math.min(ttlSeconds, member.ttlSeconds);
  const seen = new Set<string>();
  const records: Rr[] = [];
  for (const { rdata } of members) {
    if (members.length > 1) {
      const identity = rdataIdentity(rdata);
      if (seen.has(identity)) continue;
      seen.add(identity);
    }
    records.push({ owner, type, class: Class.IN, ttlSeconds, rdata });
  }
  return records;
}

/** Fisher–Yates, in place. */
export function shuffle<T>(items: T[], random: () => number): T[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const item = items[i] as T;
    items[i] = items[j] as T;
    items[j] = item;
  }
  return items;
}

/** Appends the records that are not in the section yet; `seen` is the section's memory. */
export function appendNew(section: Rr[], seen: Set<string>, records: readonly Rr[]): void {
  for (const rr of records) {
    const identity = `${printName(foldName(rr.owner))} ${rr.type} ${rdataIdentity(rr.rdata)}`;
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
      return printName(foldName(rdata.target));
    case 'srv':
      return `${rdata.priority} ${rdata.weight} ${rdata.port} ${printName(foldName(rdata.target))}`;
    case 'mx':
      return `${rdata.preference} ${printName(foldName(rdata.exchange))}`;
    default:
      return JSON.stringify(rdata);
  }
}
