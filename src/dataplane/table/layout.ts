/**
 * The answer table's memory: one SharedArrayBuffer, written by the main thread, read by all threads without locks.
 *
 *     control block   one word for each property of the whole table, then one for each reading thread
 *     heap            blocks of whole words, each one of
 *       index         mask, then pairs (hash, name record): open addressing, linear probing
 *       name record   length, one word per answer kind, the owner name folded in wire form
 *       answer        until when it holds, then its variants (one for each order of its records)
 *       negatives     the replies for names that do not exist, by zone
 *       wildcards     an index and name records as above: the record of a name has the answers of `*` below it
 *       rules         which names that the table lacks may exist
 *
 * Addresses are indexes of 32-bit words; 0 is none. Readers rely on these invariants:
 *
 * 1. A block's words change only before its address is stored where readers find it. The answer words of a name record,
 *    the record words of an index and the word `SIGNED` of an answer are exceptions: they are swapped whole
 *    (`Atomics.store`, read by `Atomics.load`).
 *    Readers write one bit: `ASKED_BIT` in the head of an answer. It is never cleared, so no reader undoes another's.
 * 2. A pair of an index is used once: its hash is written before its record, and a removed record leaves `GONE`. So a
 *    reader that probes past it never misses another name.
 * 3. An index always has free pairs, at which a probe ends.
 * 4. A block that readers could find is reused only after every thread has ended the batch that it was in when the
 *    block was retired (`Reclaim`).
 */
import { encodedError, UDP_SIZE, writeOpt } from '../../dns/edns.ts';
import { STALE } from '../../dns/message.ts';
import { MessageWriter } from '../../dns/writer.ts';
import { KIND_COUNT } from './answerKinds.ts';

/** The parts of a table that a reading thread needs. It can be posted to the thread. */
export interface TableHandle {
  readonly memory: SharedArrayBuffer;
  /** The cache of other servers' answers; absent if there is none. */
  readonly cache?: SharedArrayBuffer | undefined;
  /** Octets of the longest reply, for clients that can receive it. */
  readonly maxUdpOctets: number;
}

/** Words of the control block. */
export const Control = {
  /** 1: readers use the table; 0: it may lack names and answers, so every question is a miss. */
  ACTIVE: 0,
  /** Only answers of this era hold. */
  ERA: 1,
  INDEX: 2,
  NEGATIVES: 3,
  /** 1: replies to questions with OPT say that the data may be stale (RFC 8914 §4.4). */
  STALE: 4,
  /**
   * Number of names that exist but found no room in the table. While it is not 0, the table answers no question with
   * NXDOMAIN.
   */
  MISSING_NAMES: 5,
  /** Starts at 1, and grows when blocks are retired. */
  EPOCH: 6,
  /** Seed of the names' hashes. */
  SEED: 7,
  /** Questions a second that each worker hands over although the table holds their answers, so that they are logged. */
  LOGGED: 8,
  /** The rules about derived names; `UNKNOWN_RULES` if they found no room. */
  DERIVED: 9,
  /** No name that has been in the table has had more labels, without the root's. It never falls. */
  MOST_LABELS: 10,
  // 11 and 12 are free.
  /** The index of stored wildcards, by the name below which each is; 0 before the first one. */
  WILDCARDS: 13,
  /** Grows before and after names come or go, so it is odd meanwhile. */
  NAMES_VERSION: 14,
  /** Which labels of questions match any label: one of `QuestionLabels`. */
  QUESTION_WILDCARDS: 15,
  /** For each thread, the epoch in which its batch began; 0 between batches. */
  READERS: 16,
} as const;

/** Values of `Control.QUESTION_WILDCARDS`: `*` and `any` match any label, or `any` alone, or no label does. */
export const QuestionLabels = { all: 0, any: 1, none: 2 } as const;

/** In place of the address of rules: readers hand over all questions for names that the table lacks. */
export const UNKNOWN_RULES = -1;

export const MAX_THREADS = 240;
export const HEAP_START: number = Control.READERS + MAX_THREADS;

export const INDEX_HEAD_WORDS = 2;
/** Replaces a record that was removed. */
export const GONE = -1;

/** Words before the name: the length, and the answer of each kind. */
export const RECORD_HEAD_WORDS: number = 1 + KIND_COUNT;

/** Words of an answer, before its variants. */
export const AnswerField = {
  /** The answer holds before this second of the main thread's monotonic clock. */
  UNTIL: 0,
  /** The second at which its TTLs were computed; since then some have fallen. */
  TTLS_AT: 1,
  ERA: 2,
  /** See `AnswerHead`. */
  HEAD: 3,
  /** The address of the answer for questions with DO: 0 if it is not there yet, `NOT_SIGNED` if it is this one. */
  SIGNED: 4,
  /** The variants. Before several variants comes the address of each, relative to the answer. */
  VARIANTS: 5,
} as const;

/** In place of the address of a signed answer: the zone is not signed. */
export const NOT_SIGNED = -1;

/** The last second: the answer holds until it is withdrawn. */
export const FOREVER = 0x7fffffff;

const RCODE_MASK = 0xf;
const AA_BIT = 0x10;
const NODATA_BIT = 0x20;
const PLAIN_ONLY_BIT = 0x40;
const FIXED_ORDER_BIT = 0x80;
const COUNT_SHIFT = 8;
/** A client has got this answer from the table. Readers set it. */
export const ASKED_BIT = 0x1000;
const WORDS_SHIFT = 13;

/** The most orders that the table holds of one answer's records. */
export const MAX_VARIANTS = 15;

export interface AnswerHead {
  readonly rcode: number;
  readonly authoritative: boolean;
  /** Its only record is the zone's SOA, as in an NXDOMAIN reply, but it has this rcode. */
  readonly nodata: boolean;
  /** It answers only questions with RD and without CD and DO, because other servers' answers depend on these flags. */
  readonly plainOnly: boolean;
  /** Every client that can receive the first variant whole gets that one. */
  readonly fixedOrder: boolean;
  readonly variants: number;
  /** Size of the answer in words. */
  readonly words: number;
}

export function packHead(head: AnswerHead): number {
  const { rcode, variants, words } = head;
  const flags =
    (head.authoritative ? AA_BIT : 0) |
    (head.nodata ? NODATA_BIT : 0) |
    (head.plainOnly ? PLAIN_ONLY_BIT : 0) |
    (head.fixedOrder ? FIXED_ORDER_BIT : 0);
  return rcode | flags | (variants << COUNT_SHIFT) | (words << WORDS_SHIFT);
}

export function rcodeOf(head: number): number {
  return head & RCODE_MASK;
}

/** The AA flag at its position in the header's third octet. */
export function authoritativeFlagOf(head: number): number {
  return (head & AA_BIT) >> 2;
}

export function isNodataHead(head: number): boolean {
  return (head & NODATA_BIT) !== 0;
}

export function isPlainOnly(head: number): boolean {
  return (head & PLAIN_ONLY_BIT) !== 0;
}

export function isAsked(head: number): boolean {
  return (head & ASKED_BIT) !== 0;
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
 * The last word of an answer of `OTHER_KIND`: the QTYPE that the answer is for, or 0 if it is for all QTYPEs of the kind.
 */
export function answerTypeAt(answer: number, head: number): number {
  return answer + answerWordsOf(head) - 1;
}

/**
 * A variant: `cuts | falling << 16`, then two words per cut, then one word per falling TTL, then the octets.
 *
 * A cut is a length to which the octets may be cut (`dns/truncate`): `octets | CutFlag`, then the counts of the three
 * sections, ten bits each. The longest cut comes first. A falling TTL is the offset of a TTL that falls by one every
 * second.
 */
export const CUT_WORDS = 2;

/**
 * The answers of a stored wildcard are for names of any length. They are encoded for a name whose first label, the
 * probe, no other name has; the rest of it is the name above the wildcard. Between the falling TTLs and the octets of a
 * variant there are: `inserts | pointers << 16`, then one word per insert, then one word per pointer.
 *
 * An insert is the offset of the probe as an SRV record's target begins, where the labels of the question's name take
 * its place. A pointer is `offset | times << 16` of a compression pointer: its target is later by `times` as many octets
 * as the question's name is longer than the probe's.
 */
export const PROBE_OCTETS = 17;
/** Octets from an SRV record's length field to its target. */
export const SRV_TARGET_OFFSET = 8;

/** Flags in the first word of a cut. */
export const CutFlag = {
  /** The reply has TC. */
  TRUNCATED: 1 << 16,
  /** It lacks records of the answer, possibly without TC: those of the additional section are optional. */
  PART: 1 << 17,
} as const;

export function packCounts(answer: number, authority: number, additional: number): number {
  return answer | (authority << 10) | (additional << 20);
}

/** The counts of answer, authority and additional records. */
export function sectionCounts(packed: number): readonly [number, number, number] {
  return [packed & 0x3ff, (packed >>> 10) & 0x3ff, packed >>> 20];
}

/** How many words hold this many octets. */
export function wordsFor(octets: number): number {
  return (octets + 3) >>> 2;
}

/** One step of FNV-1a over a folded name in wire form; `finishHash` mixes the high bits into the low ones. */
export function hashStep(hash: number, octet: number): number {
  return Math.imul(hash ^ octet, 0x01000193);
}

export function finishHash(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

/** The hash of a folded name in wire form. */
export function hashOfName(name: Uint8Array, seed: number): number {
  let hash = seed;
  for (let at = 0; at < name.length; at++) hash = hashStep(hash, name[at] as number);
  return finishHash(hash);
}

/** The labels of a name in wire form, without the root's. */
export function labelsOf(name: Uint8Array): number {
  let labels = 0;
  for (let at = 0; name[at] !== 0; at += 1 + (name[at] as number)) labels++;
  return labels;
}

/** The OPT record of replies from the table, without DO. With `stale` it has the extended error for stale data. */
export function optRecord(stale: boolean): Uint8Array {
  const writer = new MessageWriter();
  const opt = { udpSize: UDP_SIZE, dnssecOk: false, rcode: 0 };
  writeOpt(writer, stale ? { ...opt, extendedError: encodedError(STALE) } : opt);
  return writer.finish();
}
