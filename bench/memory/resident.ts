/** The memory of a process as the kernel counts it, and as the server's own metrics split it. */
import { readFileSync } from 'node:fs';
import type { Registrar } from '../soradns.ts';

export interface Resident {
  readonly all: number;
  /** As `all`, but a page that several processes have counts for each of them in part. */
  readonly proportional: number;
  /** Pages without a file behind them. The kernel may drop the others, since it can read them again. */
  readonly anonymous: number;
}

export function residentOf(pid: number): Resident {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
  const octets = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]) * 1024;
  return { all: octets('Rss'), proportional: octets('Pss'), anonymous: octets('Anonymous') };
}

/** What a server's memory holds. */
export interface MemorySplit {
  readonly resident: Resident;
  /** V8's heap of the main thread. */
  readonly heap: number;
  readonly table: number;
  /** Pages of the store's file that are mapped. */
  readonly storeFile: number;
}

export async function memorySplitOf(server: Registrar): Promise<MemorySplit> {
  const response = await fetch(`http://127.0.0.1:${server.httpPort}/metrics`);
  const metrics = await response.text();
  const gauge = (name: string): number =>
    Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(metrics)?.[1]);
  return {
    resident: residentOf(server.pid),
    heap: gauge('nodejs_heap_size_total_bytes'),
    table: gauge('soradns_table_used_bytes'),
    storeFile: mappedOctets(server.pid, '/data.mdb'),
  };
}

/** Resident pages of the files whose path ends so. */
function mappedOctets(pid: number, end: string): number {
  let isOfFile = false;
  let kilobytes = 0;
  for (const line of readFileSync(`/proc/${pid}/smaps`, 'latin1').split('\n')) {
    if (/^[0-9a-f]+-/.test(line)) isOfFile = line.endsWith(end);
    else if (isOfFile) kilobytes += Number(/^Rss:\s+(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return kilobytes * 1024;
}
