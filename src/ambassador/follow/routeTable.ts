/**
 * The routes in force and the backends of each. Every source of routes (the command line, one virtual address, the links
 * of one container) states all its routes; the table gives the differences to the plane.
 */
import { resolveBackends } from '../backends.ts';
import {
  type Backend,
  type BackendSet,
  isSameBackendSet,
  type Match,
  matchKey,
  type Protocol,
  type Route,
  type Target,
} from '../route.ts';
import { printRouteTarget } from '../targetText.ts';
import { SharedBackends } from './sharedBackends.ts';
import type { Following, ZoneFollower } from './zoneFollower.ts';

/** Carries the connections of routes. */
export interface Plane {
  /** Takes the route's connections to these backends, in place of the backends that were set before. */
  set(route: Route, backends: BackendSet): void;
  /** Takes no more connections of the route. */
  remove(route: Route): void;
}

export interface RouteTableOptions {
  readonly plane: Plane;
  readonly follower: Pick<ZoneFollower, 'follow'>;
  /** The prefix of the store's keys, as `keyPrefix` returns it. */
  readonly prefix: string;
  /** Follows a target of the kind `key`; absent where such targets are refused. */
  readonly followKey?: FollowKey;
  /** The same backends as this host reaches them, without those that may not serve. */
  readonly reach?: (backends: readonly Backend[], route: Route) => readonly Backend[];
  /** The backends of a route were set or have changed; for logs. */
  readonly onChange?: (route: Route, backends: BackendSet) => void;
}

export type FollowKey = (
  target: Extract<Target, { kind: 'key' }>,
  protocol: Protocol,
  onChange: (backends: BackendSet) => void,
) => { close(): void };

/** A route with its state, for reports. */
export interface RouteState {
  readonly route: Route;
  /** What the zone says. */
  readonly known: BackendSet;
  /** What the plane got: `known` as this host reaches it. */
  readonly backends: BackendSet;
  /** The older route with the same match, which stands instead. */
  readonly yieldsTo: Route | undefined;
}

interface InForce {
  route: Route;
  known: BackendSet;
  backends: BackendSet;
  following: Pick<Following<BackendSet>, 'close'> | undefined;
}

const WAITING: BackendSet = { kind: 'waits', reason: 'the store has not been read yet' };

export class RouteTable {
  readonly #options: RouteTableOptions;
  readonly #bySource = new Map<string, readonly Route[]>();
  /** All routes by their match, the one that stands first. */
  readonly #byMatch = new Map<string, readonly Route[]>();
  readonly #inForce = new Map<string, InForce>();
  readonly #shared = new SharedBackends();

  constructor(options: RouteTableOptions) {
    this.#options = options;
  }

  /** Replaces all routes of a source. A route that stays keeps its connections. */
  setRoutes(source: string, routes: readonly Route[]): void {
    const former = this.#bySource.get(source) ?? [];
    if (routes.length === 0) this.#bySource.delete(source);
    else this.#bySource.set(source, routes);
    const ofSource = new Set(former);
    const touched = new Set([...former, ...routes].map(({ match }) => matchKey(match)));
    for (const key of touched) {
      const others = (this.#byMatch.get(key) ?? []).filter((route) => !ofSource.has(route));
      const added = routes.filter(({ match }) => matchKey(match) === key);
      const claims = inOrder([...others, ...added]);
      if (claims.length === 0) this.#byMatch.delete(key);
      else this.#byMatch.set(key, claims);
      this.#stand(key, claims[0]);
    }
  }

  /** The way to backends has changed; see `RouteTableOptions.reach`. */
  refreshReach(): void {
    for (const entry of this.#inForce.values()) this.#onBackends(entry, entry.known);
  }

  states(): readonly RouteState[] {
    const states: RouteState[] = [];
    for (const [key, claims] of this.#byMatch) {
      const standing = this.#inForce.get(key);
      if (standing === undefined) continue;
      const { route, known, backends } = standing;
      states.push({ route, known, backends, yieldsTo: undefined });
      for (const claim of claims)
        if (!isSameRoute(claim, route))
          states.push({ route: claim, known: WAITING, backends: WAITING, yieldsTo: route });
    }
    return states;
  }

  close(): void {
    for (const { following } of this.#inForce.values()) following?.close();
    this.#inForce.clear();
  }

  /** Has the route carry the connections of its match, in place of the one that did. */
  #stand(key: string, route: Route | undefined): void {
    const former = this.#inForce.get(key);
    if (former !== undefined && route !== undefined && isSameRoute(former.route, route)) {
      this.#takeOver(former, route);
      return;
    }
    if (former !== undefined) this.#end(key, former, route === undefined);
    if (route !== undefined) this.#begin(key, route);
  }

  /** An equal route stands from now on: the plane learns its origin only, for reports. */
  #takeOver(entry: InForce, route: Route): void {
    const { origin } = entry.route;
    entry.route = route;
    if (route.origin !== origin) this.#options.plane.set(route, entry.backends);
  }

  #begin(key: string, route: Route): void {
    const entry: InForce = { route, known: WAITING, backends: WAITING, following: undefined };
    this.#inForce.set(key, entry);
    entry.following = this.#follow(route, (backends) => this.#onBackends(entry, backends));
    if (entry.backends === WAITING) this.#options.plane.set(route, WAITING);
  }

  /** `isGone`: no other route with the same match replaces its backends at once. */
  #end(key: string, entry: InForce, isGone: boolean): void {
    entry.following?.close();
    this.#inForce.delete(key);
    if (isGone) this.#options.plane.remove(entry.route);
  }

  #follow(
    { match, target }: Route,
    onChange: (backends: BackendSet) => void,
  ): Pick<Following<BackendSet>, 'close'> {
    const { follower, prefix, followKey } = this.#options;
    const { protocol, port } = portOfMatch(match);
    if (target.kind === 'key') {
      if (followKey !== undefined) return followKey(target, protocol, onChange);
      onChange({
        kind: 'known',
        backends: [],
        reason: 'a key of an etcd cannot be linked to here',
      });
      return { close: () => {} };
    }
    const wanted = { target, protocol, port };
    return this.#shared.join(
      `${target.kind} ${printRouteTarget(target)} ${port}/${protocol}`,
      (onShared) =>
        follower.follow({
          compute: (view) => resolveBackends(view, wanted, prefix),
          isSame: isSameBackendSet,
          onChange: onShared,
        }),
      onChange,
    );
  }

  #onBackends(entry: InForce, known: BackendSet): void {
    const { plane, reach, onChange } = this.#options;
    entry.known = known;
    const backends =
      known.kind === 'waits' || reach === undefined
        ? known
        : { ...known, backends: reach(known.backends, entry.route) };
    if (isSameBackendSet(backends, entry.backends)) return;
    entry.backends = backends;
    plane.set(entry.route, backends);
    onChange?.(entry.route, backends);
  }
}

function portOfMatch(match: Match): {
  readonly protocol: Protocol;
  readonly port: number | undefined;
} {
  if (match.kind !== 'socket') return match;
  const { listen } = match;
  return listen.kind === 'unix' ? { protocol: 'tcp', port: undefined } : listen;
}

/** The oldest first; of routes that are equally old, always the same one. */
function inOrder(routes: readonly Route[]): readonly Route[] {
  return [...routes].sort((a, b) => a.sinceMs - b.sinceMs || (a.origin < b.origin ? -1 : 1));
}

function isSameRoute(a: Route, b: Route): boolean {
  return (
    printRouteTarget(a.target) === printRouteTarget(b.target) && a.target.kind === b.target.kind
  );
}
