/** Between the two; twice as long after every failure, with jitter so that many registrars do not come at once. */
export function backoffMs(
  failuresInARow: number,
  { minMs, maxMs }: { readonly minMs: number; readonly maxMs: number },
  random: () => number,
): number {
  const ceilingMs = Math.min(maxMs, minMs * 2 ** Math.min(Math.max(failuresInARow - 1, 0), 30));
  return ceilingMs * (0.5 + random() / 2);
}
