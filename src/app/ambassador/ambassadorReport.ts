/** The report of a running ambassador, served over HTTP, and the client that fetches it. */
import type { RouteState } from '../../ambassador/follow/routeTable.ts';
import type { CarrierKind } from '../../ambassador/proxy/carry/carrier.ts';
import type { Backend, Match, Route } from '../../ambassador/route.ts';
import { printListen, printRouteTarget } from '../../ambassador/targetText.ts';
import { printSocketAddress } from '../../dns/address.ts';
import { Failure } from '../process/failure.ts';
import { fetchPage } from '../process/fetchPage.ts';

export const AMBASSADOR_PATH = '/v1/ambassador/status';

export interface AmbassadorReport {
  readonly plane: 'nft' | 'proxy';
  /** What moves the octets of the proxy's TCP connections: the kernel, or Node's sockets. */
  readonly carrier?: CarrierKind;
  /** Why the ambassador is not ready; empty if it is. */
  readonly reasons: readonly string[];
  readonly routes: readonly ReportedRoute[];
}

export interface ReportedRoute {
  /** Where consumers connect: `6379`, `198.18.73.12:80`, `172.17.0.5 -> 6379`. */
  readonly match: string;
  readonly target: string;
  readonly origin: string;
  /**
   * `ok`: a backend serves. `empty`: there is none, and connections are refused. `waits`: no server has answered about
   * the backends yet. `yields`: an older route takes the same connections.
   */
  readonly state: 'ok' | 'empty' | 'waits' | 'yields';
  readonly reason?: string;
  readonly backends: readonly ReportedBackend[];
}

export interface ReportedBackend {
  readonly address: string;
  readonly priority: number;
  readonly weight: number;
  /** The key of its record. */
  readonly key?: string;
  /** `unused`: no connection goes there, because its address is forbidden or of another family than the route's. */
  readonly state: 'ok' | 'draining' | 'unreachable' | 'unused';
  /** Until its connections are reset; only while it drains. */
  readonly leftSeconds?: number;
  /** Where the plane counts them. */
  readonly connections?: number;
}

/** The state of a backend as the plane sees it. */
export type BackendCondition = Pick<ReportedBackend, 'state' | 'leftSeconds' | 'connections'>;

/** What is known about the backends of routes besides the zone's word. */
export interface BackendConditions {
  conditionOf(route: Route, backend: Backend): BackendCondition;
  /** The backends to which the route leads no new connections: they drain, or have failed the probe. */
  othersOf(state: RouteState): readonly ReportedBackend[];
}

export function reportedRoute(state: RouteState, conditions: BackendConditions): ReportedRoute {
  const { route, backends, yieldsTo } = state;
  const others = conditions.othersOf(state);
  const common = {
    match: printMatch(route.match),
    target: printRouteTarget(route.target),
    origin: route.origin,
  };
  if (yieldsTo !== undefined) {
    const reason = `${yieldsTo.origin} takes these connections`;
    return { ...common, state: 'yields', reason, backends: [] };
  }
  if (backends.kind === 'waits')
    return { ...common, state: 'waits', reason: backends.reason, backends: others };
  const serving = backends.backends.map((backend) =>
    reportedBackend(backend, conditions.conditionOf(route, backend)),
  );
  const service = serving.some(({ state }) => state !== 'unused') ? 'ok' : 'empty';
  const reason = serving.length > 0 ? 'none of its backends is used' : backends.reason;
  const why = service === 'empty' && reason !== undefined ? { reason } : {};
  return { ...common, state: service, ...why, backends: [...serving, ...others] };
}

export function reportedBackend(backend: Backend, condition: BackendCondition): ReportedBackend {
  const { priority, weight, key } = backend;
  const address = printSocketAddress(backend);
  return { address, priority, weight, ...(key !== undefined && { key }), ...condition };
}

export function printMatch(match: Match): string {
  if (match.kind === 'socket') return printListen(match.listen);
  const { port, protocol } = match;
  const suffix = protocol === 'udp' ? '/udp' : '';
  if (match.kind === 'virtual')
    return `${printSocketAddress({ address: match.address, port })}${suffix}`;
  return `${match.source} -> ${port}${suffix}`;
}

/** Fetches the report. Throws a `Failure` if the URL has none. */
export async function fetchAmbassadorReport(url: string): Promise<AmbassadorReport> {
  const page = await fetchPage(url, AMBASSADOR_PATH, '--ambassador');
  if (page.kind === 'page' && isAmbassadorReport(page.value)) return page.value;
  const problem = page.kind === 'none' ? page.problem : "the answer is not an ambassador's";
  const hint =
    'start one with: soradns up --ambassador, or soradns ambassador … --http IP:PORT; see --url';
  throw new Failure('unreachable', `no ambassador answers at ${url} (${problem})`, hint);
}

function isAmbassadorReport(value: unknown): value is AmbassadorReport {
  const { routes, reasons } = (value ?? {}) as Partial<AmbassadorReport>;
  return Array.isArray(routes) && Array.isArray(reasons);
}
