/**
 * Kills a server with a `file:` store (SIGKILL) while clients write over HTTP, repeatedly on the same directories. Each
 * next start must find every acknowledged write. SERVER_KILLS sets the number of kills.
 */
import assert from 'node:assert/strict';
import { randomInt } from 'node:crypto';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const KILLS = Number(process.env.SERVER_KILLS ?? 200);
const SIDES = 2;
const WRITERS = 4;
const MAX_AWAITED_WRITES = 10;
const MAX_WRITING_MS = 40;
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
    const server = start(directory);
    try {
      const http = `http://${(await server.logged('serving')).http}`;
      await verify(http, acknowledged);
      if (run < kills) count += await writeUntilKilled(server, http, run, acknowledged);
    } finally {
      await server.end('SIGKILL');
    }
  }
  return count;
}

/** Starts a server with workers, as a server has them by default. */
function start(directory: string): CliProcess {
  const args = ['serve', '--store', `file:${directory}`, ...ON_FREE_PORTS];
  return startCli(args, { SORADNS_WORKERS: 'auto' });
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
  server: CliProcess,
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
  // Even on a slow machine, the waits let some writes be acknowledged while others are in progress.
  const least = randomInt(0, MAX_AWAITED_WRITES);
  await until('some writes are acknowledged', () => count >= least, 10_000);
  await sleep(randomInt(1, MAX_WRITING_MS));
  const ended = server.end('SIGKILL');
  await Promise.all(writers);
  await ended;
  return count;
}
