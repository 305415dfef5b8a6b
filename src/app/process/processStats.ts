/** The process's metrics, under the names that Prometheus' own clients use. */
import { readdirSync } from 'node:fs';
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { counter, type Family, gauge, gauges } from '../../observability/metrics.ts';
import { openFilesLimit } from './openFiles.ts';
import { version } from './process.ts';

export interface ProcessStats {
  readonly version: string;
  readonly nodeVersion: string;
  readonly cpuSeconds: number;
  readonly residentOctets: number;
  /** Undefined outside Linux. */
  readonly openFds: number | undefined;
  readonly maxFds: number | undefined;
  readonly startUnixSeconds: number;
  readonly heapUsedOctets: number;
  readonly heapTotalOctets: number;
  readonly externalOctets: number;
  /** Delay of timers in the last one to two minutes. */
  readonly eventLoopDelay: EventLoopDelay;
  readonly configReloads: { readonly done: number; readonly failed: number };
}

export interface EventLoopDelay {
  readonly p50Seconds: number;
  readonly p99Seconds: number;
  readonly maxSeconds: number;
}

export interface ProcessProbe {
  stats(configReloads: ProcessStats['configReloads']): ProcessStats;
  close(): void;
}

export function createProcessProbe(): ProcessProbe {
  const delays = new RecentDelays();
  const startUnixSeconds = performance.timeOrigin / 1000;
  return {
    stats(configReloads) {
      const { user, system } = process.cpuUsage();
      const memory = process.memoryUsage();
      return {
        version: version(),
        nodeVersion: process.version,
        cpuSeconds: (user + system) / 1e6,
        residentOctets: memory.rss,
        openFds: openFds(),
        maxFds: openFilesLimit(),
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

/**
 * The interval of the timer that measures the delay: the delay is how much longer an interval really is. Each interval
 * wakes an idle process.
 */
const RESOLUTION_MS = 100;
const WINDOW_MS = 60_000;

/**
 * The worst delays of the current and the previous window. A read resets nothing, so several readers get the same
 * values.
 */
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
    return readdirSync('/proc/self/fd').length - 1; // without the descriptor that reads the folder
  } catch {
    return undefined;
  }
}

export function processFamilies(stats: ProcessStats): Family[] {
  const { version, nodeVersion, configReloads } = stats;
  return [
    {
      kind: 'gauge',
      name: 'soradns_build_info',
      help: 'Always 1; the labels name the versions.',
      samples: [{ labels: { version, nodeversion: nodeVersion }, value: 1 }],
    },
    counter('process_cpu_seconds_total', 'User and system CPU time.', stats.cpuSeconds),
    gauge('process_resident_memory_bytes', 'Resident memory.', stats.residentOctets),
    ...fds(stats),
    gauge(
      'process_start_time_seconds',
      'Start of the process in seconds since 1970.',
      stats.startUnixSeconds,
    ),
    gauge('nodejs_heap_size_used_bytes', 'Heap in use.', stats.heapUsedOctets),
    gauge('nodejs_heap_size_total_bytes', 'Heap taken from the system.', stats.heapTotalOctets),
    gauge('nodejs_external_memory_bytes', 'Memory outside the heap.', stats.externalOctets),
    delays(stats.eventLoopDelay),
    counter(
      'soradns_config_reload_total',
      'Configurations read again and applied.',
      configReloads.done,
    ),
    counter(
      'soradns_config_reload_failed_total',
      'Configurations read again and rejected because of mistakes.',
      configReloads.failed,
    ),
  ];
}

function fds({ openFds, maxFds }: ProcessStats): Family[] {
  return [
    ...(openFds === undefined
      ? []
      : [gauge('process_open_fds', 'Open file descriptors.', openFds)]),
    ...(maxFds === undefined
      ? []
      : [gauge('process_max_fds', 'Limit on open file descriptors.', maxFds)]),
  ];
}

function delays({ p50Seconds, p99Seconds, maxSeconds }: EventLoopDelay): Family {
  return gauges(
    'nodejs_eventloop_delay_seconds',
    'Delay of the event loop in the last one to two minutes.',
    'stat',
    Object.entries({ p50: p50Seconds, p99: p99Seconds, max: maxSeconds }),
  );
}
