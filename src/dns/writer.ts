/**
 * Writing a message's octets from left to right into one buffer that all messages share, since encoding never waits.
 *
 * Octets beyond the buffer's end are dropped but counted, so whoever writes compares `at` with its limit afterwards and
 * rolls back. Values that have no octets (a label of 64, a port of 70000) throw RangeError: the caller's own mistake.
 */
import { CompressionTable } from './compression.ts';
import { type Label, MAX_LABEL_OCTETS, MAX_NAME_OCTETS, type Name, nameOctets } from './name.ts';

/** The most that a DNS message can be, by TCP's length field (RFC 1035 §4.2.2). */
export const MAX_MESSAGE_OCTETS = 65535;

export class Writer {
  readonly #octets = new Uint8Array(MAX_MESSAGE_OCTETS);
  readonly #names = new CompressionTable(this.#octets);
  /** Octets written so far. */
  at = 0;

  /** Starts a message, `at` octets into it. */
  restart(at: number): void {
    this.#names.forgetFrom(0);
    this.#names.foldBelow(0);
    this.at = at;
  }

  /** What was written so far is the question: later names point at it whatever its case (RFC 4343 §4.1). */
  endQuestion(): void {
    this.#names.foldBelow(this.at);
  }

  /** Takes back everything from offset `at` on, names that could have been pointed at included. */
  rollBack(at: number): void {
    this.#names.forgetFrom(at);
    this.at = at;
  }

  /** A copy of the message so far; from Buffer's pool, which costs a fifth of an array of its own. */
  finish(): Uint8Array {
    const message = Buffer.allocUnsafe(this.at);
    message.set(this.#octets.subarray(0, this.at));
    return message;
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

  /** A <character-string> (RFC 1035 §3.3). */
  characterString(text: string): void {
    if (text.length > 255) throw new RangeError(`string of ${text.length} octets`);
    this.#string(text);
  }

  /** A name, as short as a pointer to what the message holds already can make it. */
  name(name: Name): void {
    this.#name(name, true);
  }

  /** A name in full, which later names may still point at. */
  plainName(name: Name): void {
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

  /** Makes the first `fresh` labels of a name written at `start` known, from the right-most on: each needs its suffix. */
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
