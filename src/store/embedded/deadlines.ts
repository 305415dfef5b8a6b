/**
 * Keys by deadline: a binary heap that knows where each key is, so that a key is in it at most once however often it
 * is renewed. Invariant: no deadline is below its parent's (at `(i - 1) >> 1`), and `#places` holds every key's index.
 */
export class Deadlines {
  readonly #keys: string[] = [];
  readonly #times: number[] = [];
  readonly #places = new Map<string, number>();

  earliestMs(): number | undefined {
    return this.#times[0];
  }

  /** Up to `limit` keys whose deadline is at or before the instant, the earliest of them first. */
  due(nowMs: number, limit: number): string[] {
    const places: number[] = [];
    const open = [0];
    for (let place = open.pop(); place !== undefined && places.length < limit; place = open.pop()) {
      if (place >= this.#keys.length || this.#time(place) > nowMs) continue;
      places.push(place);
      open.push(2 * place + 1, 2 * place + 2);
    }
    places.sort((a, b) => this.#time(a) - this.#time(b));
    return places.map((place) => this.#keys[place] as string);
  }

  set(key: string, deadlineMs: number): void {
    const place = this.#places.get(key) ?? this.#keys.length;
    this.#put(place, key, deadlineMs);
    this.#settle(place);
  }

  delete(key: string): void {
    const place = this.#places.get(key);
    if (place === undefined) return;
    this.#places.delete(key);
    const lastKey = this.#keys.pop() as string;
    const lastTime = this.#times.pop() as number;
    if (place === this.#keys.length) return;
    this.#put(place, lastKey, lastTime);
    this.#settle(place);
  }

  #settle(place: number): void {
    if (this.#rise(place) === place) this.#sink(place);
  }

  #rise(from: number): number {
    let place = from;
    while (place > 0) {
      const parent = (place - 1) >> 1;
      if (this.#time(parent) <= this.#time(place)) break;
      this.#swap(parent, place);
      place = parent;
    }
    return place;
  }

  #sink(from: number): void {
    let place = from;
    for (;;) {
      const left = 2 * place + 1;
      if (left >= this.#keys.length) return;
      const right = left + 1;
      const least =
        right < this.#keys.length && this.#time(right) < this.#time(left) ? right : left;
      if (this.#time(place) <= this.#time(least)) return;
      this.#swap(place, least);
      place = least;
    }
  }

  #time(place: number): number {
    return this.#times[place] as number;
  }

  #swap(a: number, b: number): void {
    const key = this.#keys[a] as string;
    const time = this.#time(a);
    this.#put(a, this.#keys[b] as string, this.#time(b));
    this.#put(b, key, time);
  }

  #put(place: number, key: string, deadlineMs: number): void {
    this.#keys[place] = key;
    this.#times[place] = deadlineMs;
    this.#places.set(key, place);
  }
}
