/** The process, under the names that Prometheus' own clients use. */
import { counter, type Family, gauge, gauges } from '../metrics.ts';

export interface ProcessFigures {
  readonly version: string;
  readonly nodeVersion: string;
  readonly cpuSeconds: number;
  readonly residentOctets: number;
  /** Undefined where the system does not tell. */
  readonly openFds: number | undefined;
  readonly maxFds: number | undefined;
  readonly startUnixSeconds: number;
  readonly heapUsedOctets: number;
  readonly heapTotalOctets: number;
  readonly externalOctets: number;
  /** How late timers were in the last minutes. */
  readonly eventLoopDelay: EventLoopDelay;
  readonly configReloads: { readonly done: number; readonly failed: number };
}

export interface EventLoopDelay {
  readonly p50Seconds: number;
  readonly p99Seconds: number;
  readonly maxSeconds: number;
}

export function processFamilies(figures: ProcessFigures): Family[] {
  const { version, nodeVersion, configReloads } = figures;
  return [
    {
      kind: 'gauge',
      name: 'soradns_build_info',
      help: 'Always 1; the labels say what runs.',
      samples: [{ labels: { version, nodeversion: nodeVersion }, value: 1 }],
    },
    counter('process_cpu_seconds_total', 'CPU time, of user and system.', figures.cpuSeconds),
    gauge('process_resident_memory_bytes', 'Resident memory.', figures.residentOctets),
    ...fds(figures),
    gauge('process_start_time_seconds', 'Start, since 1970.', figures.startUnixSeconds),
    gauge('nodejs_heap_size_used_bytes', 'Heap in use.', figures.heapUsedOctets),
    gauge('nodejs_heap_size_total_bytes', 'Heap taken from the system.', figures.heapTotalOctets),
    gauge('nodejs_external_memory_bytes', 'Memory outside the heap.', figures.externalOctets),
    delays(figures.eventLoopDelay),
    counter('soradns_config_reload_total', 'Configurations that were taken.', configReloads.done),
    counter(
      'soradns_config_reload_failed_total',
      'Configurations with mistakes, which left the old one in force.',
      configReloads.failed,
    ),
  ];
}

function fds({ openFds, maxFds }: ProcessFigures): Family[] {
  return [
    ...(openFds === undefined ? [] : [gauge('process_open_fds', 'Open descriptors.', openFds)]),
    ...(maxFds === undefined ? [] : [gauge('process_max_fds', 'The limit of them.', maxFds)]),
  ];
}

function delays({ p50Seconds, p99Seconds, maxSeconds }: EventLoopDelay): Family {
  return gauges(
    'nodejs_eventloop_delay_seconds',
    'How late the event loop was in the last minutes.',
    'stat',
    Object.entries({ p50: p50Seconds, p99: p99Seconds, max: maxSeconds }),
  );
}
