/** The cost of wildcard queries for the main thread and for other clients' queries. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttackOptions, AttackResult } from '../hostile.ts';
import { type Soradns, startSoradns, untilReady } from '../soradns.ts';
import { figure, median, percentile } from '../table.ts';
import { put } from './clients.ts';
import { type FloodReplies, startFlood } from './flood.ts';

const SERVICES = 20_000;
const QUESTIONS = 300;
const FLOOD_PER_SECOND = 3_000;
const OTHERS_PER_SECOND = 200;
const SECONDS = 5;
const WARM_UP = 30;

export async function benchWildcards({ folder, isQuick }: AttackOptions): Promise<AttackResult[]> {
  const services = isQuick ? 1_000 : SERVICES;
  const server = await startSoradns({ store: 'memory:', cwd: folder, args: ['--no-rec'] });
  try {
    await untilReady(server);
    await fill(server, services);
    const costs = [
      await costOf(server, services, 'any.any.any.any, repeated', () => WHOLE),
      await costOf(
        server,
        services,
        'any.any.any of one of ten parts',
        (i) => `any.any.any.e${i % 10}.skydns.local`,
      ),
      await costOf(server, services, 'no match: zN.any.any.any', noMatch),
    ];
    return [...costs, await othersMeanwhile(server)];
  } finally {
    await server.stop();
  }
}

const WHOLE = 'any.any.any.any.skydns.local';

const noMatch = (i: number) => `z${i}.any.any.any.skydns.local`;

async function fill({ httpPort }: Soradns, services: number): Promise<void> {
  const putOne = (i: number) => {
    const path = `e${Math.floor(i / 100) % 10}/r${Math.floor(i / 10) % 10}/s${i % 10}/i${i}`;
    const host = `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`;
    return put(httpPort, `local/skydns/${path}`, JSON.stringify({ host, port: 80 }));
  };
  for (let i = 0; i < services; i += 50)
    await Promise.all(Array.from({ length: 50 }, (_, k) => putOne(i + k)));
}

/** CPU time of the whole server for each query; only the main thread answers these. */
async function costOf(
  server: Soradns,
  services: number,
  question: string,
  name: (i: number) => string,
): Promise<AttackResult> {
  await askAll(server, name, WARM_UP);
  const before = server.cpuSeconds();
  await askAll(server, name, QUESTIONS);
  const ms = ((server.cpuSeconds() - before) * 1_000) / QUESTIONS;
  const what = `${question} over UDP, ${figure(services)} services: CPU time of a query`;
  return { what, unit: 'ms', value: ms, target: 2 };
}

async function askAll(server: Soradns, name: (i: number) => string, count: number): Promise<void> {
  const flood = await startFlood({ port: server.port, from: '127.0.0.1', perSecond: 100, name });
  while (flood.sent() < count) await sleep(5);
  await flood.stop();
}

async function othersMeanwhile(server: Soradns): Promise<AttackResult> {
  const others = {
    port: server.port,
    from: '127.0.0.7',
    perSecond: OTHERS_PER_SECOND,
    // A name that the workers answer, and one that the main thread refuses.
    name: (i: number) => (i % 2 === 0 ? 'i7.s7.r0.e0.skydns.local' : `n${i}.outside.example`),
  };
  const quiet = await startFlood(others);
  await sleep(SECONDS * 1_000);
  const before = await quiet.stop();
  const flood = await startFlood({
    port: server.port,
    from: '127.0.0.66',
    perSecond: FLOOD_PER_SECOND,
    name: noMatch,
    drainMs: 200,
  });
  const busy = await startFlood(others);
  await sleep(SECONDS * 1_000);
  const during = await busy.stop();
  await flood.stop();
  const [quietMs, busyMs] = [p99(before), p99(during)];
  const lost = lostOf(during);
  const detail = `${figure(busyMs, 1)} ms ÷ ${figure(quietMs, 1)} ms; median ${figure(median(during.latenciesMs), 1)} ms; ${lost} of ${during.sent} lost`;
  return {
    what: `p99 of other queries under ${figure(FLOOD_PER_SECOND)} wildcards a second ÷ quiet (${detail})`,
    unit: 'times',
    value: busyMs / quietMs,
    target: 3,
  };
}

/** A lost query counts as infinitely slow. */
function p99(result: FloodReplies): number {
  const lost = Array.from({ length: lostOf(result) }, () => Number.POSITIVE_INFINITY);
  return percentile([...result.latenciesMs, ...lost], 0.99);
}

function lostOf({ sent, latenciesMs }: FloodReplies): number {
  return sent - latenciesMs.length;
}
