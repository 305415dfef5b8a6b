/**
 * ambassador/proxy/: Carries the connections of routes through this process: accepts, chooses a backend, passes on.
 * Imports: ambassador, ambassador/proxy/carry, dataplane/listeners, dns, kernel, server/listening, timing.
 * Used by: app/ambassador, app/answering.
 *
 * `ProxyPlane` opens listeners and gives each of their clients a backend of its destination. `StreamListener` does so
 * for TCP and Unix sockets: a `Connection` tries backends until one accepts, and a `Carrier` then moves the octets.
 * `DatagramListener` does so for UDP: each client has a flow to one backend. The parts that give a `ProxyPlane` its
 * routes are in app/ambassador/: `ProxyRoutes` and `ProxyHostPlane`.
 */
import { createOwnAddresses } from '../../dataplane/listeners/ownAddresses.ts';
import type { SocketAddress } from '../../dns/address.ts';
import type { InheritedSocket } from '../../server/listening/listen.ts';
import type { Clock } from '../../timing/clock.ts';
import type { Balance } from '../choice.ts';
import type { ListenAddress, Protocol } from '../route.ts';
import { printListen } from '../targetText.ts';
import { type ForbiddenAddress, whyForbidden } from './addressPolicy.ts';
import { Admission, type ProxyLimits } from './admission.ts';
import type { Carrier, CarrierKind, StreamAddress, StreamSocket } from './carry/carrier.ts';
import { NetCarrier } from './carry/netCarrier.ts';
import { Chooser } from './chooser.ts';
import { DatagramListener } from './datagramListener.ts';
import type { DestinationOf } from './destination.ts';
import { addressesOf, type ListenRefusal, openDatagrams, openStreams } from './opening.ts';
import { newProxyCounters, type ProxyCounters, type ProxyStatistics } from './proxyCounters.ts';
import { type ProxyEvent, ProxyReporter } from './proxyEvents.ts';
import type { RouteReport } from './routeReports.ts';
import { StreamListener } from './streamListener.ts';

export interface ProxyPlaneOptions extends ProxyLimits {
  readonly balance: Balance;
  /** How long connections to a backend that left may go on; 0: they are reset at once, -1: never. */
  readonly drainSeconds: number;
  /** How long a backend may take to accept, and how long a connection waits for backends that are not known yet. */
  readonly connectTimeoutSeconds: number;
  /** Begin connections with a header of the PROXY protocol, unless the backend says otherwise itself. */
  readonly proxyProtocol: boolean;
  readonly udpIdleSeconds: number;
  readonly clock: Clock;
  readonly random: () => number;
  readonly onEvent: (event: ProxyEvent) => void;
  /** Default: Node's sockets. */
  readonly carrier?: Carrier;
  /** Which addresses a destination that is not static may not lead to. Default: `whyForbidden`. */
  readonly addressPolicy?: (address: string) => ForbiddenAddress | undefined;
  /** Lists the addresses of this host. Default: those of its interfaces. */
  readonly listLocal?: () => readonly string[];
}

export type OpenOutcome =
  | { readonly kind: 'opened'; readonly listener: ProxyListener }
  | ListenRefusal;

export interface ProxyListener {
  readonly listen: ListenAddress;
  /** The bound addresses; none for a Unix socket. */
  readonly addresses: readonly SocketAddress[];
  /** The destinations have changed. Connections whose backend has left begin to drain, UDP flows end. */
  refresh(): void;
  report(): readonly RouteReport[];
  /** Accepts no more connections, gives the open ones this time to end, then resets them. */
  close(drainMs: number): Promise<void>;
}

export interface ListenerReport {
  readonly listen: ListenAddress;
  readonly routes: readonly RouteReport[];
}

type PortAddress = Extract<ListenAddress, { kind: 'port' }>;

export class ProxyPlane {
  readonly #options: ProxyPlaneOptions;
  readonly #carrier: Carrier;
  readonly #reporter: ProxyReporter;
  readonly #counters: ProxyCounters = newProxyCounters();
  readonly #admission: Admission;
  readonly #own = { tcp: createOwnAddresses(), udp: createOwnAddresses() };
  readonly #choosers: Readonly<Record<Protocol, Chooser>>;
  readonly #streams = new Map<ProxyListener, StreamListener>();
  readonly #datagrams = new Map<ProxyListener, DatagramListener>();

  constructor(options: ProxyPlaneOptions) {
    this.#options = options;
    this.#carrier = options.carrier ?? new NetCarrier(options.clock);
    this.#reporter = new ProxyReporter(options.clock, options.onEvent);
    this.#admission = new Admission(options, {
      permit: (isPermitted) => this.#carrier.permit?.(isPermitted),
      count: () => this.#carrier.begunClients ?? 0,
    });
    this.#choosers = { tcp: this.#chooser('tcp'), udp: this.#chooser('udp') };
  }

  /**
   * Listens, and leads each client to the destination of its source address. `inherited`: bound sockets of this process
   * that are taken over in place of new ones; the listener closes them.
   */
  async open(
    listen: ListenAddress,
    destinationOf: DestinationOf,
    inherited: readonly InheritedSocket[] = [],
  ): Promise<OpenOutcome> {
    return listen.kind === 'port' && listen.protocol === 'udp'
      ? this.#openDatagrams(listen, destinationOf, inherited)
      : this.#openStreams(listen, destinationOf, inherited);
  }

  /** The destinations of any listener may have changed. */
  refresh(): void {
    for (const listener of [...this.#streams.keys(), ...this.#datagrams.keys()]) listener.refresh();
  }

  /** No destination has the label any more. */
  forget(label: string): void {
    this.#reporter.forget(label);
  }

  status(): readonly ListenerReport[] {
    return [...this.#streams.keys(), ...this.#datagrams.keys()].map((listener) => {
      return { listen: listener.listen, routes: listener.report() };
    });
  }

  /** What moves the octets of connections. */
  get carrierKind(): CarrierKind {
    return this.#carrier.kind;
  }

  counters(): ProxyStatistics {
    const connections = { held: 0, waiting: 0, connecting: 0, open: 0, draining: 0 };
    for (const stream of this.#streams.values()) stream.countInto(connections);
    let flows = 0;
    for (const datagrams of this.#datagrams.values()) flows += datagrams.flows;
    const { toBackends, toClients } = this.#carrier.octets;
    const octets = { toBackends, toClients };
    return { ...structuredClone(this.#counters), connections, octets, flows };
  }

  /** Closes all listeners; see `ProxyListener.close`. The plane can open none afterwards. */
  async close(drainMs: number): Promise<void> {
    const listeners = [...this.#streams.keys(), ...this.#datagrams.keys()];
    await Promise.all(listeners.map((listener) => listener.close(drainMs)));
    await this.#carrier.close();
  }

  async #openStreams(
    listen: ListenAddress,
    destinationOf: DestinationOf,
    inherited: readonly InheritedSocket[],
  ): Promise<OpenOutcome> {
    const stream = new StreamListener({
      ...this.#options,
      destinationOf,
      admission: this.#admission,
      chooser: this.#choosers.tcp,
      reporter: this.#reporter,
      counters: this.#counters,
    });
    const bind = (at: StreamAddress): Promise<StreamSocket> =>
      this.#carrier.listen(
        at,
        (client) => stream.accept(client),
        (error) => {
          stream.unplan();
          this.#onAcceptFailure(listen, error);
        },
      );
    const outcome = await openStreams(listen, bind, inherited);
    if (outcome.kind !== 'opened') return outcome;
    const { sockets } = outcome;
    const addresses = addressesOf(sockets);
    stream.listenOn(sockets);
    for (const { address, port } of addresses) this.#own.tcp.add(address, port);
    this.#judgeAnew();
    const listener: ProxyListener = {
      listen,
      addresses,
      refresh: () => stream.refresh(),
      report: () => stream.report(),
      close: async (drainMs) => {
        await stream.close(drainMs);
        if (!this.#streams.delete(listener)) return;
        for (const { address, port } of addresses) this.#own.tcp.remove(address, port);
        this.#judgeAnew();
      },
    };
    this.#streams.set(listener, stream);
    stream.refresh();
    return { kind: 'opened', listener };
  }

  async #openDatagrams(
    listen: PortAddress,
    destinationOf: DestinationOf,
    inherited: readonly InheritedSocket[],
  ): Promise<OpenOutcome> {
    const datagrams = new DatagramListener({
      ...this.#options,
      destinationOf,
      own: this.#own.udp,
      isOwnListener: this.#own.udp.has,
      chooser: this.#choosers.udp,
      reporter: this.#reporter,
      counters: this.#counters,
    });
    const refusal = await openDatagrams(datagrams, listen, inherited);
    if (refusal !== undefined) return refusal;
    this.#choosers.udp.judgeAnew();
    const listener: ProxyListener = {
      listen,
      addresses: datagrams.addresses,
      refresh: () => datagrams.refresh(),
      report: () => datagrams.report(),
      close: async () => {
        this.#datagrams.delete(listener);
        await datagrams.close();
        this.#choosers.udp.judgeAnew();
      },
    };
    this.#datagrams.set(listener, datagrams);
    datagrams.refresh();
    return { kind: 'opened', listener };
  }

  /** The set of our own listeners has changed, to which the proxy does not connect. */
  #judgeAnew(): void {
    this.#choosers.tcp.judgeAnew();
    for (const stream of this.#streams.values()) stream.unplan();
  }

  #onAcceptFailure(listen: ListenAddress, error: NodeJS.ErrnoException): void {
    this.#counters.acceptFailures += 1;
    this.#reporter.noteAcceptFailure(printListen(listen), error.code ?? error.message);
  }

  #chooser(protocol: Protocol): Chooser {
    const { balance, random, addressPolicy = whyForbidden } = this.#options;
    return new Chooser({
      balance,
      random,
      whyForbidden: addressPolicy,
      isOwnListener: this.#own[protocol].has,
      reporter: this.#reporter,
      counters: this.#counters,
    });
  }
}
