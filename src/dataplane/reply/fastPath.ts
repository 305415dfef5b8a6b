/**
 * The interface between sockets and the two memories, the answer table and the answer cache: a listener calls it first
 * for every packet, on a worker and on the main thread. It overwrites the packet with its reply, or returns why neither
 * memory can answer.
 */
import type { ClientPolicy } from '../sockets/clientPolicy.ts';

/** Results of `FastPath.answer` that are not a reply's length: a drop, or a kind of miss. */
export const Outcome = {
  /** The packet gets no reply: it is too short, itself a reply, or over the rate limit. */
  DROP: 0,
  /** The name exists, but its answer is not computed yet. The main thread answers these misses first. */
  PENDING: -1,
  /** Every other miss: outside names that the cache lacks, unusual packets, questions whose answers are never published. */
  SLOW: -2,
  /** A wildcard question, which may cost a hundred times as much as another. The main thread answers these last. */
  WILDCARD: -3,
} as const;

export interface FastPath {
  /** Octets of the longest reply. Every packet's buffer must have at least as many. */
  readonly replyOctets: number;
  /** Takes effect with the next packet. */
  setPolicy(policy: ClientPolicy): void;
  /** Whether the policy depends on the client's address: then call `setClient` before each `answer`. */
  readonly needsClient: boolean;
  /** Sets the client to the struct sockaddr at octet `at` (a multiple of four) of the words' memory. */
  setClient(words: Int32Array, at: number): void;
  /** Call this before each batch of packets. Until `endBatch` neither memory reuses words that this thread may read. */
  beginBatch(): void;
  /** Call this before the thread waits for packets. */
  endBatch(): void;
  /**
   * Answers the packet of `length` octets at `octets[at]`. A positive result is the length of the reply, which has
   * overwritten the packet; otherwise the packet is unchanged, and the result is one of `Outcome`. Allocates nothing,
   * and never throws.
   */
  answer(octets: Uint8Array, at: number, length: number, recursionAvailable: boolean): number;
}
