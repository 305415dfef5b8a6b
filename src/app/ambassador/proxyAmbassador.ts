/** An ambassador in a process of its own: a proxy with the routes of its command line. */
import { findLoop, type ListeningRoute } from '../../ambassador/dropIn.ts';
import type { BackendProbes } from '../../ambassador/follow/backendProbes.ts';
import { RouteTable } from '../../ambassador/follow/routeTable.ts';
import { describeListenRefusal, type ListenRefusal } from '../../ambassador/proxy/opening.ts';
import type { ProxyPlane } from '../../ambassador/proxy/proxyPlane.ts';
import { type Backend, isStatic, type Route } from '../../ambassador/route.ts';
import { printListen, printRouteTarget } from '../../ambassador/targetText.ts';
import type { Forwarder } from '../../forward/forwarder.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';
import type { Log } from '../../observability/log.ts';
import { type Exchange, type HttpReply, jsonReply } from '../../server/http/exchange/exchange.ts';
import { keyPrefix } from '../../service/key.ts';
import type { MirrorEvent } from '../../store/mirror.ts';
import type { LeaseStore } from '../../store/store.ts';
import { systemClock } from '../../timing/clock.ts';
import { Failure } from '../process/failure.ts';
import { upstreamsOf } from '../process/network.ts';
import { openStore } from '../process/openStore.ts';
import type { AmbassadorConfig } from './ambassadorConfig.ts';
import type { AmbassadorSources } from './ambassadorMetrics.ts';
import {
  AMBASSADOR_PATH,
  type AmbassadorReport,
  type BackendConditions,
  reportedRoute,
} from './ambassadorReport.ts';
import { BackendSources } from './backendSources.ts';
import { proxyOf } from './hostPlane.ts';
import { createOutsideForwarder } from './outsideResolver.ts';
import { acceptsConnection, conditionsOf, probesOf, reachProbed } from './probing.ts';
import { ProxyRoutes } from './proxyRoutes.ts';

interface Parts {
  readonly config: AmbassadorConfig;
  readonly stores: readonly LeaseStore[];
  readonly forwarder: Forwarder | undefined;
  readonly sources: BackendSources;
  readonly proxy: ProxyPlane;
  readonly routes: ProxyRoutes;
  readonly table: RouteTable;
  readonly probes: BackendProbes | undefined;
}

const ARGUMENTS = 'arguments';

export class ProxyAmbassador {
  readonly #parts: Parts;

  private constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** Opens all sockets, or throws a `Failure` and opens none. */
  static async start(
    config: AmbassadorConfig,
    log: Log,
    onMirrorEvent: (event: MirrorEvent) => void,
  ): Promise<ProxyAmbassador> {
    refuseLoops(config);
    const upstreams = upstreamsOf(config.settings.nameservers);
    if (upstreams.length === 0) refuseNamesWithoutResolver(config);
    const store = config.store && (await openStore(config.store));
    const keyStores = new Map<string, LeaseStore>();
    for (const [text, location] of config.keyStores) keyStores.set(text, await openStore(location));
    const forwarder = createOutsideForwarder(upstreams);
    const sources = new BackendSources({ config, store, keyStores, forwarder, log, onMirrorEvent });
    const proxy = proxyOf(config.settings, log);
    const routes = new ProxyRoutes(proxy);
    const table = tableOf(config, routes, sources);
    const stores = [...(store === undefined ? [] : [store]), ...keyStores.values()];
    const ambassador = new ProxyAmbassador({
      config,
      stores,
      forwarder,
      sources,
      proxy,
      routes,
      ...table,
    });
    try {
      await ambassador.#open();
    } catch (error) {
      await ambassador.close();
      throw error;
    }
    return ambassador;
  }

  /** For logs: `6379 -> redis.production.east.skydns.local`. */
  routeTexts(): readonly string[] {
    return this.#parts.config.routes.map(
      ({ listen, target }) => `${printListen(listen)} -> ${printRouteTarget(target)}`,
    );
  }

  /** Why it is not ready: a route without a backend, or a store that is out of reach. */
  readiness(): readonly string[] {
    const { sources, table } = this.#parts;
    const unserved = table.states().flatMap(({ route, backends }) => {
      if (backends.kind === 'known' && backends.backends.length > 0) return [];
      return [`route ${route.origin}: ${backends.reason ?? 'it has no backend'}`];
    });
    return [...sources.troubles(), ...unserved];
  }

  report(): AmbassadorReport {
    const { table, proxy } = this.#parts;
    return {
      plane: 'proxy',
      carrier: proxy.carrierKind,
      reasons: this.readiness(),
      routes: table.states().map((state) => reportedRoute(state, this.#conditions)),
    };
  }

  get #conditions(): BackendConditions {
    const { routes, probes } = this.#parts;
    return conditionsOf(routes, probes, (backends) => backends);
  }

  /** Serves the report at its path; undefined for any other path. */
  page({ path }: Exchange): HttpReply | undefined {
    return path === AMBASSADOR_PATH ? jsonReply(200, this.report()) : undefined;
  }

  metrics(): AmbassadorSources {
    const { table, proxy } = this.#parts;
    const routes = table.states();
    return { plane: 'proxy', routes, conditions: this.#conditions, proxy: proxy.counters() };
  }

  /** Accepts no more connections, and gives the open ones this time to end. */
  async drain(drainMs: number): Promise<void> {
    await this.#parts.proxy.close(drainMs);
  }

  async close(): Promise<void> {
    const { proxy, table, probes, sources, forwarder, stores } = this.#parts;
    probes?.close();
    table.close();
    await proxy.close(0);
    sources.close();
    await forwarder?.close();
    for (const store of stores) await store.close();
  }

  async #open(): Promise<void> {
    const { config, routes, table, sources, probes } = this.#parts;
    const opened = config.routes.map(routeOf);
    for (const route of opened) {
      const outcome = await routes.open(route);
      if (outcome.kind !== 'opened') throw refusedListen(outcome);
    }
    table.setRoutes(ARGUMENTS, opened);
    sources.start();
    probes?.start();
  }
}

function routeOf({ listen, target, source }: ListeningRoute): Route {
  return { match: { kind: 'socket', listen }, target, origin: source, sinceMs: 0 };
}

function refusedListen(refusal: ListenRefusal): Failure {
  const code = refusal.kind === 'forbidden' ? 'not_permitted' : 'unreachable';
  return new Failure(code, describeListenRefusal(refusal));
}

function refuseLoops({ routes }: AmbassadorConfig): void {
  const own = new Set(interfaceAddresses().map(({ address }) => address));
  const loop = findLoop(routes, own);
  if (loop === undefined) return;
  throw new Failure('usage', `${loop.source} leads back to this ambassador`, 'name another port');
}

function refuseNamesWithoutResolver({ routes }: AmbassadorConfig): void {
  const unresolvable = routes.find(
    ({ target }) => !isStatic(target) && target.kind === 'endpoints',
  );
  if (unresolvable === undefined) return;
  throw new Failure(
    'unreachable',
    `${unresolvable.source}: there is no DNS server to ask for the name`,
    'give one with --nameservers',
  );
}

function tableOf(config: AmbassadorConfig, plane: ProxyRoutes, sources: BackendSources) {
  const reach = (backends: readonly Backend[]) => backends;
  const clock = systemClock;
  const probed = { plane, reach, clock, connect: acceptsConnection, table: () => table };
  const probes = probesOf(config.settings.probeSeconds, probed);
  const table: RouteTable = new RouteTable({
    plane,
    follower: sources.follower,
    prefix: keyPrefix(config.pathPrefix),
    followKey: sources.followKey,
    reach: reachProbed(probes, probed),
  });
  return { table, probes };
}
