/**
 * Exponential backoff between `minMs` and `maxMs`: doubles with each failure in a row, the first being 1. `random` gives
 * numbers from 0 to below 1 and takes off up to half of the delay, so that many clients of one server do not retry at
 * the same moment; without it there is no jitter.
 */
export function backoffMs(
  failuresInARow: number,
  { minMs, maxMs }: { readonly minMs: number; readonly maxMs: number },
  random: () => number = () => 1,
): number {
  const ceilingMs = Math.min(maxMs, minMs * 2 ** Math.min(Math.max(failuresInARow - 1, 0), 30));
  return ceilingMs * (0.5 + random() / 2);
}
