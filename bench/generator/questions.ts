/**
 * The questions of a load: a text with a line `name TYPE` for each, encoded as query messages one after the other. Each
 * `?` in a name stands for a random character that changes with every query, so that one line gives any number of names.
 */
import { DO_IN_OCTET, DO_OFFSET } from '../../src/dns/edns.ts';
import { Type } from '../../src/dns/rr.ts';

export interface Questions {
  readonly count: number;
  /** The messages, with an id of 0. */
  readonly octets: Uint8Array;
  /** Start of each message, and the end of the last one. */
  readonly offsets: Uint32Array;
  /** Offset in each message of the first `?`, and the number of adjacent ones; 0: none. */
  readonly randomAt: Uint8Array;
  readonly randomLength: Uint8Array;
}

const HEADER_OCTETS = 12;
const OPT_OCTETS = 11;
const QUESTION_TAIL_OCTETS = 4;
const EDNS_UDP_SIZE = 1232;
/** RFC 1035 §2.3.4. */
const MAX_LABEL_OCTETS = 63;
const MAX_NAME_OCTETS = 255;

const LF = 10;
const SPACE = 32;
const DOT = 46;
const RANDOM = 63;
const LINE = /^\S{1,255} \S+$/;

/** Whether each query has an OPT record (RFC 6891), or what is in that record. */
export type Edns = boolean | OptFields;

export interface OptFields {
  /** DO is set. */
  readonly dnssecOk?: boolean;
  /** The options in hexadecimal digits. */
  readonly options?: string;
}

/** Throws on a malformed line. */
export function parseQuestions(text: Uint8Array, edns: Edns): Questions {
  const count = countLines(text);
  const opt = optOf(edns);
  const perLine = HEADER_OCTETS + 2 + QUESTION_TAIL_OCTETS + opt.length;
  const questions: Questions = {
    count,
    octets: new Uint8Array(text.length + count * perLine),
    offsets: new Uint32Array(count + 1),
    randomAt: new Uint8Array(count),
    randomLength: new Uint8Array(count),
  };
  let at = 0;
  for (let index = 0, start = 0; index < count; index++) {
    const end = text.indexOf(LF, start);
    at = addQuestion(questions, index, text.subarray(start, end), at, opt);
    questions.offsets[index + 1] = at;
    start = end + 1;
  }
  return questions;
}

function countLines(text: Uint8Array): number {
  if (text.at(-1) !== LF) throw new Error('questions: no line, or no newline at the end');
  let count = 0;
  for (let at = text.indexOf(LF); at >= 0; at = text.indexOf(LF, at + 1)) count += 1;
  return count;
}

/** Writes one message at `at`; returns its end. */
function addQuestion(
  questions: Questions,
  index: number,
  line: Uint8Array,
  at: number,
  opt: Uint8Array,
): number {
  const { octets } = questions;
  const space = line.indexOf(SPACE);
  if (space < 1) throw malformed(line);
  octets[at + 2] = 1; // RD
  octets[at + 5] = 1; // QDCOUNT
  octets[at + 11] = opt.length > 0 ? 1 : 0; // ARCOUNT
  const tailAt = addName(octets, line.subarray(0, space), at + HEADER_OCTETS);
  const random = line.indexOf(RANDOM);
  if (random >= 0) {
    questions.randomAt[index] = HEADER_OCTETS + 1 + random;
    questions.randomLength[index] = runLength(line, random);
  }
  const type = typeOf(line.subarray(space + 1));
  octets[tailAt] = type >> 8;
  octets[tailAt + 1] = type;
  octets[tailAt + 3] = 1; // IN
  octets.set(opt, tailAt + QUESTION_TAIL_OCTETS);
  return tailAt + QUESTION_TAIL_OCTETS + opt.length;
}

function addName(octets: Uint8Array, name: Uint8Array, at: number): number {
  const end = name.at(-1) === DOT ? name.length - 1 : name.length;
  let label = at;
  octets.set(name.subarray(0, end), at + 1);
  for (let next = at + 1; next <= at + 1 + end; next++) {
    if (next < at + 1 + end && octets[next] !== DOT) continue;
    const length = next - label - 1;
    if (length < 1 || length > MAX_LABEL_OCTETS) throw malformed(name);
    octets[label] = length;
    label = next;
  }
  octets[label] = 0;
  if (label + 1 - at > MAX_NAME_OCTETS) throw malformed(name);
  return label + 1;
}

function runLength(octets: Uint8Array, at: number): number {
  let end = at;
  while (octets[end] === RANDOM) end += 1;
  return end - at;
}

/** The OPT record, or nothing. */
function optOf(edns: Edns): Uint8Array {
  if (edns === false) return new Uint8Array();
  const { dnssecOk = false, options: digits = '' } = edns === true ? {} : edns;
  const options = Buffer.from(digits, 'hex');
  const opt = new Uint8Array(OPT_OCTETS + options.length);
  opt[2] = Type.OPT;
  opt[3] = EDNS_UDP_SIZE >> 8;
  opt[4] = EDNS_UDP_SIZE & 255;
  if (dnssecOk) opt[DO_OFFSET] = DO_IN_OCTET;
  opt[OPT_OCTETS - 1] = options.length;
  opt.set(options, OPT_OCTETS);
  return opt;
}

const types = new Map<string, number>(Object.entries(Type));

function typeOf(octets: Uint8Array): number {
  const text = Buffer.from(octets).toString('latin1');
  const type = types.get(text);
  if (type === undefined) throw new Error(`questions: no type ${text}`);
  return type;
}

function malformed(line: Uint8Array): Error {
  const text = Buffer.from(line).toString('latin1');
  return new Error(`questions: ${LINE.test(text) ? 'no domain name' : 'no "name TYPE"'}: ${text}`);
}

/** The characters that replace `?`: lower-case letters and digits. */
const RANDOM_CHARACTERS = Buffer.from('abcdefghijklmnopqrstuvwxyz234567');

/** Draws the characters for `?`; the same seed gives the same characters. Allocates nothing. */
export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 1;
  }

  fill(octets: Uint8Array, at: number, length: number): void {
    for (let next = at; next < at + length; next++) {
      // Marsaglia's xorshift32; its high bits are the better ones.
      this.#state ^= this.#state << 13;
      this.#state ^= this.#state >>> 17;
      this.#state ^= this.#state << 5;
      octets[next] = RANDOM_CHARACTERS[this.#state >>> 27] as number;
    }
  }
}
