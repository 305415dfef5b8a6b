/**
 * The interface between sockets and the answer table: a transport calls it first for every packet, on a worker and on
 * the main thread. It overwrites a packet with its reply, or says why the table cannot answer.
 */

/** Results of `FastPath.answer` that are not a length: a drop, or what kind of miss it is. */
export const Outcome = {
  /** No reply is due: too short, or itself a reply. */
  DROP: 0,
  /** The name exists, its answer is not computed yet. The main thread answers these misses first. */
  PENDING: -1,
  /** Every other miss: names outside our zones, unusual packets, questions whose answers are never published. */
  SLOW: -2,
  /** A question by wildcard, which may cost a hundred times as much as another. The main thread answers these last. */
  WILDCARD: -3,
} as const;

export interface FastPath {
  /** Octets of the longest reply: the buffer of every packet must have as many. */
  readonly replyOctets: number;
  /**
   * To be called before each batch of packets. Until `endBatch` the table reuses no memory that this thread may read.
   */
  beginBatch(): void;
  /** To be called before the thread waits for packets. */
  endBatch(): void;
  /**
   * Answers the packet of `length` octets at `octets[at]`. A positive result is the length of the reply, which has
   * overwritten the packet; otherwise the packet is unchanged, and the result one of `Outcome`. Allocates nothing,
   * never throws.
   */
  answer(octets: Uint8Array, at: number, length: number, recursionAvailable: boolean): number;
}
