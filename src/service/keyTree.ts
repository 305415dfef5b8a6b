/**
 * Keys as a tree: a key with keys below it is a directory. If a component of a path has keys below it, all components
 * above it have some, too. So a binary search finds where the existing part of a path ends.
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
 * Finds the first number from 0 below `count` for which a condition is false; it is true for all lower numbers and
 * false for all higher ones. Yields up to `atOnce` numbers, receives whether the condition holds for each, and returns
 * the number found, or `count` if the condition holds for all.
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
