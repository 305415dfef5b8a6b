/**
 * The worker threads: started with the first sockets, told of every change, replaced when they die. Sockets belong to the
 * process, so a successor goes on with what waits in the kernel; only the batch that its predecessor died in is lost.
 */
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { backoffMs } from '../../timing/backoff.ts';
import type { AddressRange } from '../sockets/recursionRanges.ts';
import type { UdpSocket } from '../sockets/socket.ts';
import type { LinkBoard, Orders, Report, WorkerStart } from './signals.ts';

export interface WorkerThreadsOptions {
  readonly workers: number;
  /** What a thread runs. */
  readonly entry: URL;
  readonly board: LinkBoard;
  /** Threads are numbered from 1. */
  readonly start: (thread: number) => WorkerStart;
  readonly onReport: (report: Report) => void;
  /** A thread ended that was not told to; its place is empty when this is called. */
  readonly onGone: (thread: number, error: Error) => void;
}

/** The life of one thread number, through all who have it. */
interface Post {
  readonly thread: number;
  worker: Worker | undefined;
  startedMs: number;
  /** Deaths in a row that came soon after the start. */
  earlyDeaths: number;
  restart: NodeJS.Timeout | undefined;
}

/** Who lives that long did not die of what it was started with. */
const EARLY_MS = 1_000;
const BACKOFF = { minMs: 100, maxMs: 5_000 };
/** Longer than a worker waits in the kernel, answers what it finds there, and ends. */
const STOP_MS = 1_500;

export class WorkerThreads {
  readonly #options: WorkerThreadsOptions;
  readonly #posts: readonly Post[];
  #generation = 0;
  #sockets: readonly (readonly UdpSocket[])[] = [];
  #recursionRanges: readonly AddressRange[] = [];
  #started = false;
  #stopped = false;
  #waiting: (() => void)[] = [];

  constructor(options: WorkerThreadsOptions) {
    this.#options = options;
    this.#posts = Array.from({ length: options.workers }, (_, i) => ({
      thread: i + 1,
      worker: undefined,
      startedMs: 0,
      earlyDeaths: 0,
      restart: undefined,
    }));
  }

  /** The sockets of each thread from now on. Resolves once nobody touches any other. */
  async assign(sockets: readonly (readonly UdpSocket[])[]): Promise<void> {
    this.#sockets = sockets;
    this.#order();
    if (!this.#started && !this.#stopped) {
      this.#started = true;
      for (const post of this.#posts) this.#start(post);
    }
    await this.#until(() => this.#followed());
  }

  recurseFor(ranges: readonly AddressRange[]): void {
    this.#recursionRanges = ranges;
    this.#order();
  }

  /** Lets every thread answer what has arrived, and end. Resolves when all have, or were made to. */
  async stop(): Promise<void> {
    this.#stopped = true;
    for (const { restart } of this.#posts) clearTimeout(restart);
    this.#order();
    const timer = setTimeout(() => {
      for (const { worker } of this.#posts) void worker?.terminate();
    }, STOP_MS);
    await this.#until(() => this.#posts.every(({ worker }) => worker === undefined));
    clearTimeout(timer);
  }

  #order(): void {
    this.#generation += 1;
    for (const post of this.#posts) post.worker?.postMessage(this.#ordersFor(post));
    this.#options.board.announce(this.#generation);
  }

  #ordersFor({ thread }: Post): Orders {
    const sockets = this.#sockets[thread - 1] ?? [];
    const recursionRanges = this.#recursionRanges;
    return { generation: this.#generation, sockets, recursionRanges, stop: this.#stopped };
  }

  #start(post: Post): void {
    const { entry, start, onReport } = this.#options;
    const { thread } = post;
    const worker = startThread(entry, { workerData: start(thread), name: `udp-${thread}` });
    let failure: Error | undefined;
    worker.on('message', (report: Report) => {
      onReport(report);
      if (report.kind === 'seen') this.#look();
    });
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', (code) => {
      post.worker = undefined;
      if (!this.#stopped) this.#replace(post, failure ?? new Error(`exit code ${code}`));
      this.#look();
    });
    post.worker = worker;
    post.startedMs = performance.now();
    worker.postMessage(this.#ordersFor(post));
  }

  #replace(post: Post, error: Error): void {
    this.#options.onGone(post.thread, error);
    const isEarly = performance.now() - post.startedMs < EARLY_MS;
    post.earlyDeaths = isEarly ? post.earlyDeaths + 1 : 0;
    if (post.earlyDeaths < 2) {
      this.#start(post);
      return;
    }
    const delayMs = backoffMs(post.earlyDeaths - 1, BACKOFF);
    post.restart = setTimeout(() => this.#start(post), delayMs);
  }

  /** Whether all go by the last orders; a thread that is yet to start will. */
  #followed(): boolean {
    const { board } = this.#options;
    return this.#posts.every(
      ({ worker, thread }) => worker === undefined || board.seen(thread) === this.#generation,
    );
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #look(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}

/** Starting a file as a worker thread, whether it was compiled or is run from source. */

/** What runs TypeScript in development; Node 20 does not hand a process's loader on to its threads. */
const SOURCE_LOADER = 'tsx/esm/api';

export function startThread(entry: URL, options: WorkerOptions): Worker {
  if (!entry.pathname.endsWith('.ts')) return new Worker(entry, options);
  const [loader, file] = [SOURCE_LOADER, entry.href].map((text) => JSON.stringify(text));
  const script = `import(${loader}).then(({ register }) => { register(); return import(${file}); })`;
  return new Worker(script, { ...options, eval: true });
}
