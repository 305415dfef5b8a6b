/**
 * UDP through the proxy. A flow is what one client address and port exchanges through one listening socket: it has a
 * connected socket to one backend until neither side has sent anything for a while. The kernel reports on a connected
 * socket that no process has the backend's port.
 */
import dgram, { type RemoteInfo, type Socket } from 'node:dgram';
import { takeLiterally } from '../../dataplane/listeners/datagramSocket.ts';
import { clientAddress, printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { Alarm, type Clock } from '../../timing/clock.ts';
import type { Backend } from '../route.ts';
import { type ConnectFailure, connectFailureOf } from './carry/carrier.ts';
import type { Chooser } from './chooser.ts';
import type { DestinationOf, DestinationView } from './destination.ts';
import type { DatagramDrop, ProxyCounters } from './proxyCounters.ts';
import type { ProxyReporter } from './proxyEvents.ts';

export interface FlowContext {
  readonly clock: Clock;
  /** How long a flow is kept without traffic. */
  readonly udpIdleSeconds: number;
  readonly chooser: Chooser;
  readonly reporter: ProxyReporter;
  readonly counters: ProxyCounters;
  readonly destinationOf: DestinationOf;
  /** Whether a listener of this proxy is at the address and port. */
  readonly isOwnListener: (address: string, port: number) => boolean;
}

/** One descriptor each. */
export const MAX_FLOWS = 4_096;
/** Octets of a socket that may wait for the kernel. */
const MAX_UNSENT_OCTETS = 1 << 20;
/** A longer datagram is not sent to another backend if the first one refuses it. */
const MAX_KEPT_OCTETS = 2_048;

interface Flow {
  readonly key: string;
  readonly source: string;
  readonly client: SocketAddress;
  /** The listening socket: replies leave from its address. */
  readonly via: Socket;
  readonly tried: Map<string, ConnectFailure>;
  label: string;
  towards: { readonly backend: Backend; readonly socket: Socket } | undefined;
  /** The last datagram that the backend has not replied to. */
  unanswered: Buffer | undefined;
  activeMs: number;
}

export class Flows {
  readonly #context: FlowContext;
  /** The one without traffic for the longest time first. */
  readonly #flows = new Map<string, Flow>();
  readonly #idle: Alarm;
  #isIdleSet = false;
  #isClosed = false;

  constructor(context: FlowContext) {
    this.#context = context;
    this.#idle = new Alarm(context.clock, () => this.#forgetIdle());
  }

  get size(): number {
    return this.#flows.size;
  }

  /** Takes a datagram that a client sent to a listening socket, which is known by `listener`. */
  receive(via: Socket, listener: string, message: Buffer, peer: RemoteInfo): void {
    const source = clientAddress(peer.address);
    const { isOwnListener } = this.#context;
    if (peer.port === 0 || isOwnListener(source, peer.port)) {
      // A reply to our own listener would come back here and never end (CVE-2024-2169).
      this.#drop('source');
      return;
    }
    const key = `${listener} ${peer.address} ${peer.port}`;
    const flow = this.#flows.get(key) ?? this.#begin(key, source, via, peer);
    if (flow === undefined) return;
    this.#touch(flow);
    this.#pass(flow, message);
  }

  /** The destinations may have changed: a flow whose backend has left begins anew with the next datagram. */
  refresh(view: DestinationView): void {
    for (const flow of this.#flows.values())
      if (flow.towards !== undefined && !view.isServedBy(flow.source, flow.towards.backend))
        this.#forget(flow);
  }

  /** The flows, for reports. */
  *all(): Iterable<{ source: string; label: string; backend: SocketAddress | undefined }> {
    for (const { source, label, towards } of this.#flows.values())
      yield { source, label, backend: towards?.backend };
  }

  /** The listening socket is closed. */
  forgetVia(via: Socket): void {
    for (const flow of this.#flows.values()) if (flow.via === via) this.#forget(flow);
  }

  close(): void {
    this.#isClosed = true;
    this.#idle.set(undefined);
    for (const flow of this.#flows.values()) this.#forget(flow);
  }

  #begin(
    key: string,
    source: string,
    via: Socket,
    { address, port }: RemoteInfo,
  ): Flow | undefined {
    if (this.#isClosed) return undefined;
    for (const [, oldest] of this.#flows) {
      if (this.#flows.size < MAX_FLOWS) break;
      this.#forget(oldest);
      this.#context.counters.flowsEvicted += 1;
    }
    return {
      key,
      source,
      client: { address, port },
      via,
      tried: new Map(),
      label: '',
      towards: undefined,
      unanswered: undefined,
      activeMs: 0,
    };
  }

  #touch(flow: Flow): void {
    flow.activeMs = this.#context.clock.monotonicMs();
    this.#flows.delete(flow.key);
    this.#flows.set(flow.key, flow);
    if (!this.#isIdleSet) this.#forgetIdle();
  }

  #pass(flow: Flow, message: Buffer): void {
    const { counters } = this.#context;
    const socket = (flow.towards ?? this.#route(flow))?.socket;
    if (socket === undefined) return;
    flow.unanswered = message.length <= MAX_KEPT_OCTETS ? message : undefined;
    try {
      if (socket.getSendQueueSize() > MAX_UNSENT_OCTETS) return void this.#drop('unsent');
      socket.send(message, (error) => {
        if (error !== null) return void this.#onUnsent(flow, socket, error);
        counters.datagrams.toBackends += 1;
        counters.datagramOctets.toBackends += message.length;
      });
    } catch {
      // The socket is not connected: its error event says why.
    }
  }

  /** Connects the flow to its first or next backend; forgets it if there is none. */
  #route(flow: Flow): Flow['towards'] {
    const { chooser, destinationOf, reporter } = this.#context;
    const destination = destinationOf(flow.source);
    flow.label = destination?.label ?? '';
    const chosen = destination && chooser.choose(destination, flow.source, flow.tried);
    if (chosen?.kind === 'backend') return this.#connect(flow, chosen.backend);
    if (chosen?.why === 'unreachable') reporter.noteUnreachable(flow.label, flow.tried);
    this.#drop(chosen?.why ?? 'noRoute');
    this.#forget(flow);
    return undefined;
  }

  #connect(flow: Flow, backend: Backend): Flow['towards'] {
    const type = backend.address.includes(':') ? 'udp6' : 'udp4';
    const socket = dgram.createSocket({ type, lookup: takeLiterally });
    flow.towards = { backend, socket };
    socket.on('error', (error) => this.#onError(flow, socket, error));
    socket.on('message', (message) => this.#reply(flow, socket, message));
    socket.connect(backend.port, backend.address); // at once, since nothing is looked up
    return flow.towards;
  }

  #reply(flow: Flow, socket: Socket, message: Buffer): void {
    if (flow.towards?.socket !== socket) return;
    flow.unanswered = undefined;
    flow.tried.clear();
    this.#touch(flow);
    const { counters } = this.#context;
    const { via, client } = flow;
    try {
      if (via.getSendQueueSize() > MAX_UNSENT_OCTETS) return void this.#drop('unsent');
      via.send(message, client.port, client.address, (error) => {
        if (error !== null) return void this.#drop('unsent');
        counters.datagrams.toClients += 1;
        counters.datagramOctets.toClients += message.length;
      });
    } catch {
      this.#drop('unsent'); // the address has gone, and with it the socket
    }
  }

  /** The backend refused an earlier datagram, or the system could not send this one, for example because of its size. */
  #onUnsent(flow: Flow, socket: Socket, error: NodeJS.ErrnoException): void {
    if (!this.#tryNext(flow, socket, error)) this.#drop('unsent');
  }

  /** The backend refused a datagram, or the system could not make the socket. */
  #onError(flow: Flow, socket: Socket, error: NodeJS.ErrnoException): void {
    if (flow.towards?.socket !== socket || this.#tryNext(flow, socket, error)) return;
    this.#drop('unsent');
    this.#forget(flow);
  }

  /** Sends the datagram that has no reply to another backend, if the error says that this one cannot be reached. */
  #tryNext(flow: Flow, socket: Socket, error: NodeJS.ErrnoException): boolean {
    const { towards, unanswered } = flow;
    const reason = connectFailureOf(error);
    if (towards?.socket !== socket || (reason !== 'refused' && reason !== 'unreachable'))
      return false;
    this.#context.counters.connectFailures[reason] += 1;
    flow.tried.set(printSocketAddress(towards.backend), reason);
    this.#disconnect(flow);
    if (unanswered !== undefined) this.#pass(flow, unanswered);
    return true;
  }

  #disconnect(flow: Flow): void {
    const socket = flow.towards?.socket;
    flow.towards = undefined;
    flow.unanswered = undefined;
    try {
      socket?.close();
    } catch {
      // It could not be bound.
    }
  }

  #forget(flow: Flow): void {
    this.#disconnect(flow);
    this.#flows.delete(flow.key);
  }

  #forgetIdle(): void {
    const { clock, udpIdleSeconds } = this.#context;
    const idleMs = udpIdleSeconds * 1000;
    const sinceMs = clock.monotonicMs() - idleMs;
    this.#isIdleSet = false;
    for (const flow of this.#flows.values()) {
      if (flow.activeMs <= sinceMs) {
        this.#forget(flow);
        continue;
      }
      this.#isIdleSet = true;
      this.#idle.set(flow.activeMs + idleMs);
      return;
    }
  }

  #drop(reason: DatagramDrop): void {
    this.#context.counters.datagramsDropped[reason] += 1;
  }
}
