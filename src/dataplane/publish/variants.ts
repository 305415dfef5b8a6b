/**
 * Encodes a response as the words that the answer table holds: for each order of its records, the octets after the
 * question, and the lengths to which a smaller message may cut them. The octets come from the one encoder, and the cuts
 * are those that the encoder would make, so a reply from the table is the one that the slow path would send.
 */
import { MAX_OPTIONS_OCTETS } from '../../dns/edns.ts';
import { encodeResponse } from '../../dns/encode.ts';
import type { Question, Response } from '../../dns/message.ts';
import { nameOctets } from '../../dns/name.ts';
import type { Rr } from '../../dns/rr.ts';
import { rrsetAround, wholeCounts } from '../../dns/truncate.ts';
import {
  COMPRESSED_RR_OCTETS,
  HEADER_OCTETS,
  MAX_MESSAGE_OCTETS,
  QUESTION_FIELDS_OCTETS,
} from '../../dns/wire.ts';
import type { Basis } from '../../zone/tree/lookupState.ts';
import {
  AnswerField,
  CUT_WORDS,
  CutFlag,
  optRecord,
  packCounts,
  wordsFor,
} from '../table/layout.ts';

/** Octets that every client can receive: RFC 1035's 512, less the longest OPT. */
const LEAST_LIMIT = 512 - optRecord(true).length - MAX_OPTIONS_OCTETS;

/** An RR with a compressed owner name and one octet of rdata. */
const LEAST_RR_OCTETS = COMPRESSED_RR_OCTETS + 1;

/** One order of an answer's records, encoded. */
export interface Encoded {
  /** Octets after the question, up to the size of the largest message. */
  readonly octets: Uint8Array;
  /** Longest first; empty if no client can receive a part of it. */
  readonly cuts: readonly Cut[];
}

interface Cut {
  readonly octets: number;
  readonly truncated: boolean;
  readonly answer: number;
  readonly authority: number;
  readonly additional: number;
}

/** The words after an answer's head in the table (`layout.ts`). */
export interface Variants {
  readonly count: number;
  readonly words: Int32Array;
}

export interface Order {
  readonly response: Response;
  readonly encoded: Encoded;
  /** For a stored wildcard: the lists of its template (`PROBE_OCTETS`). */
  readonly lists?: readonly number[] | undefined;
}

/** Whether some client gets a part of the answer, or would get one of another order. */
export function mayBeTruncated({ cuts }: Encoded): boolean {
  return cuts.length === 0 || cuts.some(({ truncated }) => truncated);
}

/** The orders of which some client can receive a part. The others begin with a record that is too long for a message. */
export function receivable<T extends Pick<Order, 'encoded'>>(orders: readonly T[]): readonly T[] {
  return orders.filter(({ encoded }) => encoded.cuts.length > 0);
}

/**
 * The variants for these orders of a response's records, which are `receivable`. `falls` tells whether a record's TTL
 * falls by one every second.
 */
export function variantsOf(orders: readonly Order[], falls: (rr: Rr) => boolean): Variants {
  const variants = orders.map((order) => variantWords(order, falls));
  const [only, ...others] = variants;
  if (only !== undefined && others.length === 0) return { count: 1, words: only };
  return { count: variants.length, words: concatenated(variants) };
}

/** The words of an answer of `OTHER_KIND`, which end with the type that it is for; see `answerTypeAt`. */
export function typedWords(
  { words }: Variants,
  { qtype }: Question,
  { hasStoredRecords }: Pick<Basis, 'hasStoredRecords'>,
): Int32Array {
  const typed = new Int32Array(words.length + 1);
  typed.set(words);
  typed[words.length] = hasStoredRecords ? qtype : 0;
  return typed;
}

/** Joins several variants, preceded by the address of each. */
function concatenated(variants: readonly Int32Array[]): Int32Array {
  let at = variants.length;
  const words = new Int32Array(variants.reduce((sum, { length }) => sum + length, at));
  variants.forEach((variant, i) => {
    words[i] = AnswerField.VARIANTS + at;
    words.set(variant, at);
    at += variant.length;
  });
  return words;
}

/** Octets of the shortest and of the longest name in wire form that an answer is for. */
export interface NameLengths {
  readonly shortest: number;
  readonly longest: number;
}

/** Encodes a reply of at most `maxOctets`, question included, and lists the cuts for smaller messages. */
export function encodeBehindQuestion(
  question: Question,
  response: Response,
  maxOctets: number,
  lengths?: NameLengths,
): Encoded {
  const query = { id: 0, recursionDesired: false, checkingDisabled: false, edns: undefined };
  const head = headOctets(nameOctets(question.qname));
  const longest = lengths === undefined ? head : headOctets(lengths.longest);
  const shortest = lengths === undefined ? head : headOctets(lengths.shortest);
  const part = fittingPart(response, maxOctets);
  const octets = encodeResponse({ ...query, question }, part, MAX_MESSAGE_OCTETS).subarray(head);
  // Every client can receive most answers whole.
  if (longest + octets.length <= LEAST_LIMIT)
    return { octets, cuts: [wholeOf(part, octets.length)] };
  const fitting = cutsOf(part, recordEnds(octets)).filter(
    (cut) => shortest + cut.octets <= maxOctets,
  );
  const least = fitting.findIndex((cut) => longest + cut.octets <= LEAST_LIMIT);
  const cuts = least < 0 ? fitting : fitting.slice(0, least + 1);
  return { octets: octets.subarray(0, cuts[0]?.octets ?? 0), cuts };
}

/** Octets of a header and a question with a name of that many octets. */
export function headOctets(octetsOfName: number): number {
  return HEADER_OCTETS + octetsOfName + QUESTION_FIELDS_OCTETS;
}

function wholeOf(
  { answer, authority, additional, truncated = false }: Response,
  octets: number,
): Cut {
  return {
    octets,
    truncated,
    answer: answer.length,
    authority: authority.length,
    additional: additional.length,
  };
}

/** The response without the records that no message of `maxOctets` can hold. */
function fittingPart(response: Response, maxOctets: number): Response {
  const most = Math.ceil(maxOctets / LEAST_RR_OCTETS);
  const { answer } = response;
  if (answer.length <= most) return response;
  return {
    ...response,
    answer: answer.slice(0, most),
    authority: [],
    additional: [],
    truncated: true,
  };
}

/**
 * Every length to which `dns/truncate` may cut a message, longest first. The additional section loses whole RRsets from
 * its end. Then the authority section loses whole RRsets, or the answer section loses single records; both set TC and
 * drop the later sections. The slow path makes the cuts that leave no record of an RRset. `ends[i]` is the end of the
 * first `i` records.
 */
function cutsOf(response: Response, ends: readonly number[]): Cut[] {
  const { answer, authority, additional, truncated = false } = response;
  const all = { answer: answer.length, authority: authority.length, additional: 0 };
  const none = { authority: 0, additional: 0, truncated: true };
  const cuts = [
    ...wholeCounts(additional).map((count) => ({ ...all, additional: count, truncated })),
    ...partialCounts(authority).map((count) => ({ ...all, authority: count, truncated: true })),
    ...partingCounts(answer).map((count) => ({ ...none, answer: count })),
  ].map((cut) => {
    const octets = ends[cut.answer + cut.authority + cut.additional] ?? Number.POSITIVE_INFINITY;
    return { ...cut, octets };
  });
  return cuts.sort((a, b) => b.octets - a.octets || Number(a.truncated) - Number(b.truncated));
}

/** Counts of whole RRsets, without the count of all records. */
function partialCounts(rrs: readonly Rr[]): number[] {
  return wholeCounts(rrs).filter((count) => count < rrs.length);
}

/** Counts of records that end in the middle of an RRset. */
function partingCounts(rrs: readonly Rr[]): number[] {
  const counts: number[] = [];
  for (let at = 0; at < rrs.length; ) {
    const [start, end] = rrsetAround(rrs, at);
    for (let count = start + 1; count < end; count++) counts.push(count);
    at = end;
  }
  return counts;
}

function variantWords(
  { response, encoded, lists = [] }: Order,
  falls: (rr: Rr) => boolean,
): Int32Array {
  const { octets, cuts } = encoded;
  // Readers take the first word behind the sizes as a cut.
  if (cuts.length === 0) throw new Error('an order without a cut');
  const falling = fallingTtls(octets, response, falls);
  const listsAt = 1 + cuts.length * CUT_WORDS + falling.length;
  const bodyAt = listsAt + lists.length;
  const words = new Int32Array(bodyAt + wordsFor(octets.length));
  const recordCount =
    response.answer.length + response.authority.length + response.additional.length;
  words[0] = cuts.length | (falling.length << 16);
  cuts.forEach(({ octets: length, truncated, answer, authority, additional }, i) => {
    const at = 1 + i * CUT_WORDS;
    const isPart = answer + authority + additional < recordCount;
    const flags = (truncated ? CutFlag.TRUNCATED : 0) | (isPart ? CutFlag.PART : 0);
    words[at] = length | flags;
    words[at + 1] = packCounts(answer, authority, additional);
  });
  words.set(falling, listsAt - falling.length);
  words.set(lists, listsAt);
  new Uint8Array(words.buffer).set(octets, bodyAt * 4);
  return words;
}

/** Offsets of the TTLs that fall. `records` may hold fewer records than the response. */
function fallingTtls(
  records: Uint8Array,
  { answer, authority, additional }: Response,
  falls: (rr: Rr) => boolean,
): number[] {
  const rrs = [...answer, ...authority, ...additional];
  if (!rrs.some(falls)) return [];
  return recordEnds(records)
    .slice(0, -1)
    .filter((_, i) => falls(rrs[i] as Rr))
    .map((start) => endOfName(records, start).end + 4);
}

/** The ends of the first 0, 1, 2 … of consecutive records. */
function recordEnds(records: Uint8Array): number[] {
  const ends = [0];
  for (let at = 0; at < records.length; ends.push(at)) {
    const lengthAt = endOfName(records, at).end + 8;
    at = lengthAt + 2 + ((records[lengthAt] as number) << 8) + (records[lengthAt + 1] as number);
  }
  return ends;
}

const POINTER = 0xc0;

/** The end of the name at `start`, and the offset of the compression pointer that ends it, if there is one. */
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
