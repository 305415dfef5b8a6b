import type { ClientConnection, Exchange } from './exchange.ts';
import type { PermitSource, Release } from './permits.ts';

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

interface UnreadOutput {
  readonly buffers: readonly Buffer[];
  readonly cut: () => void;
}

export function createOutbox(maxOctets: number): Outbox {
  /** In the order in which they began to wait. */
  const waiting = new Set<UnreadOutput>();
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

  function remove(one: UnreadOutput): void {
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

/**
 * Places for long replies that are kept after the reply was written, since the kernel takes megabytes for a client that
 * reads nothing: until the client closes the connection, which it does when it has read all or wants no more, or for a
 * while. A connection that asks again in between goes on with the place that it has.
 */

export interface LingeringPermitSource {
  /** As `Places.take`. To be left with `wasShort` where nothing was written that the client has still to read. */
  acquire(exchange: Exchange, waitMs?: number): Promise<ReleaseLingering | undefined>;
}

export type ReleaseLingering = (wasShort?: boolean) => void;

interface Kept {
  readonly release: Release;
  readonly timer: NodeJS.Timeout;
}

export function lingering(permits: PermitSource, lingerMs: number): LingeringPermitSource {
  const keptBy = new WeakMap<ClientConnection, Kept>();
  const watched = new WeakSet<ClientConnection>();

  /** Takes the place that a connection keeps. */
  function reclaim(connection: ClientConnection): Release | undefined {
    const kept = keptBy.get(connection);
    clearTimeout(kept?.timer);
    keptBy.delete(connection);
    return kept?.release;
  }

  function keep({ connection }: Exchange, release: Release, tellsEnd: boolean): void {
    if (tellsEnd && !connection.isOpen()) {
      release();
      return;
    }
    const end = () => reclaim(connection)?.();
    keptBy.set(connection, { release, timer: setTimeout(end, lingerMs).unref() });
    if (!tellsEnd || watched.has(connection)) return;
    watched.add(connection);
    connection.onClose(end);
  }

  return {
    async acquire(exchange, waitMs) {
      const kept = reclaim(exchange.connection);
      const release = kept ?? (await permits.acquire(exchange.caller, waitMs));
      if (release === undefined) return undefined;
      const tellsEnd = exchange.keepOpen();
      let isLeft = false;
      return (wasShort = false) => {
        if (isLeft) return;
        isLeft = true;
        if (wasShort) release();
        else keep(exchange, release, tellsEnd);
      };
    },
  };
}
