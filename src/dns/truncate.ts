/**
 * How a response is made to fit (RFC 2181 §9, RFC 1035 §4.1.1): by whole RRsets. Records of the additional section are
 * a courtesy and go first, silently; when the answer or the authority section does not fit, TC says so and nothing
 * comes after the cut. A section is cut at its end, since the order of an answer (CNAME before its target) has meaning.
 */
import { UDP_SIZE } from './edns.ts';
import type { Query, Response } from './message.ts';
import { foldLabel } from './name.ts';
import { writeRdata } from './rdata.ts';
import type { Rr } from './rr.ts';
import { MAX_MESSAGE_OCTETS, type Writer } from './writer.ts';

/** What a client without EDNS can receive over UDP (RFC 1035 §4.2.1), and the least that any size counts as. */
const MIN_UDP_SIZE = 512;

/** Octets that the reply to this query may have on this transport. */
export function replyLimit(query: Pick<Query, 'edns'>, transport: 'udp' | 'tcp'): number {
  if (transport === 'tcp') return MAX_MESSAGE_OCTETS;
  return Math.min(Math.max(query.edns?.udpSize ?? 0, MIN_UDP_SIZE), UDP_SIZE);
}

/** How many records of each section were written. */
export interface Fitted {
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
  readonly truncated: boolean;
}

/** Writes the three sections, as much of them as leaves `writer.at` at or below the limit. */
export function writeSections(writer: Writer, response: Response, limitOctets: number): Fitted {
  const { answer, authority, additional } = response;
  const answers = writeSection(writer, answer, limitOctets);
  if (answers < answer.length)
    return { answer: answers, authority: 0, additional: 0, truncated: true };
  const authorities = writeSection(writer, authority, limitOctets);
  if (authorities < authority.length)
    return { answer: answers, authority: authorities, additional: 0, truncated: true };
  const additionals = writeSection(writer, additional, limitOctets);
  return { answer: answers, authority: authorities, additional: additionals, truncated: false };
}

/** A record takes 11 octets at least. */
const startOf = new Uint16Array(Math.ceil(MAX_MESSAGE_OCTETS / 11));

function writeSection(writer: Writer, rrs: readonly Rr[], limitOctets: number): number {
  for (let i = 0; i < rrs.length; i++) {
    startOf[i] = writer.at;
    writeRr(writer, rrs[i] as Rr);
    if (writer.at > limitOctets) {
      const kept = wholeRrsets(rrs, i);
      writer.rollBack(startOf[kept] as number);
      return kept;
    }
  }
  return rrs.length;
}

function writeRr(writer: Writer, rr: Rr): void {
  writer.name(rr.owner);
  writer.u16(rr.type);
  writer.u16(rr.class);
  writer.u32(rr.ttlSeconds);
  writeRdata(writer, rr);
}

/** The largest number of records, up to `fitting`, that parts no RRset. */
function wholeRrsets(rrs: readonly Rr[], fitting: number): number {
  return wholeCounts(rrs).findLast((count) => count <= fitting) ?? 0;
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
  // A length before each label: a dot may stand inside one.
  const owner = rr.owner.map((label) => `${label.length}.${foldLabel(label)}`).join('');
  return `${rr.type}/${rr.class}/${owner}`;
}
