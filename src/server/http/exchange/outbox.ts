import type { Connection, Exchange } from './exchange.ts';
import type { Leave, Places } from './shares.ts';

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

/**
 * Places for long replies that are kept after the reply was written, since the kernel takes megabytes for a client that
 * reads nothing: until the client closes the connection, which it does when it has read all or wants no more, or for a
 * while. A connection that asks again in between goes on with the place that it has.
 */

export interface LingeringPlaces {
  /** As `Places.take`. To be left with `wasShort` where nothing was written that the client has still to read. */
  take(exchange: Exchange, waitMs?: number): Promise<LeaveLingering | undefined>;
}

export type LeaveLingering = (wasShort?: boolean) => void;

interface Kept {
  readonly leave: Leave;
  readonly timer: NodeJS.Timeout;
}

export function lingering(places: Places, lingerMs: number): LingeringPlaces {
  const keptBy = new WeakMap<Connection, Kept>();
  const heard = new WeakSet<Connection>();

  /** Takes the place that a connection keeps. */
  function reclaim(connection: Connection): Leave | undefined {
    const kept = keptBy.get(connection);
    clearTimeout(kept?.timer);
    keptBy.delete(connection);
    return kept?.leave;
  }

  function keep({ connection }: Exchange, leave: Leave, tellsEnd: boolean): void {
    if (tellsEnd && !connection.isOpen()) {
      leave();
      return;
    }
    const end = () => reclaim(connection)?.();
    keptBy.set(connection, { leave, timer: setTimeout(end, lingerMs).unref() });
    if (!tellsEnd || heard.has(connection)) return;
    heard.add(connection);
    connection.onClose(end);
  }

  return {
    async take(exchange, waitMs) {
      const kept = reclaim(exchange.connection);
      const leave = kept ?? (await places.take(exchange.asker, waitMs));
      if (leave === undefined) return undefined;
      const tellsEnd = exchange.keepOpen();
      let isLeft = false;
      return (wasShort = false) => {
        if (isLeft) return;
        isLeft = true;
        if (wasShort) leave();
        else keep(exchange, leave, tellsEnd);
      };
    },
  };
}
