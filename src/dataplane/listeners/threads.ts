/**
 * Starts the worker threads with the first sockets, posts their assignments, and replaces a thread that dies. Sockets
 * belong to the process, so the new worker continues with the packets that wait in the kernel. Only the batch that the
 * dead worker was answering is lost, and in a flood the replies that it had deferred.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { backoffMs } from '../../timing/backoff.ts';
import { type ClientPolicy, PLAIN_POLICY } from '../sockets/clientPolicy.ts';
import type { UdpSocket } from '../sockets/socket.ts';
import type { MainChannel, WorkerAssignment, WorkerReport, WorkerStart } from './controlChannel.ts';

export interface WorkerThreadsOptions {
  readonly workers: number;
  /** The file that a thread runs. */
  readonly entry: URL;
  readonly channel: MainChannel;
  /** Threads are numbered from 1. */
  readonly start: (thread: number) => WorkerStart;
  readonly onReport: (report: WorkerReport) => void;
  /** A thread ended without an assignment to stop, or could not start. Called before a new one starts in its slot. */
  readonly onGone: (thread: number, error: Error) => void;
}

/** One thread number, and the worker that has it. */
interface ThreadSlot {
  readonly thread: number;
  worker: Worker | undefined;
  startedMs: number;
  /** Deaths in a row that came soon after the start. */
  earlyDeaths: number;
  restart: NodeJS.Timeout | undefined;
}

/** A worker that ran at least this long did not die because of its start data. */
const EARLY_MS = 1_000;
const BACKOFF = { minMs: 100, maxMs: 5_000 };
/** A worker allocates almost nothing once it runs; with the default its start would leave more space behind. */
const RESOURCE_LIMITS = { maxYoungGenerationSizeMb: 1 };
/** Longer than a worker takes to wake in the kernel, answer what has arrived, and end. */
const STOP_MS = 1_500;

export class WorkerThreads {
  readonly #options: WorkerThreadsOptions;
  readonly #slots: readonly ThreadSlot[];
  #generation = 0;
  #sockets: readonly (readonly UdpSocket[])[] = [];
  #policy = PLAIN_POLICY;
  #started = false;
  #stopped = false;
  #waiters: (() => void)[] = [];

  constructor(options: WorkerThreadsOptions) {
    this.#options = options;
    this.#slots = Array.from({ length: options.workers }, (_, i) => ({
      thread: i + 1,
      worker: undefined,
      startedMs: 0,
      earlyDeaths: 0,
      restart: undefined,
    }));
  }

  /** Sets the sockets of each thread. Resolves when no thread uses any other socket. */
  async assign(sockets: readonly (readonly UdpSocket[])[]): Promise<void> {
    this.#sockets = sockets;
    this.#announce();
    if (!this.#started && !this.#stopped) {
      this.#started = true;
      for (const slot of this.#slots) this.#start(slot);
    }
    await this.#waitUntil(() => this.#haveAllAcknowledged());
  }

  setPolicy(policy: ClientPolicy): void {
    this.#policy = policy;
    this.#announce();
  }

  /**
   * Makes every thread answer the packets that have arrived, and end. Resolves when all have ended or were terminated.
   */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { restart } of this.#slots) clearTimeout(restart);
    this.#announce();
    const timer = setTimeout(() => {
      for (const { worker } of this.#slots) void worker?.terminate();
    }, STOP_MS);
    await this.#waitUntil(() => this.#slots.every(({ worker }) => worker === undefined));
    clearTimeout(timer);
  }

  #announce(): void {
    this.#generation += 1;
    for (const slot of this.#slots) slot.worker?.postMessage(this.#assignmentFor(slot));
    this.#options.channel.announce(this.#generation);
  }

  #assignmentFor({ thread }: ThreadSlot): WorkerAssignment {
    const sockets = this.#sockets[thread - 1] ?? [];
    const policy = this.#policy;
    return { generation: this.#generation, sockets, policy, stop: this.#stopped };
  }

  /** At the system's limit of threads none starts; that counts as an early death. */
  #start(slot: ThreadSlot): void {
    slot.startedMs = performance.now();
    let worker: Worker;
    try {
      worker = this.#startWorker(slot.thread);
    } catch (error) {
      this.#replace(slot, new Error(`it did not start: ${error}`, { cause: error }));
      return;
    }
    slot.worker = worker;
    this.#follow(slot, worker);
    worker.postMessage(this.#assignmentFor(slot));
  }

  #startWorker(thread: number): Worker {
    const { entry, start } = this.#options;
    return startThread(entry, {
      ...{ workerData: start(thread), name: `udp-${thread}` },
      resourceLimits: RESOURCE_LIMITS,
    });
  }

  #follow(slot: ThreadSlot, worker: Worker): void {
    const { onReport } = this.#options;
    let failure: Error | undefined;
    worker.on('message', (report: WorkerReport) => {
      onReport(report);
      if (report.kind === 'acknowledged') this.#wakeWaiters();
    });
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', (code) => {
      slot.worker = undefined;
      if (!this.#stopped) this.#replace(slot, failure ?? new Error(`exit code ${code}`));
      this.#wakeWaiters();
    });
  }

  #replace(slot: ThreadSlot, error: Error): void {
    this.#options.onGone(slot.thread, error);
    const isEarly = performance.now() - slot.startedMs < EARLY_MS;
    slot.earlyDeaths = isEarly ? slot.earlyDeaths + 1 : 0;
    if (slot.earlyDeaths < 2) {
      this.#start(slot);
      return;
    }
    const delayMs = backoffMs(slot.earlyDeaths - 1, BACKOFF);
    slot.restart = setTimeout(() => this.#start(slot), delayMs);
  }

  /** A thread that has not started yet will begin with the last assignment. */
  #haveAllAcknowledged(): boolean {
    const { channel } = this.#options;
    return this.#slots.every(
      ({ worker, thread }) =>
        worker === undefined || channel.acknowledged(thread) === this.#generation,
    );
  }

  async #waitUntil(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #wakeWaiters(): void {
    const waiting = this.#waiters;
    this.#waiters = [];
    for (const resolve of waiting) resolve();
  }
}

/** Runs TypeScript in development: in Node 20 threads do not inherit the loader of their process. */
const SOURCE_LOADER = 'tsx/esm/api';

/** Starts a file as a worker thread, compiled or from source. */
export function startThread(entry: URL, options: WorkerOptions): Worker {
  if (!entry.pathname.endsWith('.ts')) return new Worker(entry, options);
  const [loader, file] = [SOURCE_LOADER, entry.href].map((text) => JSON.stringify(text));
  const script = `import(${loader}).then(({ register }) => { register(); return import(${file}); })`;
  return new Worker(script, { ...options, eval: true });
}
