/**
 * Limits the replies to one network about one name, so that a flood with forged sources makes the server no reflector
 * (response rate limiting). All threads share one memory, since the kernel distributes a client's packets among them.
 *
 * The memory is a count-min sketch: a class of replies, which is a network and what the reply is about, has one word in
 * each of four rows, and shares it with others. A word is the time at which the bucket is full again (a token bucket in
 * the form of GCRA). A class counts by the earliest of its words, so it meets the limit of others only if all four of
 * its words are theirs. Threads may overwrite each other's words: then a few replies too many are sent.
 */

import { AddressRanges } from '../sockets/addressRanges.ts';
import type { RateLimit } from '../sockets/clientPolicy.ts';
import { ipv4At, Sockaddr } from '../sockets/layout.ts';

/** What becomes of a reply. */
export const Admission = { SEND: 0, SLIP: 1, DROP: 2 } as const;

const ROWS = 4;
const ROW_WORDS = 65_536;
/** Before the rows: the seed. */
const ROWS_AT = 16;
const WORD = Int32Array.BYTES_PER_ELEMENT;

/** Units of the words' time: the 32 bits of a word hold 68 minutes. */
const UNITS_PER_SECOND = 2 ** 20;
/** A bucket takes the replies of a second at once. */
const DEPTH = UNITS_PER_SECOND;

/** The part of a class that says what a reply is about, where it is about no name that exists. */
export const ERRORS = 0x5bd1e995;

/** `seed` is random, so that no client can choose classes that share their words with another's. */
export function newRateMemory(seed: number): SharedArrayBuffer {
  const memory = new SharedArrayBuffer((ROWS_AT + ROWS * ROW_WORDS) * WORD);
  new Int32Array(memory)[0] = seed;
  return memory;
}

export class RateLimiter {
  readonly #words: Int32Array;
  readonly #seed: number;
  readonly #intervalUnits: number;
  readonly #slip: number;
  readonly #exempt: AddressRanges;
  readonly #masks: { readonly ipv4: Int32Array; readonly ipv6: Int32Array };
  #now = 0;
  #network = 0;
  #isExempt = true;
  #random: number;

  constructor({ perSecond, slip, ipv4Bits, ipv6Bits, exempt, memory }: RateLimit) {
    this.#words = new Int32Array(memory);
    this.#seed = this.#words[0] as number;
    this.#random = this.#seed | 1;
    this.#intervalUnits = Math.floor(UNITS_PER_SECOND / perSecond);
    this.#slip = slip;
    this.#exempt = new AddressRanges(exempt);
    this.#masks = { ipv4: maskWords(ipv4Bits, 4), ipv6: maskWords(ipv6Bits, 16) };
  }

  /** `nowMs`: one clock for all threads. Call it for each batch. */
  setTime(nowMs: number): void {
    this.#now = Math.floor((nowMs * UNITS_PER_SECOND) / 1000) | 0;
  }

  /** Sets the client to the struct sockaddr at octet `at` (a multiple of four) of the words' memory. */
  setClient(words: Int32Array, at: number): void {
    this.#isExempt = this.#exempt.has(words, at);
    if (this.#isExempt) return;
    const address = ipv4At(words, at / WORD);
    const mask = address < 0 ? this.#masks.ipv6 : this.#masks.ipv4;
    const from = address < 0 ? at / WORD + Sockaddr.ADDRESS6 / WORD : address;
    let network = this.#seed;
    for (let i = 0; i < mask.length; i++)
      network = mixed(network ^ ((words[from + i] as number) & (mask[i] as number)));
    this.#network = network;
  }

  /** Counts a reply to the client about `subject`, a hash of a name or `ERRORS`, and decides about it. */
  admit(subject: number): number {
    if (this.#isExempt || this.#take(mixed(this.#network ^ subject))) return Admission.SEND;
    if (this.#slip === 0) return Admission.DROP;
    return this.#nextRandom() % this.#slip === 0 ? Admission.SLIP : Admission.DROP;
  }

  /** Takes one reply out of the class's bucket; false if the bucket is empty. */
  #take(hash: number): boolean {
    const words = this.#words;
    const step = mixed(hash ^ 0x27d4eb2f) | 1;
    let least = DEPTH;
    for (let row = 0; row < ROWS; row++) {
      const at = wordAt(row, hash, step);
      least = Math.min(least, this.#aheadOf(words[at] as number));
    }
    const ahead = least + this.#intervalUnits;
    if (ahead > DEPTH) return false;
    for (let row = 0; row < ROWS; row++) {
      const at = wordAt(row, hash, step);
      // Not lower, because others share the word.
      if (this.#aheadOf(words[at] as number) < ahead) words[at] = (this.#now + ahead) | 0;
    }
    return true;
  }

  /** How far ahead of now the word's time is; 0 for a time in the past, which after half an hour looks like the future. */
  #aheadOf(word: number): number {
    const ahead = (word - this.#now) | 0;
    return ahead < 0 || ahead > DEPTH ? 0 : ahead;
  }

  /** xorshift32 (Marsaglia, 2003). */
  #nextRandom(): number {
    let x = this.#random;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#random = x;
    return x >>> 0;
  }
}

function wordAt(row: number, hash: number, step: number): number {
  return ROWS_AT + row * ROW_WORDS + ((hash + Math.imul(row, step)) >>> 16);
}

/** The finalizer of MurmurHash3. */
function mixed(hash: number): number {
  let mix = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  mix = Math.imul(mix ^ (mix >>> 13), 0xc2b2ae35);
  return mix ^ (mix >>> 16);
}

/** The mask of `bits` bits, in words in the order of memory. */
function maskWords(bits: number, octets: number): Int32Array {
  const mask = Uint8Array.from({ length: octets }, (_, i) => {
    return 0xff00 >> Math.max(0, Math.min(8, bits - 8 * i));
  });
  return new Int32Array(mask.buffer);
}
