/** Takes the connections of one listening address, or of all addresses at one port, and knows them until they end. */
import { printSocketAddress } from '../../dns/address.ts';
import { Alarm, type Clock } from '../../timing/clock.ts';
import { withDeadline } from '../../timing/deadline.ts';
import { afterNextPoll } from '../../timing/fairScheduler.ts';
import type { Balance } from '../choice.ts';
import type { Backend } from '../route.ts';
import type { Admission } from './admission.ts';
import type { AcceptedClient, StreamSocket } from './carry/carrier.ts';
import { Connection, type ProxyContext } from './connection.ts';
import { DestinationView } from './destination.ts';
import type { ConnectionState } from './proxyCounters.ts';
import { type RouteReport, RouteReports } from './routeReports.ts';

export type StreamListenerOptions = Omit<ProxyContext, 'onTried' | 'onOverdue' | 'onEnded'> & {
  readonly admission: Admission;
  readonly balance: Balance;
};

/** Backends whose last try failed. Those that failed longest ago are forgotten first: they may have left. */
const MAX_UNREACHABLE = 1_024;
/** Source addresses whose clients are connected by plans, and backends of a plan: each plan is a message. */
const MAX_PLANS = 1_024;
const MAX_PLANNED_BACKENDS = 64;

export class StreamListener {
  readonly #options: StreamListenerOptions;
  readonly #context: ProxyContext;
  readonly #connections = new Set<Connection>();
  readonly #unreachable = new Set<string>();
  readonly #drains: Alarm;
  readonly #clock: Clock;
  /** Source addresses that have a plan. */
  readonly #planned = new Set<string>();
  #sockets: readonly StreamSocket[] = [];
  /** Called when the last connection has ended. */
  readonly #onEmpty = new Set<() => void>();

  constructor(options: StreamListenerOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#drains = new Alarm(options.clock, () => this.#drain());
    this.#context = {
      ...options,
      onTried: (backend, isReached) => this.#onTried(backend, isReached),
      onOverdue: (connection) => {
        connection.refresh(new DestinationView(options.destinationOf));
        this.#setDrains();
      },
      onEnded: (connection) => this.#onEnded(connection),
    };
  }

  /** The sockets that accept clients for it, which it closes at the end. */
  listenOn(sockets: readonly StreamSocket[]): void {
    this.#sockets = sockets;
  }

  accept(client: AcceptedClient): void {
    const { admission, counters, reporter } = this.#options;
    const connection = new Connection(client, this.#context);
    const { source } = connection;
    counters.accepted += 1;
    const admitted = admission.admit(source, connection, client.begun !== undefined);
    if (admitted === 'start' || admitted === 'hold') {
      this.#connections.add(connection);
      if (admitted === 'start') connection.start();
      this.#plan(source);
      return;
    }
    counters.refused[admitted] += 1;
    reporter.noteLimit(admitted === 'sourceLimit' ? 'connectionsPerSource' : 'connections', source);
    client.reset();
  }

  /** The plans of clients may lead to other backends than the proxy would choose now. */
  unplan(): void {
    if (this.#planned.size === 0) return;
    this.#planned.clear();
    for (const socket of this.#sockets) socket.unplan?.();
  }

  refresh(): void {
    this.unplan();
    const view = new DestinationView(this.#options.destinationOf);
    view.of('');
    for (const connection of this.#connections) connection.refresh(view);
    this.#options.reporter.noteDestinations(view.known());
    this.#setDrains();
  }

  /** Adds its connections to the numbers of each state. */
  countInto(states: Record<ConnectionState, number>): void {
    for (const { state } of this.#connections) states[state] += 1;
  }

  report(): readonly RouteReport[] {
    const nowMs = this.#clock.monotonicMs();
    const reports = new RouteReports(this.#options.destinationOf, (id) =>
      this.#unreachable.has(id),
    );
    for (const { source, label, backend, state, drainsAtMs } of this.#connections) {
      if (label === undefined) continue;
      const drainsInMs = state === 'draining' ? drainsAtMs - nowMs : undefined;
      reports.add({ source, label, backend, drainsInMs });
    }
    return reports.all();
  }

  /** Accepts no more connections, gives the open ones this time to end, then resets them. */
  async close(drainMs: number): Promise<void> {
    await Promise.all(this.#sockets.map((socket) => socket.close()));
    const ended = this.#allEnded();
    await withDeadline(
      ended,
      drainMs,
      async () => {
        for (const connection of this.#connections) connection.cut();
        await ended;
      },
      { clock: this.#clock },
    );
    this.#drains.set(undefined);
    await afterNextPoll(); // the descriptors of the last ones are closed
  }

  /** Lets the next clients from this address be connected without asking. */
  #plan(source: string): void {
    if (this.#planned.has(source)) return;
    const { destinationOf, chooser, balance, proxyProtocol } = this.#options;
    const destination = destinationOf(source);
    const backends = destination && chooser.freeChoice(destination);
    if (backends === undefined || backends.length > MAX_PLANNED_BACKENDS) return;
    if (backends.some((backend) => backend.proxyProtocol ?? proxyProtocol)) return;
    if (this.#planned.size >= MAX_PLANS) this.unplan();
    this.#planned.add(source);
    for (const socket of this.#sockets) socket.plan?.(source, { backends, balance });
  }

  #allEnded(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#connections.size === 0) resolve();
      else this.#onEmpty.add(resolve);
    });
  }

  #onEnded(connection: Connection): void {
    if (!this.#connections.delete(connection)) return;
    this.#options.admission.release(connection.source, connection);
    if (this.#connections.size > 0) return;
    for (const resolve of this.#onEmpty) resolve();
    this.#onEmpty.clear();
  }

  #onTried(backend: Backend, isReached: boolean): void {
    if (isReached && this.#unreachable.size === 0) return; // nearly every connection
    const id = printSocketAddress(backend);
    if (isReached) this.#unreachable.delete(id);
    else this.#noteUnreachable(id);
  }

  #noteUnreachable(id: string): void {
    this.#unreachable.delete(id); // to the end
    this.#unreachable.add(id);
    const [oldest = id] = this.#unreachable;
    if (this.#unreachable.size > MAX_UNREACHABLE) this.#unreachable.delete(oldest);
  }

  #setDrains(): void {
    let earliestMs = Number.POSITIVE_INFINITY;
    for (const { drainsAtMs } of this.#connections) earliestMs = Math.min(earliestMs, drainsAtMs);
    this.#drains.set(earliestMs === Number.POSITIVE_INFINITY ? undefined : earliestMs);
  }

  #drain(): void {
    const nowMs = this.#clock.monotonicMs();
    for (const connection of this.#connections)
      if (connection.drainsAtMs <= nowMs) connection.drain();
    this.#setDrains();
  }
}
