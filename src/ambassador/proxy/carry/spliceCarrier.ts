/**
 * Carries byte streams with a thread of its own, in which the kernel moves the octets: they are never copied into this
 * process, and neither a busy main thread nor a fast stream delays the other. The proxy still decides everything: it gives
 * the thread plans, and the thread asks about each client for which it has none.
 */
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../../dataplane/listeners/threads.ts';
import { type Libc, systemError } from '../../../kernel/libc.ts';
import { loadStreamCalls, type StreamCalls, WakeSignal } from '../../../kernel/streamCalls.ts';
import { backoffMs } from '../../../timing/backoff.ts';
import type { Clock, Timer } from '../../../timing/clock.ts';
import {
  type AcceptedClient,
  type CarriedOctets,
  type Carrier,
  MAX_BEGUN,
  type StreamAddress,
  type StreamSocket,
} from './carrier.ts';
import { KernelSockets } from './kernelSockets.ts';
import { type ClientContext, SplicedClient } from './splicedClient.ts';
import { SpliceMemory, type SpliceOrder, type SpliceReport } from './spliceMessages.ts';

export type SpliceCarrierOpened =
  | { readonly kind: 'carrier'; readonly carrier: SpliceCarrier }
  /** `reason` is a text for the operator, without a full stop. */
  | { readonly kind: 'missing'; readonly reason: string };

const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './spliceThreadMain.ts' : './spliceThreadMain.js',
  import.meta.url,
);

/** Starts no thread before the first listener. `entry`: the file that the thread runs; tests set it. */
export function openSpliceCarrier(clock: Clock, entry: URL = ENTRY): SpliceCarrierOpened {
  const loaded = loadStreamCalls();
  if (loaded.kind === 'missing') return loaded;
  return { kind: 'carrier', carrier: new SpliceCarrier(clock, entry, loaded.libc, loaded.calls) };
}

const RESTART = { minMs: 100, maxMs: 10_000 };

interface SpliceListener {
  readonly fd: number;
  epoch: number;
  /** Closed as soon as the thread accepts no more from it. */
  isClosing: boolean;
  readonly onClient: (client: AcceptedClient) => void;
  readonly onError: (error: NodeJS.ErrnoException) => void;
  readonly onClosed: () => void;
}

class SpliceCarrier implements Carrier {
  readonly kind = 'splice';
  readonly octets: Readonly<CarriedOctets>;
  readonly #clock: Clock;
  readonly #entry: URL;
  readonly #libc: Libc;
  readonly #sockets: KernelSockets;
  readonly #signal: WakeSignal;
  readonly #memory = new SpliceMemory();
  readonly #listeners = new Map<number, SpliceListener>();
  readonly #clients = new Map<number, SplicedClient>();
  readonly #context: ClientContext;
  #orders: SpliceOrder[] = [];
  #worker: Worker | undefined;
  #restart: Timer | undefined;
  #lossesInARow = 0;
  #lastListener = 0;
  #lastClient = 0;
  #lastAttempt = 0;
  #isPermitted = false;
  /** The part of `MAX_BEGUN` that the thread may not use now. The rest is its credit, and clients to be reported. */
  #unspent = MAX_BEGUN;
  #isClosed = false;
  /** A thread that waits in the kernel would keep the process from exiting. */
  readonly #onExit = (): void => this.#signal.send();

  constructor(clock: Clock, entry: URL, libc: Libc, calls: StreamCalls) {
    this.#clock = clock;
    this.#entry = entry;
    this.#libc = libc;
    this.#sockets = new KernelSockets(libc, calls);
    this.#signal = new WakeSignal(libc, calls);
    const memory = this.#memory;
    this.octets = {
      get toBackends() {
        return memory.toBackends;
      },
      get toClients() {
        return memory.toClients;
      },
    };
    this.#context = {
      memory,
      sockets: this.#sockets,
      order: (order) => this.#order(order),
      nextAttempt: () => {
        this.#lastAttempt = memory.nextAttempt(this.#lastAttempt);
        return this.#lastAttempt;
      },
      forget: (client) => void this.#clients.delete(client),
    };
    process.on('exit', this.#onExit);
  }

  async listen(
    at: StreamAddress,
    onClient: (client: AcceptedClient) => void,
    onError: (error: NodeJS.ErrnoException) => void,
  ): Promise<StreamSocket> {
    const fd = this.#sockets.listen(at);
    const address = this.#sockets.localEnd(fd);
    this.#lastListener += 1;
    const listener = this.#lastListener;
    let onClosed = (): void => {};
    const closed = new Promise<void>((resolve) => {
      onClosed = resolve;
    });
    this.#listeners.set(listener, { fd, epoch: 0, isClosing: false, onClient, onError, onClosed });
    if (this.#worker === undefined) this.#start();
    else this.#order({ kind: 'listen', listener, fd, epoch: 0 });
    return {
      address,
      plan: (source, plan) => this.#order({ kind: 'plan', listener, source, plan }),
      unplan: () => this.#unplan(listener),
      close: async () => {
        const known = this.#listeners.get(listener);
        if (known !== undefined) known.isClosing = true;
        if (this.#worker === undefined) this.#closeListener(listener);
        else this.#order({ kind: 'unlisten', listener });
        await closed;
      },
    };
  }

  get begunClients(): number {
    return MAX_BEGUN - this.#unspent;
  }

  permit(isPermitted: boolean): void {
    this.#isPermitted = isPermitted;
    if (isPermitted) this.#spare(0);
    else this.#unspent += this.#memory.withdrawCredit();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#restart?.cancel();
    process.off('exit', this.#onExit);
    const worker = this.#worker;
    if (worker !== undefined) {
      // `once` of node:events would reject if the thread failed meanwhile.
      const exited = new Promise((resolve) => worker.once('exit', resolve));
      this.#order({ kind: 'end' });
      await exited;
    }
    this.#signal.close();
  }

  /** Starts a thread, which accepts from all listening sockets. */
  #start(): void {
    if (this.#isClosed || this.#worker !== undefined) return;
    const workerData = {
      memory: this.#memory.memory,
      signal: this.#signal.fd,
      firstClient: this.#lastClient + 1,
    };
    const worker = startThread(this.#entry, { workerData, name: 'splice' });
    this.#worker = worker;
    let failure = new Error('the thread that carries connections has ended');
    worker.on('message', (reports: readonly SpliceReport[]) => {
      for (const report of reports) this.#onReport(report);
    });
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', () => this.#onThreadLost(failure));
    for (const [listener, { fd, epoch }] of this.#listeners)
      this.#order({ kind: 'listen', listener, fd, epoch });
  }

  /** The thread has closed its connections. Clients that arrive wait in the kernel for the next thread. */
  #onThreadLost(error: Error): void {
    this.#worker = undefined;
    this.#orders = [];
    for (const client of [...this.#clients.values()]) client.onThreadLost();
    this.#clients.clear();
    for (const [id, { isClosing }] of this.#listeners) if (isClosing) this.#closeListener(id);
    if (this.#isClosed) return;
    this.#memory.withdrawCredit();
    this.#unspent = 0;
    this.#spare(MAX_BEGUN);
    this.#lossesInARow += 1;
    for (const { onError } of this.#listeners.values()) onError(error);
    const delayMs = backoffMs(this.#lossesInARow, RESTART);
    this.#restart = this.#clock.startTimer(delayMs, () => this.#start());
  }

  /** Orders of one moment are sent together. */
  #order(order: SpliceOrder): void {
    if (this.#worker === undefined) return;
    this.#orders.push(order);
    if (this.#orders.length === 1) queueMicrotask(() => this.#send());
  }

  #send(): void {
    if (this.#orders.length === 0) return;
    this.#worker?.postMessage(this.#orders);
    this.#orders = [];
    this.#signal.send();
  }

  #onReport(report: SpliceReport): void {
    switch (report.kind) {
      case 'accepted':
        return void this.#onAccepted(report);
      case 'acceptFailed':
        return void this.#listeners
          .get(report.listener)
          ?.onError(systemError(report.errno, 'accept'));
      case 'unlistened':
        return void this.#closeListener(report.listener);
      case 'connected':
        return void this.#clients.get(report.client)?.onConnected();
      case 'failed':
        return void this.#clients.get(report.client)?.onFailed(report.attempt, report.errno);
      case 'closed':
        return void this.#clients.get(report.client)?.onClosed();
    }
  }

  /** So many more clients may be connected by plans, now or later. */
  #spare(clients: number): void {
    this.#unspent += clients;
    if (!this.#isPermitted) return;
    this.#memory.giveCredit(this.#unspent);
    this.#unspent = 0;
  }

  #onAccepted(report: Extract<SpliceReport, { kind: 'accepted' }>): void {
    this.#lossesInARow = 0;
    this.#lastClient = report.client;
    const listener = this.#listeners.get(report.listener);
    const isOutdated = report.epoch !== listener?.epoch;
    const client = new SplicedClient(report, isOutdated, this.#context);
    this.#clients.set(report.client, client);
    if (report.to !== undefined) this.#spare(1); // its owner counts it now
    if (listener === undefined) client.reset();
    else listener.onClient(client);
  }

  #unplan(id: number): void {
    const listener = this.#listeners.get(id);
    if (listener === undefined) return;
    listener.epoch += 1;
    this.#order({ kind: 'unplan', listener: id, epoch: listener.epoch });
  }

  #closeListener(id: number): void {
    const listener = this.#listeners.get(id);
    if (listener === undefined) return;
    this.#listeners.delete(id);
    this.#libc.close(listener.fd);
    listener.onClosed();
  }
}
