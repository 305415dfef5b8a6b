/**
 * Fills in the answers of stored wildcards, which are encoded for a name that begins with the probe
 * (`table/layout.ts`, `PROBE_OCTETS`): writes the labels of the question's name in place of the probe, and moves the
 * targets of compression pointers. One object serves one memory.
 */
import { PROBE_OCTETS, SRV_TARGET_OFFSET } from '../table/layout.ts';
import type { QuestionReader } from './question.ts';

export class Template {
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #question: QuestionReader;
  // Of the variant that `begin` has got.
  #inserts = 0;
  #insertCount = 0;
  #pointers = 0;
  #pointerCount = 0;
  /** Octets of the labels that take the place of the probe. */
  #prefixOctets = 0;
  /** How many octets these are longer than the probe. */
  #growth = 0;

  constructor(words: Int32Array, octets: Uint8Array, question: QuestionReader) {
    this.#words = words;
    this.#octets = octets;
    this.#question = question;
  }

  /** Takes the variant whose lists are at `lists`. */
  begin(lists: number, prefixOctets: number): void {
    const counts = this.#words[lists] as number;
    this.#insertCount = counts & 0xffff;
    this.#pointerCount = counts >>> 16;
    this.#inserts = lists + 1;
    this.#pointers = this.#inserts + this.#insertCount;
    this.#prefixOctets = prefixOctets;
    this.#growth = prefixOctets - PROBE_OCTETS;
  }

  /** The length of what the first `octets` of the variant become; also where the octet at that offset comes to be. */
  lengthOf(octets: number): number {
    return octets + this.#insertsBefore(octets) * this.#growth;
  }

  /** Writes what the first `octets` of the variant become to `packet[to]`. */
  write(packet: Uint8Array, to: number, octets: number): void {
    const from = (this.#pointers + this.#pointerCount) * 4;
    const inserts = this.#insertsBefore(octets);
    let read = 0;
    let at = to;
    for (let i = 0; i < inserts; i++) {
      const insert = this.#words[this.#inserts + i] as number;
      at = this.#copy(packet, at, this.#octets, from + read, insert - read);
      add16(packet, at - SRV_TARGET_OFFSET, this.#growth);
      at = this.#copy(packet, at, this.#question.name, 0, this.#prefixOctets);
      read = insert + PROBE_OCTETS;
    }
    this.#copy(packet, at, this.#octets, from + read, octets - read);
    this.#movePointers(packet, to, octets);
  }

  #copy(packet: Uint8Array, to: number, source: Uint8Array, from: number, count: number): number {
    for (let i = 0; i < count; i++) packet[to + i] = source[from + i] as number;
    return to + count;
  }

  #movePointers(packet: Uint8Array, to: number, octets: number): void {
    for (let i = 0; i < this.#pointerCount; i++) {
      const pointer = this.#words[this.#pointers + i] as number;
      const offset = pointer & 0xffff;
      if (offset >= octets) return;
      add16(packet, to + this.lengthOf(offset), this.#growth * (pointer >>> 16));
    }
  }

  #insertsBefore(offset: number): number {
    let count = 0;
    while (count < this.#insertCount && (this.#words[this.#inserts + count] as number) < offset)
      count++;
    return count;
  }
}

function add16(octets: Uint8Array, at: number, amount: number): void {
  const value = (((octets[at] as number) << 8) | (octets[at + 1] as number)) + amount;
  octets[at] = value >>> 8;
  octets[at + 1] = value & 0xff;
}
