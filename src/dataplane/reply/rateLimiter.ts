/**
 * Limits the replies to one network about one name, so that a flood with forged sources makes the server no reflector
 * (response rate limiting). All threads share one memory, since the kernel distributes a client's packets among them.
 *
 * The memory is a count-min sketch: a class of replies, which is a network and what the reply is about, has one word in
 * each of four rows, and shares it with others. A word is the time at which the bucket is full again (a token bucket in
 * the form of GCRA). A class counts by the earliest of its words, so it meets the limit of others only if all four of
 * its words are theirs. Threads may overwrite each other's words: then a few replies too many are sent.
 *
 * The memory is larger than the processor's nearest caches, and a query for a class that is not in them waits for each
 * cache line. So two rows share their lines: a class has two words in one line, and two in another.
 */

import { AddressRanges } from '../sockets/addressRanges.ts';
import type { RateLimit } from '../sockets/clientPolicy.ts';
import { ipv4At, Sockaddr } from '../sockets/layout.ts';

/** What becomes of a reply. */
export const Admission = { SEND: 0, SLIP: 1, DROP: 2 } as const;

/** Two rows of 65,536 words, in lines of 16 words: the first half of a line is of one row, the other of the other. */
const PAIR_WORDS = 2 * 65_536;
const LINE_SHIFT = 32 - 13;
const LINE_WORDS = 16;
const ROW_WORDS = LINE_WORDS / 2;
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
  const memory = new SharedArrayBuffer((ROWS_AT + 2 * PAIR_WORDS) * WORD);
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
    const other = mixed(hash ^ 0x27d4eb2f);
    const first = firstAt(0, hash);
    const second = secondAt(0, hash);
    const third = firstAt(PAIR_WORDS, other);
    const fourth = secondAt(PAIR_WORDS, other);
    const least = Math.min(
      this.#aheadAt(first),
      this.#aheadAt(second),
      this.#aheadAt(third),
      this.#aheadAt(fourth),
    );
    const ahead = least + this.#intervalUnits;
    if (ahead > DEPTH) return false;
    this.#raise(first, ahead);
    this.#raise(second, ahead);
    this.#raise(third, ahead);
    this.#raise(fourth, ahead);
    return true;
  }

  /** Not lower, because others share the word. */
  #raise(at: number, ahead: number): void {
    if (this.#aheadAt(at) < ahead) this.#words[at] = (this.#now + ahead) | 0;
  }

  /** How far ahead of now the word's time is; 0 for a time in the past, which after half an hour looks like the future. */
  #aheadAt(at: number): number {
    const ahead = ((this.#words[at] as number) - this.#now) | 0;
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

/** The class's words in one pair of rows: the upper bits of the hash choose the line, and the next ones the words. */
function firstAt(pair: number, hash: number): number {
  return ROWS_AT + pair + (hash >>> LINE_SHIFT) * LINE_WORDS + ((hash >>> 16) & (ROW_WORDS - 1));
}

function secondAt(pair: number, hash: number): number {
  const line = ROWS_AT + pair + (hash >>> LINE_SHIFT) * LINE_WORDS;
  return line + ROW_WORDS + ((hash >>> 13) & (ROW_WORDS - 1));
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
