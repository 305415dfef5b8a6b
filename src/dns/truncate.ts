/**
 * Makes a response fit its limit (RFC 2181 §9). RRs of the additional section are optional: they are left out first,
 * silently and by whole RRsets, unless the response needs them. When the answer or the authority section does not fit,
 * TC is set and nothing follows the cut.
 *
 * The RRset that is cut keeps the RRs that fit, since clients without TCP (musl before 1.2.4, HAProxy) use what they
 * get. Its first RR changes from reply to reply, so that clients use all RRs over time.
 */
import { UDP_SIZE } from './edns.ts';
import type { DnsClient, Query, Response } from './message.ts';
import { writeRdata } from './rdata.ts';
import { type Rr, rankGroups, rrsetKey } from './rr.ts';
import { MAX_MESSAGE_OCTETS, MIN_RR_OCTETS } from './wire.ts';
import type { MessageWriter } from './writer.ts';

/** What a client without EDNS can receive over UDP (RFC 1035 §4.2.1). A smaller size in OPT counts as this. */
const MIN_UDP_SIZE = 512;

/**
 * The most octets of a reply to this query on this transport; over UDP never more than `maxUdpOctets`. `addedOctets`: see
 * `DnsClient`.
 */
export function replyLimit(
  query: Pick<Query, 'edns'>,
  { transport, addedOctets = 0 }: Pick<DnsClient, 'transport' | 'addedOctets'>,
  maxUdpOctets: number = UDP_SIZE,
): number {
  if (transport !== 'udp') return MAX_MESSAGE_OCTETS - addedOctets;
  const most = Math.min(Math.max(query.edns?.udpSize ?? 0, MIN_UDP_SIZE), maxUdpOctets);
  return most - addedOctets;
}

/** How many RRs of each section were written. */
export interface WrittenCounts {
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
  readonly truncated: boolean;
}

/**
 * Writes as much of the three sections as leaves `writer.at` at or below the limit. `rotation`, in [0, 1), chooses the
 * first RR of an RRset that is cut.
 */
export function writeSections(
  writer: MessageWriter,
  response: Response,
  limitOctets: number,
  rotation: number,
): WrittenCounts {
  const { answer, authority, additional } = response;
  const answers = writeFitting(writer, answer, limitOctets);
  if (answers < answer.length) {
    const kept = writeCut(writer, answer, answers, limitOctets, rotation);
    return { answer: kept, authority: 0, additional: 0, truncated: true };
  }
  const authorities = writeWhole(writer, authority, limitOctets);
  if (authorities < authority.length)
    return { answer: answers, authority: authorities, additional: 0, truncated: true };
  const additionals = writeWhole(writer, additional, limitOctets);
  const isMissed = response.needsAdditional === true && additionals < additional.length;
  const truncated = response.truncated === true || isMissed;
  return { answer: answers, authority: authorities, additional: additionals, truncated };
}

/** Where each RR of the section being written begins. */
const startOf = new Uint16Array(Math.ceil(MAX_MESSAGE_OCTETS / MIN_RR_OCTETS));

/** Writes RRs until one does not fit, and fills `startOf`; returns how many fitted. */
function writeFitting(writer: MessageWriter, rrs: readonly Rr[], limitOctets: number): number {
  for (let i = 0; i < rrs.length; i++) {
    startOf[i] = writer.at;
    writeRr(writer, rrs[i] as Rr);
    if (writer.at > limitOctets) {
      writer.rollBack(startOf[i] as number);
      return i;
    }
  }
  return rrs.length;
}

/** Like `writeFitting`, but splits no RRset. */
function writeWhole(writer: MessageWriter, rrs: readonly Rr[], limitOctets: number): number {
  const fitting = writeFitting(writer, rrs, limitOctets);
  if (fitting === rrs.length) return fitting;
  const kept = wholeCounts(rrs).findLast((count) => count <= fitting) ?? 0;
  writer.rollBack(startOf[kept] as number);
  return kept;
}

/** After this many RRs that are too long for the message, the rest of the RRset is left out. */
const MAX_MISFITS = 16;

/**
 * Writes the RRset of RR `first`, which did not fit, again: it begins at the RR of the first rank that `rotation`
 * chooses, skips RRs that are too long until one fits, and ends at the next one that does not. Returns how many RRs the
 * section then has.
 */
function writeCut(
  writer: MessageWriter,
  rrs: readonly Rr[],
  first: number,
  limitOctets: number,
  rotation: number,
): number {
  const [start, end] = rrsetAround(rrs, first);
  writer.rollBack(startOf[start] as number);
  const set = rankGroups(rrs.slice(start, end)).flatMap((group) => {
    const offset = Math.floor(rotation * group.length);
    return [...group.slice(offset), ...group.slice(0, offset)];
  });
  let kept = start;
  let misfits = 0;
  for (const rr of set) {
    if (misfits === MAX_MISFITS) break;
    const before = writer.at;
    writeRr(writer, rr);
    if (writer.at <= limitOctets) {
      kept++;
      continue;
    }
    writer.rollBack(before);
    if (kept > start) break;
    misfits++;
  }
  return kept;
}

/** The bounds of the consecutive RRs around RR `at` that belong to its RRset. */
export function rrsetAround(rrs: readonly Rr[], at: number): readonly [start: number, end: number] {
  const keys = rrsetKeys(rrs);
  let start = at;
  while (start > 0 && keys[start - 1] === keys[at]) start--;
  let end = at + 1;
  while (end < rrs.length && keys[end] === keys[at]) end++;
  return [start, end];
}

export function writeRr(writer: MessageWriter, rr: Rr): void {
  writer.name(rr.owner);
  writer.u16(rr.type);
  writer.u16(rr.class);
  writer.u32(rr.ttlSeconds);
  writeRdata(writer, rr);
}

/**
 * The counts of leading RRs, from 0 to all, that can be kept without splitting an RRset, even one whose RRs are
 * scattered.
 */
export function wholeCounts(rrs: readonly Rr[]): number[] {
  const keys = rrsetKeys(rrs);
  const lastOf = new Map<string, number>();
  keys.forEach((key, i) => {
    lastOf.set(key, i);
  });
  const counts = [0];
  let reach = 0;
  keys.forEach((key, i) => {
    reach = Math.max(reach, lastOf.get(key) as number);
    if (reach === i) counts.push(i + 1);
  });
  return counts;
}

/** The `rrsetKey` of each RR. */
function rrsetKeys(rrs: readonly Rr[]): string[] {
  let key = '';
  let previous: Rr | undefined;
  return rrs.map((rr) => {
    if (previous === undefined || !isPlainlySameRrset(rr, previous)) key = rrsetKey(rr);
    previous = rr;
    return key;
  });
}

/**
 * A quick test for two RRs of one RRset: true is certain, false is not. RRs that were made together share the owner
 * object.
 */
function isPlainlySameRrset(a: Rr, b: Rr): boolean {
  return a.owner === b.owner && a.type === b.type;
}
