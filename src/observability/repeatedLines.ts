/**
 * Lets each kind of line into the log once in a time window, since a client can cause the same line thousands of times a
 * second. At the end of the window one line for each kind counts the others.
 */

/** The length of a window. A window begins with the first line after the previous window. */
const WINDOW_MS = 60_000;

/** Further kinds are counted as one. */
const MAX_KINDS = 100;

interface Kind {
  readonly summarize: (repeated: number) => void;
  repeated: number;
}

export class RepeatedLines {
  readonly #kinds = new Map<string, Kind>();
  #timer: NodeJS.Timeout | undefined;

  /** Whether the kind may have a new place in this window; if not, give the line one that many kinds share. */
  hasRoom(key: string): boolean {
    return this.#kinds.has(key) || this.#kinds.size < MAX_KINDS;
  }

  /** Whether to write the line. If not, `summarize` of the one that was written gets the number at the end. */
  isFirst(key: string, summarize: (repeated: number) => void): boolean {
    const kind = this.#kinds.get(key);
    if (kind !== undefined) {
      kind.repeated++;
      return false;
    }
    this.#kinds.set(key, { summarize, repeated: 0 });
    this.#timer ??= setTimeout(() => this.close(), WINDOW_MS).unref();
    return true;
  }

  /** Ends the window. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { summarize, repeated } of this.#kinds.values())
      if (repeated > 0) summarize(repeated);
    this.#kinds.clear();
  }
}
