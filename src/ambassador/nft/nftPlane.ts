/**
 * ambassador/nft/: The kernel carries the connections of routes: tables of nf_tables, and connection tracking.
 * Imports: ambassador, dataplane/listeners, dns, kernel, timing.
 * Used by: app/ambassador, tools/doctor/ambassador.
 *
 * `NftPlane` gives changes of routes to a thread (nftThread.ts), which writes them in one transaction: those of one set
 * of the store's changes together, and further ones two milliseconds later at the earliest, when the thread has written
 * those before. Its routes have slots: `KernelHostPlane` in app/ambassador/ is the `Plane` that assigns them.
 * The tables outlive the process: connections go on, and the next process adopts them.
 */
import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { startThread } from '../../dataplane/listeners/threads.ts';
import { backoffMs } from '../../timing/backoff.ts';
import type { Clock, Timer } from '../../timing/clock.ts';
import { matchKey } from '../route.ts';
import type { RouteChange } from './contents.ts';
import type { CrossBridgeState } from './crossBridge.ts';
import { type KernelMatch, type KernelRoute, obstacleTo, type Slot } from './kernelRoute.ts';
import type { TableCounters } from './kernelTable.ts';
import type { NftOrder, NftReport, NftState, NftThreadStart } from './nftThread.ts';
import { UPDATE_BOUNDS_SECONDS } from './transactions.ts';

export interface NftPlaneOptions extends NftThreadStart {
  readonly clock: Clock;
  /** Called when `isInForce`, `trouble` or `crossBridge` has changed. */
  readonly onState: () => void;
  /** The tables were corrected, because these programs had changed them. */
  readonly onCorrected: (programs: readonly string[]) => void;
  /** The thread has ended; a new one adopts the tables. */
  readonly onThreadLost: (error: Error) => void;
  /** The file that the thread runs; tests set it. */
  readonly entry?: URL;
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
const RESTART = { minMs: 100, maxMs: 10_000 };
export async function openNftPlane(options: NftPlaneOptions): Promise<NftPlaneOpened> {
  const worker = startNftThread(options);
  const report = await firstReport(worker);
  if (report.kind === 'opened')
    return { kind: 'opened', plane: new NftPlane(options, worker, report.slots) };
  await worker.terminate();
  const reason = report.kind === 'unsupported' ? report.reason : 'the thread does not start';
  return { kind: 'unsupported', reason };
}

function startNftThread({
  forms,
  drainSeconds,
  crossBridge,
  entry = ENTRY,
}: NftPlaneOptions): Worker {
  const workerData: NftThreadStart = { forms, drainSeconds, crossBridge };
  const worker = startThread(entry, { workerData, name: 'nft' });
  worker.unref();
  return worker;
}

/** When the code that runs now has returned: it may make more changes. */
function afterThisCall(callback: () => void): Timer {
  let isCancelled = false;
  queueMicrotask(() => {
    if (!isCancelled) callback();
  });
  return {
    cancel: () => {
      isCancelled = true;
    },
  };
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
  /** Until `release`: the backends in the slots of the routes of a former process, by `matchKey`. */
  #formerSlots: ReadonlyMap<string, readonly Slot[]>;
  readonly #changes = new Map<string, RouteChange>();
  #local: ReadonlySet<string> = new Set();
  readonly updateTimes = { counts: UPDATE_BOUNDS_SECONDS.map(() => 0).concat(0), seconds: 0 };
  #worker: Worker | undefined;
  #state: NftState | undefined;
  #timer: Timer | undefined;
  #firstChangeMs = 0;
  /** When changes were last given to the thread. */
  #sentMs = Number.NEGATIVE_INFINITY;
  /**
   * When the first of the changes was made that the thread is writing; undefined if it writes none. After the loss of a
   * thread, when it was lost: the next one writes all routes first, because it would take a change for all of them.
   */
  #writingSinceMs: number | undefined;
  #isReleased = false;
  #failuresInARow = 0;
  #lostBecause: string | undefined;
  #isClosed = false;

  constructor(
    options: NftPlaneOptions,
    worker: Worker,
    formerSlots: ReadonlyMap<string, readonly Slot[]>,
  ) {
    this.#options = options;
    this.#formerSlots = formerSlots;
    this.#watch(worker);
  }

  /** Whether the routes that were released are in force; changes of the last milliseconds may not be. */
  get isInForce(): boolean {
    return this.#state !== undefined && this.trouble === undefined;
  }

  /** Why the routes are not in force, although they were released. */
  get trouble(): string | undefined {
    return this.#lostBecause ?? this.#state?.trouble;
  }

  get counters(): TableCounters | undefined {
    return this.#state?.counters;
  }

  /** Whether connections reach across Docker's bridges; undefined until that is known, and if it is not wanted. */
  get crossBridge(): CrossBridgeState | undefined {
    return this.#state?.crossBridge;
  }

  /** The backends in the slots that a former process gave the route; undefined if it is new, and after `release`. */
  formerSlots(match: KernelMatch): readonly Slot[] | undefined {
    return this.#formerSlots.get(matchKey(match));
  }

  /** Returns why the kernel cannot have the route; undefined if it can. */
  set(route: KernelRoute): string | undefined {
    const obstacle = obstacleTo(route);
    if (obstacle !== undefined) {
      this.remove(route.match);
      return obstacle;
    }
    const key = matchKey(route.match);
    this.#routes.set(key, route);
    this.#note(key, { kind: 'set', route });
    return undefined;
  }

  remove(match: KernelMatch): void {
    const key = matchKey(match);
    if (this.#routes.delete(key)) this.#note(key, { kind: 'remove', match });
  }

  /** Backends at these addresses have died: connections to them do not go on for the drain time. */
  noteDeath(addresses: readonly string[]): void {
    if (this.#isReleased) this.#post({ kind: 'dead', addresses });
  }

  /** The own addresses of the backends on this host, which they also reach themselves. */
  setLocal(addresses: readonly string[]): void {
    if (addresses.length === this.#local.size && addresses.every((one) => this.#local.has(one)))
      return;
    this.#local = new Set(addresses);
    if (this.#isReleased) this.#post({ kind: 'local', addresses });
  }

  /**
   * Writes the tables from now on. Call this when all routes are set: what an adopted table has besides them is removed.
   */
  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    this.#formerSlots = new Map();
    this.#begin(this.#options.clock.monotonicMs());
  }

  /** Removes the tables. Routes that are set later are written after the next `release`. */
  async clear(): Promise<void> {
    this.#isReleased = false;
    this.#changes.clear();
    const worker = this.#worker;
    if (worker === undefined) throw new Error('the thread that writes the routes has ended');
    worker.ref();
    this.#post({ kind: 'clear' });
    for (;;) {
      const [report] = (await once(worker, 'message')) as [NftReport];
      if (report.kind === 'cleared') break;
    }
    worker.unref();
    this.#update(undefined);
  }

  /** The tables stay. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    if (this.#worker === undefined) return;
    const exited = once(this.#worker, 'exit');
    this.#worker.ref();
    this.#post({ kind: 'close' });
    await exited;
  }

  #note(key: string, change: RouteChange): void {
    if (!this.#isReleased) return;
    if (this.#changes.size === 0) this.#firstChangeMs = this.#options.clock.monotonicMs();
    this.#changes.set(key, change);
    this.#sendSoon();
  }

  /** A change that comes alone does not wait; many in a row are joined. */
  #sendSoon(): void {
    if (this.#writingSinceMs !== undefined || this.#changes.size === 0) return;
    const { clock } = this.#options;
    const waitMs = this.#sentMs + JOIN_MS - clock.monotonicMs();
    this.#timer ??=
      waitMs > 0 ? clock.startTimer(waitMs, () => this.#send()) : afterThisCall(() => this.#send());
  }

  #send(): void {
    this.#timer = undefined;
    if (this.#writingSinceMs !== undefined || this.#worker === undefined) return;
    if (this.#changes.size === 0) return;
    this.#sentMs = this.#options.clock.monotonicMs();
    const changes = [...this.#changes.values()];
    this.#changes.clear();
    this.#writingSinceMs = this.#firstChangeMs;
    this.#post({ kind: 'change', changes });
  }

  #begin(sinceMs: number): void {
    this.#changes.clear();
    this.#writingSinceMs = sinceMs;
    this.#post({ kind: 'begin', routes: [...this.#routes.values()] });
    this.#post({ kind: 'local', addresses: [...this.#local] });
  }

  #post(order: NftOrder): void {
    this.#worker?.postMessage(order);
  }

  #watch(worker: Worker): void {
    this.#worker = worker;
    let failure = new Error('the thread has ended');
    worker.on('message', (report: NftReport) => this.#onReport(report, worker));
    worker.on('error', (error) => {
      failure = error;
    });
    worker.on('exit', () => this.#onLost(worker, failure));
  }

  #onReport(report: NftReport, worker: Worker): void {
    if (report.kind === 'opened' && this.#isReleased)
      this.#begin(this.#writingSinceMs ?? this.#options.clock.monotonicMs());
    if (report.kind === 'unsupported') {
      this.#lostBecause = report.reason;
      this.#options.onState();
      void worker.terminate();
    }
    if (report.kind !== 'state') return;
    if (report.isReply) {
      this.#failuresInARow = 0;
      this.#lostBecause = undefined;
      this.#noteTime();
    }
    this.#update(report);
    if (report.correctedAfter !== undefined) this.#options.onCorrected(report.correctedAfter);
    this.#sendSoon();
  }

  #update(state: NftState | undefined): void {
    const before = [this.isInForce, this.trouble, this.crossBridge];
    this.#state = state;
    const after = [this.isInForce, this.trouble, this.crossBridge];
    if (before.some((value, i) => value !== after[i])) this.#options.onState();
  }

  #noteTime(): void {
    if (this.#writingSinceMs === undefined) return;
    const seconds = (this.#options.clock.monotonicMs() - this.#writingSinceMs) / 1_000;
    this.#writingSinceMs = undefined;
    const bucket = UPDATE_BOUNDS_SECONDS.findIndex((bound) => seconds <= bound);
    const { counts } = this.updateTimes;
    const index = bucket < 0 ? UPDATE_BOUNDS_SECONDS.length : bucket;
    counts[index] = (counts[index] ?? 0) + 1;
    this.updateTimes.seconds += seconds;
  }

  /** What the kernel has stays in force; a new thread adopts it. */
  #onLost(worker: Worker, error: Error): void {
    if (this.#isClosed || worker !== this.#worker) return;
    this.#worker = undefined;
    this.#writingSinceMs ??= this.#options.clock.monotonicMs();
    this.#failuresInARow++;
    if (this.#lostBecause === undefined) this.#options.onThreadLost(error);
    this.#options.clock.startTimer(backoffMs(this.#failuresInARow, RESTART), () => {
      if (!this.#isClosed) this.#watch(startNftThread(this.#options));
    });
  }
}
