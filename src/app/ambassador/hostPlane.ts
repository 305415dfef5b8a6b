/** What carries the connections of a host's routes: the kernel, or where it may not, a proxy of ours. */
import type { Plane } from '../../ambassador/follow/routeTable.ts';
import type { TableCounters } from '../../ambassador/nft/kernelTable.ts';
import type { Carrier, CarrierKind } from '../../ambassador/proxy/carry/carrier.ts';
import { NetCarrier } from '../../ambassador/proxy/carry/netCarrier.ts';
import { openSpliceCarrier } from '../../ambassador/proxy/carry/spliceCarrier.ts';
import type { ProxyStatistics } from '../../ambassador/proxy/proxyCounters.ts';
import type { ProxyEvent } from '../../ambassador/proxy/proxyEvents.ts';
import { ProxyPlane } from '../../ambassador/proxy/proxyPlane.ts';
import type { Backend, BackendSet, Route } from '../../ambassador/route.ts';
import { isInRange, type VipRange, vipRangeOf } from '../../ambassador/vipRange.ts';
import type { AmbassadorSettings } from '../../config/options/ambassadorOptions.ts';
import { printSocketAddress } from '../../dns/address.ts';
import { isLoopback, parseCidr } from '../../forward/addresses.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';
import type { Log } from '../../observability/log.ts';
import { systemClock } from '../../timing/clock.ts';
import { Failure } from '../process/failure.ts';
import type { BackendCondition, ReportedBackend } from './ambassadorReport.ts';
import { GatewayListeners } from './gatewayListeners.ts';
import { destinationOf, drainingIn, isForbiddenTo } from './proxyRoutes.ts';

export interface HostPlane extends Plane {
  readonly kind: 'nft' | 'proxy';
  /** What moves the octets of TCP connections, where that is a proxy. */
  readonly carrierKind?: CarrierKind;
  /** Whether the routes that were set are in force. */
  readonly isInForce: boolean;
  /** Calls back whenever `isInForce` has changed. */
  onForce(listener: () => void): void;
  /** Call this when all routes are set, so that those of a former process can be told from ended ones. */
  release(): void;
  /** Whether the route may lead connections to the backend. */
  mayServe(route: Route, backend: Backend): boolean;
  conditionOf(route: Route, backend: Backend): BackendCondition;
  /** The backends that have left a route and still carry connections. */
  drainingOf(route: Route): readonly ReportedBackend[];
  /** Why a part of it does not work. */
  troubles(): readonly string[];
  /** Bridges of this host may have come or gone. `addresses`: the own ones of backends on this host. */
  refreshNetworks(addresses: readonly string[]): void;
  /** Backends on this host have died, whose own addresses these are: connections to them end at once. */
  noteDeath(addresses: readonly string[]): void;
  proxyStatistics?(): ProxyStatistics;
  kernelStatistics?(): KernelStatistics;
  /** Leaves the kernel's tables as they are, so that connections go on. */
  close(): Promise<void>;
}

/** What a kernel plane counts. */
export interface KernelStatistics {
  readonly counters: TableCounters | undefined;
  readonly updateTimes: { readonly counts: readonly number[]; readonly seconds: number };
}

/** How long a proxy's connections may continue when the server stops. */
const CLOSE_DRAIN_MS = 5_000;

/** Carries links through this process; it cannot carry connections to virtual addresses. */
export class ProxyHostPlane implements HostPlane {
  readonly kind = 'proxy';
  readonly isInForce = true;
  readonly #proxy: ProxyPlane;
  readonly #gateways: GatewayListeners;

  /** `dnsAddresses`: where this host answers DNS. */
  constructor(settings: AmbassadorSettings, dnsAddresses: readonly string[], log: Log) {
    this.#proxy = proxyOf(settings, log);
    this.#gateways = new GatewayListeners({
      proxy: this.#proxy,
      gatewaysOf: (sources) => gatewaysOf(sources, dnsAddresses),
      clock: systemClock,
      onRefused: (reason) => log.warn({}, `${reason}; links to this port do not work there`),
    });
  }

  onForce(): void {}

  release(): void {}

  /** A process closes its connections when it ends, and so does the proxy then. */
  noteDeath(): void {}

  set(route: Route, backends: BackendSet): void {
    if (route.match.kind !== 'consumer') return;
    const reachable = withoutPrivate(backends, route.match.source);
    this.#gateways.set(route.match, destinationOf(route, reachable));
  }

  remove({ match }: Route): void {
    if (match.kind === 'consumer') this.#gateways.remove(match);
  }

  refreshNetworks(): void {
    this.#gateways.refreshGateways();
  }

  mayServe(route: Route, backend: Backend): boolean {
    return !isForbiddenTo(route, backend);
  }

  conditionOf(route: Route, backend: Backend): BackendCondition {
    if (!this.mayServe(route, backend)) return { state: 'unused' };
    const id = printSocketAddress(backend);
    const states = this.#gateways.reportOf(route).filter((one) => printSocketAddress(one) === id);
    const connections = states.reduce((sum, one) => sum + one.connections, 0);
    const isUnreachable = states.some(({ state }) => state === 'unreachable');
    return { state: isUnreachable ? 'unreachable' : 'ok', connections };
  }

  drainingOf(route: Route): readonly ReportedBackend[] {
    return drainingIn(this.#gateways.reportOf(route));
  }

  troubles(): readonly string[] {
    return this.#gateways.refusals();
  }

  get carrierKind(): CarrierKind {
    return this.#proxy.carrierKind;
  }

  proxyStatistics(): ProxyStatistics {
    return this.#proxy.counters();
  }

  async close(): Promise<void> {
    this.#gateways.close();
    await this.#proxy.close(CLOSE_DRAIN_MS);
  }
}

/** The proxy that the settings of a server or of `soradns ambassador` describe. */
export function proxyOf(
  settings: Pick<
    AmbassadorSettings,
    | 'balance'
    | 'carrier'
    | 'drainSeconds'
    | 'connectTimeoutSeconds'
    | 'maxConnections'
    | 'maxPerSource'
    | 'proxyProtocol'
    | 'udpIdleSeconds'
  >,
  log: Log,
): ProxyPlane {
  const { balance, drainSeconds, connectTimeoutSeconds, proxyProtocol, udpIdleSeconds } = settings;
  const { maxConnections, maxPerSource } = settings;
  return new ProxyPlane({
    carrier: carrierOf(settings.carrier, log),
    ...{ balance, drainSeconds, connectTimeoutSeconds, proxyProtocol, udpIdleSeconds },
    ...{ maxConnections, maxPerSource },
    clock: systemClock,
    random: Math.random,
    onEvent: proxyLog(log),
  });
}

/** The proxy would reach what a provider did not publish, for consumers that do not share its network. */
function withoutPrivate(set: BackendSet, source: string): BackendSet {
  if (set.kind === 'waits' || set.backends.every(({ access }) => access !== 'private')) return set;
  const near = ownNetworks().filter(({ range }) => isInRange(range, source));
  const isReachable = ({ access, address }: Backend): boolean =>
    access !== 'private' || near.some(({ range }) => isInRange(range, address));
  return { ...set, backends: set.backends.filter(isReachable) };
}

/** This host's addresses, with the networks around them. */
export function ownNetworks(): readonly { readonly address: string; readonly range: VipRange }[] {
  return interfaceAddresses().flatMap(({ address, cidr }) => {
    const range = cidr === null ? undefined : parseCidr(cidr);
    return range === undefined ? [] : [{ address, range: vipRangeOf(range) }];
  });
}

function carrierOf(wanted: AmbassadorSettings['carrier'], log: Log): Carrier {
  if (wanted !== 'net') {
    const opened = openSpliceCarrier(systemClock);
    if (opened.kind === 'carrier') return opened.carrier;
    const { reason } = opened;
    if (wanted === 'splice') throw new Failure('not_permitted', reason, 'use --carrier auto');
    log.info({ reason }, "carrying connections with Node's sockets");
  }
  return new NetCarrier(systemClock);
}

/**
 * This host's addresses on the networks of the sources, which are the gateways of these containers; and those at which
 * it answers DNS, which `ambassador.dns` stands for.
 */
function gatewaysOf(sources: Iterable<string>, dns: readonly string[]): readonly string[] {
  const networks = ownNetworks();
  const gateways = new Set(
    dns.filter((address) => networks.some((one) => one.address === address)),
  );
  for (const source of sources)
    for (const { address, range } of networks) if (isInRange(range, source)) gateways.add(address);
  return [...gateways].filter((address) => !isLoopback(address));
}

/** Prints the events of a proxy as log lines. */
function proxyLog(log: Log): (event: ProxyEvent) => void {
  return (event) => {
    const { kind: _, ...fields } = event;
    switch (event.kind) {
      case 'unserved':
        log.warn(fields, 'a route has no backend; its connections are refused');
        return;
      case 'served':
        log.info(fields, 'the route has backends again');
        return;
      case 'unreachable':
        log.warn(fields, 'no backend of a route accepted a connection');
        return;
      case 'forbidden':
        log.warn(fields, 'a route leads to an address that the proxy does not connect to');
        return;
      case 'limited':
        log.warn(fields, 'a limit of connections is reached; further ones are reset');
        return;
      case 'acceptFailed':
        log.warn(fields, 'a connection could not be accepted');
        return;
    }
  };
}
