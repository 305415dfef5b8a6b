/**
 * From a response to the words that the answer table holds of it: its octets behind the question for each order that its
 * records may come in, and for each the lengths that a smaller message may cut them to. All octets and cuts are the one
 * encoder's, so that a reply out of the table is what the slow path would have sent.
 */
import { UDP_SIZE } from '../../dns/edns.ts';
import { encodeResponse } from '../../dns/encode.ts';
import { HEADER_OCTETS } from '../../dns/header.ts';
import type { Question, Response } from '../../dns/message.ts';
import { nameOctets } from '../../dns/name.ts';
import type { Rr } from '../../dns/rr.ts';
import { Answer, CUT_WORDS, packCounts, wordsFor } from '../table/layout.ts';
import { optOctets } from '../table/replyOpt.ts';

/** The least that a reply may have to fit: RFC 1035's 512 octets, less the longest OPT. */
const LEAST_LIMIT = 512 - optOctets(true).length;

const QUESTION_FIELDS_OCTETS = 4;
const TC = 0x02;

interface Encoded {
  /** Behind the question, uncut. */
  readonly octets: Uint8Array;
  /** Longest first. */
  readonly cuts: readonly Cut[];
}

interface Cut {
  readonly octets: number;
  readonly truncated: boolean;
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
}

/**
 * What follows an answer's head in the table (`layout.ts`), for these orders of a response's records. `falls` says
 * which records have a TTL that falls with every second.
 */
export function answerWords(
  question: Question,
  orders: readonly Response[],
  falls: (rr: Rr) => boolean,
): Int32Array {
  const variants = orders.map((response) => variantWords(question, response, falls));
  const [only] = variants;
  if (only !== undefined && variants.length === 1) return only;
  let at = variants.length;
  const words = new Int32Array(variants.reduce((sum, { length }) => sum + length, at));
  variants.forEach((variant, i) => {
    words[i] = Answer.VARIANTS + at;
    words.set(variant, at);
    at += variant.length;
  });
  return words;
}

/** The reply's octets behind the question, of at most a UDP message's size, and what smaller ones it may be cut to. */
export function encodeBehindQuestion(question: Question, response: Response): Encoded {
  const query = { id: 0, recursionDesired: false, checkingDisabled: false, edns: undefined };
  const head = HEADER_OCTETS + nameOctets(question.qname) + QUESTION_FIELDS_OCTETS;
  const cuts: Cut[] = [];
  let octets: Uint8Array | undefined;
  for (let limit = UDP_SIZE; ; ) {
    const reply = encodeResponse({ ...query, question }, response, limit);
    octets ??= reply.subarray(head);
    cuts.push(cutOf(reply, head));
    if (reply.length <= LEAST_LIMIT) return { octets, cuts };
    limit = reply.length - 1;
  }
}

function cutOf(reply: Uint8Array, head: number): Cut {
  const count = (at: number): number => ((reply[at] as number) << 8) | (reply[at + 1] as number);
  return {
    octets: reply.length - head,
    truncated: ((reply[2] as number) & TC) !== 0,
    answer: count(6),
    authority: count(8),
    additional: count(10),
  };
}

function variantWords(
  question: Question,
  response: Response,
  falls: (rr: Rr) => boolean,
): Int32Array {
  const { octets, cuts } = encodeBehindQuestion(question, response);
  const rrs = [...response.answer, ...response.authority, ...response.additional];
  const falling = ttlOffsets(octets).filter((_, i) => falls(rrs[i] as Rr));
  const bodyAt = 1 + cuts.length * CUT_WORDS + falling.length;
  const words = new Int32Array(bodyAt + wordsFor(octets.length));
  words[0] = cuts.length | (falling.length << 16);
  cuts.forEach(({ octets: length, truncated, answer, authority, additional }, i) => {
    const at = 1 + i * CUT_WORDS;
    words[at] = length | (truncated ? 1 << 16 : 0);
    words[at + 1] = packCounts(answer, authority, additional);
  });
  words.set(falling, bodyAt - falling.length);
  new Uint8Array(words.buffer).set(octets, bodyAt * 4);
  return words;
}

/** Where the TTL of each record in a row of records stands. */
function ttlOffsets(records: Uint8Array): number[] {
  const offsets: number[] = [];
  let at = 0;
  while (at < records.length) {
    at = endOfName(records, at).end + 4;
    offsets.push(at);
    at += 6 + ((records[at + 4] as number) << 8) + (records[at + 5] as number);
  }
  return offsets;
}

const POINTER = 0xc0;

/** Where a name that begins at `start` ends, and where the pointer stands that it ends in, if it does. */
export function endOfName(
  octets: Uint8Array,
  start: number,
): { readonly end: number; readonly pointerAt: number | undefined } {
  let at = start;
  for (;;) {
    const length = octets[at] as number;
    if (length >= POINTER) return { end: at + 2, pointerAt: at };
    at += 1 + length;
    if (length === 0) return { end: at, pointerAt: undefined };
  }
}
