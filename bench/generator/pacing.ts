/**
 * The schedule of an open loop: queries are sent at even intervals, whether or not answers arrive, and the latency of a
 * query counts from its scheduled time. A stalled server is thus charged for every query that it delays, not only for the
 * pending one (coordinated omission).
 */

/** The number of queries due by now; the first one is due at 0. */
export function dueAfter(elapsedMs: number, perSecond: number): number {
  return elapsedMs < 0 ? 0 : Math.floor((elapsedMs * perSecond) / 1000 + 1e-9) + 1;
}

/** The scheduled time of query number `index` (from 0), in milliseconds from the start. */
export function intendedMs(index: number, perSecond: number): number {
  return (index * 1000) / perSecond;
}

/** The index of the latest query with the id, after `sent` queries; may be negative. Ids are the lower 16 bits of the index. */
export function latestOfId(id: number, sent: number): number {
  return sent - 1 - ((sent - 1 - id) & 0xffff);
}
