/** Clients that send requests and read no response, and the server's memory and response time meanwhile. */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Soradns } from '../soradns.ts';

const MB = 1e6;

/** The token of servers that need one for writing. */
export const TOKEN = 'of-the-bench';

/** Opens `count` connections, sends a request on each, and reads nothing. */
export function requestUnread(port: number, count: number, path: string): Socket[] {
  return Array.from({ length: count }, () => {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.pause();
    socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`);
    return socket;
  });
}

export interface ServerLoad {
  /** The largest growth of resident memory. */
  readonly grownMb: number;
  readonly slowestLivezMs: number;
}

/** Samples memory and /livez for `ms` and until the work is done. */
export async function watchServer(
  server: Soradns,
  ms: number,
  work: () => Promise<void> = async () => undefined,
): Promise<ServerLoad> {
  const before = server.rssBytes();
  let most = before;
  let slowestLivezMs = 0;
  const until = performance.now() + ms;
  let isWorking = true;
  const working = work().finally(() => {
    isWorking = false;
  });
  while (performance.now() < until || isWorking) {
    slowestLivezMs = Math.max(slowestLivezMs, await livezMs(server.httpPort));
    most = Math.max(most, server.rssBytes());
    await sleep(20);
  }
  await working;
  return { grownMb: (most - before) / MB, slowestLivezMs };
}

async function livezMs(port: number): Promise<number> {
  const startedMs = performance.now();
  const response = await fetch(`http://127.0.0.1:${port}/livez`, {
    headers: { connection: 'close' },
    signal: AbortSignal.timeout(60_000),
  }).catch(() => undefined);
  await response?.arrayBuffer();
  return response?.ok === true ? performance.now() - startedMs : Number.POSITIVE_INFINITY;
}

/** Puts ordinary services, a few below each name. */
export async function fill(port: number, services: number): Promise<void> {
  const CONCURRENT_PUTS = 25;
  for (let n = 0; n < services; n += CONCURRENT_PUTS) {
    const group = Array.from({ length: CONCURRENT_PUTS }, (_, k) => n + k);
    await Promise.all(group.map((k) => putService(port, k)));
  }
}

async function putService(port: number, n: number): Promise<void> {
  const key = `local/skydns/e${n % 3}/r${n % 7}/s${n % 101}/i${n}`;
  await put(port, key, `{"host":"10.${n >> 16}.${(n >> 8) & 255}.${n & 255}","port":8080}`);
}

export async function put(port: number, key: string, value: string): Promise<void> {
  const response = await fetch(`http://127.0.0.1:${port}/v2/keys/skydns/${key}`, {
    method: 'PUT',
    headers: { Authorization: `Bearer ${TOKEN}` },
    body: new URLSearchParams({ value }),
  });
  if (!response.ok) throw new Error(`PUT ${key}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}
