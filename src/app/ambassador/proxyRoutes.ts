/** Gives the listeners of a proxy the backends of their routes. */
import type { Plane } from '../../ambassador/follow/routeTable.ts';
import { whyForbidden } from '../../ambassador/proxy/addressPolicy.ts';
import type { Destination } from '../../ambassador/proxy/destination.ts';
import type { OpenOutcome, ProxyListener, ProxyPlane } from '../../ambassador/proxy/proxyPlane.ts';
import type { BackendReport } from '../../ambassador/proxy/routeReports.ts';
import {
  type Backend,
  type BackendSet,
  isStatic,
  isToLeader,
  matchKey,
  type Route,
} from '../../ambassador/route.ts';
import { printSocketAddress } from '../../dns/address.ts';
import { printExposedPort } from '../../service/linking.ts';
import type { BackendCondition, ReportedBackend } from './ambassadorReport.ts';

interface ProxiedRoute {
  destination: Destination | undefined;
  listener: ProxyListener | undefined;
}

export class ProxyRoutes implements Plane {
  readonly #proxy: ProxyPlane;
  readonly #routes = new Map<string, ProxiedRoute>();

  constructor(proxy: ProxyPlane) {
    this.#proxy = proxy;
  }

  /** Opens the socket of a route. Its connections wait until `set` is called. */
  async open(route: Route): Promise<OpenOutcome> {
    const { match } = route;
    if (match.kind !== 'socket') throw new TypeError('only a socket can be opened');
    const proxied = this.#routeOf(route);
    const outcome = await this.#proxy.open(match.listen, () => proxied.destination);
    if (outcome.kind === 'opened') proxied.listener = outcome.listener;
    return outcome;
  }

  set(route: Route, backends: BackendSet): void {
    const proxied = this.#routeOf(route);
    proxied.destination = destinationOf(route, backends);
    proxied.listener?.refresh();
  }

  remove(route: Route): void {
    const key = matchKey(route.match);
    const proxied = this.#routes.get(key);
    this.#routes.delete(key);
    this.#proxy.forget(labelOf(route));
    void proxied?.listener?.close(0);
  }

  mayServe(route: Route, backend: Backend): boolean {
    return !isForbiddenTo(route, backend);
  }

  /** What the proxy knows about a backend of a route. */
  conditionOf(route: Route, backend: Backend): BackendCondition {
    if (!this.mayServe(route, backend)) return { state: 'unused' };
    const state = this.#statesOf(route).find((each) => isSamePlace(each, backend));
    if (state === undefined || state.state === 'draining') return { state: 'ok' };
    return { state: state.state, connections: state.connections };
  }

  /** The backends that have left a route and still carry connections. */
  drainingOf(route: Route): readonly ReportedBackend[] {
    return drainingIn(this.#statesOf(route));
  }

  #statesOf({ match }: Route) {
    const { listener } = this.#routes.get(matchKey(match)) ?? {};
    return listener?.report().flatMap(({ states }) => states) ?? [];
  }

  #routeOf({ match }: Route): ProxiedRoute {
    const key = matchKey(match);
    const known = this.#routes.get(key) ?? { destination: undefined, listener: undefined };
    this.#routes.set(key, known);
    return known;
  }
}

/** The backends that have left, of those that a listener of the proxy reports. */
export function drainingIn(states: readonly BackendReport[]): readonly ReportedBackend[] {
  return states
    .filter(({ state }) => state === 'draining')
    .map(({ address, port, connections, drainsInMs }) => ({
      address: printSocketAddress({ address, port }),
      priority: 0,
      weight: 0,
      state: 'draining',
      connections,
      ...(drainsInMs !== undefined && { leftSeconds: Math.ceil(drainsInMs / 1_000) }),
    }));
}

/** Names the route among those of the proxy: a container may have several links. */
export function labelOf({ match, origin }: Route): string {
  if (match.kind !== 'consumer') return origin;
  return `${origin}, port ${printExposedPort({ number: match.port, protocol: match.protocol })}`;
}

/** Only the operator's command line may lead to this host itself; a container's link may not. */
export function destinationOf(route: Route, backends: BackendSet): Destination {
  const { match, target } = route;
  const common = { label: labelOf(route), backends, isStatic: isOperators({ match, target }) };
  return isToLeader(target) ? { ...common, drainSeconds: 0 } : common;
}

function isOperators({ match, target }: Pick<Route, 'match' | 'target'>): boolean {
  return match.kind === 'socket' && isStatic(target);
}

/** Whether the proxy leads no connection of the route to the backend. */
export function isForbiddenTo(route: Route, { address }: Backend): boolean {
  return !isOperators(route) && whyForbidden(address) !== undefined;
}

function isSamePlace(a: { address: string; port: number }, b: { address: string; port: number }) {
  return a.address === b.address && a.port === b.port;
}
