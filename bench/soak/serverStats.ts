/** The server's memory, descriptors and drops from its own metrics; they must not grow under a steady load. */
import { readMetrics } from '../metrics.ts';

export interface ServerStats {
  readonly atMs: number;
  readonly rssBytes: number;
  readonly heapBytes: number;
  readonly fds: number;
  /** Dropped packets: malformed ones and those of full queues. */
  readonly dropped: number;
}

/** Scrapes /metrics once. */
export async function readServerStats(httpPort: number): Promise<ServerStats> {
  const sum = await readMetrics(httpPort);
  return {
    atMs: performance.now(),
    rssBytes: sum('process_resident_memory_bytes'),
    heapBytes: sum('nodejs_heap_size_used_bytes'),
    fds: sum('process_open_fds'),
    dropped: sum('soradns_dropped_total'),
  };
}

const MIB = 2 ** 20;
/** Allowance for connections that open and close. */
const FEW_FDS = 8;

/** Returns what grew between the middle third and the last third of the samples. */
export function growth(series: readonly ServerStats[]): string[] {
  const third = Math.floor(series.length / 3);
  const [middle, last] = [series.slice(third, 2 * third), series.slice(2 * third)];
  if (third < 2) return ['too few samples to say whether anything grows'];
  // The smallest of many samples is close to the size after a garbage collection.
  const least = (field: keyof ServerStats, of: readonly ServerStats[]): number =>
    Math.min(...of.map((each) => each[field]));
  const faults: string[] = [];
  for (const [field, slack] of [
    ['heapBytes', 8 * MIB],
    ['rssBytes', 16 * MIB],
  ] as const) {
    const [before, after] = [least(field, middle), least(field, last)];
    if (after > before * 1.1 + slack) faults.push(`${field} ${mib(before)} → ${mib(after)} MiB`);
  }
  const [before, after] = [least('fds', middle), least('fds', last)];
  if (after > before + FEW_FDS) faults.push(`fds ${before} → ${after}`);
  return faults;
}

export function mib(bytes: number): string {
  return (bytes / MIB).toFixed(1);
}
