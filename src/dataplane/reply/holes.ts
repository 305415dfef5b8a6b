/**
 * The domains inside our zones whose questions go to other servers: the table has no name in them, and does not deny
 * one. They are in the block of the negative replies (`negatives.ts`), as a hash table, so that a thousand of them cost
 * a question as much as one:
 *
 *     mask, address of each domain or 0, relative to the block (open addressing, linear probing)
 *     domain: octets, the folded name in wire form (padded)
 *
 * The hash of a name takes its labels from the last to the first, so one pass over a question's name has the hashes of
 * all names above it.
 */
import { wordsFor } from '../table/layout.ts';
import type { QuestionReader } from './question.ts';

/** The most labels of a name, with the root's. */
const MAX_LABELS = 128;

/** Packs folded names in wire form; `at` is the section's address in the block. Empty without names. */
export function packHoles(names: readonly Uint8Array[], at: number): Int32Array {
  if (names.length === 0) return new Int32Array(0);
  const slots = 2 ** Math.ceil(Math.log2(2 * names.length));
  const size = names.reduce((sum, name) => sum + 1 + wordsFor(name.length), 1 + slots);
  const words = new Int32Array(size);
  const octets = new Uint8Array(words.buffer);
  const mask = slots - 1;
  words[0] = mask;
  let next = 1 + slots;
  for (const name of names) {
    let slot = hashOfLabels(name) & mask;
    while (words[1 + slot] !== 0) slot = (slot + 1) & mask;
    words[1 + slot] = at + next;
    words[next] = name.length;
    octets.set(name, (next + 1) * 4);
    next += 1 + wordsFor(name.length);
  }
  return words;
}

function hashOfLabels(name: Uint8Array): number {
  const starts: number[] = [];
  for (let at = 0; name[at] !== 0; at += 1 + (name[at] as number)) starts.push(at);
  return starts.reduceRight((hash, start) => labelStep(hash, name, start), 0);
}

/** One label of a name. */
function labelStep(hash: number, name: Uint8Array, start: number): number {
  let next = hash;
  const end = start + 1 + (name[start] as number);
  for (let at = start; at < end; at++) next = Math.imul(next ^ (name[at] as number), 0x01000193);
  return next ^ (next >>> 15);
}

/** The readers' side. */
export class Holes {
  readonly #words: Int32Array;
  readonly #octets: Uint8Array;
  readonly #question: QuestionReader;
  readonly #starts = new Uint8Array(MAX_LABELS);

  constructor(words: Int32Array, octets: Uint8Array, question: QuestionReader) {
    this.#words = words;
    this.#octets = octets;
    this.#question = question;
  }

  /**
   * Octets of the longest domain that the question's name is in; 0 if it is in none. `section` is the section's address
   * in the memory.
   */
  longest(block: number, section: number): number {
    const { name, nameOctets } = this.#question;
    const starts = this.#starts;
    let labels = 0;
    for (let at = 0; name[at] !== 0; at += 1 + (name[at] as number)) starts[labels++] = at;
    let longest = 0;
    let hash = 0;
    while (labels > 0) {
      const start = starts[--labels] as number;
      hash = labelStep(hash, name, start);
      if (this.#has(block, section, hash, start)) longest = nameOctets - start;
    }
    return longest;
  }

  #has(block: number, section: number, hash: number, start: number): boolean {
    const words = this.#words;
    const mask = words[section] as number;
    let slot = hash & mask;
    for (;;) {
      const address = words[section + 1 + slot] as number;
      if (address === 0) return false;
      if (this.#isNameAt(block + address, start)) return true;
      slot = (slot + 1) & mask;
    }
  }

  #isNameAt(domain: number, start: number): boolean {
    const { name, nameOctets } = this.#question;
    const length = this.#words[domain] as number;
    if (length !== nameOctets - start) return false;
    const from = (domain + 1) * 4;
    for (let i = 0; i < length; i++) if (this.#octets[from + i] !== name[start + i]) return false;
    return true;
  }
}
