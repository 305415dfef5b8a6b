/**
 * An open loop's timetable: queries leave evenly, whether or not answers come, and a query's latency counts from the
 * moment that the timetable has for it. So a server that stalls is charged for every query that it kept waiting, not
 * only for the one that was on the way (coordinated omission).
 */

/** How many queries should have left by now; the first leaves at 0. */
export function dueAfter(elapsedMs: number, perSecond: number): number {
  return elapsedMs < 0 ? 0 : Math.floor((elapsedMs * perSecond) / 1000 + 1e-9) + 1;
}

/** When a query should leave, counted from 0, in milliseconds from the start. */
export function intendedMs(index: number, perSecond: number): number {
  return (index * 1000) / perSecond;
}

/** Ids are the lower 16 bits of the index. The latest query of an id, if `sent` queries have left; may be negative. */
export function latestOfId(id: number, sent: number): number {
  return sent - 1 - ((sent - 1 - id) & 0xffff);
}
