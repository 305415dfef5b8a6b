/**
 * The answer table's memory: one SharedArrayBuffer, written by the main thread, read by all threads without locks.
 *
 *     control block   one word each: what holds for the whole table; then one word per reading thread
 *     heap            blocks of whole words, each one of
 *       index         mask, then pairs (hash, name record): open addressing, linear probing
 *       name record   length, one word per answer kind, the owner name folded in wire form
 *       answer        how long it holds, then its variants (one for each order of its records)
 *       negatives     what names that are not there get, by the zone they are not in
 *
 * Addresses are indexes of 32-bit words; 0 is none. Invariants on which the readers rest:
 *
 * 1. A block's words change only before its address is stored where readers find it, but for the answer words of a name
 *    record and the record words of an index, which are swapped whole (`Atomics.store`, read by `Atomics.load`).
 * 2. A pair of an index is used once: its hash is written before its record, and a record that goes leaves `GONE`.
 *    So a reader that probes past it never misses another name.
 * 3. An index always has free pairs, at which a probe ends.
 * 4. A block that readers could find is reused only after every thread has passed the end of the batch that it was in
 *    when the block was taken away (`Reclaim`).
 */
import { encodedError, UDP_SIZE, writeOpt } from '../../dns/edns.ts';
import { STALE } from '../../dns/message.ts';
import { MessageWriter } from '../../dns/writer.ts';
import { OTHER_TYPE } from './counters.ts';

/** What a thread needs in order to read a table; can be posted to it. */
export interface TableHandle {
  readonly memory: SharedArrayBuffer;
  /** The most octets of a reply, for clients that can receive them. */
  readonly maxUdpOctets: number;
}

/** Words of the control block. */
export const Control = {
  /** 1: the table may be used; 0: nothing in it is to be believed, not even that a name is missing. */
  ACTIVE: 0,
  /** Answers of another era than this one no longer hold. */
  ERA: 1,
  INDEX: 2,
  NEGATIVES: 3,
  /** 1: replies to questions with OPT say that the data may be stale (RFC 8914 §4.4). */
  STALE: 4,
  /** Names that exist but found no room here; while there are any, no name can be said not to exist. */
  MISSING_NAMES: 5,
  /** Starts at 1 and grows when blocks are taken away. */
  EPOCH: 6,
  /** Seed of the names' hashes. */
  SEED: 7,
  /** Questions a second that each thread leaves to the main thread whatever the table holds, to be logged there. */
  LOGGED: 8,
  /** For each thread the epoch in which its batch began, 0 between batches. */
  READERS: 16,
} as const;

export const MAX_THREADS = 240;
export const HEAP_START: number = Control.READERS + MAX_THREADS;

export const INDEX_HEAD_WORDS = 2;
/** In place of a record that is no longer there. */
export const GONE = -1;

/** Answer kinds: a word of the name record for each type of `COUNTED_TYPES`, and one for all other types. */
export const KINDS: number = OTHER_TYPE + 1;
export const RECORD_HEAD_WORDS: number = 1 + KINDS;

/** Words of an answer, before its variants. */
export const AnswerField = {
  /** The second (of the main thread's monotonic clock) from which on it no longer holds. */
  UNTIL: 0,
  /** The second for which its TTLs are right. */
  TTLS_AT: 1,
  ERA: 2,
  /** `answerHead`. */
  HEAD: 3,
  /** Variants follow; where there are several, first the address of each, relative to the answer. */
  VARIANTS: 4,
} as const;

/** Holds for ever, as far as time goes. */
export const FOREVER = 0x7fffffff;

const RCODE_MASK = 0xf;
const AA_BIT = 0x10;
const NEGATIVE_BIT = 0x20;
const PLAIN_ONLY_BIT = 0x40;
const FIXED_ORDER_BIT = 0x80;
const COUNT_SHIFT = 8;
const WORDS_SHIFT = 12;

/** At most so many orders of one answer's records. */
export const MAX_VARIANTS = 15;

export interface AnswerHead {
  readonly rcode: number;
  readonly authoritative: boolean;
  /** There is nothing but the zone's SOA, as in NXDOMAIN, but with this rcode. */
  readonly negative: boolean;
  /** Only for questions with RD and without CD and DO: what other servers said depends on these. */
  readonly plainOnly: boolean;
  /** Of several variants the first is for all clients that can receive it whole. */
  readonly fixedOrder: boolean;
  readonly variants: number;
  /** Size of the answer. */
  readonly words: number;
}

export function packHead(head: AnswerHead): number {
  const { rcode, variants, words } = head;
  const flags =
    (head.authoritative ? AA_BIT : 0) |
    (head.negative ? NEGATIVE_BIT : 0) |
    (head.plainOnly ? PLAIN_ONLY_BIT : 0) |
    (head.fixedOrder ? FIXED_ORDER_BIT : 0);
  return rcode | flags | (variants << COUNT_SHIFT) | (words << WORDS_SHIFT);
}

export function rcodeOf(head: number): number {
  return head & RCODE_MASK;
}

/** The AA flag as it stands in the header's third octet. */
export function authoritativeFlagOf(head: number): number {
  return (head & AA_BIT) >> 2;
}

export function isNegative(head: number): boolean {
  return (head & NEGATIVE_BIT) !== 0;
}

export function isPlainOnly(head: number): boolean {
  return (head & PLAIN_ONLY_BIT) !== 0;
}

export function isFixedOrder(head: number): boolean {
  return (head & FIXED_ORDER_BIT) !== 0;
}

export function variantCountOf(head: number): number {
  return (head >> COUNT_SHIFT) & 0xf;
}

export function answerWordsOf(head: number): number {
  return head >>> WORDS_SHIFT;
}

/**
 * A variant: `cuts | falling << 16`, then two words a cut, then one word a falling TTL, then the octets.
 *
 * A cut is a length that the octets may be cut to (`dns/truncate`), longest first: `octets | TC << 16`, and the counts of
 * the three sections, ten bits each. A falling TTL is the offset of one that falls with every second.
 */
export const CUT_WORDS = 2;

export function packCounts(answer: number, authority: number, additional: number): number {
  return answer | (authority << 10) | (additional << 20);
}

/** Words that hold so many octets. */
export function wordsFor(octets: number): number {
  return (octets + 3) >>> 2;
}

/** FNV-1a over a folded name in wire form; `finishHash` makes all of its bits count. */
export function hashStep(hash: number, octet: number): number {
  return Math.imul(hash ^ octet, 0x01000193);
}

export function finishHash(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

/** The OPT record of replies out of the table. */

/** Its octets, DO not set; with the extended error of data that may be stale, or without one. */
export function replyOpt(stale: boolean): Uint8Array {
  const writer = new MessageWriter();
  const opt = { udpSize: UDP_SIZE, dnssecOk: false, rcode: 0 };
  writeOpt(writer, stale ? { ...opt, extendedError: encodedError(STALE) } : opt);
  return writer.finish();
}
