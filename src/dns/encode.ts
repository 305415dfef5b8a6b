/**
 * Responses and queries as octets. A response echoes parts of the query (id, RD, CD, DO, the question octet by octet),
 * and has an OPT record only if the query has one (RFC 6891 §7).
 */
import { encodedError, encodedOptOctets, type Opt, UDP_SIZE, writeOpt } from './edns.ts';
import type { Query, Question, Response } from './message.ts';
import { Rcode } from './rr.ts';
import { writeRr, writeSections } from './truncate.ts';
import { Flag, HEADER_OCTETS } from './wire.ts';
import { MessageWriter } from './writer.ts';

/** Encoding is synchronous, so all messages share one buffer; each is copied out when it is complete. */
const writer = new MessageWriter();

/**
 * The reply to a query, of at most `limitOctets` (see `replyLimit`), if the question leaves any room. `truncate.ts` says
 * what it leaves out, and what `rotation`, in [0, 1), does. Throws RangeError on a response that cannot be encoded.
 */
export function encodeResponse(
  query: Query,
  response: Response,
  limitOctets: number,
  rotation = 0,
): Uint8Array {
  const opt = query.edns && replyOpt(query.edns.dnssecOk, response);
  const hasQuestion = query.isQuestionless !== true;
  writer.restart(HEADER_OCTETS);
  if (hasQuestion) writeQuestion(query.question);
  const room = opt === undefined ? limitOctets : limitOctets - encodedOptOctets(opt);
  const fitted = writeSections(writer, response, room, rotation);
  if (opt !== undefined) writeOpt(writer, opt);
  if (response.tsig !== undefined) writeRr(writer, response.tsig);
  const flags =
    Flag.QR |
    (response.authoritative ? Flag.AA : 0) |
    (fitted.truncated ? Flag.TC : 0) |
    (query.recursionDesired ? Flag.RD : 0) |
    (response.recursionAvailable ? Flag.RA : 0) |
    (query.checkingDisabled ? Flag.CD : 0) |
    (headerRcode(response.rcode, opt) & 0xf);
  const { answer, authority } = fitted;
  const additional =
    fitted.additional + (opt === undefined ? 0 : 1) + (response.tsig === undefined ? 0 : 1);
  const counts = { question: hasQuestion ? 1 : 0, answer, authority, additional };
  writeHeader(writer, query.id, flags, counts);
  return writer.finish();
}

function replyOpt(dnssecOk: boolean, response: Response): Opt {
  const { rcode, compactOk, extendedError, options } = response;
  return {
    udpSize: UDP_SIZE,
    dnssecOk,
    compactOk,
    rcode,
    extendedError: extendedError && encodedError(extendedError),
    options,
  };
}

/** An rcode above 15 needs OPT for its upper bits; its lower bits alone mean another rcode. */
function headerRcode(rcode: number, opt: Opt | undefined): number {
  return rcode > 0xf && opt === undefined ? Rcode.SERVFAIL : rcode;
}

const HEADER_ONLY: SectionCounts = { question: 0, answer: 0, authority: 0, additional: 0 };

/** A reply of a header alone, to a packet whose question cannot be echoed; `queryFlags` is its second 16-bit field. */
export function encodeHeaderOnly(id: number, queryFlags: number, rcode: number): Uint8Array {
  const echoed = queryFlags & (OPCODE | Flag.RD | Flag.CD);
  writer.restart(HEADER_OCTETS);
  writeHeader(writer, id, Flag.QR | echoed | rcode, HEADER_ONLY);
  return writer.finish();
}

const OPCODE = 0x7800;

/** A query to another server. */
export interface OutgoingQuery {
  readonly id: number;
  readonly question: Question;
  readonly recursionDesired: boolean;
  readonly checkingDisabled: boolean;
  readonly edns?: Pick<Opt, 'udpSize' | 'dnssecOk' | 'options' | 'path'> | undefined;
}

/** Throws RangeError on an invalid name. */
export function encodeQuery(query: OutgoingQuery): Uint8Array {
  const { id, edns } = query;
  writer.restart(HEADER_OCTETS);
  writeQuestion(query.question);
  if (edns !== undefined) writeOpt(writer, { ...edns, rcode: 0 });
  const flags = (query.recursionDesired ? Flag.RD : 0) | (query.checkingDisabled ? Flag.CD : 0);
  const additional = edns === undefined ? 0 : 1;
  writeHeader(writer, id, flags, { question: 1, answer: 0, authority: 0, additional });
  return writer.finish();
}

function writeQuestion({ qname, qtype, qclass }: Question): void {
  writer.name(qname);
  writer.u16(qtype);
  writer.u16(qclass);
  writer.endQuestion();
}

interface SectionCounts {
  readonly question: number;
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
}

/** Writes the header at offset 0 after the rest of the message, since its counts and TC are known only then. */
function writeHeader(
  writer: MessageWriter,
  id: number,
  flags: number,
  counts: SectionCounts,
): void {
  writer.put16(0, id);
  writer.put16(2, flags);
  writer.put16(4, counts.question);
  writer.put16(6, counts.answer);
  writer.put16(8, counts.authority);
  writer.put16(10, counts.additional);
}
