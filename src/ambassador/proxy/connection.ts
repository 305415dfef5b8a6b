/**
 * One connection, from the moment that it is accepted: it waits for backends, tries them one after the other, and is
 * carried by the first that accepts. Nothing is read from the client before, so each try has all of the client's octets.
 */
import { printSocketAddress } from '../../dns/address.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import { afterNextPoll } from '../../timing/fairScheduler.ts';
import type { Backend } from '../route.ts';
import type {
  AcceptedClient,
  AttemptFollower,
  BegunAttempt,
  ConnectAttempt,
  ConnectFailure,
} from './carry/carrier.ts';
import { encodeProxyHeader } from './carry/proxyHeader.ts';
import type { Chooser } from './chooser.ts';
import { type DestinationOf, DestinationView } from './destination.ts';
import type { ConnectionRefusal, ConnectionState, ProxyCounters } from './proxyCounters.ts';
import type { ProxyReporter } from './proxyEvents.ts';

/** What all connections of a listener share. */
export interface ProxyContext {
  readonly clock: Clock;
  readonly connectTimeoutSeconds: number;
  /** 0: connections to a backend that left are reset at once; -1: they may go on for ever. */
  readonly drainSeconds: number;
  /** For backends that do not say themselves whether they want the header. */
  readonly proxyProtocol: boolean;
  readonly chooser: Chooser;
  readonly reporter: ProxyReporter;
  readonly counters: ProxyCounters;
  readonly destinationOf: DestinationOf;
  /** A backend took a connection, or did not. */
  readonly onTried: (backend: Backend, isReached: boolean) => void;
  /** The connection's backend had left before this process learnt that it took the connection. */
  readonly onOverdue: (connection: Connection) => void;
  /** Called once: the connection needs nothing any more. */
  readonly onEnded: (connection: Connection) => void;
}

export class Connection {
  readonly source: string;
  readonly #client: AcceptedClient;
  readonly #context: ProxyContext;
  /** The backends that did not take it, each with the reason. */
  readonly #tried = new Map<string, ConnectFailure>();
  #state: ConnectionState = 'held';
  #label: string | undefined;
  #backend: Backend | undefined;
  #drainsAtMs = Number.POSITIVE_INFINITY;
  #isDrained = false;
  #timer: Timer | undefined;
  #attempt: ConnectAttempt | undefined;
  #isCarried = false;
  #isOverdue = false;

  constructor(client: AcceptedClient, context: ProxyContext) {
    this.#client = client;
    this.#context = context;
    this.source = client.peer?.address ?? '';
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The label of its route; undefined while it is held. */
  get label(): string | undefined {
    return this.#label;
  }

  /** The backend that carries it or is being connected to. */
  get backend(): Backend | undefined {
    return this.#backend;
  }

  /** When it is reset because its backend has left, in monotonic milliseconds; infinite for any other connection. */
  get drainsAtMs(): number {
    return this.#drainsAtMs;
  }

  /** Chooses the first or the next backend. */
  start(): void {
    const { chooser, destinationOf, reporter } = this.#context;
    const destination = destinationOf(this.source);
    if (destination === undefined) {
      this.#refuse('noRoute');
      return;
    }
    this.#label = destination.label;
    const { begun } = this.#client;
    if (begun !== undefined && this.#state === 'held') {
      this.#follow(begun);
      return;
    }
    const chosen = chooser.choose(destination, this.source, this.#tried);
    if (chosen.kind === 'backend') this.#connect(chosen.backend);
    else if (chosen.why === 'unknown') this.#wait();
    else {
      if (chosen.why === 'unreachable') reporter.noteUnreachable(destination.label, this.#tried);
      this.#refuse(chosen.why);
    }
  }

  /** The destinations may have changed. */
  refresh(view: DestinationView): void {
    if (this.#state === 'held') return;
    if (this.#state === 'waiting') this.start();
    else if (!this.#isServed(view)) this.#onBackendLeft(view);
    else if (this.#state === 'draining') {
      this.#state = 'open';
      this.#drainsAtMs = Number.POSITIVE_INFINITY;
    }
  }

  /** Resets it whatever its state is. */
  cut(): void {
    if (this.#isCarried) {
      this.#client.reset(); // `onEnded` follows
      return;
    }
    this.#cancelAttempt();
    this.#refuse('closing');
  }

  /** The backend has left, and the time to drain is over. */
  drain(): void {
    this.#drainsAtMs = Number.POSITIVE_INFINITY;
    if (this.#isDrained) return;
    this.#isDrained = true;
    this.#context.counters.drained += 1;
    if (this.#isCarried) this.#client.reset();
  }

  #isServed(view: DestinationView): boolean {
    return this.#backend !== undefined && view.isServedBy(this.source, this.#backend);
  }

  #onBackendLeft(view: DestinationView): void {
    const { clock, drainSeconds: byDefault } = this.#context;
    const drainSeconds = view.of(this.source)?.drainSeconds ?? byDefault;
    if (this.#state === 'connecting') {
      if (this.#cancelAttempt()) this.start();
      else this.#isOverdue = true;
    } else if (drainSeconds === 0) this.drain();
    else if (this.#state === 'open') {
      this.#state = 'draining';
      if (drainSeconds > 0) this.#drainsAtMs = clock.monotonicMs() + drainSeconds * 1000;
    }
  }

  #wait(): void {
    if (this.#state === 'waiting') return;
    this.#state = 'waiting';
    this.#startTimer(() => this.#refuse('unknown'));
  }

  /** The carrier chose the first backend by a plan. */
  #follow({ backend: at, isOutdated, follow }: BegunAttempt): void {
    const backend: Backend = { ...at, priority: 0, weight: 1, key: undefined };
    this.#await(backend);
    this.#attempt = follow(this.#followerOf(backend));
    if (isOutdated) this.refresh(new DestinationView(this.#context.destinationOf));
  }

  #connect(backend: Backend): void {
    const { proxyProtocol } = this.#context;
    this.#await(backend);
    const header = (backend.proxyProtocol ?? proxyProtocol) ? this.#header() : undefined;
    this.#attempt = this.#client.connect(backend, header, this.#followerOf(backend));
  }

  #await(backend: Backend): void {
    this.#state = 'connecting';
    this.#backend = backend;
    this.#startTimer(() => void this.#onConnectTimeout(backend));
  }

  #followerOf(backend: Backend): AttemptFollower {
    return {
      onConnected: () => this.#onConnected(backend),
      onFailed: (reason) => {
        this.#timer?.cancel();
        this.#onFailed(backend, reason);
      },
      onClosed: () => {
        this.#timer?.cancel();
        this.#attempt = undefined;
        this.#context.onEnded(this);
      },
    };
  }

  /** If this thread was busy, the backend may have accepted in time. */
  async #onConnectTimeout(backend: Backend): Promise<void> {
    const attempt = this.#attempt;
    await afterNextPoll();
    if (attempt !== undefined && attempt === this.#attempt && attempt.cancel())
      this.#onFailed(backend, 'timeout');
  }

  #onFailed(backend: Backend, reason: ConnectFailure): void {
    this.#context.counters.connectFailures[reason] += 1;
    this.#context.onTried(backend, false);
    this.#tried.set(printSocketAddress(backend), reason);
    this.#attempt = undefined;
    this.#backend = undefined;
    this.start();
  }

  /** Returns false if the backend has taken the connection meanwhile: `#onConnected` follows. */
  #cancelAttempt(): boolean {
    if (this.#attempt?.cancel() === false) return false;
    this.#timer?.cancel();
    this.#attempt = undefined;
    this.#backend = undefined;
    return true;
  }

  #onConnected(backend: Backend): void {
    const { onTried, onOverdue } = this.#context;
    this.#timer?.cancel();
    this.#attempt = undefined;
    this.#isCarried = true;
    this.#state = 'open';
    this.#tried.clear();
    onTried(backend, true);
    if (this.#isOverdue) onOverdue(this);
  }

  #header(): Uint8Array {
    const client = this.#client.peer;
    const local = this.#client.localEnd();
    return encodeProxyHeader(client && local && { client, local });
  }

  #refuse(reason: ConnectionRefusal): void {
    const { counters, onEnded } = this.#context;
    this.#timer?.cancel();
    counters.refused[reason] += 1;
    this.#client.reset();
    onEnded(this);
  }

  #startTimer(callback: () => void): void {
    const { clock, connectTimeoutSeconds } = this.#context;
    this.#timer?.cancel();
    this.#timer = clock.startTimer(connectTimeoutSeconds * 1000, callback);
  }
}
