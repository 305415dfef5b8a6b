/** The time until the server serves all keys of an etcd, and its memory then. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBenchEtcd } from './etcd.ts';
import { type BenchName, benchNames } from './names.ts';
import type { Running } from './process.ts';
import { untilLastAnswered } from './queryClient.ts';
import { startSoradns, untilReady } from './soradns.ts';
import { figure, markdown } from './table.ts';

const QUIET_CPU_SECONDS = 0.02;
const QUIET_TIMEOUT_MS = 60_000;

interface Load {
  readonly keys: number;
  /** From the start of the process until /readyz returns 200 and the last key's name is answered. */
  readonly seconds: number;
  readonly rssBytes: number;
}

/** Measures an empty store, then each number of keys. */
export async function benchLoad(options: {
  folder: string;
  keyCounts: readonly number[];
}): Promise<string> {
  const etcd = await startBenchEtcd(join(options.folder, 'load-etcd'));
  try {
    const loads: Load[] = [await load(etcd.store, options.folder, [])];
    let filled = 0;
    for (const keys of options.keyCounts) {
      const names = benchNames(keys);
      await etcd.fill(names.slice(filled));
      filled = keys;
      console.error(`etcd holds ${figure(keys)} keys`);
      loads.push(await load(etcd.store, options.folder, names));
    }
    return report(loads);
  } finally {
    await etcd.stop();
  }
}

async function load(store: string, cwd: string, names: readonly BenchName[]): Promise<Load> {
  const startedMs = performance.now();
  const server = await startSoradns({ store, cwd });
  try {
    await untilReady(server);
    await untilLastAnswered(server.port, names);
    const seconds = (performance.now() - startedMs) / 1000;
    await untilQuiet(server);
    return { keys: names.length, seconds, rssBytes: server.rssBytes() };
  } catch (error) {
    throw new Error(`with ${names.length} keys: ${server.output()}`, { cause: error });
  } finally {
    await server.stop();
  }
}

/** Waits until the server is idle for a second. */
async function untilQuiet(server: Running): Promise<void> {
  const deadline = performance.now() + QUIET_TIMEOUT_MS;
  let before = server.cpuSeconds();
  while (performance.now() < deadline) {
    await sleep(1000);
    const now = server.cpuSeconds();
    if (now - before <= QUIET_CPU_SECONDS) return;
    before = now;
  }
}

function report(loads: readonly Load[]): string {
  const empty = loads.find(({ keys }) => keys === 0)?.rssBytes ?? 0;
  const rows = loads.map(({ keys, seconds, rssBytes }) => [
    figure(keys),
    figure(seconds, 2),
    figure(rssBytes / 2 ** 20),
    keys === 0 ? '–' : figure((rssBytes - empty) / keys),
  ]);
  return `${markdown([['keys in etcd', 'start → served, s', 'memory, MiB', 'bytes/key above empty'], ...rows])}

From the start of the process until /readyz returns 200 and the answer is right. Memory is resident memory of the idle
process, without a forced garbage collection.`;
}
