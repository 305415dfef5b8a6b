/**
 * Keys as a tree: a key with keys below it is a directory. If a path component has keys below it, so have all components
 * above it, so a binary search finds where the existing part of a path ends.
 */

/** `/a/b` → `/a/b/`: the prefix of all keys below the key, and itself the marker of an empty directory. */
export function directoryPrefix(key: string): string {
  return key === '/' ? '/' : `${key}/`;
}

/** `/a/b/c` → [`/a`, `/a/b`, `/a/b/c`]. */
export function pathTo(key: string): readonly string[] {
  if (key === '/') return ['/'];
  const components = key.split('/').slice(1);
  return components.map((_, index) => `/${components.slice(0, index + 1).join('/')}`);
}

/**
 * Searches the numbers from 0 below `count`, of which the first ones are true, for the first that is false: yields up to
 * `atOnce` numbers, receives for each whether it is true, and returns the number found, or `count` if all are true.
 */
export function* searchFirstFalse(
  count: number,
  atOnce: number,
): Generator<readonly number[], number, readonly boolean[]> {
  let low = 0;
  let high = count;
  while (low < high) {
    const size = high - low;
    const looks = Math.min(atOnce, size);
    const numbers = Array.from(
      { length: looks },
      (_, n) => low + Math.floor((size * (n + 1)) / (looks + 1)),
    );
    const holding: readonly boolean[] = yield numbers;
    const failing = holding.indexOf(false);
    if (failing >= 0) high = numbers[failing] ?? high;
    const last = failing < 0 ? numbers.length - 1 : failing - 1;
    if (last >= 0) low = (numbers[last] ?? low) + 1;
  }
  return low;
}
