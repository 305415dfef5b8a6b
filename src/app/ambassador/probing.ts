/** What the probes of backends need: which backends there are, and a connection to one. */
import { connect } from 'node:net';
import type { RouteTable } from '../../ambassador/follow/routeTable.ts';
import type { Backend, Match } from '../../ambassador/route.ts';
import type { SocketAddress } from '../../dns/address.ts';

/** The backends of all TCP routes, as the zone says. */
export function* tcpBackendsOf(table: Pick<RouteTable, 'states'>): Iterable<Backend> {
  for (const { route, known } of table.states())
    if (known.kind === 'known' && !isDatagrams(route.match)) yield* known.backends;
}

function isDatagrams(match: Match): boolean {
  if (match.kind !== 'socket') return match.protocol === 'udp';
  return match.listen.kind === 'port' && match.listen.protocol === 'udp';
}

/** Whether the backend accepts a connection in time. */
export function acceptsConnection(
  { address, port }: SocketAddress,
  timeoutMs: number,
): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: address, port, timeout: timeoutMs });
    const end = (isAccepted: boolean): void => {
      socket.destroy();
      resolve(isAccepted);
    };
    socket.on('connect', () => end(true));
    socket.on('error', () => end(false));
    socket.on('timeout', () => end(false));
  });
}
