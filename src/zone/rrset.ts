/**
 * RRsets from parts: one TTL for the whole set (RFC 2181 §5.2), no record twice (§5), in the order of the parts.
 *
 * `answer` returns records in this canonical order. Under round robin every reply gets an order of its own: the slow
 * path shuffles, and the answer table holds rotations. In the table the additional section has one order.
 */
import type { Question, Response } from '../dns/message.ts';
import { type Name, nameKey } from '../dns/name.ts';
import { type Rdata, type Rr, Type } from '../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../dns/wire.ts';
import { leaseLeftOf, type Ttl, timedRr } from './tree/ttl.ts';
import type { ZoneSettings } from './tree/view.ts';

/** Rdata with the TTL of its service. */
export interface TimedRdata {
  readonly rdata: Rdata;
  readonly ttl: Ttl;
}

export function timedRdata(rr: Rr): TimedRdata {
  const { rdata, ttlSeconds } = rr;
  return { rdata, ttl: { ttlSeconds, leaseLeftSeconds: leaseLeftOf(rr) } };
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
    case 'unknown':
      return Buffer.from(rdata.octets).toString('latin1');
    default:
      return JSON.stringify(rdata);
  }
}

const ROUND_ROBIN_TYPES: readonly number[] = [Type.A, Type.AAAA, Type.SRV, Type.MX];

export function isRoundRobinType(qtype: number): boolean {
  return ROUND_ROBIN_TYPES.includes(qtype);
}

/**
 * The index in the answer section where the RRset of the qtype begins, after the CNAMEs that lead to it. `undefined` if
 * the RRset has fewer than two RRs, or if RRs of another type follow it.
 */
export function startOfRrset({ qtype }: Question, { answer }: Response): number | undefined {
  const start = answer.findIndex(({ type }) => type === qtype);
  if (start < 0 || answer.length - start < 2) return undefined;
  for (let i = start; i < answer.length; i++) if (answer[i]?.type !== qtype) return undefined;
  return start;
}

/** The response with the RRset of the qtype, and each set of addresses that goes with it, in random order. */
export function inRandomOrder(
  question: Question,
  response: Response,
  { roundRobin }: ZoneSettings,
  random: () => number,
): Response {
  if (!roundRobin) return response;
  const start = isRoundRobinType(question.qtype) ? startOfRrset(question, response) : undefined;
  if (start === undefined && response.additional.length < 2) return response;
  const answer = [...response.answer];
  if (start !== undefined) shuffle(answer, random, start);
  const additional = setsOf(response.additional).flatMap((set) => shuffle(set, random));
  return { ...response, answer, additional };
}

/** Consecutive RRs of one owner name and type. */
function setsOf(rrs: readonly Rr[]): Rr[][] {
  const sets: Rr[][] = [];
  let last = '';
  for (const rr of rrs) {
    const key = `${rr.type} ${nameKey(rr.owner)}`;
    if (key === last) sets.at(-1)?.push(rr);
    else sets.push([rr]);
    last = key;
  }
  return sets;
}

/** Fisher–Yates, in place, of the items from `start` on. */
export function shuffle<T>(items: T[], random: () => number, start = 0): T[] {
  for (let i = items.length - 1; i > start; i--) {
    const j = start + Math.floor(random() * (i - start + 1));
    const item = items[i] as T;
    items[i] = items[j] as T;
    items[j] = item;
  }
  return items;
}
