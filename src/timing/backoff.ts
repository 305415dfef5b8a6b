/**
 * Exponential backoff between `minMs` and `maxMs`: the delay is `minMs` after the first failure and doubles with each
 * further failure in a row. `random` returns numbers from 0 to below 1; it shortens the delay by up to half, so that
 * many clients of one server do not retry at the same moment. Without `random` there is no jitter.
 */
export function backoffMs(
  failuresInARow: number,
  { minMs, maxMs }: { readonly minMs: number; readonly maxMs: number },
  random: () => number = () => 1,
): number {
  const ceilingMs = Math.min(maxMs, minMs * 2 ** Math.min(Math.max(failuresInARow - 1, 0), 30));
  return ceilingMs * (0.5 + random() / 2);
}
