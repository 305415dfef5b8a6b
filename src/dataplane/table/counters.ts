/**
 * Counters in shared memory: one block for each thread that answers. That thread alone writes it, with plain adds, and
 * the main thread reads it for metrics. Each counter is one aligned 64-bit word, so the reader never sees half a
 * number.
 */
import { KIND_COUNT } from './answerKinds.ts';

/** Upper bounds of the latency buckets in microseconds: from reading a packet's batch to sending its reply. */
export const LATENCY_BOUNDS_US = [10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000] as const;

/** Upper bounds of the batch-size buckets in packets. */
export const BATCH_BOUNDS = [1, 2, 4, 8, 16, 32, 64] as const;

/** Why a packet got no reply, or why its reply was not sent. */
export const DROP_REASONS = [
  /** Fewer octets than a header. */
  'short',
  /** The packet is itself a reply. */
  'response',
  'sourcePortZero',
  'ownAddress',
  /**
   * Handed to the main thread, and overwritten by a later packet before it was answered; or a reply about a name that
   * does not exist, for which a full worker found no time.
   */
  'overload',
  /** The kernel had no room for the reply: EAGAIN, ENOBUFS, ENOMEM. */
  'noRoom',
  /** EPERM, EACCES: a firewall. */
  'forbidden',
  /** ENETUNREACH, EHOSTUNREACH, ENETDOWN, EADDRNOTAVAIL, EINVAL. */
  'unreachable',
  /** EMSGSIZE. */
  'tooLong',
  'otherSendError',
  /** The client is not in `--allow`. */
  'notAllowed',
] as const;

export type DropReason = (typeof DROP_REASONS)[number];

const RCODES = 16;

/** First slot of each group in a block. */
export const Slot = {
  type: 0,
  rcode: KIND_COUNT,
  drop: KIND_COUNT + RCODES,
  batch: KIND_COUNT + RCODES + DROP_REASONS.length,
  latency: KIND_COUNT + RCODES + DROP_REASONS.length + BATCH_BOUNDS.length + 1,
  single:
    KIND_COUNT +
    RCODES +
    DROP_REASONS.length +
    BATCH_BOUNDS.length +
    1 +
    LATENCY_BOUNDS_US.length +
    1,
} as const;

/** Slots of the counters that belong to no group. */
export const Single = {
  /** Packets that this thread answered or dropped. The main thread counts the packets that were handed over. */
  received: Slot.single,
  /** Replies that the kernel accepted. A refused reply counts under its drop reason. */
  sent: Slot.single + 1,
  /** Replies with TC. */
  truncated: Slot.single + 2,
  /** Questions with OPT. */
  edns: Slot.single + 3,
  /** Packets handed over to the main thread. */
  handedOver: Slot.single + 4,
  /** Octets of the packets in `received`, and of the replies in `sent`. */
  receivedOctets: Slot.single + 5,
  sentOctets: Slot.single + 6,
  /** Sum of the latencies that the buckets count, in microseconds. */
  latencyMicros: Slot.single + 7,
  /** Questions with the DO bit. */
  dnssecOk: Slot.single + 8,
  /** Answers from the answer cache: those within their TTL, and stale ones. */
  cacheHits: Slot.single + 9,
  cacheStale: Slot.single + 10,
  /** Queries with a cookie: without the server's part, with a wrong one or an old one, with a valid one, malformed. */
  cookiesNew: Slot.single + 11,
  cookiesInvalid: Slot.single + 12,
  cookiesValid: Slot.single + 13,
  cookiesMalformed: Slot.single + 14,
  /** Replies that the rate limit withheld, cut to a header with TC, or replaced by BADCOOKIE. */
  rateDropped: Slot.single + 15,
  rateTruncated: Slot.single + 16,
  rateBadCookie: Slot.single + 17,
} as const;

export const COUNTER_SLOTS: number = Slot.single + 18;

/** The slot of an rcode; those above 10, such as BADVERS, share the last one. */
export function rcodeSlot(rcode: number): number {
  return Slot.rcode + (rcode <= LAST_RCODE ? rcode : RCODES - 1);
}

/** NOTZONE; the rcodes above it need OPT. */
const LAST_RCODE = 10;

export function dropSlot(reason: DropReason): number {
  return Slot.drop + DROP_REASONS.indexOf(reason);
}

export type CounterBlock = Float64Array;

/** One block of zeros for each of `threads`, in one shared memory. */
export function newCounterMemory(threads: number): SharedArrayBuffer {
  return new SharedArrayBuffer(threads * COUNTER_SLOTS * Float64Array.BYTES_PER_ELEMENT);
}

export function counterBlock(memory: SharedArrayBuffer, thread: number): CounterBlock {
  const offset = thread * COUNTER_SLOTS * Float64Array.BYTES_PER_ELEMENT;
  return new Float64Array(memory, offset, COUNTER_SLOTS);
}

export function count(block: CounterBlock, slot: number, by = 1): void {
  block[slot] = (block[slot] as number) + by;
}

export function countDrop(block: CounterBlock, reason: DropReason): void {
  count(block, dropSlot(reason));
}

/** Index of the first bucket whose bound is at or above the value; `bounds.length` if the value exceeds all bounds. */
export function bucketOf(bounds: readonly number[], value: number): number {
  let bucket = 0;
  while (bucket < bounds.length && (bounds[bucket] as number) < value) bucket++;
  return bucket;
}
