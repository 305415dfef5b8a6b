/** Keys by the second in which they expire, for a cache that drops what has expired first. */

const SECOND_MS = 1_000;

/** Times are monotonic milliseconds. Adding, deleting and taking a key cost the same however many there are. */
export class ExpiryQueue {
  readonly #buckets = new Map<number, Set<string>>();
  /** The keys of all earlier seconds were taken. */
  #firstSecond = 0;

  add(key: string, expiresMs: number): void {
    const second = secondOf(expiresMs);
    const bucket = this.#buckets.get(second);
    if (bucket === undefined) this.#buckets.set(second, new Set([key]));
    else bucket.add(key);
    if (second < this.#firstSecond) this.#firstSecond = second;
  }

  /** The time must be the one with which the key was added. */
  delete(key: string, expiresMs: number): void {
    const second = secondOf(expiresMs);
    const bucket = this.#buckets.get(second);
    if (bucket?.delete(key) && bucket.size === 0) this.#buckets.delete(second);
  }

  /** Removes the keys that have expired, to the second, and returns them, the earliest first. */
  takeUntil(nowMs: number): string[] {
    const end = secondOf(nowMs);
    const taken: string[] = [];
    for (const second of this.#secondsBefore(end)) {
      for (const key of this.#buckets.get(second) ?? []) taken.push(key);
      this.#buckets.delete(second);
    }
    this.#firstSecond = Math.max(this.#firstSecond, end);
    return taken;
  }

  /** After a long pause there are fewer buckets than seconds. */
  #secondsBefore(end: number): readonly number[] {
    const passed = end - this.#firstSecond;
    if (passed > this.#buckets.size)
      return [...this.#buckets.keys()].filter((second) => second < end).sort((a, b) => a - b);
    return Array.from({ length: Math.max(0, passed) }, (_, i) => this.#firstSecond + i);
  }
}

/** The last second in which the key has not expired. */
function secondOf(ms: number): number {
  return Math.floor(ms / SECOND_MS);
}
