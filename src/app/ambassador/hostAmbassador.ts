/**
 * app/ambassador/: Runs ambassadors as parts of the program: of a host in a server, and in a process of its own.
 * Imports: ambassador, ambassador/follow, ambassador/names, ambassador/nft, ambassador/proxy, ambassador/proxy/carry,
 *   app/process, config, config/options, dataplane/listeners, dns, forward, kernel, observability, registrar,
 *   registrar/links, server, server/http/exchange, server/listening, service, store, timing, zone/tree.
 * Used by: app, app/answering, cli/linking, tools/doctor/ambassador.
 *
 * `HostAmbassador` keeps the routes of a host: those of virtual addresses, which it also claims, and those of the links
 * of the host's containers. It reads the server's zone in the same turn of the event loop as DNS does.
 */
import type { BackendProbes } from '../../ambassador/follow/backendProbes.ts';
import { OutsideAnswers } from '../../ambassador/follow/outsideAnswers.ts';
import { RouteTable } from '../../ambassador/follow/routeTable.ts';
import { type VipEvent, VipKeeper } from '../../ambassador/follow/vipKeeper.ts';
import { VipRoutes } from '../../ambassador/follow/vipRoutes.ts';
import { type FollowedZone, ZoneFollower } from '../../ambassador/follow/zoneFollower.ts';
import { routesOfConsumers } from '../../ambassador/linkRoutes.ts';
import type { VirtualAddresses } from '../../ambassador/names/virtualAddresses.ts';
import { deadAddresses, ownAddresses, reachedFromHere } from '../../ambassador/reach.ts';
import type { Backend } from '../../ambassador/route.ts';
import { isInRange, type VipRange, vipRangesOf } from '../../ambassador/vipRange.ts';
import { VipRequests } from '../../ambassador/vipRequests.ts';
import type { AmbassadorSettings } from '../../config/options/ambassadorOptions.ts';
import { familyOfAddress } from '../../dns/address.ts';
import { equalNames, foldName, parseName, printName } from '../../dns/name.ts';
import type { Forwarder } from '../../forward/forwarder.ts';
import type { Log } from '../../observability/log.ts';
import type { LocalBackend } from '../../registrar/links/localBackends.ts';
import type { RegistrarHost } from '../../registrar/registrarHost.ts';
import type { VirtualState } from '../../registrar/status.ts';
import { type Exchange, type HttpReply, jsonReply } from '../../server/http/exchange/exchange.ts';
import { keyOfName, tablePrefix } from '../../service/key.ts';
import type { Store } from '../../store/store.ts';
import { systemClock, type Timer } from '../../timing/clock.ts';
import type { Node } from '../../zone/tree/tree.ts';
import type { AmbassadorSources } from './ambassadorMetrics.ts';
import {
  AMBASSADOR_PATH,
  type AmbassadorReport,
  type BackendConditions,
  type ReportedRoute,
  reportedRoute,
} from './ambassadorReport.ts';
import type { HostPlane } from './hostPlane.ts';
import { LocalLinkWriter } from './localLinkWriter.ts';
import { askForwarder } from './outsideResolver.ts';
import { acceptsConnection, conditionsOf, probesOf, reachProbed } from './probing.ts';

export interface HostAmbassadorOptions {
  readonly settings: AmbassadorSettings;
  /** The prefix of the names' keys, as `keyPrefix` returns it. */
  readonly prefix: string;
  readonly zone: FollowedZone;
  readonly virtualAddresses: VirtualAddresses;
  readonly forwarder: () => Forwarder | undefined;
  readonly store: Pick<Store, 'put'>;
  readonly log: Log;
}

/**
 * How long the routes of a former process stay as they are while the engine does not answer. Then the routes that are
 * known are written: an engine may be gone for long.
 */
const SETTLED_AFTER_MS = 10_000;
/**
 * How long they stay while other servers do not answer, once the rest is known: meanwhile backends that have ended stay
 * too. What has no answer then keeps its backends.
 */
const ANSWERED_AFTER_MS = 2_000;

const NO_LOCAL: ReadonlyMap<string, LocalBackend> = new Map();

export class HostAmbassador {
  readonly #options: HostAmbassadorOptions;
  readonly #outside: OutsideAnswers;
  readonly #follower: ZoneFollower;
  readonly #requests: VipRequests;
  readonly #ranges: readonly VipRange[];
  #running: Running | undefined;
  /** Ends the wait for the engine. */
  #settling: Timer | undefined;
  /** Ends the wait for other servers. */
  #answering: Timer | undefined;
  #host: RegistrarHost | undefined;
  #local = NO_LOCAL;

  constructor(options: HostAmbassadorOptions) {
    const { settings, prefix, zone, forwarder, log } = options;
    this.#options = options;
    this.#outside = new OutsideAnswers({
      ask: (question) => askForwarder(forwarder(), question),
      clock: systemClock,
      isUsed: (name) => this.#follower.isFollowed(name),
      onChange: (name) => {
        this.#follower.onOutsideAnswer(name);
        this.#releaseWhenKnown();
      },
    });
    this.#follower = new ZoneFollower({
      zone,
      outside: this.#outside,
      clock: systemClock,
      onError: (err) => log.error({ err }, 'the backends of a route could not be found'),
    });
    this.#requests = new VipRequests({
      isForAll: () => settings.vipAll,
      isApex: (name) => zone.settings().apexes.some((apex) => equalNames(apex, name)),
      keyOf: (node, { key }) => key ?? keyOfName(node.owner(), prefix),
    });
    this.#ranges = vipRangesOf([settings.vipRange, settings.vipRange6]);
  }

  /** Call this after each set of changes of the zone, from the first on. */
  onApplied(nodes: readonly Node[]): void {
    this.#follower.onApplied(nodes);
    const names = this.#requests.onApplied(nodes);
    this.#running?.keeper?.check([...names, ...nodes.map((node) => node.owner())]);
  }

  /** Call this when the virtual addresses in the store have changed. */
  onVirtualAddresses(): void {
    const { virtualAddresses } = this.#options;
    this.#running?.vips?.setVips(virtualAddresses.standing());
    this.#running?.keeper?.retry();
  }

  /** Call this when the settings of the zone have changed. */
  onSettings(): void {
    this.#follower.refresh();
    const names = this.#requests.refresh();
    this.#running?.keeper?.check(names);
  }

  /** Call this once, when the names and the virtual addresses have been read. */
  start(plane: HostPlane): void {
    const { settings } = this.#options;
    const table = this.#tableOn(plane);
    const isVip = settings.vip && plane.kind === 'nft';
    const vips = isVip ? this.#vipRoutesOn(table.table) : undefined;
    const keeper = isVip ? this.#vipKeeper() : undefined;
    const localLinks = new LocalLinkWriter(this.#options);
    this.#running = { plane, ...table, vips, keeper, consumers: new Set(), localLinks };
    this.#follower.refresh();
    this.onVirtualAddresses();
    keeper?.check([...this.#requests.all()].map(({ name }) => name));
    table.probes?.start();
    this.#onHost();
    if (this.#host === undefined) this.#releaseWhenKnown();
    else this.#settling = systemClock.startTimer(SETTLED_AFTER_MS, () => plane.release());
  }

  /** Takes links and local backends from a registrar from now on. */
  follow(host: RegistrarHost): void {
    this.#host = host;
    host.onChange(() => this.#onHost());
    this.#onHost();
  }

  /** Whether virtual addresses may be answered: every route is in force. */
  get isInForce(): boolean {
    const { plane } = this.#running ?? {};
    return plane?.isInForce === true && (this.#host === undefined || this.#host.isSettled);
  }

  /** Why it is not ready; empty if it is. */
  readiness(): readonly string[] {
    if (this.#running === undefined) return ['ambassador: waits for the store'];
    return this.#running.plane.troubles().map((trouble) => `ambassador: ${trouble}`);
  }

  /** What became of the wish of a name's records for a virtual address; undefined if none are given here. */
  virtualStateOf(text: string, vip: string): VirtualState | undefined {
    const { keeper } = this.#running ?? {};
    const name = parseName(text);
    if (keeper === undefined || name === undefined || vip === 'none') return undefined;
    const folded = foldName(name);
    const family = familyOfAddress(vip);
    const address = this.#options.virtualAddresses.addressOf(folded, family);
    if (address === undefined) {
      const reason = keeper.reasonOf(folded, family);
      return reason === undefined ? {} : { reason };
    }
    if (vip === 'auto' || vip === address) return { address };
    return { address, reason: `${printName(folded)} has ${address}` };
  }

  report(): AmbassadorReport {
    const running = this.#running;
    const plane = running?.plane;
    return {
      plane: plane?.kind ?? 'proxy',
      ...(plane?.carrierKind && { carrier: plane.carrierKind }),
      reasons: this.readiness(),
      routes: running === undefined ? [] : this.#reported(running),
    };
  }

  /** Serves the report at its path; undefined for any other path. */
  page({ path }: Exchange): HttpReply | undefined {
    return path === AMBASSADOR_PATH ? jsonReply(200, this.report()) : undefined;
  }

  metrics(): AmbassadorSources | undefined {
    if (this.#running === undefined) return undefined;
    const { plane, table, keeper } = this.#running;
    return {
      plane: plane.kind,
      routes: table.states(),
      conditions: this.#conditionsIn(this.#running),
      proxy: plane.proxyStatistics?.(),
      kernel: plane.kernelStatistics?.(),
      isVipRangeFull: keeper?.isExhausted,
    };
  }

  /** Closes the plane too, if it has started. */
  async close(): Promise<void> {
    const running = this.#running;
    this.#running = undefined;
    this.#settling?.cancel();
    this.#answering?.cancel();
    this.#outside.close();
    running?.probes?.close();
    running?.keeper?.close();
    running?.vips?.close();
    running?.table.close();
    await running?.localLinks.close();
    await running?.plane.close();
  }

  #tableOn(plane: HostPlane): Pick<Running, 'table' | 'probes'> {
    const { prefix, settings } = this.#options;
    const reach = (backends: readonly Backend[]) => this.#reached(backends);
    const clock = systemClock;
    const probed = { plane, reach, clock, connect: acceptsConnection, table: () => table };
    const probes = probesOf(settings.probeSeconds, probed);
    const follower = this.#follower;
    const table: RouteTable = new RouteTable({
      ...{ plane, follower, prefix, reach: reachProbed(probes, probed) },
    });
    return { table, probes };
  }

  #reported(running: Running): readonly ReportedRoute[] {
    const conditions = this.#conditionsIn(running);
    return running.table.states().map((state) => reportedRoute(state, conditions));
  }

  #conditionsIn({ plane, probes }: Running): BackendConditions {
    return conditionsOf(plane, probes, (backends) => this.#reached(backends));
  }

  #reached(backends: Iterable<Backend>): readonly Backend[] {
    return reachedFromHere([...backends], (key) => this.#local.get(key));
  }

  #vipRoutesOn(table: RouteTable): VipRoutes {
    const isRouted = (address: string) => this.#ranges.some((range) => isInRange(range, address));
    return new VipRoutes({ follower: this.#follower, table, isInRange: isRouted });
  }

  #vipKeeper(): VipKeeper {
    const { store, prefix, virtualAddresses, log } = this.#options;
    return new VipKeeper({
      store,
      prefix: tablePrefix(prefix, 'vip'),
      ranges: this.#ranges,
      requestOf: (name) => this.#requests.get(name),
      stored: virtualAddresses,
      isLocal: (key) => this.#local.has(key),
      clock: systemClock,
      random: Math.random,
      onEvent: (event) => logVipEvent(log, event),
    });
  }

  /** The host's containers have changed: first their links, so that a dead one's are gone at once. */
  #onHost(): void {
    const running = this.#running;
    if (this.#host === undefined || running === undefined) return;
    const consumers = this.#host.consumers();
    const bySource = routesOfConsumers(consumers, this.#options.zone.settings().apexes);
    for (const [source, routes] of bySource) running.table.setRoutes(source, routes);
    for (const source of running.consumers)
      if (!bySource.has(source)) running.table.setRoutes(source, []);
    running.consumers = new Set(bySource.keys());
    running.localLinks.set(consumers);
    const former = this.#local;
    this.#local = this.#host.localBackends();
    running.table.refreshReach();
    const dead = deadAddresses(former, this.#local);
    if (dead.length > 0) running.plane.noteDeath(dead);
    running.plane.refreshNetworks(ownAddresses(this.#local.values()));
    this.#releaseWhenKnown();
  }

  /** Has the routes written once they are what a former process may have known. */
  #releaseWhenKnown(): void {
    const { plane } = this.#running ?? {};
    if (plane === undefined || this.#host?.isSettled === false) return;
    if (this.#outside.isAnswered) plane.release();
    else this.#answering ??= systemClock.startTimer(ANSWERED_AFTER_MS, () => plane.release());
  }
}

/** What runs once the store has been read. */
interface Running {
  readonly plane: HostPlane;
  readonly table: RouteTable;
  readonly probes: BackendProbes | undefined;
  readonly vips: VipRoutes | undefined;
  readonly keeper: VipKeeper | undefined;
  readonly localLinks: LocalLinkWriter;
  /** The sources of routes of containers. */
  consumers: ReadonlySet<string>;
}

function logVipEvent(log: Log, event: VipEvent): void {
  switch (event.kind) {
    case 'claimed':
      log.info(
        { name: printName(event.name), address: event.address },
        'claimed a virtual address',
      );
      return;
    case 'refused':
      log.warn({ name: printName(event.name), cause: event.reason }, 'refused a virtual address');
      return;
    case 'exhausted':
      log.warn({ name: printName(event.name) }, 'no virtual address is left');
      return;
    case 'failed': {
      const { error, retryInMs } = event;
      log.warn({ cause: error.message, retryInMs }, 'cannot claim virtual addresses');
      return;
    }
  }
}
