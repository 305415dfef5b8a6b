/**
 * All that waits for clients to read it, by the memory that it keeps: what several clients wait for counts once. When
 * there is more than the bound, the client is cut that has made no progress for longest, and so on until there is not.
 */
export interface Outbox {
  /**
   * Notes what waits for a client; gives back what to call when it was taken, or the client is gone. Calls `cut`, also
   * before it returns, when this client is the one to go.
   */
  add(buffers: readonly Buffer[], cut: () => void): () => void;
  /** Octets that wait. */
  readonly size: number;
}

interface Waiting {
  readonly buffers: readonly Buffer[];
  readonly cut: () => void;
}

export function createOutbox(maxOctets: number): Outbox {
  /** In the order in which they began to wait. */
  const waiting = new Set<Waiting>();
  const holders = new Map<ArrayBufferLike, number>();
  let size = 0;

  function hold({ buffer: memory }: Buffer): void {
    const held = holders.get(memory) ?? 0;
    holders.set(memory, held + 1);
    if (held === 0) size += memory.byteLength;
  }

  function release({ buffer: memory }: Buffer): void {
    const left = (holders.get(memory) ?? 1) - 1;
    if (left > 0) holders.set(memory, left);
    else {
      holders.delete(memory);
      size -= memory.byteLength;
    }
  }

  function remove(one: Waiting): void {
    if (waiting.delete(one)) one.buffers.forEach(release);
  }

  return {
    get size() {
      return size;
    },
    add(buffers, cut) {
      const one = { buffers, cut };
      buffers.forEach(hold);
      waiting.add(one);
      for (const oldest of waiting) {
        if (size <= maxOctets) break;
        remove(oldest);
        oldest.cut();
      }
      return () => remove(one);
    },
  };
}
