/**
 * Writes replies over their questions: copies an answer out of shared memory, lowers its TTLs, and completes the header
 * and the OPT record. One object serves one memory.
 */
import { CO_IN_OCTET, DO_IN_OCTET, DO_OFFSET } from '../../dns/edns.ts';
import { Rcode } from '../../dns/rr.ts';
import { Flag, MAX_MESSAGE_OCTETS } from '../../dns/wire.ts';
import { type CounterBlock, Single, Slot } from '../table/counters.ts';
import {
  AnswerField,
  authoritativeFlagOf,
  CUT_WORDS,
  CutFlag,
  isFixedOrder,
  variantCountOf,
} from '../table/layout.ts';
import type { Negatives } from './negatives.ts';
import type { OptionWriter } from './optionWriter.ts';
import type { QuestionReader } from './question.ts';
import { Template } from './template.ts';

/** RFC 1035 §4.2.1. */
const PLAIN_UDP_SIZE = 512;
// In the header's third octet.
const AA = Flag.AA >>> 8;
const TC = Flag.TC >>> 8;
/** Under which the rcodes are counted that need OPT. */
const OTHER_RCODE = 15;
/** Offset in an OPT record of the upper bits of the rcode. */
const EXTENDED_RCODE_OFFSET = 5;

/** The memory with the answers, as words and as octets. */
export interface AnswerMemory {
  readonly words: Int32Array;
  readonly octets: Uint8Array;
}

/** What the writers of one reader share. */
export interface ReplyParts {
  readonly question: QuestionReader;
  readonly options: OptionWriter;
  readonly counters: CounterBlock;
}

export interface ReplyLimits {
  /** Octets of the longest reply over UDP. */
  readonly maxUdpOctets: number;
  /** The client can receive any length, and only whole answers are for it. */
  readonly isStream: boolean;
}

export class ReplyWriter {
  /** The second of the main thread's monotonic clock. Set it for each batch. */
  second = 0;
  /** The OPT record for questions with OPT, without DO. Set it before each reply or batch. */
  opt: Uint8Array;
  /** If not 0, it replaces every falling TTL. Set it before each reply, or never. */
  fixedTtl = 0;
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #question: QuestionReader;
  readonly #options: OptionWriter;
  readonly #counters: CounterBlock;
  readonly #maxUdpOctets: number;
  readonly #isStream: boolean;
  readonly #template: Template;
  /** Chooses the variant of the next reply. */
  #rotation = 0;
  // The part of an answer that the next write sends, set by `choose`.
  #isSynthesized = false;
  #answer = 0;
  #head = 0;
  #cut = 0;
  /** Address of the offsets of the TTLs that fall. */
  #falling = 0;
  #fallingCount = 0;

  constructor(
    { words, octets }: AnswerMemory,
    { question, options, counters }: ReplyParts,
    { maxUdpOctets, isStream }: ReplyLimits,
    opt: Uint8Array,
  ) {
    this.#words = words;
    this.#octets = octets;
    this.#question = question;
    this.#options = options;
    this.#template = new Template(words, octets, question);
    this.#counters = counters;
    this.#maxUdpOctets = maxUdpOctets;
    this.#isStream = isStream;
    this.opt = opt;
  }

  /**
   * Chooses the part of the answer at that address for the client; false if no part of it is for the client.
   * `encloserOctets`: of the name above the stored wildcard whose answer this is (`PROBE_OCTETS`); 0 for any other answer.
   */
  choose(at: number, answer: number, head: number, encloserOctets: number): boolean {
    this.#isSynthesized = encloserOctets > 0;
    if (encloserOctets > 0) return this.#chooseSynthesized(at, answer, head, encloserOctets);
    const words = this.#words;
    const room = this.#room(at);
    let cut = this.#beginVariant(answer, head, room);
    while (((words[cut] as number) & 0xffff) > room) {
      cut += CUT_WORDS;
      if (cut === this.#falling) return false;
    }
    this.#cut = cut;
    return this.#isForClient(words[cut] as number);
  }

  /**
   * Writes the chosen part behind the question of the packet at `packet[at]`. `low` is the header's fourth octet without
   * the CD bit. Returns the reply's length.
   */
  writeAnswer(packet: Uint8Array, at: number, low: number): number {
    if (this.#isSynthesized) return this.#writeSynthesized(packet, at, low);
    const words = this.#words;
    const falling = this.#falling;
    const fallingCount = this.#fallingCount;
    const size = words[this.#cut] as number;
    const length = size & 0xffff;
    this.#copy(packet, (falling + fallingCount) * 4, length);
    const age = this.#age();
    if (this.fixedTtl > 0) this.#fixTtls(packet, falling, fallingCount, length);
    else if (age !== 0 && fallingCount > 0)
      this.#reduceTtls(packet, falling, fallingCount, length, age);
    return this.#finishAnswer(packet, at, length, low);
  }

  /** Writes the negative reply that `negatives` has found. */
  writeNegative(packet: Uint8Array, at: number, negatives: Negatives, low: number): number {
    const { length } = negatives;
    if (length > this.#room(at)) return this.#finish(packet, at, 0, AA | TC, low, 0);
    negatives.write(packet, this.#question.end);
    return this.#finish(packet, at, length, AA, low, 1 << 10);
  }

  /** Writes a reply without records that tells the client to ask over TCP. `low` is as in `writeAnswer`. */
  writeTruncated(packet: Uint8Array, at: number, low: number): number {
    return this.#finish(packet, at, 0, TC, low, 0);
  }

  /** Writes a reply that tells the client to repeat the question with the cookie that the reply has (RFC 7873 §5.2.3). */
  writeBadCookie(packet: Uint8Array, at: number, ra: number): number {
    const length = this.#finish(packet, at, 0, 0, OTHER_RCODE | ra, 0);
    packet[at + 3] = ((packet[at + 3] as number) & 0xf0) | (Rcode.BADCOOKIE & 0x0f);
    packet[this.#question.end + EXTENDED_RCODE_OFFSET] = Rcode.BADCOOKIE >> 4;
    return length;
  }

  #chooseSynthesized(at: number, answer: number, head: number, encloserOctets: number): boolean {
    const words = this.#words;
    const template = this.#template;
    // Long names make the answer longer than any that was published, also for a client that can receive any length.
    const room = Math.min(this.#room(at), this.#maxUdpOctets);
    let cut = this.#beginVariant(answer, head, room);
    const lists = this.#falling + this.#fallingCount;
    template.begin(lists, this.#question.nameOctets - encloserOctets);
    while (template.lengthOf((words[cut] as number) & 0xffff) > room) {
      cut += CUT_WORDS;
      if (cut === this.#falling) return false;
    }
    this.#cut = cut;
    return this.#isForClient(words[cut] as number);
  }

  #writeSynthesized(packet: Uint8Array, at: number, low: number): number {
    const words = this.#words;
    const template = this.#template;
    const octets = (words[this.#cut] as number) & 0xffff;
    template.write(packet, this.#question.end, octets);
    const age = this.#age();
    for (let i = 0; i < this.#fallingCount && age !== 0; i++) {
      const offset = words[this.#falling + i] as number;
      if (offset < octets) subtract32(packet, this.#question.end + template.lengthOf(offset), age);
    }
    return this.#finishAnswer(packet, at, template.lengthOf(octets), low);
  }

  /** Chooses the variant for the reply; returns the address of its first cut. */
  #beginVariant(answer: number, head: number, room: number): number {
    const variant = this.#variant(answer, head, room);
    const sizes = this.#words[variant] as number;
    const cut = variant + 1;
    this.#answer = answer;
    this.#head = head;
    this.#falling = cut + (sizes & 0xffff) * CUT_WORDS;
    this.#fallingCount = sizes >>> 16;
    return cut;
  }

  #isForClient(size: number): boolean {
    return !this.#isStream || (size & (CutFlag.TRUNCATED | CutFlag.PART)) === 0;
  }

  /** Seconds since the answer had its TTLs. The answer may be newer than the batch's second. */
  #age(): number {
    return Math.max(0, this.second - (this.#words[this.#answer + AnswerField.TTLS_AT] as number));
  }

  #finishAnswer(packet: Uint8Array, at: number, length: number, low: number): number {
    const words = this.#words;
    const isTruncated = ((words[this.#cut] as number) >>> 16) & 1;
    const high = authoritativeFlagOf(this.#head) | (isTruncated << 1);
    return this.#finish(packet, at, length, high, low, words[this.#cut + 1] as number);
  }

  /** Octets that may follow the question. */
  #room(at: number): number {
    if (this.#isStream) return MAX_MESSAGE_OCTETS;
    const { udpSize, end } = this.#question;
    if (udpSize < 0) return PLAIN_UDP_SIZE - (end - at);
    const limit = Math.min(Math.max(udpSize, PLAIN_UDP_SIZE), this.#maxUdpOctets);
    return limit - this.opt.length - this.#options.length - (end - at);
  }

  /** The variant for this reply. */
  #variant(answer: number, head: number, room: number): number {
    const words = this.#words;
    const variants = variantCountOf(head);
    const table = answer + AnswerField.VARIANTS;
    if (variants === 1) return table;
    if (isFixedOrder(head)) {
      const first = answer + (words[table] as number);
      // The first cut is the longest.
      if (((words[first + 1] as number) & ~CutFlag.PART) <= room) return first;
    }
    this.#rotation = (this.#rotation + 1) | 0;
    return answer + (words[table + ((this.#rotation >>> 0) % variants)] as number);
  }

  /** Copies octets of the memory to the place after the question. */
  #copy(packet: Uint8Array, from: number, length: number): void {
    const source = this.#octets;
    const to = this.#question.end;
    for (let i = 0; i < length; i++) packet[to + i] = source[from + i] as number;
  }

  /** Subtracts the answer's age from the TTLs that fall. */
  #reduceTtls(
    packet: Uint8Array,
    falling: number,
    count: number,
    length: number,
    age: number,
  ): void {
    for (let i = 0; i < count; i++) {
      const offset = this.#words[falling + i] as number;
      if (offset >= length) return;
      subtract32(packet, this.#question.end + offset, age);
    }
  }

  /** Sets the TTLs that fall to `fixedTtl`. */
  #fixTtls(packet: Uint8Array, falling: number, count: number, length: number): void {
    for (let i = 0; i < count; i++) {
      const offset = this.#words[falling + i] as number;
      if (offset >= length) return;
      write32(packet, this.#question.end + offset, this.fixedTtl);
    }
  }

  /** Completes the reply: header and OPT. */
  #finish(
    packet: Uint8Array,
    at: number,
    length: number,
    high: number,
    low: number,
    counts: number,
  ): number {
    const { end, udpSize, dnssecOk, kind } = this.#question;
    const hasOpt = udpSize >= 0;
    packet[at + 2] = 0x80 | high | ((packet[at + 2] as number) & 0x01);
    packet[at + 3] = low | ((packet[at + 3] as number) & 0x10);
    packet[at + 6] = (counts >>> 8) & 0x03;
    packet[at + 7] = counts & 0xff;
    packet[at + 8] = (counts >>> 18) & 0x03;
    packet[at + 9] = (counts >>> 10) & 0xff;
    const additional = (counts >>> 20) + (hasOpt ? 1 : 0);
    packet[at + 10] = additional >>> 8;
    packet[at + 11] = additional & 0xff;
    const counters = this.#counters;
    counters[Slot.type + kind] = (counters[Slot.type + kind] as number) + 1;
    const rcodeSlot = Slot.rcode + (low & 0x0f);
    counters[rcodeSlot] = (counters[rcodeSlot] as number) + 1;
    if (high & TC) counters[Single.truncated] = (counters[Single.truncated] as number) + 1;
    const opt = hasOpt ? this.#writeOpt(packet, end + length, dnssecOk) : 0;
    return end - at + length + opt;
  }

  #writeOpt(packet: Uint8Array, to: number, dnssecOk: boolean): number {
    const { opt } = this;
    for (let i = 0; i < opt.length; i++) packet[to + i] = opt[i] as number;
    const counters = this.#counters;
    if (dnssecOk) {
      packet[to + DO_OFFSET] = this.#question.compactOk ? DO_IN_OCTET | CO_IN_OCTET : DO_IN_OCTET;
      counters[Single.dnssecOk] = (counters[Single.dnssecOk] as number) + 1;
    }
    counters[Single.edns] = (counters[Single.edns] as number) + 1;
    this.#options.write(packet, to, to + opt.length);
    return opt.length + this.#options.length;
  }
}

function subtract32(octets: Uint8Array, at: number, amount: number): void {
  const value =
    ((octets[at] as number) << 24) |
    ((octets[at + 1] as number) << 16) |
    ((octets[at + 2] as number) << 8) |
    (octets[at + 3] as number);
  write32(octets, at, value - amount);
}

function write32(octets: Uint8Array, at: number, value: number): void {
  octets[at] = value >>> 24;
  octets[at + 1] = value >>> 16;
  octets[at + 2] = value >>> 8;
  octets[at + 3] = value;
}
