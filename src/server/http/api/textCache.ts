const MAX_OCTETS = 8 * 1024 * 1024;
const FRESH_MS = 1_000;

interface CachedText<T> {
  readonly text: T;
  readonly octets: number;
  readonly atMs: number;
}

/**
 * A cache of recently created texts: a change in the store goes to all its watchers, and its text is created once. A
 * text contains the remaining time of leases, so the cache keeps it for `FRESH_MS` only. `T` is one text or
 * several; `octetsOf` returns its size.
 */
export class TextCache<T> {
  readonly #octetsOf: (text: T) => number;
  /** The oldest first. */
  readonly #cached = new Map<object, CachedText<T>>();
  #octets = 0;

  constructor(octetsOf: (text: T) => number) {
    this.#octetsOf = octetsOf;
  }

  /** The text of `subject`, an immutable object. */
  of(subject: object, make: () => T): T {
    const nowMs = performance.now();
    const cached = this.#cached.get(subject);
    if (cached !== undefined && nowMs - cached.atMs < FRESH_MS) return cached.text;
    const text = make();
    const added = { text, octets: this.#octetsOf(text), atMs: nowMs };
    this.#forget(subject);
    this.#cached.set(subject, added);
    this.#octets += added.octets;
    for (const oldest of this.#cached.keys()) {
      if (this.#octets <= MAX_OCTETS) break;
      this.#forget(oldest);
    }
    return text;
  }

  #forget(subject: object): void {
    this.#octets -= this.#cached.get(subject)?.octets ?? 0;
    this.#cached.delete(subject);
  }
}
