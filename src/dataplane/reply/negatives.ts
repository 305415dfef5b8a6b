/**
 * The negative replies, for names that do not exist or have no records of a type: they have the zone's SOA. The SOA's
 * names are compressed against the suffix that they share with the question's name. So there is one body for each such
 * suffix: the apex, and the names between the apex and the SOA's names. A reply uses the body of the longest suffix of
 * the question's name. All bodies are in one immutable block:
 *
 *     words of the block, number of bodies, address of `holes.ts`'s section relative to the block (0: none), address of
 *     each body relative to the block (longest suffix first)
 *     body: suffix octets, body octets, number of pointers, the three numbers of `LeaderDenial`, whether the zone is
 *           signed, offset of each pointer, suffix (padded), octets
 *
 * Compression pointers in a body are relative to the suffix in the question; `write` adjusts them.
 */

import { wordsFor } from '../table/layout.ts';
import { beginsWithLeader } from './derivedCheck.ts';
import { Holes, packHoles } from './holes.ts';
import type { QuestionReader } from './question.ts';

/** Words at the start of a body. */
const Body = {
  SUFFIX_OCTETS: 0,
  OCTETS: 1,
  POINTERS: 2,
  APEX_OCTETS: 3,
  TTL_AT: 4,
  LEADER_TTL: 5,
  SIGNED: 6,
  HEAD: 7,
} as const;

/** More octets than a name has. */
const NO_NAME_OCTETS = 256;

/** How the reply differs for names that begin with `leader`: they may have a leader soon. */
export interface LeaderDenial {
  /** Octets of the zone's apex in wire form: only longer names can be names of leaders. */
  readonly apexOctets: number;
  /** Offset of the SOA's TTL in the body; its minimum is at the body's end. */
  readonly ttlAt: number;
  /** Both, for the name of a leader. */
  readonly ttlSeconds: number;
}

export interface Negative {
  /** Folded, in wire form. */
  readonly suffix: Uint8Array;
  readonly octets: Uint8Array;
  /** Offsets of the pointers in `octets`, which assume that the suffix begins right after the header. */
  readonly pointers: readonly number[];
  /** Absent in a zone without leaders. */
  readonly leaders?: LeaderDenial | undefined;
  /** Questions with DO get another reply. */
  readonly isSigned?: boolean;
}

/** Words before the addresses of the bodies. */
const BLOCK_HEAD = 3;

/**
 * Packs the bodies into one block. `holes` are the domains that other servers answer for, inside the zones, in wire form.
 * A suffix may be in a hole only if a zone inside that hole has the suffix.
 */
export function packNegatives(
  negatives: readonly Negative[],
  holes: readonly Uint8Array[] = [],
): Int32Array {
  const longestFirst = [...negatives].sort((a, b) => b.suffix.length - a.suffix.length);
  const head = BLOCK_HEAD + longestFirst.length;
  const addresses: number[] = [];
  let size = head;
  for (const { suffix, octets, pointers } of longestFirst) {
    addresses.push(size);
    size += Body.HEAD + pointers.length + wordsFor(suffix.length) + wordsFor(octets.length);
  }
  const section = packHoles(holes, size);
  const words = new Int32Array(size + section.length);
  const bytes = new Uint8Array(words.buffer);
  const holesAt = section.length === 0 ? 0 : size;
  words.set([words.length, longestFirst.length, holesAt, ...addresses]);
  words.set(section, size);
  longestFirst.forEach(({ suffix, octets, pointers, leaders, isSigned = false }, i) => {
    const at = addresses[i] as number;
    const { apexOctets = NO_NAME_OCTETS, ttlAt = 0, ttlSeconds = 0 } = leaders ?? {};
    const counts = [suffix.length, octets.length, pointers.length];
    words.set([...counts, apexOctets, ttlAt, ttlSeconds, Number(isSigned), ...pointers], at);
    const suffixAt = at + Body.HEAD + pointers.length;
    bytes.set(suffix, suffixAt * 4);
    bytes.set(octets, (suffixAt + wordsFor(suffix.length)) * 4);
  });
  return words;
}

/** Finds the body for a question, and writes it: the reader's side. */
export class Negatives {
  /** Address of the current block; 0 for none. */
  block = 0;
  /** Octets of the body that `find` found last. */
  length = 0;
  /** A number for that body: names in one zone share few of them. */
  zone = 0;
  /** Octets of the apex of the zone that `find` found last; `NO_NAME_OCTETS` in a zone without leaders. */
  get apexOctets(): number {
    return this.#words[this.#body + Body.APEX_OCTETS] as number;
  }

  #body = 0;
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #question: QuestionReader;
  readonly #holes: Holes;

  constructor(words: Int32Array, octets: Uint8Array, question: QuestionReader) {
    this.#words = words;
    this.#octets = octets;
    this.#question = question;
    this.#holes = new Holes(words, octets, question);
  }

  /**
   * Finds the body for the question's name; false if the name is in none of our zones, or in a domain that other servers
   * answer for.
   */
  find(): boolean {
    const { block } = this;
    if (block === 0) return false;
    const words = this.#words;
    const end = block + BLOCK_HEAD + (words[block + 1] as number);
    for (let at = block + BLOCK_HEAD; at < end; at++) {
      const body = block + (words[at] as number);
      if (!this.#endsWith(body)) continue;
      this.#body = body;
      this.zone = body - block;
      this.length = words[body + Body.OCTETS] as number;
      return !this.#isInHole(words[body + Body.SUFFIX_OCTETS] as number);
    }
    return false;
  }

  /** Whether the body that `find` found last is of a signed zone. */
  get isSigned(): boolean {
    return this.#words[this.#body + Body.SIGNED] === 1;
  }

  /** Whether the name is in a hole below the zone of a suffix of so many octets. */
  #isInHole(suffixOctets: number): boolean {
    const { block } = this;
    const holesAt = this.#words[block + 2] as number;
    return holesAt !== 0 && this.#holes.longest(block, block + holesAt) > suffixOctets;
  }

  /** Writes the body that `find` found last to `octets[to]`. */
  write(octets: Uint8Array, to: number): void {
    const words = this.#words;
    const body = this.#body;
    const suffixOctets = words[body + Body.SUFFIX_OCTETS] as number;
    const suffixAt = body + Body.HEAD + (words[body + Body.POINTERS] as number);
    const from = (suffixAt + wordsFor(suffixOctets)) * 4;
    for (let i = 0; i < this.length; i++) octets[to + i] = this.#octets[from + i] as number;
    const { name, nameOctets } = this.#question;
    const shift = nameOctets - suffixOctets;
    for (let at = body + Body.HEAD; at < suffixAt; at++) {
      const pointer = to + (words[at] as number);
      const offset = (((octets[pointer] as number) & 0x3f) << 8) + (octets[pointer + 1] as number);
      octets[pointer] = 0xc0 | ((offset + shift) >>> 8);
      octets[pointer + 1] = (offset + shift) & 0xff;
    }
    const mayBeLeader = nameOctets > (words[body + Body.APEX_OCTETS] as number);
    if (mayBeLeader && beginsWithLeader(name)) this.#writeLeaderTtl(octets, to);
  }

  #writeLeaderTtl(octets: Uint8Array, to: number): void {
    const ttlSeconds = this.#words[this.#body + Body.LEADER_TTL] as number;
    write32(octets, to + (this.#words[this.#body + Body.TTL_AT] as number), ttlSeconds);
    write32(octets, to + this.length - 4, ttlSeconds);
  }

  #endsWith(body: number): boolean {
    const { name, nameOctets } = this.#question;
    const suffixOctets = this.#words[body + Body.SUFFIX_OCTETS] as number;
    const start = nameOctets - suffixOctets;
    if (start < 0) return false;
    const from = (body + Body.HEAD + (this.#words[body + Body.POINTERS] as number)) * 4;
    for (let i = 0; i < suffixOctets; i++) {
      if (this.#octets[from + i] !== name[start + i]) return false;
    }
    // The suffix must begin at a label: octets within a label may equal it.
    let label = 0;
    while (label < start) label += 1 + (name[label] as number);
    return label === start;
  }
}

function write32(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value >>> 24;
  octets[at + 1] = value >>> 16;
  octets[at + 2] = value >>> 8;
  octets[at + 3] = value;
}
