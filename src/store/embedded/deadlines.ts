/**
 * Keys ordered by deadline: a binary heap that also stores each key's position, so that it holds a key once however
 * often the key is renewed.
 *
 * Invariants: no deadline is earlier than its parent's (at `(i - 1) >> 1`), and `#positions` has every key's index.
 */
export class Deadlines {
  readonly #keys: string[] = [];
  readonly #times: number[] = [];
  readonly #positions = new Map<string, number>();

  earliestMs(): number | undefined {
    return this.#times[0];
  }

  /** Up to `limit` keys whose deadline is at or before the instant, sorted by deadline. */
  due(nowMs: number, limit: number): string[] {
    const positions: number[] = [];
    const unvisited = [0];
    for (
      let position = unvisited.pop();
      position !== undefined && positions.length < limit;
      position = unvisited.pop()
    ) {
      if (position >= this.#keys.length || this.#time(position) > nowMs) continue;
      positions.push(position);
      unvisited.push(2 * position + 1, 2 * position + 2);
    }
    positions.sort((a, b) => this.#time(a) - this.#time(b));
    return positions.map((position) => this.#keys[position] as string);
  }

  set(key: string, deadlineMs: number): void {
    const position = this.#positions.get(key) ?? this.#keys.length;
    this.#put(position, key, deadlineMs);
    this.#restoreOrder(position);
  }

  delete(key: string): void {
    const position = this.#positions.get(key);
    if (position === undefined) return;
    this.#positions.delete(key);
    const lastKey = this.#keys.pop() as string;
    const lastTime = this.#times.pop() as number;
    if (position === this.#keys.length) return;
    this.#put(position, lastKey, lastTime);
    this.#restoreOrder(position);
  }

  #restoreOrder(position: number): void {
    if (this.#rise(position) === position) this.#sink(position);
  }

  #rise(from: number): number {
    let position = from;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (this.#time(parent) <= this.#time(position)) break;
      this.#swap(parent, position);
      position = parent;
    }
    return position;
  }

  #sink(from: number): void {
    let position = from;
    for (;;) {
      const left = 2 * position + 1;
      if (left >= this.#keys.length) return;
      const right = left + 1;
      const least =
        right < this.#keys.length && this.#time(right) < this.#time(left) ? right : left;
      if (this.#time(position) <= this.#time(least)) return;
      this.#swap(position, least);
      position = least;
    }
  }

  #time(position: number): number {
    return this.#times[position] as number;
  }

  #swap(a: number, b: number): void {
    const key = this.#keys[a] as string;
    const time = this.#time(a);
    this.#put(a, this.#keys[b] as string, this.#time(b));
    this.#put(b, key, time);
  }

  #put(position: number, key: string, deadlineMs: number): void {
    this.#keys[position] = key;
    this.#times[position] = deadlineMs;
    this.#positions.set(key, position);
  }
}
