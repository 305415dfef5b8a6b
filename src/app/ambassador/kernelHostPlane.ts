/** The kernel as the plane of a host: routes become slots of its tables. */
import type { KernelMatch, Slot } from '../../ambassador/nft/kernelRoute.ts';
import { familyOfMatch } from '../../ambassador/nft/kernelRoute.ts';
import { type NftPlane, openNftPlane } from '../../ambassador/nft/nftPlane.ts';
import { obstacleToTables } from '../../ambassador/nft/nftThread.ts';
import { SLOT_COUNTS, type TableForm } from '../../ambassador/nft/tableText.ts';
import { whyForbidden } from '../../ambassador/proxy/addressPolicy.ts';
import {
  type Backend,
  type BackendSet,
  isToLeader,
  matchKey,
  type Route,
  type Target,
} from '../../ambassador/route.ts';
import { assignSlots, slotCount, wholeSlots } from '../../ambassador/slots.ts';
import { printRouteTarget } from '../../ambassador/targetText.ts';
import { maskedNetwork } from '../../ambassador/vipRange.ts';
import type { AmbassadorSettings } from '../../config/options/ambassadorOptions.ts';
import { familyOfAddress, printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { interfaceAddresses } from '../../kernel/interfaces.ts';
import type { Log } from '../../observability/log.ts';
import { systemClock } from '../../timing/clock.ts';
import { Failure } from '../process/failure.ts';
import type { BackendCondition, ReportedBackend } from './ambassadorReport.ts';
import { type HostPlane, type KernelStatistics, ProxyHostPlane } from './hostPlane.ts';

/** Opens the plane that `--plane` names. Throws a `Failure` if the kernel is asked for and cannot do it. */
export async function openHostPlane(
  settings: AmbassadorSettings,
  dnsAddresses: readonly string[],
  log: Log,
): Promise<HostPlane> {
  if (settings.plane !== 'proxy') {
    const opened = await openKernelPlane(settings, log);
    if (typeof opened !== 'string') return opened;
    const fix = 'docker run --network host --cap-add NET_ADMIN --user 0:65532 …';
    const reason = `the kernel cannot carry connections: ${opened}`;
    if (settings.plane === 'nft') throw new Failure('not_permitted', reason, fix);
    const lost = settings.vip ? '; virtual addresses are not answered' : '';
    log.warn({ fix }, `${reason}; using the proxy${lost}`);
  }
  return new ProxyHostPlane(settings, dnsAddresses, log);
}

/** The plane, or why there is none. */
async function openKernelPlane(
  settings: AmbassadorSettings,
  log: Log,
): Promise<KernelHostPlane | string> {
  const listeners = new Set<() => void>();
  const opened = await openNftPlane({
    forms: formsOf(settings),
    drainSeconds: settings.drainSeconds,
    crossBridge: settings.crossBridge,
    clock: systemClock,
    onState: () => {
      for (const listener of listeners) listener();
    },
    onCorrected: (programs) =>
      log.warn(
        { programs: programs.slice(0, MAX_PROGRAMS) },
        'another program had changed the routes in the kernel; they are in force again',
      ),
    onThreadLost: (err) =>
      log.error({ err }, 'the thread that writes the routes ended; starting another'),
  });
  if (opened.kind === 'unsupported') return opened.reason;
  return new KernelHostPlane(opened.plane, settings, listeners);
}

/** In one line of the log. */
const MAX_PROGRAMS = 8;

/** Why the kernel cannot carry connections for this process; undefined if it can. Changes nothing. */
export function kernelObstacle(settings: AmbassadorSettings): string | undefined {
  return obstacleToTables(formsOf(settings));
}

/** Consumers may have IPv6 addresses where the host has one. */
function formsOf({ vip, vipRange, vipRange6, balance }: AmbassadorSettings): readonly TableForm[] {
  const range4 = vip ? maskedNetwork(vipRange) : undefined;
  const range6 = vip && vipRange6 ? maskedNetwork(vipRange6) : undefined;
  const forms: TableForm[] = [{ family: 4, range: range4, balance }];
  if (range6 !== undefined || hasIpv6()) forms.push({ family: 6, range: range6, balance });
  return forms;
}

function hasIpv6(): boolean {
  return interfaceAddresses().some(
    ({ family, internal, address }) =>
      family === 'IPv6' && !internal && !address.startsWith('fe80:'),
  );
}

export class KernelHostPlane implements HostPlane {
  readonly kind = 'nft';
  readonly #plane: NftPlane;
  readonly #leastSlots: number;
  readonly #listeners: Set<() => void>;
  /** The backends of the slots of each route, so that a backend keeps its slots. */
  readonly #assigned = new Map<string, readonly Slot[]>();
  /** The targets of routes that wait, and meanwhile have the slots of a former process. */
  readonly #kept = new Map<string, string>();
  readonly #startedMs = systemClock.wallMs();
  readonly #drainSeconds: number;
  /** The backends that have left each route, with the time until which their connections may go on. */
  readonly #draining = new Map<string, Map<string, number>>();

  constructor(
    plane: NftPlane,
    { slots, drainSeconds }: Pick<AmbassadorSettings, 'slots' | 'drainSeconds'>,
    listeners: Set<() => void>,
  ) {
    this.#plane = plane;
    this.#leastSlots = slots;
    this.#drainSeconds = drainSeconds;
    this.#listeners = listeners;
  }

  get isInForce(): boolean {
    return this.#plane.isInForce;
  }

  onForce(listener: () => void): void {
    this.#listeners.add(listener);
  }

  release(): void {
    this.#plane.release();
  }

  /** A route without slots refuses its connections: else another listener of the host could take them. */
  set(route: Route, backends: BackendSet): void {
    const { match, target } = route;
    if (match.kind === 'socket') return;
    const slots =
      backends.kind === 'waits'
        ? (this.#keptSlots(match, route) ?? this.#assign(match, target, []))
        : this.#assign(match, target, backends.backends);
    this.#plane.set({ match, slots, ...(isToLeader(target) && { drainSeconds: 0 }) });
  }

  remove({ match }: Route): void {
    this.#assigned.delete(matchKey(match));
    this.#draining.delete(matchKey(match));
    this.#kept.delete(matchKey(match));
    if (match.kind !== 'socket') this.#plane.remove(match);
  }

  /** The tables need no networks: they look at the host's routing for each connection. */
  refreshNetworks(addresses: readonly string[]): void {
    this.#plane.setLocal(addresses);
  }

  noteDeath(addresses: readonly string[]): void {
    this.#plane.noteDeath(addresses);
  }

  mayServe({ match }: Route, backend: Backend): boolean {
    return match.kind === 'socket' || isUsable(match, backend);
  }

  /** The kernel does not say whether a backend accepts connections. */
  conditionOf(route: Route, backend: Backend): BackendCondition {
    return { state: this.mayServe(route, backend) ? 'ok' : 'unused' };
  }

  /** Those whose connections the kernel may still carry; it is not asked whether there are any. */
  drainingOf({ match }: Route): readonly ReportedBackend[] {
    const nowMs = systemClock.monotonicMs();
    return [...(this.#draining.get(matchKey(match)) ?? [])].flatMap(([address, untilMs]) => {
      if (untilMs <= nowMs) return [];
      const left = Number.isFinite(untilMs) && {
        leftSeconds: Math.ceil((untilMs - nowMs) / 1_000),
      };
      return [{ address, priority: 0, weight: 0, state: 'draining', ...left }];
    });
  }

  troubles(): readonly string[] {
    const { trouble } = this.#plane;
    return trouble === undefined ? [] : [`the kernel refuses the routes: ${trouble}`];
  }

  kernelStatistics(): KernelStatistics {
    const { counters, updateTimes } = this.#plane;
    return { counters, updateTimes };
  }

  close(): Promise<void> {
    return this.#plane.close();
  }

  /**
   * The slots of a former process serve until the route's backends are known. A container that started later may have the
   * address of one with another link.
   */
  #keptSlots(match: KernelMatch, { target, sinceMs }: Route): readonly Slot[] | undefined {
    if (sinceMs > this.#startedMs) return undefined;
    const key = matchKey(match);
    if (this.#kept.get(key) === printRouteTarget(target)) return this.#assigned.get(key);
    const former = this.#plane.formerSlots(match);
    if (former === undefined) return undefined;
    const slots = wholeSlots(former, SLOT_COUNTS[0]);
    this.#kept.set(key, printRouteTarget(target));
    this.#assigned.set(key, slots);
    return slots;
  }

  #assign(match: KernelMatch, target: Target, backends: readonly Backend[]): readonly Slot[] {
    const usable = backends.filter((backend) => isUsable(match, backend));
    const key = matchKey(match);
    const count = slotCount(usable.length, this.#leastSlots);
    const former = this.#assigned.get(key) ?? this.#plane.formerSlots(match);
    const assigned = assignSlots(former, usable, count);
    if (match.protocol === 'tcp' && !isToLeader(target))
      this.#noteDraining(key, former ?? [], usable);
    this.#assigned.set(key, assigned);
    this.#kept.delete(key);
    return assigned.map(({ address, port, access }) => ({ address, port, access }));
  }

  #noteDraining(
    key: string,
    former: readonly SocketAddress[],
    serving: readonly SocketAddress[],
  ): void {
    const nowMs = systemClock.monotonicMs();
    const untilMs = this.#drainSeconds < 0 ? Infinity : nowMs + this.#drainSeconds * 1_000;
    const draining = this.#draining.get(key) ?? new Map<string, number>();
    for (const [address, endMs] of draining) if (endMs <= nowMs) draining.delete(address);
    for (const each of former) draining.set(printSocketAddress(each), untilMs);
    for (const each of serving) draining.delete(printSocketAddress(each));
    if (draining.size === 0) this.#draining.delete(key);
    else this.#draining.set(key, draining);
  }
}

function isUsable(match: KernelMatch, { address }: Backend): boolean {
  return familyOfAddress(address) === familyOfMatch(match) && whyForbidden(address) === undefined;
}
