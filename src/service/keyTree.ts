/**
 * Keys as the tree that their slashes make: a key with keys below it is a directory there, implied by them. To find
 * where the way down to a key ends takes a few looks, as a component that has keys below it has all those above it.
 */

/** `/a/b` → `/a/b/`: what begins with it is below the key; the key itself, with this ending, is its marker. */
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
 * Looks for the first of the numbers from 0 below `count` that does not hold, where those that do come before those that
 * do not: yields up to `atOnce` numbers, takes whether each of them holds, and returns the number found, else `count`.
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
