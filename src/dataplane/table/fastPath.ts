/**
 * The seam between sockets and the answer table: what a transport does with a packet before anything else, on a worker
 * thread as on the main thread. It answers in place what the table holds, and says what becomes of the rest.
 */
/** Results of `FastPath.answer` that are no length. */
export const Outcome = {
  /** No reply is due: too short, or itself a reply. */
  DROP: 0,
  /** A question about a name that exists, whose answer has to be worked out once: the main thread's first concern. */
  PENDING: -1,
  /** Everything else that the table cannot answer: names outside our zones, unusual packets. */
  SLOW: -2,
  /** A question by wildcard, which may cost the main thread a hundred times as much as another: its last concern. */
  WILDCARD: -3,
} as const;

export interface FastPath {
  /** Room that a packet's place must have, whatever its length: a reply is never longer. */
  readonly replyOctets: number;
  /** From here to `endBatch` what the table holds stays as it is; to be called before each batch of packets. */
  beginBatch(): void;
  /** The answers were copied out; whoever waits for packets must have called this before. */
  endBatch(): void;
  /**
   * Answers the packet of `length` octets at `octets[at]`. A positive result is the length of the reply, which stands in
   * the packet's place; otherwise the packet is unchanged and the result one of `Outcome`. Allocates nothing, never
   * throws.
   */
  answer(octets: Uint8Array, at: number, length: number, recursionAvailable: boolean): number;
}
