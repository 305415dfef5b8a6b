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
import { wholeCounts } from '../../dns/truncate.ts';
import { Answer, CUT_WORDS, packCounts, wordsFor } from '../table/layout.ts';
import { optOctets } from '../table/replyOpt.ts';

/** The least that a reply may have to fit: RFC 1035's 512 octets, less the longest OPT. */
const LEAST_LIMIT = 512 - optOctets(true).length;

const QUESTION_FIELDS_OCTETS = 4;

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

/** What follows an answer's head in the table (`layout.ts`). */
export interface Variants {
  readonly count: number;
  readonly words: Int32Array;
}

/**
 * The variants for these orders of a response's records; one where no order would show, as the answer fits no message
 * over UDP. `falls` says which records have a TTL that falls with every second.
 */
export function variantsFor(
  question: Question,
  orders: readonly Response[],
  falls: (rr: Rr) => boolean,
): Variants {
  const [first, ...others] = orders as readonly [Response, ...Response[]];
  const encoded = encodeBehindQuestion(question, first);
  const only = variantWords(encoded, first, falls);
  const isShown = encoded.octets.length > 0;
  if (others.length === 0 || !isShown) return { count: 1, words: only };
  const rest = others.map((order) =>
    variantWords(encodeBehindQuestion(question, order), order, falls),
  );
  return { count: orders.length, words: inARow([only, ...rest]) };
}

/** Several variants behind the addresses of each. */
function inARow(variants: readonly Int32Array[]): Int32Array {
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
  const octets = encodeResponse({ ...query, question }, response, UDP_SIZE).subarray(head);
  const fitting = cutsOf(response, recordEnds(octets)).filter((cut) => cut.octets <= octets.length);
  const least = fitting.findIndex((cut) => head + cut.octets <= LEAST_LIMIT);
  return { octets, cuts: fitting.slice(0, least + 1) };
}

/**
 * Every length that `truncate` may cut a message to, longest first: the additional section loses whole RRsets from its
 * end, then the authority and the answer do, which sets TC and leaves nothing behind them. `ends[i]` is where the first
 * `i` records end, as far as they were written.
 */
function cutsOf({ answer, authority, additional }: Response, ends: readonly number[]): Cut[] {
  const all = { answer: answer.length, authority: authority.length, additional: 0 };
  const cuts = [
    ...wholeCounts(additional).map((count) => ({ ...all, additional: count, truncated: false })),
    ...partialCounts(authority).map((count) => ({ ...all, authority: count, truncated: true })),
    ...partialCounts(answer).map((count) => ({
      answer: count,
      authority: 0,
      additional: 0,
      truncated: true,
    })),
  ].map((cut) => {
    const octets = ends[cut.answer + cut.authority + cut.additional] ?? Number.POSITIVE_INFINITY;
    return { ...cut, octets };
  });
  return cuts.sort((a, b) => b.octets - a.octets || Number(a.truncated) - Number(b.truncated));
}

/** Fewer than all. */
function partialCounts(rrs: readonly Rr[]): number[] {
  return wholeCounts(rrs).filter((count) => count < rrs.length);
}

function variantWords(
  { octets, cuts }: Encoded,
  response: Response,
  falls: (rr: Rr) => boolean,
): Int32Array {
  const rrs = [...response.answer, ...response.authority, ...response.additional];
  const falling = recordTtls(octets).filter((_, i) => falls(rrs[i] as Rr));
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
function recordTtls(records: Uint8Array): number[] {
  return recordEnds(records)
    .slice(0, -1)
    .map((start) => endOfName(records, start).end + 4);
}

/** Where the first none, one, two … records in a row of records end. */
function recordEnds(records: Uint8Array): number[] {
  const ends = [0];
  for (let at = 0; at < records.length; ends.push(at)) {
    const lengthAt = endOfName(records, at).end + 8;
    at = lengthAt + 2 + ((records[lengthAt] as number) << 8) + (records[lengthAt + 1] as number);
  }
  return ends;
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
