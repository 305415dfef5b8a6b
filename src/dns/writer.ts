/**
 * Writes a message's octets from left to right into one buffer that all messages share, since encoding never waits, and
 * compresses its names.
 *
 * Octets beyond the buffer's end are dropped but counted: the caller compares `at` with its limit afterwards and rolls
 * back. A value that cannot be encoded (a label of 64 octets, a port of 70000) throws RangeError: it is the caller's
 * fault.
 */
import {
  foldOctet,
  type Label,
  MAX_LABEL_OCTETS,
  MAX_NAME_OCTETS,
  type Name,
  nameOctets,
} from './name.ts';
import { MAX_MESSAGE_OCTETS } from './wire.ts';

export class MessageWriter {
  readonly #octets = Buffer.alloc(MAX_MESSAGE_OCTETS);
  readonly #names = new CompressionTable(this.#octets);
  /** Octets written so far. */
  at = 0;

  /** Starts a message; the first write goes to offset `at`. */
  restart(at: number): void {
    this.#names.forgetFrom(0);
    this.#names.foldBelow(0);
    this.at = at;
  }

  /** Ends the question: later names may point into it even if their case differs (RFC 4343 §4.1). */
  endQuestion(): void {
    this.#names.foldBelow(this.at);
  }

  /** Removes everything from offset `at` on, including the names there that later names could point at. */
  rollBack(at: number): void {
    this.#names.forgetFrom(at);
    this.at = at;
  }

  /** A copy of the message from offset `start` on; from Buffer's pool, which costs a fifth of a new array. */
  finish(start = 0): Uint8Array {
    const message = Buffer.allocUnsafe(this.at - start);
    message.set(this.#octets.subarray(start, this.at));
    return message;
  }

  /** What was written from offset `start` on, as an octet string. */
  octetString(start: number): string {
    return this.#octets.toString('latin1', start, this.at);
  }

  u8(value: number): void {
    if (value >>> 8 !== 0) throw outOfRange(value, 8);
    this.#octets[this.at++] = value;
  }

  u16(value: number): void {
    this.put16(this.at, value);
    this.at += 2;
  }

  u32(value: number): void {
    if (value >>> 0 !== value) throw outOfRange(value, 32);
    this.put16(this.at, value >>> 16);
    this.put16(this.at + 2, value & 0xffff);
    this.at += 4;
  }

  /** Overwrites 16 bits at an offset. */
  put16(at: number, value: number): void {
    if ((value & 0xffff) !== value) throw outOfRange(value, 16);
    this.#octets[at] = value >>> 8;
    this.#octets[at + 1] = value;
  }

  raw(octets: Uint8Array): void {
    if (this.at + octets.length <= MAX_MESSAGE_OCTETS) this.#octets.set(octets, this.at);
    this.at += octets.length;
  }

  /** A part of an octet string. */
  octets(text: string, start: number, end: number): void {
    const octets = this.#octets;
    let at = this.at;
    for (let i = start; i < end; i++) octets[at++] = text.charCodeAt(i);
    this.at = at;
  }

  /** A <character-string> (RFC 1035 §3.3). */
  characterString(text: string): void {
    if (text.length > 255) throw new RangeError(`string of ${text.length} octets`);
    this.#string(text);
  }

  /** A name, compressed as far as earlier names of the message allow. */
  name(name: Name): void {
    this.#name(name, true);
  }

  /** A name without compression; later names may point at it. */
  uncompressedName(name: Name): void {
    this.#name(name, false);
  }

  #name(name: Name, isCompressed: boolean): void {
    if (nameOctets(name) > MAX_NAME_OCTETS) throw new RangeError('name of more than 255 octets');
    let fresh = name.length;
    let suffix = 0;
    while (fresh > 0) {
      const offset = this.#names.find(name[fresh - 1] as Label, suffix);
      if (offset === 0) break;
      suffix = offset;
      fresh--;
    }
    const start = this.at;
    const written = isCompressed ? fresh : name.length;
    for (let i = 0; i < written; i++) this.#label(name[i] as Label);
    if (isCompressed && suffix !== 0) this.u16(0xc000 | suffix);
    else this.u8(0);
    this.#remember(name, fresh, start, suffix);
  }

  #label(label: Label): void {
    if (label.length === 0 || label.length > MAX_LABEL_OCTETS)
      throw new RangeError(`label of ${label.length} octets`);
    this.#string(label);
  }

  #string(text: string): void {
    const octets = this.#octets;
    let at = this.at;
    let bits = 0;
    octets[at++] = text.length;
    for (let i = 0; i < text.length; i++) {
      const code = text.charCodeAt(i);
      bits |= code;
      octets[at++] = code;
    }
    if (bits > 0xff) throw new RangeError('characters that are no octets');
    this.at = at;
  }

  /**
   * Adds the first `fresh` labels of a name written at `start` to the table, from right to left: each needs its suffix.
   */
  #remember(name: Name, fresh: number, start: number, suffix: number): void {
    let offset = start;
    for (let i = 0; i < fresh; i++) offset += 1 + (name[i] as Label).length;
    let parent = suffix;
    for (let i = fresh - 1; i >= 0; i--) {
      const label = name[i] as Label;
      offset -= 1 + label.length;
      if (!this.#names.add(label, parent, offset)) return;
      parent = offset;
    }
  }
}

function outOfRange(value: number, bits: number): RangeError {
  return new RangeError(`${value} does not fit ${bits} bits`);
}

/** A pointer has 14 bits: it reaches no name at this offset or behind it. */
export const MAX_OFFSET = 0x4000;
const SLOTS = 16384;

/** After this many collisions a name stays uncompressed, so that chosen names cannot make the table slow. */
const MAX_PROBES = 8;

/**
 * The names of the message being written and their offsets (RFC 1035 §4.1.4).
 *
 * A trie over labels from the root down, kept as one hash table of (label, offset of the name to its right) → offset,
 * so the cost of a name does not depend on the number of names. Labels must match octet for octet, so that a pointer
 * never changes a name's case. Labels of the question match in any case: clients send it in random case (0x20), which
 * must not change how the rest of the reply is compressed. Entries are removed in the reverse of the order in which
 * they were added; truncation needs that, and it keeps linear probing correct without tombstones.
 */
export class CompressionTable {
  readonly #octets: Uint8Array;
  /** Offset of the label; 0 for a free slot, since no name begins at 0. */
  readonly #offsets = new Uint16Array(SLOTS);
  /** Offset of the name that follows the label, 0 for the root. */
  readonly #parents = new Uint16Array(SLOTS);
  /** Slots in use, the oldest first. A label takes at least two octets, so there are half as many slots as offsets. */
  readonly #used = new Uint16Array(MAX_OFFSET / 2);
  #count = 0;
  /** Names at lower offsets belong to the question. */
  #questionEnd = 0;

  /** The table reads labels back from the octets of the message. */
  constructor(octets: Uint8Array) {
    this.#octets = octets;
  }

  /**
   * The offset of the name `label`.`parent`, 0 if the table does not have it; `parent` is the offset of a name found
   * before, or 0 for the root.
   */
  find(label: Label, parent: number): number {
    let slot = slotOf(label, parent);
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      const offset = this.#offsets[slot] as number;
      if (offset === 0) return 0;
      if (this.#parents[slot] === parent && this.#isLabelAt(offset, label)) return offset;
      slot = (slot + 1) % SLOTS;
    }
    return 0;
  }

  /** Adds the name `label`.`parent`, which `find` did not find; false if no pointer can reach `offset`. */
  add(label: Label, parent: number, offset: number): boolean {
    if (offset >= MAX_OFFSET) return false;
    let slot = slotOf(label, parent);
    for (let probes = 0; probes < MAX_PROBES; probes++) {
      if (this.#offsets[slot] === 0) {
        this.#offsets[slot] = offset;
        this.#parents[slot] = parent;
        this.#used[this.#count++] = slot;
        return true;
      }
      slot = (slot + 1) % SLOTS;
    }
    return false;
  }

  /** From now on names below `offset` match in any case. */
  foldBelow(offset: number): void {
    this.#questionEnd = offset;
  }

  /** Removes the names from `offset` on. */
  forgetFrom(offset: number): void {
    while (this.#count > 0) {
      const slot = this.#used[this.#count - 1] as number;
      if ((this.#offsets[slot] as number) < offset) return;
      this.#offsets[slot] = 0;
      this.#count--;
    }
  }

  #isLabelAt(offset: number, label: Label): boolean {
    const octets = this.#octets;
    if (octets[offset] !== label.length) return false;
    const folds = offset < this.#questionEnd;
    for (let i = 0; i < label.length; i++) {
      const there = octets[offset + 1 + i] as number;
      const here = label.charCodeAt(i);
      if (there !== here && !(folds && foldOctet(there) === foldOctet(here))) return false;
    }
    return true;
  }
}

function slotOf(label: Label, parent: number): number {
  let hash = parent ^ 0x811c9dc5;
  for (let i = 0; i < label.length; i++) {
    hash = Math.imul(hash ^ foldOctet(label.charCodeAt(i)), 0x01000193);
  }
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
