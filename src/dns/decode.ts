/**
 * Replies of other servers as values, for the forwarder and the commands. (`accept` reads queries.)
 *
 * Never throws. A packet that breaks a rule is `undefined` as a whole, so no caller acts on half a message. Two
 * exceptions for real servers: octets after the last counted RR are ignored, and a message with TC set may end in the
 * middle of an RR, since some servers cut at the limit. Such a message only means "use TCP".
 */
import { Cursor } from './cursor.ts';
import { areWellFormedOptions, ednsOf, extendedRcodeBits } from './edns.ts';
import type { Message, Question } from './message.ts';
import { readRdata } from './rdata.ts';
import { type Rr, Type } from './rr.ts';
import { Flag, opcodeOf } from './wire.ts';

/** The message in the packet, or `undefined` if it is malformed. */
export function decodeMessage(packet: Uint8Array): Message | undefined {
  const cursor = new Cursor(packet);
  const id = cursor.u16();
  const flags = cursor.u16();
  const [questionCount, answerCount] = [cursor.u16(), cursor.u16()];
  const [authorityCount, additionalCount] = [cursor.u16(), cursor.u16()];
  const questions = readUpTo(questionCount, cursor, readQuestion);
  if (cursor.failed) return undefined;
  const answer = readUpTo(answerCount, cursor, readRr);
  const authority = readUpTo(authorityCount, cursor, readRr);
  const additional = readUpTo(additionalCount, cursor, readRr);
  if (cursor.failed && (flags & Flag.TC) === 0) return undefined;
  if (answer.some(isOpt) || authority.some(isOpt)) return undefined;
  const opts = additional.filter(isOpt);
  const opt = opts[0];
  if (opts.length > 1 || (opt !== undefined && !isWellFormedOpt(opt))) return undefined;
  // Field by field: spreading an object costs as much as reading a record.
  return {
    id,
    isResponse: (flags & Flag.QR) !== 0,
    opcode: opcodeOf(flags),
    authoritative: (flags & Flag.AA) !== 0,
    truncated: (flags & Flag.TC) !== 0,
    recursionDesired: (flags & Flag.RD) !== 0,
    recursionAvailable: (flags & Flag.RA) !== 0,
    authenticData: (flags & Flag.AD) !== 0,
    checkingDisabled: (flags & Flag.CD) !== 0,
    rcode: (flags & 0xf) | (opt === undefined ? 0 : extendedRcodeBits(opt.ttlSeconds)),
    questions,
    answer,
    authority,
    additional: opt === undefined ? additional : additional.filter((rr) => !isOpt(rr)),
    edns: opt && ednsOf(opt.class, opt.ttlSeconds),
  };
}

/** Reads `count` items, or as many as the packet has: its octets bound the cost of a false count. */
function readUpTo<T>(count: number, cursor: Cursor, readOne: (cursor: Cursor) => T): T[] {
  const read: T[] = [];
  for (let i = 0; i < count; i++) {
    const item = readOne(cursor);
    if (cursor.failed) break;
    read.push(item);
  }
  return read;
}

/** An entry of the question section (RFC 1035 §4.1.2). */
export function readQuestion(cursor: Cursor): Question {
  return { qname: cursor.name(), qtype: cursor.u16(), qclass: cursor.u16() };
}

function readRr(cursor: Cursor): Rr {
  const owner = cursor.name();
  const type = cursor.u16();
  const rrClass = cursor.u16();
  const ttl = cursor.u32();
  const rdata = readRdata(cursor, type, rrClass);
  // RFC 2181 §8: a TTL with its highest bit set is taken as zero. In OPT the field is not a TTL.
  const ttlSeconds = ttl > 0x7fffffff && type !== Type.OPT ? 0 : ttl;
  return { owner, type, class: rrClass, ttlSeconds, rdata };
}

function isOpt(rr: Rr): boolean {
  return rr.type === Type.OPT;
}

function isWellFormedOpt({ owner, rdata }: Rr): boolean {
  const isAtRoot = owner.length === 0;
  return (
    isAtRoot &&
    rdata.kind === 'unknown' &&
    areWellFormedOptions(rdata.octets, 0, rdata.octets.length)
  );
}
