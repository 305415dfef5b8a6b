/**
 * Kills a server with a `file:` store (SIGKILL) while clients write over HTTP, repeatedly on the same directories. Every
 * acknowledged write must be there after the next start. SORADNS_SERVER_KILLS sets the number of kills.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const KILLS = Number(process.env.SORADNS_SERVER_KILLS ?? 200);
const SIDES = 2;
const WRITERS = 4;
const MAX_AWAITED_WRITES = 10;
const MAX_WRITING_MS = 40;
const MAIN = new URL('../../dist/main.js', import.meta.url).pathname;
const KEYS = '/v2/keys/skydns/local/skydns/kill';

it(`The server loses no acknowledged write in ${KILLS} kills`, { timeout: 900_000 }, () =>
  withTempDir(async (parent) => {
    const sides = Array.from({ length: SIDES }, (_, side) =>
      killRepeatedly(join(parent, `${side}`), Math.ceil(KILLS / SIDES)),
    );
    for (const side of await Promise.allSettled(sides)) {
      if (side.status === 'rejected') throw side.reason;
      assert.ok(side.value > KILLS, `only ${side.value} writes were acknowledged`);
    }
  }),
);

/** Returns the number of acknowledged writes. */
async function killRepeatedly(directory: string, kills: number): Promise<number> {
  const acknowledged = new Map<string, number>();
  let count = 0;
  for (let run = 0; run <= kills; run++) {
    const { server, http } = await start(directory);
    try {
      await verify(http, acknowledged);
      if (run < kills) count += await writeUntilKilled(server, http, run, acknowledged);
    } finally {
      server.kill('SIGKILL');
    }
    if (server.exitCode === null && server.signalCode === null) await once(server, 'exit');
  }
  return count;
}

async function start(directory: string): Promise<{ server: ChildProcess; http: string }> {
  const args = ['serve', '--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--no-rec'];
  const server = spawn(process.execPath, [MAIN, ...args, '--store', `file:${directory}`], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  if (server.stdout === null) throw new Error('no stdout');
  for await (const line of createInterface({ input: server.stdout })) {
    const { msg, http } = JSON.parse(line) as { msg: string; http?: string };
    if (msg === 'serving' && http !== undefined) {
      server.stdout.resume();
      return { server, http: `http://${http}` };
    }
  }
  throw new Error('the server ended before it served');
}

async function verify(http: string, acknowledged: ReadonlyMap<string, number>): Promise<void> {
  const reply = await fetch(`${http}${KEYS}`);
  const body = (await reply.json()) as { node?: { nodes?: { key: string; value: string }[] } };
  const found = new Map(body.node?.nodes?.map(({ key, value }) => [key, JSON.parse(value).port]));
  for (const [key, port] of acknowledged) {
    // A later write may be stored although its acknowledgement was lost.
    assert.ok(found.get(key) >= port, `${key}: ${found.get(key)} after ${port} was acknowledged`);
  }
}

async function writeUntilKilled(
  server: ChildProcess,
  http: string,
  run: number,
  acknowledged: Map<string, number>,
): Promise<number> {
  let count = 0;
  const write = async (writer: number): Promise<void> => {
    for (let n = 0; ; n++) {
      const key = `${KEYS.slice('/v2/keys'.length)}/${writer}-${n % 5}`;
      const port = run * 100 + Math.min(n, 99);
      const body = new URLSearchParams({ value: JSON.stringify({ host: '10.0.0.1', port }) });
      const reply = await fetch(`${http}/v2/keys${key}`, { method: 'PUT', body });
      if (!reply.ok) throw new Error(await reply.text());
      acknowledged.set(key, port);
      count++;
    }
  };
  const writers = Array.from({ length: WRITERS }, (_, writer) => write(writer).catch(() => {}));
  // Also on a slow machine some writes are acknowledged and others in progress.
  const least = randomInt(0, MAX_AWAITED_WRITES);
  await until('some writes are acknowledged', () => count >= least, 10_000);
  await sleep(randomInt(1, MAX_WRITING_MS));
  server.kill('SIGKILL');
  await Promise.all(writers);
  return count;
}
