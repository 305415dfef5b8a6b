/** What this process knows of itself, for its metrics. */
import { readdirSync, readFileSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import type { EventLoopDelay, ProcessFigures } from '../metrics/process.ts';
import { version } from './packageVersion.ts';

export interface ProcessProbe {
  figures(configReloads: ProcessFigures['configReloads']): ProcessFigures;
  close(): void;
}

export function createProcessProbe(): ProcessProbe {
  const delays = new RecentDelays();
  const startUnixSeconds = performance.timeOrigin / 1000;
  return {
    figures(configReloads) {
      const { user, system } = process.cpuUsage();
      const memory = process.memoryUsage();
      return {
        version: version(),
        nodeVersion: process.version,
        cpuSeconds: (user + system) / 1e6,
        residentOctets: memory.rss,
        openFds: openFds(),
        maxFds: maxFds(),
        startUnixSeconds,
        heapUsedOctets: memory.heapUsed,
        heapTotalOctets: memory.heapTotal,
        externalOctets: memory.external,
        eventLoopDelay: delays.read(),
        configReloads,
      };
    },
    close: () => delays.close(),
  };
}

/** Timers fire so far apart; what is above it is delay. */
const RESOLUTION_MS = 20;
const WINDOW_MS = 60_000;

/** The worst of the window that runs and the whole one before it: readers don't disturb one another. */
class RecentDelays {
  readonly #histogram: IntervalHistogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  #before: EventLoopDelay = { p50Seconds: 0, p99Seconds: 0, maxSeconds: 0 };

  constructor() {
    this.#histogram.enable();
    this.#timer = setInterval(() => {
      this.#before = this.#now();
      this.#histogram.reset();
    }, WINDOW_MS);
    this.#timer.unref();
  }

  read(): EventLoopDelay {
    const now = this.#now();
    return {
      p50Seconds: Math.max(now.p50Seconds, this.#before.p50Seconds),
      p99Seconds: Math.max(now.p99Seconds, this.#before.p99Seconds),
      maxSeconds: Math.max(now.maxSeconds, this.#before.maxSeconds),
    };
  }

  close(): void {
    this.#histogram.disable();
    clearInterval(this.#timer);
  }

  #now(): EventLoopDelay {
    const histogram = this.#histogram;
    return {
      p50Seconds: delaySeconds(histogram.percentile(50)),
      p99Seconds: delaySeconds(histogram.percentile(99)),
      maxSeconds: delaySeconds(histogram.max),
    };
  }
}

function delaySeconds(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1e3);
}

function openFds(): number | undefined {
  try {
    return readdirSync('/proc/self/fd').length - 1; // less the one that reads
  } catch {
    return undefined;
  }
}

function maxFds(): number | undefined {
  try {
    const [, soft] =
      /^Max open files +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
    return soft === undefined ? undefined : Number(soft);
  } catch {
    return undefined;
  }
}
