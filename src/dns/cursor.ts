/**
 * Reads a packet's octets from left to right, for `accept` and `decode`.
 *
 * Failure is sticky: a read beyond `end` or a name that breaks a rule sets `failed`, and all later reads return zeros.
 * So a parser reads straight through and checks once. The work for names is bounded per packet, since pointers that
 * loop, point forward or are shared a thousand times can stall a DNS parser (RFC 9267 §2).
 */
import { type Label, MAX_LABEL_OCTETS, MAX_NAME_OCTETS, type Name, ROOT } from './name.ts';
import { HEADER_OCTETS } from './wire.ts';

/** A name has at most 127 labels, so more pointers cannot have come from compression. */
const MAX_POINTERS = 127;

/**
 * The most work for all names of one packet: a millisecond or two. One unit is the copy of a label that was read
 * before; reading a label or following a pointer costs `READ_WORK` units. A message of 64 KB whose names all end in the
 * same 30 labels stays below.
 */
const WORK_BUDGET = 200_000;
const READ_WORK = 4;

const POINTER = 0xc0;

export class Cursor {
  readonly octets: Uint8Array;
  at: number;
  /** Reads stop here: the packet's end, or the end of the rdata being read. */
  end: number;
  failed = false;
  #work = WORK_BUDGET;
  /** Octets of the name being read, without its final zero. */
  #nameOctets = 0;
  /** The names that earlier pointers led to, by offset. */
  #pointedAt: Map<number, Name> | undefined;

  constructor(octets: Uint8Array, at = 0) {
    this.octets = octets;
    this.at = at;
    this.end = octets.length;
  }

  fail(): void {
    this.failed = true;
    this.at = this.end;
  }

  u8(): number {
    return this.#take(1) ? (this.octets[this.at - 1] as number) : 0;
  }

  u16(): number {
    if (!this.#take(2)) return 0;
    const { octets, at } = this;
    return ((octets[at - 2] as number) << 8) | (octets[at - 1] as number);
  }

  u32(): number {
    const high = this.u16();
    return high * 0x10000 + this.u16();
  }

  /** A copy of the next `length` octets. */
  copy(length: number): Uint8Array {
    if (!this.#take(length)) return new Uint8Array(0);
    // Not `slice`, which on a Buffer is a view of octets that the next packet overwrites.
    return new Uint8Array(this.octets.subarray(this.at - length, this.at));
  }

  skip(length: number): void {
    this.#take(length);
  }

  /** The next `length` octets as an octet string. */
  string(length: number): string {
    return this.#take(length) ? octetString(this.octets, this.at - length, this.at) : '';
  }

  /** A <character-string> (RFC 1035 §3.3) as an octet string. */
  characterString(): string {
    return this.string(this.u8());
  }

  /** A name as its uncompressed octets. They cost work again, since a pointer of two octets can stand for 255. */
  uncompressedName(): string {
    const name = this.name();
    this.#spend(READ_WORK * name.length);
    if (this.failed) return '';
    let octets = '';
    for (const label of name) octets += String.fromCharCode(label.length) + label;
    return `${octets}\0`;
  }

  /** A name, decompressed (RFC 1035 §4.1.4). */
  name(): Name {
    if (this.at < this.end && this.octets[this.at] === 0) {
      this.at++;
      return ROOT;
    }
    const labels: Label[] = [];
    const start = this.at;
    this.#nameOctets = 0;
    const stop = this.#readLabels(start, this.end, labels);
    const isPointer = !this.failed && this.octets[stop] !== 0;
    this.at = stop;
    this.#take(isPointer ? 2 : 1);
    if (isPointer && !this.failed) return this.#followed(labels, start, stop);
    return this.failed ? ROOT : labels;
  }

  /** The name that begins with `labels`, read from `start`, and continues where the pointer at `pointer` leads. */
  #followed(labels: Label[], start: number, pointer: number): Name {
    const ownLabels = labels.length;
    const target = this.#target(pointer, start);
    const known = this.#pointedAt?.get(target);
    if (known !== undefined) return this.#joined(labels, known);
    this.#readSegments(target, labels);
    if (this.failed) return ROOT;
    this.#pointedAt ??= new Map();
    this.#pointedAt.set(target, ownLabels === 0 ? labels : labels.slice(ownLabels));
    return labels;
  }

  #joined(labels: Label[], suffix: Name): Name {
    if (labels.length === 0) {
      this.#spend(1);
      return suffix;
    }
    this.#spend(suffix.length);
    for (const label of suffix) {
      labels.push(label);
      this.#nameOctets += 1 + label.length;
    }
    if (this.#nameOctets >= MAX_NAME_OCTETS) this.fail();
    return this.failed ? ROOT : labels;
  }

  /** Reads labels from `at` to the root, through any pointers. */
  #readSegments(at: number, labels: Label[]): void {
    let segment = at;
    for (let pointers = 1; !this.failed; pointers++) {
      const stop = this.#readLabels(segment, this.octets.length, labels);
      if (this.failed || this.octets[stop] === 0) return;
      if (pointers === MAX_POINTERS) this.fail();
      segment = this.#target(stop, segment);
    }
  }

  /**
   * The offset that the pointer at `at` leads to. It must lie before `segment`, where the labels that end in this
   * pointer begin, so every chain of pointers ends.
   */
  #target(at: number, segment: number): number {
    this.#spend(READ_WORK);
    const { octets } = this;
    if (at + 2 > octets.length) this.fail();
    const target = (((octets[at] as number) & 0x3f) << 8) | (octets[at + 1] as number);
    if (target >= segment || target < HEADER_OCTETS) this.fail();
    return target;
  }

  /** Appends the labels from `at` on; returns the offset of the zero octet or the pointer that ends them. */
  #readLabels(at: number, end: number, labels: Label[]): number {
    const { octets } = this;
    while (at < end) {
      const length = octets[at] as number;
      if (length === 0 || length >= POINTER) return at;
      this.#nameOctets += 1 + length;
      // Lengths above 63 include the reserved label types 01 and 10 (RFC 6891 §5 retired the only one in use).
      if (length > MAX_LABEL_OCTETS || this.#nameOctets >= MAX_NAME_OCTETS) break;
      const next = at + 1 + length;
      if (next > end) break;
      labels.push(octetString(octets, at + 1, next));
      this.#work -= READ_WORK;
      at = next;
    }
    this.fail();
    return at;
  }

  #spend(work: number): void {
    this.#work -= work;
    if (this.#work < 0) this.fail();
  }

  #take(length: number): boolean {
    if (this.at + length > this.end) {
      this.fail();
      return false;
    }
    this.at += length;
    return !this.failed;
  }
}

/** Octets as a string of the same char codes. For labels, four octets per call take half the time of one per call. */
function octetString(octets: Uint8Array, start: number, end: number): string {
  let text = '';
  let at = start;
  for (; at + 4 <= end; at += 4) {
    text += String.fromCharCode(
      octets[at] as number,
      octets[at + 1] as number,
      octets[at + 2] as number,
      octets[at + 3] as number,
    );
  }
  for (; at < end; at++) text += String.fromCharCode(octets[at] as number);
  return text;
}
