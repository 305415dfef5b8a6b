/**
 * The cache's memory: one SharedArrayBuffer with other servers' answers, written by the main thread, read by all
 * threads without locks.
 *
 *     control words
 *     notes         places for the slots whose answers should be prefetched, which readers fill and the writer empties
 *     buckets       each with eight slots of two words: the hash of a question, and the address of its block
 *     ring          blocks, in the order in which they were written
 *
 * Addresses are indexes of 32-bit words; 0 is none. Readers rely on these invariants:
 *
 * 1. A block's words change only before its address is stored in a slot. Its words `USED`, `PREFETCH_AT` and
 *    `STALE_UNTIL` are exceptions: readers and the writer store to them without locks, and readers may see any of the
 *    values.
 * 2. A slot's hash and address may be of different questions while the writer changes them. So a reader compares the
 *    question with the one that the block holds.
 * 3. The writer reuses a block's words only after every thread has ended the batch that it was in when the block left
 *    its slot (`table/reclaim.ts`).
 */
import { encodedError, UDP_SIZE, writeOpt } from '../../dns/edns.ts';
import { type ExtendedError, STALE_ANSWER, STALE_NXDOMAIN } from '../../dns/message.ts';
import { MessageWriter } from '../../dns/writer.ts';
import { optRecord } from '../table/layout.ts';

/** Words of the control block. */
export const CacheControl = {
  /** Only answers of this era hold. */
  ERA: 0,
  /** The number of buckets, which is a power of two, minus one. */
  BUCKET_MASK: 1,
} as const;

const CONTROL_WORDS = 16;
/** Places for notes, each the address of a slot or 0: a power of two. */
export const NOTE_COUNT = 256;
export const NOTES_AT = CONTROL_WORDS;

export const BUCKET_SLOTS = 8;
export const SLOT_WORDS = 2;
/** A bucket is one line of the processor's cache. */
export const BUCKET_WORDS: number = BUCKET_SLOTS * SLOT_WORDS;
export const BUCKETS_AT: number = NOTES_AT + NOTE_COUNT;

/** Words at the start of a block; then come the folded owner name in wire form and the answer (`AnswerField`). */
export const BlockField = {
  /** Words of the block. */
  SIZE: 0,
  HASH: 1,
  /** The QTYPE, and the octets of the name in the higher half. */
  QUESTION: 2,
  /** Not 0: a reader has found the block since the writer last looked. */
  USED: 3,
  /** From this second on a reader that finds the block notes its slot, and stores `NOTED` here. */
  PREFETCH_AT: 4,
  /** Before this second readers serve the answer although it has expired, as a stale one. */
  STALE_UNTIL: 5,
  WORDS: 6,
} as const;

/** In place of the second at which to prefetch: the answer is not prefetched, or not again. */
export const NEVER = 0x7fffffff;
/** In the same place: the slot has a note that the writer has not taken yet. */
export const NOTED = 0x7ffffffe;

/** In place of the second at which an answer expires: it had expired when it came, and nothing says when. */
export const EXPIRED = 0;

/** The OPT records of an answer that holds, and of stale ones: RFC 8914 §4.4 and §4.20. */
export const FRESH_OPT: Uint8Array = optRecord(false);
export const STALE_OPT: Uint8Array = optOfError(STALE_ANSWER);
export const STALE_NXDOMAIN_OPT: Uint8Array = optOfError(STALE_NXDOMAIN);

function optOfError(error: ExtendedError): Uint8Array {
  const writer = new MessageWriter();
  const extendedError = encodedError(error);
  writeOpt(writer, { udpSize: UDP_SIZE, dnssecOk: false, rcode: 0, extendedError });
  return writer.finish();
}

/** The hash of a question, from its name's hash. */
export function questionHash(nameHash: number, qtype: number): number {
  const mixed = Math.imul(nameHash ^ Math.imul(qtype, 0x9e3779b1), 0x85ebca6b);
  return mixed ^ (mixed >>> 15);
}

export function packQuestion(qtype: number, nameOctets: number): number {
  return qtype | (nameOctets << 16);
}

export function qtypeOf(question: number): number {
  return question & 0xffff;
}

export function nameOctetsOf(question: number): number {
  return question >>> 16;
}

/** Where the answer begins in a block. */
export function answerAt(block: number, nameOctets: number): number {
  return block + BlockField.WORDS + ((nameOctets + 3) >>> 2);
}
