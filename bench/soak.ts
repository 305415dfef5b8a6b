/**
 * `npm run soak`: a server and its registrar under a steady load for a long time, while addresses change, containers start
 * and stop, the configuration is reloaded and etcd restarts. Checks every reply against the state of the name between
 * query and reply. Exits with 1 if a reply is wrong, a query is lost that neither the kernel nor the server dropped, or
 * memory or open descriptors grow. The server may drop packets only if the kernel does too: on an overloaded machine both
 * queues overflow, and both count the drops.
 *
 *   npm run soak -- [--seconds 600] [--rate 20000] [--away 5]
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startEtcd } from '../test/support/etcd.ts';
import { startFakeDocker } from '../test/support/fakeDocker.ts';
import { Changes } from './soak/changes.ts';
import { dropsOfPort } from './soak/kernelDrops.ts';
import { Ledger, SOAK_NAMES } from './soak/ledger.ts';
import type { QueryThreadResult } from './soak/queryThread.ts';
import { growth, mib, readServerStats, type ServerStats } from './soak/serverStats.ts';
import { startQueryThread } from './soak/startQueryThread.ts';
import { startSoradns, untilReady } from './soradns.ts';

process.env.PATH += ':/usr/local/sbin:/usr/sbin:/sbin';

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '600' },
    rate: { type: 'string', default: '20000' },
    away: { type: 'string', default: '5' },
  },
});
const [seconds, perSecond, awaySeconds] = [values.seconds, values.rate, values.away].map(
  Number,
) as [number, number, number];

const RELOAD_EVERY_MS = 10_000;
const WARM_MS = 3_000;
/** When etcd is stopped, as a share of the whole time. */
const AWAY_AT = 0.1;

const folder = mkdtempSync(join(tmpdir(), 'soradns-soak-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const etcd = await startEtcd();
const docker = await startFakeDocker();
const server = await startSoradns({
  store: `etcd://${etcd.endpoint}`,
  cwd: folder,
  args: [
    '--no-rec',
    '--register',
    '--register-docker-host',
    docker.host,
    '--register-ip',
    '10.0.0.1',
  ],
});
const ledger = new Ledger();
const changes = new Changes(ledger, etcd, docker);
try {
  const faults = await soak();
  for (const fault of faults) console.error(`FAULT: ${fault}`);
  process.exitCode = faults.length === 0 ? 0 : 1;
} finally {
  await server.stop();
  await docker.close();
  await etcd.stop();
}

/** Returns the faults. */
async function soak(): Promise<string[]> {
  await changes.fill();
  await untilReady(server);
  await sleep(1_000);
  // A new server computes each answer once; the soak measures the steady load after that.
  await startQueryThread(server.port, 500, ledger).stop(WARM_MS);
  const droppedBefore = (await readServerStats(server.httpPort)).dropped;
  const queries = startQueryThread(server.port, perSecond, ledger);
  changes.start();
  const stats: ServerStats[] = [];
  const sampling = every(Math.max(500, (seconds * 1000) / 120), async () => {
    stats.push(await readServerStats(server.httpPort));
  });
  const reload = every(RELOAD_EVERY_MS, async () => {
    process.kill(server.pid, 'SIGHUP');
  });
  await sleep(seconds * 1000 * AWAY_AT);
  if (awaySeconds > 0) await changes.interrupt(awaySeconds * 1000);
  await sleep(Math.max(0, seconds * 1000 * (1 - AWAY_AT) - awaySeconds * 1000));
  await Promise.all([sampling.stop(), reload.stop(), changes.stop()]);
  const result = await queries.stop();
  stats.push(await readServerStats(server.httpPort));
  const dropped = {
    kernel: result.drops + dropsOfPort(server.port),
    server: (stats.at(-1)?.dropped ?? 0) - droppedBefore,
  };
  report(result, dropped, stats);
  return faultsOf(result, dropped, stats);
}

/** Dropped queries, by where. */
interface Dropped {
  readonly kernel: number;
  readonly server: number;
}

function faultsOf(
  result: QueryThreadResult,
  dropped: Dropped,
  stats: readonly ServerStats[],
): string[] {
  const faults = [...growth(stats)];
  if (server.hasEnded()) faults.push(`the server exited: ${server.output()}`);
  if (result.wrong > 0) faults.push(`${result.wrong} wrong answers`, ...result.examples);
  const { kernel, server: shed } = dropped;
  if (result.lost > kernel + shed)
    faults.push(`${result.lost} lost, of which the kernel dropped ${kernel}, the server ${shed}`);
  if (shed > 0 && kernel === 0) faults.push(`the server dropped ${shed}, the kernel none`);
  const rate = result.sent / result.seconds;
  if (rate < 0.95 * perSecond) faults.push(`only ${Math.round(rate)} queries a second`);
  return faults;
}

function report(result: QueryThreadResult, dropped: Dropped, stats: readonly ServerStats[]): void {
  const [first, last] = [stats[Math.floor(stats.length / 3)], stats.at(-1)];
  const rows: [string, string][] = [
    ['queries', `${result.sent}, ${Math.round(result.sent / result.seconds)} a second`],
    [
      'names',
      `${SOAK_NAMES.length}, changed ${changes.count} times; etcd away for ${awaySeconds} s`,
    ],
    ['wrong answers', String(result.wrong)],
    ['lost', `${result.lost}; the kernel dropped ${dropped.kernel}, the server ${dropped.server}`],
    ['resident MiB', `${mib(first?.rssBytes ?? 0)} → ${mib(last?.rssBytes ?? 0)}`],
    ['heap MiB', `${mib(first?.heapBytes ?? 0)} → ${mib(last?.heapBytes ?? 0)}`],
    ['descriptors', `${first?.fds} → ${last?.fds}`],
  ];
  console.log(`| ${seconds} s of soak | |\n| --- | ---: |`);
  for (const [what, figure] of rows) console.log(`| ${what} | ${figure} |`);
}

/** Repeats the work every `periodMs`, unless the previous run is still going. */
function every(periodMs: number, work: () => Promise<void>): { stop(): Promise<void> } {
  let running: Promise<void> = Promise.resolve();
  let isBusy = false;
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    running = work().finally(() => {
      isBusy = false;
    });
    running.catch(() => undefined);
  }, periodMs);
  return {
    stop: async () => {
      clearInterval(timer);
      await running;
    },
  };
}
