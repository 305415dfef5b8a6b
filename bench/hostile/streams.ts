/** One large value sent to a thousand streams, none of which reads. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AttackOptions, AttackResult } from '../hostile.ts';
import { startSoradns, untilReady } from '../soradns.ts';
import { put, requestUnread, watchServer } from './clients.ts';

const STREAMS = 1_000;
/** With the form's overhead it must stay below the limit of a request body. */
const VALUE = 'x'.repeat(1_000_000);
const SETTLE_MS = 3_000;
const READ_TIMEOUT_MS = 30_000;

const PATHS = {
  '/v2/keys?wait=true&stream=true': () => '/v2/keys/skydns?wait=true&recursive=true&stream=true',
  '/v1/store/watch': (revision: number) => `/v1/store/watch?prefix=/&from=${revision + 1}`,
};

export async function benchStreams({ folder, isQuick }: AttackOptions): Promise<AttackResult[]> {
  const rows: AttackResult[] = [];
  const streams = isQuick ? 100 : STREAMS;
  for (const [name, pathAt] of Object.entries(PATHS)) {
    const server = await startSoradns({ store: 'memory:', cwd: folder, args: ['--no-rec'] });
    try {
      await untilReady(server);
      await put(server.httpPort, 'text/t', VALUE);
      const path = pathAt(await revisionOf(server.httpPort));
      const sockets = requestUnread(server.httpPort, streams, path);
      await sleep(SETTLE_MS);
      let tookMs = 0;
      const { grownMb } = await watchServer(server, SETTLE_MS, async () => {
        const startedMs = performance.now();
        await put(server.httpPort, 'text/t', VALUE);
        tookMs = performance.now() - startedMs;
      });
      const received = await countReceived(sockets);
      if (received < streams)
        throw new Error(`only ${received} of ${streams} streams received the value`);
      const what = `a PUT of 1 MB with ${streams} streams of ${name}`;
      rows.push(
        { what: `${what}: time`, unit: 'ms', value: tookMs, target: 1_000 },
        { what: `${what}: memory`, unit: 'MB', value: grownMb, target: 100 },
      );
    } finally {
      await server.stop();
    }
  }
  return rows;
}

/** Reads all streams; returns how many have the value. */
async function countReceived(sockets: readonly Socket[]): Promise<number> {
  let received = 0;
  for (const socket of sockets) {
    let octets = 0;
    socket.on('data', (chunk: Buffer) => {
      octets += chunk.length;
      if (octets < VALUE.length) return;
      received++;
      socket.destroy();
    });
    socket.resume();
  }
  const until = performance.now() + READ_TIMEOUT_MS;
  while (received < sockets.length && performance.now() < until) await sleep(20);
  for (const socket of sockets) socket.destroy();
  return received;
}

async function revisionOf(port: number): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/v2/keys/`);
  await response.arrayBuffer();
  return Number(response.headers.get('x-etcd-index'));
}
