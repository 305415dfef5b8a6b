/** What questions by wildcard cost the main thread, and the clients that ask for other names meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Soradns, startSoradns, untilReady } from '../soradns.ts';
import { figure, median, percentile } from '../table.ts';
import { startFlood } from './flood.ts';
import type { HostileRow } from './row.ts';

const SERVICES = 20_000;
const QUESTIONS = 300;
const FLOOD_PER_SECOND = 3_000;
const OTHERS_PER_SECOND = 200;
const SECONDS = 5;
const WARM_UP = 30;

export async function measureWildcards(folder: string): Promise<HostileRow[]> {
  const server = await startSoradns({ store: 'memory:', cwd: folder, args: ['--no-rec'] });
  try {
    await untilReady(server);
    await fill(server);
    const costs = [
      await costOf(server, 'any.any.any.any.skydns.local, asked again', () => WHOLE),
      await costOf(
        server,
        'any.any.any of one of ten parts',
        (i) => `any.any.any.e${i % 10}.skydns.local`,
      ),
      await costOf(server, 'no match: zN.any.any.any', (i) => `z${i}.any.any.any.skydns.local`),
    ];
    return [...costs, await othersMeanwhile(server)];
  } finally {
    await server.stop();
  }
}

const WHOLE = 'any.any.any.any.skydns.local';

async function fill({ httpPort }: Soradns): Promise<void> {
  const put = async (i: number): Promise<void> => {
    const path = `e${Math.floor(i / 100) % 10}/r${Math.floor(i / 10) % 10}/s${i % 10}/i${i}`;
    const body = new URLSearchParams({
      value: JSON.stringify({ host: `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, port: 80 }),
    });
    const url = `http://127.0.0.1:${httpPort}/v2/keys/skydns/local/skydns/${path}`;
    const response = await fetch(url, { method: 'PUT', body });
    await response.arrayBuffer();
    if (!response.ok) throw new Error(`${url}: ${response.status}`);
  };
  for (let i = 0; i < SERVICES; i += 50)
    await Promise.all(Array.from({ length: 50 }, (_, k) => put(i + k)));
}

/** CPU time of the whole server for each question, which the main thread answers alone. */
async function costOf(
  server: Soradns,
  what: string,
  name: (i: number) => string,
): Promise<HostileRow> {
  await askAll(server, name, WARM_UP);
  const before = server.cpuSeconds();
  await askAll(server, name, QUESTIONS);
  const ms = ((server.cpuSeconds() - before) * 1_000) / QUESTIONS;
  return [`S6: ${what}, UDP, ${figure(SERVICES)} services`, '2 ms', `${figure(ms, 2)} ms`];
}

async function askAll(server: Soradns, name: (i: number) => string, count: number): Promise<void> {
  const flood = await startFlood({ port: server.port, from: '127.0.0.1', perSecond: 100, name });
  while (flood.sent() < count) await sleep(5);
  await flood.stop();
}

async function othersMeanwhile(server: Soradns): Promise<HostileRow> {
  const others = {
    port: server.port,
    from: '127.0.0.7',
    perSecond: OTHERS_PER_SECOND,
    // A known name, and one that the main thread has to look for.
    name: (i: number) =>
      i % 2 === 0 ? 'i7.s7.r0.e0.skydns.local' : `i7.s7.*.e${i % 10}.skydns.local`,
  };
  const quiet = await startFlood(others);
  await sleep(SECONDS * 1_000);
  const before = await quiet.stop();
  const flood = await startFlood({
    port: server.port,
    from: '127.0.0.66',
    perSecond: FLOOD_PER_SECOND,
    name: (i) => `z${i}.any.any.any.skydns.local`,
    patienceMs: 200,
  });
  const busy = await startFlood(others);
  await sleep(SECONDS * 1_000);
  const during = await busy.stop();
  await flood.stop();
  const p99 = (values: readonly number[]): number => percentile(values, 0.99);
  const ratio = p99(during.latenciesMs) / p99(before.latenciesMs);
  return [
    `S6: p99 of other questions under ${figure(FLOOD_PER_SECOND)} wildcards a second ÷ quiet`,
    '3',
    `${figure(ratio, 2)} (${figure(p99(during.latenciesMs), 1)} ms ÷ ${figure(p99(before.latenciesMs), 1)} ms; median ${figure(median(during.latenciesMs), 1)} ms; ${during.asked - during.latenciesMs.length} of ${during.asked} lost)`,
  ];
}
