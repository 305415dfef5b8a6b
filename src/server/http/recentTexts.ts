/**
 * Texts that were made a moment ago, for the next one who wants the same: a change in the store is told to all that
 * wait for it, and its text is made once. The time that a lease has left is part of a text, so none is kept for long.
 */
const MAX_OCTETS = 8 * 1024 * 1024;
const FRESH_MS = 1_000;

interface Made<T> {
  readonly text: T;
  readonly octets: number;
  readonly atMs: number;
}

/** `T` is a text, or several; `octetsOf` weighs it. */
export class RecentTexts<T> {
  readonly #octetsOf: (text: T) => number;
  /** The oldest first. */
  readonly #made = new Map<object, Made<T>>();
  #octets = 0;

  constructor(octetsOf: (text: T) => number) {
    this.#octetsOf = octetsOf;
  }

  /** The text of a thing, which does not change. */
  of(thing: object, make: () => T): T {
    const nowMs = performance.now();
    const known = this.#made.get(thing);
    if (known !== undefined && nowMs - known.atMs < FRESH_MS) return known.text;
    const text = make();
    const made = { text, octets: this.#octetsOf(text), atMs: nowMs };
    this.#forget(thing);
    this.#made.set(thing, made);
    this.#octets += made.octets;
    for (const oldest of this.#made.keys()) {
      if (this.#octets <= MAX_OCTETS) break;
      this.#forget(oldest);
    }
    return text;
  }

  #forget(thing: object): void {
    this.#octets -= this.#made.get(thing)?.octets ?? 0;
    this.#made.delete(thing);
  }
}
