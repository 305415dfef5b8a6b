/**
 * What has been read and not yet asked for. The reader of the socket never waits for the consumer, as the daemon would
 * wait for it; so the queue is bounded, and when it is full the stream has failed.
 */

export class EventQueue<T> {
  readonly #limit: number;
  #items: T[] = [];
  /** Where the first item is that was not consumed. */
  #head = 0;
  #ending: { readonly error: Error | undefined } | undefined;
  #wake: (() => void) | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Gives false, and takes nothing, when it is full. */
  push(item: T): boolean {
    if (this.#ending !== undefined) return true;
    if (this.#items.length - this.#head >= this.#limit) return false;
    this.#items.push(item);
    this.#wake?.();
    return true;
  }

  /** What is queued still comes, then the end: the error thrown, or silence. The first end counts. */
  end(error?: Error): void {
    this.#ending ??= { error };
    this.#wake?.();
  }

  /** Forgets what is queued, and ends. */
  drop(error?: Error): void {
    this.#items = [];
    this.#head = 0;
    this.end(error);
  }

  /** For one consumer. */
  async *drain(): AsyncGenerator<T, void> {
    for (;;) {
      while (this.#head < this.#items.length) yield this.#shift();
      if (this.#ending?.error !== undefined) throw this.#ending.error;
      if (this.#ending !== undefined) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #shift(): T {
    const item = this.#items[this.#head++] as T;
    if (this.#head * 2 > this.#items.length) {
      this.#items = this.#items.slice(this.#head);
      this.#head = 0;
    }
    return item;
  }
}
