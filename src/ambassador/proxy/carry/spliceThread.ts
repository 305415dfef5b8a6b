/**
 * The thread of a `SpliceCarrier`: it accepts clients, connects them to the backends that it is told, and moves their
 * octets. It waits in the kernel for sockets and for orders, and returns only when it is to end.
 */
import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { clientAddress, type SocketAddress } from '../../../dns/address.ts';
import type { Libc } from '../../../kernel/libc.ts';
import {
  EPOLLERR,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  Epoll,
  loadStreamCalls,
  type StreamCalls,
  WakeSignal,
} from '../../../kernel/streamCalls.ts';
import { backendsToTry } from '../../choice.ts';
import {
  ACCEPT_PAUSE_MS,
  type AcceptingSocket,
  AcceptingSockets,
  MAX_ACCEPTS,
} from './acceptingSockets.ts';
import type { ConnectPlan } from './carrier.ts';
import { KernelSockets } from './kernelSockets.ts';
import { Pipes } from './pipes.ts';
import { type PumpOutcome, SplicedPair } from './splicedPair.ts';
import {
  begunAttempt,
  SpliceMemory,
  type SpliceOrder,
  type SpliceReport,
  type SpliceThreadStart,
} from './spliceMessages.ts';

interface Client {
  readonly client: number;
  readonly fd: number;
  attempt: Attempt | undefined;
  carried: { readonly pair: SplicedPair; readonly backend: number } | undefined;
  /** The numbers of its sockets in `#watched`; 0: not watched. */
  watch: number;
  backendWatch: number;
}

interface Attempt {
  readonly attempt: number;
  readonly fd: number;
  readonly to: SocketAddress;
  readonly header: Uint8Array | undefined;
}

/** Whose descriptor the kernel reports on. */
type Watched =
  | { readonly kind: 'listener'; readonly socket: AcceptingSocket }
  | { readonly kind: 'client' | 'backend'; readonly client: Client; readonly fd: number };

const ECONNREFUSED = 111;
const EMFILE = 24;

/** The longest wait for an event. */
const WAIT_MS = 1_000;
/** How long to wait for a pipe. */
const NO_PIPE_MS = 10;
/** How long reports wait, without events and with them. */
const REPORT_MS = 2;
const MAX_TURNS_UNREPORTED = 64;
/** The number of the signal; sockets have higher ones. */
const SIGNAL = 0;
const BOTH_WAYS = EPOLLIN | EPOLLOUT | EPOLLET;

export function runSpliceThread(port: MessagePort, start: SpliceThreadStart): void {
  const loaded = loadStreamCalls();
  if (loaded.kind === 'missing') throw new Error(loaded.reason);
  const thread = new SpliceThread(port, start, loaded.libc, loaded.calls);
  try {
    thread.run();
  } finally {
    thread.close();
  }
}

function firstOf({ backends, balance }: ConnectPlan, source: string): SocketAddress | undefined {
  const [first] = backendsToTry(backends, { balance, source, random: Math.random });
  return first && { address: first.address, port: first.port };
}

class SpliceThread {
  readonly #port: MessagePort;
  readonly #memory: SpliceMemory;
  readonly #signal: WakeSignal;
  readonly #sockets: KernelSockets;
  readonly #pipes: Pipes;
  readonly #epoll: Epoll;
  readonly #watched = new Map<number, Watched>();
  readonly #accepting: AcceptingSockets;
  readonly #clients = new Map<number, Client>();
  /** Pairs that can go on without an event. */
  readonly #again = new Set<Client>();
  #reports: SpliceReport[] = [];
  #lastClient: number;
  #lastWatched = SIGNAL;
  /** Pairs whose backend's socket is not probed yet: most connections end before they need it. */
  readonly #fresh = new Set<Client>();
  /** A pair stopped only so that other pairs have their turn. */
  #isBusy = false;
  /** The proxy's thread has to decide something. */
  #isAwaited = false;
  #turnsUnreported = 0;
  #events = 0;
  #hasEnded = false;

  constructor(port: MessagePort, start: SpliceThreadStart, libc: Libc, calls: StreamCalls) {
    this.#port = port;
    this.#memory = new SpliceMemory(start.memory);
    this.#lastClient = start.firstClient - 1;
    // It throws if no descriptor is free, so it comes before the pipes, which would stay open.
    this.#epoll = new Epoll(libc, calls);
    this.#signal = new WakeSignal(libc, calls, start.signal);
    if (!this.#epoll.add(this.#signal.fd, SIGNAL, EPOLLIN))
      throw new Error('the signal cannot be watched');
    this.#sockets = new KernelSockets(libc, calls);
    this.#pipes = new Pipes(libc, calls, this.#sockets);
    this.#accepting = new AcceptingSockets({
      sockets: this.#sockets,
      watch: (socket) => this.#watch({ kind: 'listener', socket }, socket.fd, EPOLLIN),
      unwatch: ({ watch, fd }) => {
        this.#watched.delete(watch);
        this.#epoll.remove(fd);
      },
      isUsable: (fd) => this.#memory.hasWordFor(fd),
      onAccepted: (socket, fd) => this.#onAccepted(socket, fd),
      onFailed: ({ listener }, errno) =>
        this.#reports.push({ kind: 'acceptFailed', listener, errno }),
    });
  }

  run(): void {
    this.#obeyOrders(); // they may have come before the signal was watched
    while (!this.#hasEnded) {
      const events = this.#epoll.wait(this.#waitMs());
      this.#events = events;
      for (let i = 0; i < events; i++) this.#onEvent(this.#epoll.idOf(i), this.#epoll.eventsOf(i));
      this.#isBusy = false;
      for (const client of [...this.#again]) this.#pump(client);
      this.#accepting.resume(performance.now());
      this.#report(events === 0);
    }
  }

  /** What needs no decision is told a little later: waking a thread takes as long as the rest of a connection. */
  #report(isIdle: boolean): void {
    if (this.#reports.length === 0) return;
    this.#turnsUnreported += 1;
    if (!this.#isAwaited && !isIdle && this.#turnsUnreported < MAX_TURNS_UNREPORTED) return;
    for (const { carried } of this.#fresh)
      if (carried !== undefined) this.#sockets.keepAlive(carried.backend);
    this.#fresh.clear();
    this.#port.postMessage(this.#reports);
    this.#reports = [];
    this.#isAwaited = false;
    this.#turnsUnreported = 0;
  }

  /** Closes everything but the listening sockets, from which another thread may accept. */
  close(): void {
    for (const client of this.#clients.values()) this.#reset(client);
    this.#pipes.close();
    this.#epoll.close();
  }

  #waitMs(): number {
    if (this.#again.size > 0) return this.#isBusy ? 0 : NO_PIPE_MS;
    if (this.#reports.length > 0) return REPORT_MS;
    return this.#accepting.hasPaused ? ACCEPT_PAUSE_MS : WAIT_MS;
  }

  #onEvent(id: number, events: number): void {
    if (id === SIGNAL) return void this.#obeyOrders();
    const watched = this.#watched.get(id);
    if (watched === undefined) return; // closed since the wait
    if (watched.kind === 'listener') {
      // With nothing else to do, the next wait costs no more than to ask for another client.
      const most = this.#events === 1 ? 1 : MAX_ACCEPTS;
      return void this.#accepting.accept(watched.socket, most);
    }
    const { client, fd } = watched;
    const { attempt, carried } = client;
    if (attempt?.fd === fd) return void this.#onConnectEvent(client, attempt, events);
    if (carried === undefined) return;
    const hasFailed = (events & EPOLLERR) !== 0;
    const isOver = hasFailed || (events & EPOLLHUP) !== 0;
    const readiness = {
      canRead: isOver || (events & EPOLLIN) !== 0,
      canWrite: isOver || (events & EPOLLOUT) !== 0,
      hasFailed,
    };
    if (watched.kind === 'client') carried.pair.noteClient(readiness);
    else carried.pair.noteBackend(readiness);
    this.#pump(client);
  }

  #obeyOrders(): void {
    this.#signal.clear();
    for (;;) {
      const received = receiveMessageOnPort(this.#port);
      if (received === undefined) return;
      for (const order of received.message as readonly SpliceOrder[]) this.#obey(order);
    }
  }

  #obey(order: SpliceOrder): void {
    switch (order.kind) {
      case 'listen':
        return void this.#accepting.add(order.listener, order.fd, order.epoch);
      case 'plan':
        return void this.#accepting.plan(order.listener, order.source, order.plan);
      case 'unplan':
        return void this.#accepting.unplan(order.listener, order.epoch);
      case 'unlisten':
        this.#accepting.remove(order.listener);
        this.#reports.push({ kind: 'unlistened', listener: order.listener });
        this.#isAwaited = true;
        return;
      case 'end':
        this.#hasEnded = true;
        return;
    }
    const client = this.#clients.get(order.client);
    if (client === undefined) return; // it ended while the order was on its way
    if (order.kind === 'connect') this.#connect(client, order);
    else if (order.kind === 'reset') this.#reset(client);
    else if (client.attempt?.attempt === order.attempt) this.#giveUp(client);
  }

  #onAccepted({ listener, plans, epoch }: AcceptingSocket, fd: number): void {
    this.#lastClient += 1;
    const idle = { attempt: undefined, carried: undefined, watch: 0, backendWatch: 0 };
    const client: Client = { client: this.#lastClient, fd, ...idle };
    this.#clients.set(client.client, client);
    const named = this.#sockets.peer();
    const peer = named && { address: clientAddress(named.address), port: named.port };
    const source = peer?.address ?? '';
    const plan = plans.get(source);
    const to = plan && this.#memory.spendCredit() ? firstOf(plan, source) : undefined;
    this.#reports.push({ kind: 'accepted', listener, client: client.client, fd, peer, to, epoch });
    if (to === undefined) {
      this.#isAwaited = true;
      return;
    }
    const attempt = begunAttempt(client.client);
    this.#memory.offer(fd, attempt);
    this.#connect(client, { attempt, to, header: undefined });
  }

  #connect(client: Client, { attempt, to, header }: Omit<Attempt, 'fd'>): void {
    const fd = this.#sockets.connect(to);
    if (fd < 0) return void this.#reportFailure(client, attempt, -fd);
    client.attempt = { attempt, fd, to, header };
    client.backendWatch = this.#watch({ kind: 'backend', client, fd }, fd, BOTH_WAYS);
    if (client.backendWatch !== 0) return;
    this.#giveUp(client);
    this.#reportFailure(client, attempt, EMFILE);
  }

  #onConnectEvent(client: Client, made: Attempt, events: number): void {
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) === 0) return;
    const { attempt, fd, to, header } = made;
    let errno = (events & (EPOLLERR | EPOLLHUP)) === 0 ? 0 : this.#sockets.connectErrno(fd);
    if (errno === 0 && this.#sockets.isConnectedToItself(fd, to)) errno = ECONNREFUSED;
    if (errno !== 0) {
      this.#giveUp(client);
      this.#reportFailure(client, attempt, errno);
      return;
    }
    if (!this.#memory.take(client.fd, attempt)) return void this.#giveUp(client);
    client.attempt = undefined;
    const onPassed = (toBackend: number, toClient: number): void =>
      this.#memory.count(toBackend, toClient);
    const pair = new SplicedPair(this.#pipes, client.fd, fd, onPassed);
    client.carried = { pair, backend: fd };
    this.#fresh.add(client);
    this.#reports.push({ kind: 'connected', client: client.client, attempt });
    const isSent = header === undefined || this.#sockets.sendFirst(fd, header);
    client.watch = this.#watch({ kind: 'client', client, fd: client.fd }, client.fd, BOTH_WAYS);
    if (!isSent || client.watch === 0) return void this.#reset(client);
    pair.noteBackend({ canRead: (events & EPOLLIN) !== 0, canWrite: true, hasFailed: false });
    // Most clients have sent something by now; the kernel will report them too.
    pair.noteClient({ canRead: true, canWrite: true, hasFailed: false });
    this.#pump(client);
  }

  #reportFailure({ client }: Client, attempt: number, errno: number): void {
    this.#reports.push({ kind: 'failed', client, attempt, errno });
    this.#isAwaited = true;
  }

  /** Ends the attempt of a client. */
  #giveUp(client: Client): void {
    if (client.attempt === undefined) return;
    this.#watched.delete(client.backendWatch);
    this.#sockets.reset(client.attempt.fd);
    client.attempt = undefined;
  }

  /** Returns the number in `#watched`; 0 if the kernel has no room. */
  #watch(watched: Watched, fd: number, events: number): number {
    this.#lastWatched += 1;
    if (!this.#epoll.add(fd, this.#lastWatched, events)) return 0;
    this.#watched.set(this.#lastWatched, watched);
    return this.#lastWatched;
  }

  #pump(client: Client): void {
    const { carried } = client;
    if (carried === undefined || !this.#clients.has(client.client)) return;
    const outcome: PumpOutcome = carried.pair.pump();
    if (outcome === 'more') this.#isBusy = true;
    if (outcome === 'more' || outcome === 'noPipe') {
      this.#again.add(client);
      return;
    }
    this.#again.delete(client);
    if (outcome === 'lost') this.#reset(client);
    else if (outcome === 'ended') this.#end(client, (fd) => this.#sockets.close(fd));
  }

  /** Resets a client in any state, and what it is connected to. */
  #reset(client: Client): void {
    this.#giveUp(client);
    this.#end(client, (fd) => this.#sockets.reset(fd));
  }

  #end(client: Client, close: (fd: number) => void): void {
    const { carried } = client;
    this.#clients.delete(client.client);
    this.#again.delete(client);
    this.#fresh.delete(client);
    this.#watched.delete(client.watch);
    close(client.fd);
    if (carried === undefined) return;
    carried.pair.release();
    this.#watched.delete(client.backendWatch);
    close(carried.backend);
    this.#reports.push({ kind: 'closed', client: client.client });
  }
}
