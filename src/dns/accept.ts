/**
 * Header policy: whether a packet is dropped, rejected or a query to answer, before its name is looked up. All
 * transports use it, so they treat packets alike (RFC 8906 lists the treatments that break the DNS).
 *
 * The checks run from the outside in: whether the packet deserves a reply, the opcode, the counts, the question, OPT.
 * Wrong record counts and octets after the last RR lead to FORMERR, since no resolver sends them. RRs other than OPT
 * and TSIG in the additional section are skipped, and so are unknown EDNS options and flags, as RFC 6891 §6.1.2 and
 * §6.1.4 demand. A query with a TSIG is accepted, and its signature is not judged here.
 */
import { Cursor } from './cursor.ts';
import { readQuestion } from './decode.ts';
import { areWellFormedOptions, ednsOf, readOptions } from './edns.ts';
import { encodeHeaderOnly, encodeResponse } from './encode.ts';
import type { Edns, Query, QuerySignature, Question } from './message.ts';
import type { Name } from './name.ts';
import { Class, Rcode, type Rr, TsigError, Type } from './rr.ts';
import { replyLimit } from './truncate.ts';
import { Flag, HEADER_OCTETS, opcodeOf } from './wire.ts';

export type AcceptOutcome =
  /** No reply: it would reach no client (`source-port`), echo a guess (`short`), or start a loop (`response`). */
  | { readonly kind: 'drop'; readonly reason: 'source-port' | 'short' | 'response' }
  /** `reply` is a complete message; `reason` is for logs. */
  | {
      readonly kind: 'reject';
      readonly rcode: number;
      readonly reply: Uint8Array;
      readonly reason: string;
      /** A server with cookies answers this instead. */
      readonly cookieQuery?: Query;
    }
  | { readonly kind: 'query'; readonly query: Query };

type Rejection = Extract<AcceptOutcome, { kind: 'reject' }>;

const OPCODE_QUERY = 0;
/** OPT and a signature. */
const MAX_ADDITIONAL = 2;

/** Never throws. `sourcePort` is the client's. */
export function accept(packet: Uint8Array, sourcePort: number): AcceptOutcome {
  if (sourcePort === 0) return { kind: 'drop', reason: 'source-port' };
  if (packet.length < HEADER_OCTETS) return { kind: 'drop', reason: 'short' };
  const cursor = new Cursor(packet);
  const id = cursor.u16();
  const flags = cursor.u16();
  if ((flags & Flag.QR) !== 0) return { kind: 'drop', reason: 'response' };
  if (opcodeOf(flags) !== OPCODE_QUERY) return rejectHeader(id, flags, Rcode.NOTIMP, 'opcode');
  // RFC 9619: exactly one question, or none in a query for a cookie.
  const questions = cursor.u16();
  if (questions === 0) return rejectQuestionless(cursor, id, flags);
  if (questions !== 1) return rejectHeader(id, flags, Rcode.FORMERR, 'question count');
  return acceptQuery(cursor, id, flags);
}

/** A query without a question may be for a cookie (RFC 7873 §5.4). */
function rejectQuestionless(cursor: Cursor, id: number, flags: number): Rejection {
  const rejection = rejectHeader(id, flags, Rcode.FORMERR, 'question count');
  const unwanted = cursor.u16() | cursor.u16();
  if (unwanted !== 0 || cursor.u16() !== 1) return rejection;
  const { edns, hasValidOptions, fault } = readAdditional(cursor, 1);
  const isSound = fault === undefined && hasValidOptions && edns?.version === 0;
  if (!isSound || edns.cookie === undefined) return rejection;
  const query = queryOf(id, flags, NO_QUESTION, { edns });
  return { ...rejection, cookieQuery: { ...query, isQuestionless: true } };
}

const NO_QUESTION: Question = { qname: [], qtype: 0, qclass: Class.IN };

function acceptQuery(cursor: Cursor, id: number, flags: number): AcceptOutcome {
  const unwanted = cursor.u16() | cursor.u16();
  const additionalCount = cursor.u16();
  const question = readQuestion(cursor);
  if (cursor.failed) return rejectHeader(id, flags, Rcode.FORMERR, 'malformed question');
  const hasFittingCounts = unwanted === 0 && additionalCount <= MAX_ADDITIONAL;
  const additional = hasFittingCounts ? readAdditional(cursor, additionalCount) : WRONG_COUNTS;
  const query = queryOf(id, flags, question, additional);
  if (additional.fault !== undefined) return reject(query, Rcode.FORMERR, additional.fault);
  if (additional.edns !== undefined && additional.edns.version > 0)
    return reject(query, Rcode.BADVERS, 'EDNS version');
  if (!additional.hasValidOptions) return reject(query, Rcode.FORMERR, 'malformed options');
  if (question.qtype === Type.OPT) return reject(query, Rcode.FORMERR, 'qtype');
  return { kind: 'query', query };
}

function queryOf(
  id: number,
  flags: number,
  question: Question,
  { edns, tsig }: Pick<Additional, 'edns' | 'tsig'>,
): Query {
  const query = {
    id,
    recursionDesired: (flags & Flag.RD) !== 0,
    checkingDisabled: (flags & Flag.CD) !== 0,
    question,
    edns,
  };
  return tsig === undefined ? query : { ...query, tsig };
}

/** The content of the additional section. After a fault `edns` is still set if the reply may carry OPT. */
interface Additional {
  readonly edns: Edns | undefined;
  readonly hasValidOptions: boolean;
  readonly tsig?: QuerySignature;
  readonly fault?: string;
}

const WRONG_COUNTS: Additional = { edns: undefined, hasValidOptions: true, fault: 'record counts' };
const NOTHING: Additional = { edns: undefined, hasValidOptions: true };

function readAdditional(cursor: Cursor, count: number): Additional {
  let found = NOTHING;
  for (let i = 0; i < count; i++) {
    const recordAt = cursor.at;
    const owner = cursor.name();
    const type = cursor.u16();
    const [classField, ttlField] = [cursor.u16(), cursor.u32()];
    const start = cursor.at + 2;
    cursor.skip(cursor.u16());
    if (cursor.failed) return { ...found, fault: 'malformed record' };
    if (type === Type.TSIG) {
      // RFC 8945 §5.1: TSIG is the last record, so there is at most one.
      const denial = i === count - 1 ? badKey(owner, cursor.octets, start, cursor.at) : undefined;
      if (denial === undefined) return { ...found, fault: 'malformed TSIG' };
      found = { ...found, tsig: { at: recordAt, badKey: denial } };
    }
    if (type !== Type.OPT) continue;
    // RFC 6891 §6.1.1 and §6.1.2
    if (found.edns !== undefined) return { ...NOTHING, fault: 'two OPT records' };
    if (owner.length > 0) return { ...NOTHING, fault: 'OPT not at the root' };
    const hasValidOptions = areWellFormedOptions(cursor.octets, start, cursor.at);
    const options = readOptions(cursor.octets, start, cursor.at);
    found = { ...found, edns: { ...ednsOf(classField, ttlField), ...options }, hasValidOptions };
  }
  return cursor.at === cursor.end ? found : { ...found, fault: 'trailing octets' };
}

function rejectHeader(id: number, flags: number, rcode: number, reason: string): Rejection {
  return { kind: 'reject', rcode, reply: encodeHeaderOnly(id, flags, rcode), reason };
}

function reject(query: Query, rcode: number, reason: string): AcceptOutcome {
  const response = {
    rcode,
    authoritative: false,
    recursionAvailable: false,
    answer: [],
    authority: [],
    additional: [],
  };
  const reply = encodeResponse(query, response, replyLimit(query, { transport: 'udp' }));
  return { kind: 'reject', rcode, reply, reason };
}

/** Time signed and fudge. */
const TIME_OCTETS = 8;

/** See `QuerySignature.badKey`. `start` to `end` is the rdata in the query; `undefined` if it is malformed. */
function badKey(owner: Name, packet: Uint8Array, start: number, end: number): Rr | undefined {
  const cursor = new Cursor(packet, start);
  cursor.end = end;
  const algorithm = cursor.uncompressedName();
  const time = cursor.copy(TIME_OCTETS);
  cursor.skip(cursor.u16());
  const originalId = cursor.copy(2);
  cursor.skip(2);
  cursor.skip(cursor.u16());
  if (cursor.failed || cursor.at !== end) return undefined;
  const octets = Buffer.concat([
    Buffer.from(algorithm, 'latin1'),
    time,
    Buffer.from([0, 0]),
    originalId,
    Buffer.from([0, TsigError.BADKEY, 0, 0]),
  ]);
  return {
    owner,
    type: Type.TSIG,
    class: Class.ANY,
    ttlSeconds: 0,
    rdata: { kind: 'unknown', octets },
  };
}
