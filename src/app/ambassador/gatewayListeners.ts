/**
 * The listeners of links where a proxy carries them: one for each linked port at each address of this host at which its
 * consumers connect. They tell consumers apart by their source addresses.
 */
import type { Destination } from '../../ambassador/proxy/destination.ts';
import { describeListenRefusal } from '../../ambassador/proxy/opening.ts';
import type { ProxyListener, ProxyPlane } from '../../ambassador/proxy/proxyPlane.ts';
import type { BackendReport } from '../../ambassador/proxy/routeReports.ts';
import type { Match, Protocol, Route } from '../../ambassador/route.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import { labelOf } from './proxyRoutes.ts';

type ConsumerMatch = Extract<Match, { kind: 'consumer' }>;

interface LinkedPort {
  readonly port: number;
  readonly protocol: Protocol;
  /** By the source address of the consumer. */
  readonly destinations: Map<string, Destination>;
  /** By the address of this host. */
  readonly listeners: Map<string, ProxyListener>;
  /** Why it does not listen at an address. */
  readonly refusals: Map<string, string>;
  /** Opening and closing take turns. */
  turn: Promise<void>;
  retry: Timer | undefined;
  failuresInARow: number;
}

/** Another program may give up the port without any change of containers or routes. */
const RETRY = { minMs: 1_000, maxMs: 30_000 };

export interface GatewayListenersOptions {
  readonly proxy: Pick<ProxyPlane, 'open' | 'forget'>;
  /** This host's addresses at which a consumer with one of these source addresses connects. */
  readonly gatewaysOf: (sources: Iterable<string>) => readonly string[];
  readonly onRefused: (reason: string) => void;
  readonly clock: Clock;
}

export class GatewayListeners {
  readonly #options: GatewayListenersOptions;
  readonly #ports = new Map<string, LinkedPort>();
  #isClosed = false;

  constructor(options: GatewayListenersOptions) {
    this.#options = options;
  }

  set(match: ConsumerMatch, destination: Destination): void {
    const linked = this.#portOf(match);
    const former = linked.destinations.get(match.source)?.label;
    linked.destinations.set(match.source, destination);
    this.#update(linked);
    for (const listener of linked.listeners.values()) listener.refresh();
    this.#forgetEnded(linked, former);
  }

  remove({ source, port, protocol }: ConsumerMatch): void {
    const linked = this.#ports.get(`${port}/${protocol}`);
    if (linked === undefined) return;
    const ended = linked.destinations.get(source)?.label;
    linked.destinations.delete(source);
    for (const listener of linked.listeners.values()) listener.refresh();
    this.#forgetEnded(linked, ended);
    if (linked.destinations.size === 0) this.#update(linked);
  }

  /** Bridges may have come or gone. */
  refreshGateways(): void {
    for (const linked of this.#ports.values()) this.#update(linked);
  }

  /** What a listener of the route's port says about the route. */
  reportOf(route: Route): readonly BackendReport[] {
    const { match } = route;
    if (match.kind !== 'consumer') return [];
    const linked = this.#ports.get(`${match.port}/${match.protocol}`);
    const reports = [...(linked?.listeners.values() ?? [])].flatMap((one) => one.report());
    const wanted = labelOf(route);
    return reports.filter(({ label }) => label === wanted).flatMap(({ states }) => states);
  }

  /** Addresses at which a linked port cannot be opened. */
  refusals(): readonly string[] {
    return [...this.#ports.values()].flatMap(({ refusals }) => [...refusals.values()]);
  }

  /** Opens no more listeners; those that are open stay. */
  close(): void {
    this.#isClosed = true;
    for (const { retry } of this.#ports.values()) retry?.cancel();
  }

  #portOf({ port, protocol }: ConsumerMatch): LinkedPort {
    const key = `${port}/${protocol}`;
    const known = this.#ports.get(key);
    if (known !== undefined) return known;
    const linked: LinkedPort = {
      ...{ port, protocol, destinations: new Map(), listeners: new Map(), refusals: new Map() },
      ...{ turn: Promise.resolve(), retry: undefined, failuresInARow: 0 },
    };
    this.#ports.set(key, linked);
    return linked;
  }

  #forgetEnded({ destinations }: LinkedPort, label: string | undefined): void {
    if (label === undefined) return;
    for (const each of destinations.values()) if (each.label === label) return;
    this.#options.proxy.forget(label);
  }

  #update(linked: LinkedPort): void {
    linked.turn = linked.turn.then(() => this.#openAndClose(linked));
  }

  async #openAndClose(linked: LinkedPort): Promise<void> {
    if (this.#isClosed) return;
    const sources = linked.destinations.keys();
    const isUsed = linked.destinations.size > 0;
    const wanted = new Set(isUsed ? this.#options.gatewaysOf(sources) : []);
    for (const [address, listener] of [...linked.listeners]) {
      if (wanted.has(address)) continue;
      linked.listeners.delete(address);
      await listener.close(0);
    }
    for (const address of [...linked.refusals.keys()])
      if (!wanted.has(address)) linked.refusals.delete(address);
    for (const address of wanted)
      if (!linked.listeners.has(address)) await this.#open(linked, address);
    this.#retryLater(linked);
  }

  #retryLater(linked: LinkedPort): void {
    linked.retry?.cancel();
    linked.retry = undefined;
    linked.failuresInARow = linked.refusals.size === 0 ? 0 : linked.failuresInARow + 1;
    if (linked.failuresInARow === 0 || this.#isClosed) return;
    const waitMs = backoffMs(linked.failuresInARow, RETRY);
    linked.retry = this.#options.clock.startTimer(waitMs, () => this.#update(linked));
  }

  async #open(linked: LinkedPort, address: string): Promise<void> {
    const { port, protocol, destinations, listeners, refusals } = linked;
    const listen = { kind: 'port', address, port, protocol } as const;
    const outcome = await this.#options.proxy.open(listen, (source) => destinations.get(source));
    if (outcome.kind === 'opened') {
      listeners.set(address, outcome.listener);
      refusals.delete(address);
      return;
    }
    const reason = describeListenRefusal(outcome);
    if (refusals.get(address) !== reason) this.#options.onRefused(reason);
    refusals.set(address, reason);
  }
}
