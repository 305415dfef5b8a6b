/** What the probes of backends need, which backends there are and a connection to one; and what they say for reports. */
import { connect } from 'node:net';
import { BackendProbes } from '../../ambassador/follow/backendProbes.ts';
import type { RouteTable } from '../../ambassador/follow/routeTable.ts';
import type { Backend, Match, Route } from '../../ambassador/route.ts';
import { printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import type { Clock } from '../../timing/clock.ts';
import { type BackendConditions, reportedBackend } from './ambassadorReport.ts';
import type { HostPlane } from './hostPlane.ts';

export interface ProbedRoutes {
  readonly table: () => Pick<RouteTable, 'states' | 'refreshReach'>;
  readonly plane: Pick<HostPlane, 'mayServe'>;
  /** The same backends as this host reaches them. */
  readonly reach: (backends: readonly Backend[]) => readonly Backend[];
  readonly connect: (backend: SocketAddress, timeoutMs: number) => Promise<boolean>;
  readonly clock: Clock;
}

/** Probes the backends of routes; undefined for 0 seconds. */
export function probesOf(everySeconds: number, routes: ProbedRoutes): BackendProbes | undefined {
  if (everySeconds === 0) return undefined;
  const { connect, clock, table } = routes;
  return new BackendProbes({
    ...{ everyMs: everySeconds * 1_000, connect, clock },
    backends: () => probedBackends(routes),
    onChange: () => table().refreshReach(),
  });
}

/** Those of the TCP routes. A probe connects to no address to which the plane would not. */
function* probedBackends({ table, plane, reach }: ProbedRoutes): Iterable<Backend> {
  for (const { route, known } of table().states()) {
    if (known.kind === 'waits' || isDatagrams(route.match)) continue;
    for (const backend of reach(known.backends)) if (plane.mayServe(route, backend)) yield backend;
  }
}

/** What `RouteTableOptions.reach` returns with these probes. */
export function reachProbed(
  probes: Pick<BackendProbes, 'withoutFailed'> | undefined,
  { plane, reach }: Pick<ProbedRoutes, 'plane' | 'reach'>,
): (backends: readonly Backend[], route: Route) => readonly Backend[] {
  return (backends, route) => {
    const reached = reach(backends);
    return probes?.withoutFailed(reached, (backend) => plane.mayServe(route, backend)) ?? reached;
  };
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
      return isUp(backend) || condition.state === 'unused'
        ? condition
        : { ...condition, state: 'unreachable' };
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
