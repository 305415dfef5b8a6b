/**
 * RRsets from parts: one TTL for the whole set (RFC 2181 §5.2), no record twice (§5), in the order of the parts.
 *
 * `answer` returns records in this canonical order. Under round robin every reply gets an order of its own: the slow
 * path shuffles, and the answer table holds rotations. In the table the additional section has one order.
 */
import type { Question, Response } from '../dns/message.ts';
import { type Name, nameKey } from '../dns/name.ts';
import { type Rdata, type Rr, rankGroups, rrsetKey, Type } from '../dns/rr.ts';
import { COMPRESSED_RR_OCTETS } from '../dns/wire.ts';
import { leaseLeftOf, type Ttl, timedRr } from './tree/ttl.ts';
import type { ZoneSettings } from './tree/view.ts';

/** A part of a set. Those of a lower rank come first in every order; parts without a rank come last. */
export interface Ranked {
  readonly rank?: number | undefined;
}

/** The parts in the order of their ranks, those of one rank in their own order. */
export function inRanks<T extends Ranked>(parts: readonly T[]): readonly T[] {
  if (parts.every(({ rank }) => rank === undefined)) return parts;
  const last = Number.POSITIVE_INFINITY;
  return [...parts].sort((a, b) => (a.rank ?? last) - (b.rank ?? last) || 0);
}

/** Rdata with the TTL of its service. */
export interface TimedRdata extends Ranked {
  readonly rdata: Rdata;
  readonly ttl: Ttl;
}

export function timedRdata(rr: Rr): TimedRdata {
  const { rdata, ttlSeconds } = rr;
  return { rdata, ttl: { ttlSeconds, leaseLeftSeconds: leaseLeftOf(rr) }, rank: rr.rank };
}

/** One RRset, in the order of the ranks; equal rdata appears once. */
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
  for (const { rdata, rank } of inRanks(members)) {
    if (members.length > 1) {
      const identity = rdataIdentity(rdata);
      if (seen.has(identity)) continue;
      seen.add(identity);
    }
    records.push(timedRr(owner, type, rdata, ttl, rank));
  }
  return records;
}

/** Room for one RRset in 64 KB, beside header, question, SOA and OPT. */
const MAX_RRSET_OCTETS = 60_000;

/**
 * As many items as a message over TCP can carry, since no transport can carry a larger RRset. Each start, a fraction in
 * [0, 1), gives another part of a larger set. Items of a lower rank come first.
 */
export function fitting<T extends Ranked>(
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
  for (const item of inRanks([...items.slice(first), ...items.slice(0, first)])) {
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
    const identity = `${rrsetKey(rr)} ${rdataIdentity(rr.rdata)}`;
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
  const answer =
    start === undefined
      ? response.answer
      : [...response.answer.slice(0, start), ...shuffled(response.answer.slice(start), random)];
  const additional = setsOf(response.additional).flatMap((set) => shuffled(set, random));
  return { ...response, answer, additional };
}

/** A set in random order, in which the ranks stay in order. */
function shuffled(set: Rr[], random: () => number): readonly Rr[] {
  return rankGroups(set).flatMap((group) => shuffle([...group], random));
}

/** Consecutive RRs of one owner name and type. */
function setsOf(rrs: readonly Rr[]): Rr[][] {
  const sets: Rr[][] = [];
  let last = '';
  for (const rr of rrs) {
    const key = rrsetKey(rr);
    if (key === last) sets.at(-1)?.push(rr);
    else sets.push([rr]);
    last = key;
  }
  return sets;
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
