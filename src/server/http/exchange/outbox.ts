/**
 * The unread output of all clients, measured by the memory that it occupies: output that several clients share counts
 * once. While it exceeds the bound, the outbox closes the connection of the client that has made no progress for the
 * longest time.
 */
export class Outbox {
  readonly #maxOctets: number;
  /** In the order in which they were added. */
  readonly #waiting = new Set<UnreadOutput>();
  /** How many waiting outputs use each memory block. */
  readonly #users = new Map<ArrayBufferLike, number>();
  #size = 0;

  constructor(maxOctets: number) {
    this.#maxOctets = maxOctets;
  }

  /** Unread octets. */
  get size(): number {
    return this.#size;
  }

  /**
   * Adds output that a client has not read. Returns the function to call when the client has read it or has closed the
   * connection. Calls `close`, possibly before it returns, when this client's connection must be closed.
   */
  add(buffers: readonly Buffer[], close: () => void): () => void {
    const output = { buffers, close };
    for (const buffer of buffers) this.#hold(buffer);
    this.#waiting.add(output);
    for (const oldest of this.#waiting) {
      if (this.#size <= this.#maxOctets) break;
      this.#remove(oldest);
      oldest.close();
    }
    return () => this.#remove(output);
  }

  #remove(output: UnreadOutput): void {
    if (!this.#waiting.delete(output)) return;
    for (const buffer of output.buffers) this.#release(buffer);
  }

  #hold({ buffer: memory }: Buffer): void {
    const users = this.#users.get(memory) ?? 0;
    this.#users.set(memory, users + 1);
    if (users === 0) this.#size += memory.byteLength;
  }

  #release({ buffer: memory }: Buffer): void {
    const users = (this.#users.get(memory) ?? 1) - 1;
    if (users > 0) this.#users.set(memory, users);
    else {
      this.#users.delete(memory);
      this.#size -= memory.byteLength;
    }
  }
}

interface UnreadOutput {
  readonly buffers: readonly Buffer[];
  readonly close: () => void;
}
