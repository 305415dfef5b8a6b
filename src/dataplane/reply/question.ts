/**
 * Reads the question of a packet for the answer table. It rejects every unusual packet, such as one with a signature
 * (TSIG); `dns/accept` then reads that packet on the main thread. A packet that it accepts has the same meaning for
 * `dns/accept`.
 */
import { OptionCode } from '../../dns/edns.ts';
import { MAX_LABEL_OCTETS, MAX_NAME_OCTETS } from '../../dns/name.ts';
import { Class, Type } from '../../dns/rr.ts';
import { HEADER_OCTETS, MIN_RR_OCTETS } from '../../dns/wire.ts';
import { NO_KIND, readerKindOf } from '../table/answerKinds.ts';
import { finishHash, hashStep } from '../table/layout.ts';
import { NameBuffer } from './nameFinder.ts';

/** Reads a packet's question into its own fields. One object serves all packets. */
export class QuestionReader {
  readonly #buffer = new NameBuffer();
  /** The folded name in wire form, padded with zeros to whole words. */
  readonly name: Uint8Array = this.#buffer.octets;
  readonly nameWords: Int32Array = this.#buffer.words;
  nameOctets = 0;
  hash = 0;
  kind = 0;
  qtype = 0;
  /** Offset after the question. */
  end = 0;
  /** Octets that the client can receive, from OPT; -1 without OPT. */
  udpSize = -1;
  dnssecOk = false;
  /** CO (RFC 9824 §5.1). */
  compactOk = false;
  /** The options in OPT: the bits `optionBit` of their codes. */
  options = 0;
  /** Where the data of the first cookie begins, if `options` has one, and its octets. */
  cookieAt = 0;
  cookieOctets = 0;
  /** The name has a label `*` or `any`. */
  isWildcard = false;
  /** The name has a label `any`. */
  hasAny = false;
  /** Of the names' hashes. */
  readonly seed: number;

  constructor(seed: number) {
    this.seed = seed;
  }

  /**
   * Reads the query of `length` octets (at least a header) at `octets[at]`; false if the table does not answer such a
   * question.
   */
  read(octets: Uint8Array, at: number, length: number): boolean {
    const end = at + length;
    const additional = octets[at + 11] as number;
    this.isWildcard = false;
    this.hasAny = false;
    if (!isPlainHeader(octets, at) || additional > 1) return false;
    const nameEnd = this.#readName(octets, at + HEADER_OCTETS, end);
    if (nameEnd < 0 || nameEnd + 4 > end) return false;
    const qtype = ((octets[nameEnd] as number) << 8) | (octets[nameEnd + 1] as number);
    const qclass = ((octets[nameEnd + 2] as number) << 8) | (octets[nameEnd + 3] as number);
    this.qtype = qtype;
    this.kind = readerKindOf(qtype);
    this.end = nameEnd + 4;
    if (qclass !== Class.IN || this.kind === NO_KIND) return false;
    this.udpSize = -1;
    this.dnssecOk = false;
    this.compactOk = false;
    this.options = 0;
    return additional === 0 ? this.end === end : this.#readOpt(octets, this.end, end);
  }

  /** Reads the name at `at` into this object; returns the offset after the name, or -1. */
  #readName(octets: Uint8Array, at: number, end: number): number {
    const { name } = this;
    let hash = this.seed;
    let n = 0;
    let p = at;
    while (p < end) {
      const length = octets[p++] as number;
      // The root label's octet follows this label, unless this is the root label.
      const total = length === 0 ? n + 1 : n + length + 2;
      if (length > MAX_LABEL_OCTETS || total > MAX_NAME_OCTETS) return -1;
      name[n++] = length;
      hash = hashStep(hash, length);
      if (length === 0) return this.#endName(n, hash, p);
      const labelEnd = p + length;
      if (labelEnd >= end) return -1;
      while (p < labelEnd) {
        let octet = octets[p++] as number;
        if (octet >= 0x41 && octet <= 0x5a) octet += 0x20;
        name[n++] = octet;
        hash = hashStep(hash, octet);
      }
      if ((length === 1 || length === 3) && isWildcardLabel(name, n, length)) {
        this.isWildcard = true;
        if (length === 3) this.hasAny = true;
      }
    }
    return -1;
  }

  #endName(nameOctets: number, hash: number, end: number): number {
    const { name } = this;
    name[nameOctets] = 0;
    name[nameOctets + 1] = 0;
    name[nameOctets + 2] = 0;
    this.nameOctets = nameOctets;
    this.hash = finishHash(hash);
    return end;
  }

  /** Accepts one OPT of version 0 with valid options (RFC 6891 §6.1.2), and nothing after it. */
  #readOpt(octets: Uint8Array, at: number, end: number): boolean {
    if (at + MIN_RR_OCTETS > end) return false;
    const isOpt = octets[at] === 0 && octets[at + 1] === 0 && octets[at + 2] === Type.OPT;
    if (!isOpt || octets[at + 6] !== 0) return false;
    this.udpSize = ((octets[at + 3] as number) << 8) | (octets[at + 4] as number);
    const flags = octets[at + 7] as number;
    this.dnssecOk = (flags & 0x80) !== 0;
    this.compactOk = (flags & 0x40) !== 0;
    let option = at + MIN_RR_OCTETS;
    if (option + (((octets[at + 9] as number) << 8) | (octets[at + 10] as number)) !== end) {
      return false;
    }
    while (option + 4 <= end) {
      const length = ((octets[option + 2] as number) << 8) | (octets[option + 3] as number);
      const isKnown = octets[option] === 0 && (octets[option + 1] as number) < KNOWN_CODES;
      if (isKnown) this.#noteOption(octets[option + 1] as number, option + 4, length);
      option += 4 + length;
    }
    return option === end;
  }

  #noteOption(code: number, dataAt: number, length: number): void {
    const bit = optionBit(code);
    if (code === OptionCode.COOKIE && (this.options & bit) === 0) {
      this.cookieAt = dataAt;
      this.cookieOctets = length;
    }
    this.options |= bit;
  }
}

/** Options with lower codes have a bit in `QuestionReader.options`. */
const KNOWN_CODES = 31;

/** The bit of an option's code, which is below `KNOWN_CODES`. */
export function optionBit(code: number): number {
  return 1 << code;
}

/** Opcode QUERY, one question, no answer or authority records, fewer than 256 additional records. */
function isPlainHeader(octets: Uint8Array, at: number): boolean {
  const opcode = (octets[at + 2] as number) & 0x78;
  const unwanted =
    opcode |
    (octets[at + 4] as number) |
    (octets[at + 6] as number) |
    (octets[at + 7] as number) |
    (octets[at + 8] as number) |
    (octets[at + 9] as number) |
    (octets[at + 10] as number);
  return unwanted === 0 && octets[at + 5] === 1;
}

/** Whether the label of 1 or 3 octets that ends at `n` is `*` or `any`. */
function isWildcardLabel(name: Uint8Array, n: number, length: number): boolean {
  if (length === 1) return name[n - 1] === 0x2a;
  return name[n - 3] === 0x61 && name[n - 2] === 0x6e && name[n - 1] === 0x79;
}

/** RD is set and CD is not: we may ask other servers (RFC 1034 §4.3.1), which may validate (RFC 4035 §3.2.2). */
export function wantsRecursion(octets: Uint8Array, at: number): boolean {
  return ((octets[at + 2] as number) & 0x01) === 1 && ((octets[at + 3] as number) & 0x10) === 0;
}
