/**
 * ambassador/nft/: The kernel carries the connections of routes: tables of nf_tables, and connection tracking.
 * Imports: ambassador, dataplane/listeners, dns, forward, kernel, timing.
 * Used by: app/ambassador.
 *
 * `NftPlane` collects changes of routes for two milliseconds and gives them to a thread (nftThread.ts), which writes them
 * in one transaction. The tables outlive the process: connections go on, and the next process adopts them.
 */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../dataplane/listeners/threads.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import { matchKey } from '../route.ts';
import type { RouteChange } from './contents.ts';
import type { KernelMatch, KernelRoute } from './kernelRoute.ts';
import type { TableCounters } from './kernelTable.ts';
import type { NftOrder, NftReport, NftThreadStart } from './nftThread.ts';

export interface NftPlaneOptions extends NftThreadStart {
  readonly clock: Clock;
  /** Called when `isInForce` has changed, and when there is another trouble. */
  readonly onState: () => void;
  /** The thread has ended; a new one adopts the tables. */
  readonly onThreadLost: (error: Error) => void;
}

export type NftPlaneOpened =
  | { readonly kind: 'opened'; readonly plane: NftPlane }
  /** `reason` has no full stop. */
  | { readonly kind: 'unsupported'; readonly reason: string };

const ENTRY = new URL(
  import.meta.url.endsWith('.ts') ? './nftThreadMain.ts' : './nftThreadMain.js',
  import.meta.url,
);

const JOIN_MS = 2;
const RESTART_AFTER_MS = 1_000;
/** Upper bounds of the times from a change to its being in force. */
export const UPDATE_BOUNDS_SECONDS = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2, 10] as const;

export async function openNftPlane(options: NftPlaneOptions): Promise<NftPlaneOpened> {
  const worker = startNftThread(options);
  const report = await firstReport(worker);
  if (report.kind !== 'opened') {
    await worker.terminate();
    const reason = report.kind === 'unsupported' ? report.reason : 'the thread does not start';
    return { kind: 'unsupported', reason };
  }
  return { kind: 'opened', plane: new NftPlane(options, worker) };
}

function startNftThread({ forms, drainSeconds, crossBridge }: NftThreadStart): Worker {
  const worker = startThread(ENTRY, { workerData: { forms, drainSeconds, crossBridge } });
  worker.unref();
  return worker;
}

async function firstReport(worker: Worker): Promise<NftReport> {
  worker.ref();
  try {
    const [report] = await Promise.race([
      once(worker, 'message'),
      once(worker, 'exit').then(() => [{ kind: 'unsupported', reason: 'the thread ends' }]),
    ]);
    return report as NftReport;
  } catch (error) {
    return { kind: 'unsupported', reason: (error as Error).message };
  } finally {
    worker.unref();
  }
}

export class NftPlane {
  readonly #options: NftPlaneOptions;
  readonly #routes = new Map<string, KernelRoute>();
  readonly #changes = new Map<string, RouteChange>();
  readonly #sentAtMs = new Map<number, number>();
  readonly updateTimes = { counts: UPDATE_BOUNDS_SECONDS.map(() => 0).concat(0), seconds: 0 };
  counters: TableCounters | undefined;
  #worker: Worker;
  #timer: Timer | undefined;
  #firstChangeMs = 0;
  #sequence = 0;
  #isReleased = false;
  #isInForce = false;
  #trouble: string | undefined;
  #isClosed = false;

  constructor(options: NftPlaneOptions, worker: Worker) {
    this.#options = options;
    this.#worker = worker;
    this.#watch(worker);
  }

  get isInForce(): boolean {
    return this.#isInForce;
  }

  /** Why the routes are not in force, although they were released. */
  get trouble(): string | undefined {
    return this.#trouble;
  }

  set(route: KernelRoute): void {
    const key = matchKey(route.match);
    this.#routes.set(key, route);
    this.#note(key, { kind: 'set', route });
  }

  remove(match: KernelMatch): void {
    const key = matchKey(match);
    if (this.#routes.delete(key)) this.#note(key, { kind: 'remove', match });
  }

  /**
   * Writes the tables from now on. Call this when all routes are set: what an adopted table has besides them is removed.
   */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#sendAll();
  }

  /** The host's networks may have changed. */
  refreshNetworks(): void {
    this.#post({ kind: 'networks' });
  }

  /** Removes the tables. */
  async clear(): Promise<void> {
    this.#worker.ref();
    this.#post({ kind: 'clear' });
    for (;;) {
      const [report] = (await once(this.#worker, 'message')) as [NftReport];
      if (report.kind === 'cleared') break;
    }
    this.#worker.unref();
  }

  /** The tables stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    const exited = once(this.#worker, 'exit');
    this.#worker.ref();
    this.#post({ kind: 'close' });
    await exited;
  }

  #note(key: string, change: RouteChange): void {
    if (!this.#isReleased) return;
    if (this.#changes.size === 0) this.#firstChangeMs = this.#options.clock.monotonicMs();
    this.#changes.set(key, change);
    this.#timer ??= this.#options.clock.startTimer(JOIN_MS, () => this.#send());
  }

  #send(): void {
    this.#timer = undefined;
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    this.#sendChanges(changes, false);
  }

  #sendAll(): void {
    this.#firstChangeMs = this.#options.clock.monotonicMs();
    this.#changes.clear();
    const routes = [...this.#routes.values()];
    this.#sendChanges(
      routes.map((route) => ({ kind: 'set', route })),
      true,
    );
  }

  #sendChanges(changes: readonly RouteChange[], isWhole: boolean): void {
    const sequence = ++this.#sequence;
    this.#sentAtMs.set(sequence, this.#firstChangeMs);
    this.#post({ kind: 'change', sequence, changes, isWhole });
  }

  #post(order: NftOrder): void {
    this.#worker.postMessage(order);
  }

  #watch(worker: Worker): void {
    worker.on('message', (report: NftReport) => this.#onReport(report));
    worker.on('error', (error) => this.#onLost(worker, error));
    worker.on('exit', () => this.#onLost(worker, new Error('the thread has ended')));
  }

  #onReport(report: NftReport): void {
    if (report.kind === 'opened' && this.#isReleased) this.#sendAll();
    if (report.kind !== 'changed') return;
    const { sequence, trouble, counters } = report;
    this.counters = counters;
    this.#noteTime(sequence);
    this.#setState(trouble === undefined, trouble);
  }

  #noteTime(sequence: number): void {
    const sentAtMs = this.#sentAtMs.get(sequence);
    this.#sentAtMs.delete(sequence);
    if (sentAtMs === undefined) return;
    const seconds = (this.#options.clock.monotonicMs() - sentAtMs) / 1_000;
    const bucket = UPDATE_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    const { counts } = this.updateTimes;
    const index = bucket < 0 ? UPDATE_BOUNDS_SECONDS.length : bucket;
    counts[index] = (counts[index] ?? 0) + 1;
    this.updateTimes.seconds += seconds;
  }

  #setState(isInForce: boolean, trouble: string | undefined): void {
    if (isInForce === this.#isInForce && trouble === this.#trouble) return;
    this.#isInForce = isInForce;
    this.#trouble = trouble;
    this.#options.onState();
  }

  /** What the kernel has stays in force; a new thread adopts it. */
  #onLost(worker: Worker, error: Error): void {
    if (this.#isClosed || worker !== this.#worker) return;
    this.#options.onThreadLost(error);
    this.#options.clock.startTimer(RESTART_AFTER_MS, () => {
      if (this.#isClosed || worker !== this.#worker) return;
      this.#worker = startNftThread(this.#options);
      this.#watch(this.#worker);
    });
  }
}
