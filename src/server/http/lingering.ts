/**
 * Places for long replies that are kept after the reply was written, since the kernel takes megabytes for a client that
 * reads nothing: until the client closes the connection, which it does when it has read all or wants no more, or for a
 * while. A connection that asks again in between goes on with the place that it has.
 */
import type { Connection, Exchange } from './exchange.ts';
import type { Leave, Places } from './shares.ts';

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
