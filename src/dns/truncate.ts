/**
 * How a response is made to fit (RFC 2181 §9). Records of the additional section are a courtesy and go first, silently
 * and by whole RRsets. When the answer or the authority section does not fit, TC says so and nothing comes after the cut.
 *
 * Of the RRset that is cut the reply keeps the records that fit: clients that cannot ask over TCP (musl before 1.2.4,
 * HAProxy) use what they get. Where it begins changes from reply to reply, so that all records come to be used.
 */
import { UDP_SIZE } from './edns.ts';
import type { Query, Response } from './message.ts';
import { nameKey } from './name.ts';
import { writeRdata } from './rdata.ts';
import type { Rr } from './rr.ts';
import { MAX_MESSAGE_OCTETS, MIN_RR_OCTETS } from './wire.ts';
import type { MessageWriter } from './writer.ts';

/** What a client without EDNS can receive over UDP (RFC 1035 §4.2.1), and the least that any size counts as. */
const MIN_UDP_SIZE = 512;

/** Octets that the reply to this query may have on this transport, and over UDP at most `maxUdpOctets`. */
export function replyLimit(
  query: Pick<Query, 'edns'>,
  transport: 'udp' | 'tcp',
  maxUdpOctets: number = UDP_SIZE,
): number {
  if (transport === 'tcp') return MAX_MESSAGE_OCTETS;
  return Math.min(Math.max(query.edns?.udpSize ?? 0, MIN_UDP_SIZE), maxUdpOctets);
}

/** How many records of each section were written. */
export interface WrittenCounts {
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
  readonly truncated: boolean;
}

/**
 * Writes the three sections, as much of them as leaves `writer.at` at or below the limit. `turn`, in [0, 1), chooses the
 * record that comes first of an RRset that is cut.
 */
export function writeSections(
  writer: MessageWriter,
  response: Response,
  limitOctets: number,
  turn: number,
): WrittenCounts {
  const { answer, authority, additional } = response;
  const answers = writeFitting(writer, answer, limitOctets);
  if (answers < answer.length) {
    const kept = writeCut(writer, answer, answers, limitOctets, turn);
    return { answer: kept, authority: 0, additional: 0, truncated: true };
  }
  const authorities = writeWhole(writer, authority, limitOctets);
  if (authorities < authority.length)
    return { answer: answers, authority: authorities, additional: 0, truncated: true };
  const additionals = writeWhole(writer, additional, limitOctets);
  const truncated = response.truncated === true;
  return { answer: answers, authority: authorities, additional: additionals, truncated };
}

const startOf = new Uint16Array(Math.ceil(MAX_MESSAGE_OCTETS / MIN_RR_OCTETS));

/** Writes records until one does not fit; gives how many did. `startOf` then says where each of them begins. */
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

/** The same, but parts no RRset. */
function writeWhole(writer: MessageWriter, rrs: readonly Rr[], limitOctets: number): number {
  const fitting = writeFitting(writer, rrs, limitOctets);
  if (fitting === rrs.length) return fitting;
  const kept = wholeCounts(rrs).findLast((count) => count <= fitting) ?? 0;
  writer.rollBack(startOf[kept] as number);
  return kept;
}

/** Records that may be too long for the message before the rest of the RRset is not tried any more. */
const MAX_MISFITS = 16;

/**
 * Writes the RRset in which record `first` did not fit anew, from another of its records on, until one does not fit;
 * those that are too long before any did are passed over. Gives how many records the section then has.
 */
function writeCut(
  writer: MessageWriter,
  rrs: readonly Rr[],
  first: number,
  limitOctets: number,
  turn: number,
): number {
  const [start, end] = rrsetAround(rrs, first);
  const length = end - start;
  writer.rollBack(startOf[start] as number);
  const offset = Math.floor(turn * length);
  let kept = start;
  let misfits = 0;
  for (let i = 0; i < length && misfits < MAX_MISFITS; i++) {
    const before = writer.at;
    writeRr(writer, rrs[start + ((offset + i) % length)] as Rr);
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

/** Where the row of records of one RRset that record `at` is part of begins and ends. */
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

/** How many of the records may be kept, from none to all: no RRset is parted from its other records, wherever they stand. */
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

/** One string for each record, equal for those of one RRset (RFC 2181 §5: same owner, class and type). */
function rrsetKeys(rrs: readonly Rr[]): string[] {
  let key = '';
  let previous: Rr | undefined;
  return rrs.map((rr) => {
    if (previous === undefined || !isLike(rr, previous)) key = rrsetKey(rr);
    previous = rr;
    return key;
  });
}

/** Whether both are plainly of one RRset; records made together share their owner. */
function isLike(a: Rr, b: Rr): boolean {
  return a.owner === b.owner && a.type === b.type && a.class === b.class;
}

function rrsetKey(rr: Rr): string {
  return `${rr.type}/${rr.class}/${nameKey(rr.owner)}`;
}
