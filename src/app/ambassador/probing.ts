/** What the probes of backends need, which backends there are and a connection to one; and what they say for reports. */
import { connect } from 'node:net';
import type { BackendProbes } from '../../ambassador/follow/backendProbes.ts';
import type { RouteTable } from '../../ambassador/follow/routeTable.ts';
import type { Backend, Match } from '../../ambassador/route.ts';
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { type BackendConditions, reportedBackend } from './ambassadorReport.ts';
import type { HostPlane } from './hostPlane.ts';

/** The backends of all TCP routes, as the zone says. */
export function* tcpBackendsOf(table: Pick<RouteTable, 'states'>): Iterable<Backend> {
  for (const { route, known } of table.states())
    if (known.kind === 'known' && !isDatagrams(route.match)) yield* known.backends;
}

function isDatagrams(match: Match): boolean {
  if (match.kind !== 'socket') return match.protocol === 'udp';
  return match.listen.kind === 'port' && match.listen.protocol === 'udp';
}

/** Joins what a plane and the probes know. `reach`: the same backends as this host reaches them. */
export function conditionsOf(
  plane: Pick<HostPlane, 'conditionOf' | 'drainingOf'>,
  probes: Pick<BackendProbes, 'isUp'> | undefined,
  reach: (backends: readonly Backend[]) => readonly Backend[],
): BackendConditions {
  const isUp = (backend: Backend): boolean => probes?.isUp(backend) ?? true;
  return {
    conditionOf: (route, backend) => {
      const condition = plane.conditionOf(route, backend);
      return isUp(backend) ? condition : { ...condition, state: 'unreachable' };
    },
    othersOf: ({ route, known, backends }) => {
      const draining = plane.drainingOf(route);
      if (probes === undefined || known.kind === 'waits' || backends.kind === 'waits')
        return draining;
      const serving = new Set(backends.backends.map(printSocketAddress));
      const leftOut = reach(known.backends).filter(
        (backend) => !isUp(backend) && !serving.has(printSocketAddress(backend)),
      );
      const failed = new Set(leftOut.map(printSocketAddress));
      return [
        ...draining.filter(({ address }) => !failed.has(address)),
        ...leftOut.map((each) => reportedBackend(each, { state: 'unreachable' })),
      ];
    },
  };
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
