/**
 * Many hosts that share one etcd: what their leases, watches and restarts cost it, and how soon every mirror agrees again.
 * The mirrors run in a few processes on this machine, so in the storms their own work takes most of the time.
 */
import { loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Etcd, startEtcd } from '../test/support/etcd.ts';
import { epochMs } from '../test/support/hostMirrors.ts';
import {
  between,
  type EtcdFigures,
  etcdFigures,
  forgetPeak,
  peakBytes,
} from './scale/etcdFigures.ts';
import { Hosts } from './scale/hosts.ts';
import { figure, markdown, median, percentile } from './table.ts';

const PROCESSES = 4;
const RENEWALS = 20;
const STEADY_MS = 20_000;
const PUTS = 100;
const PUT_EVERY_MS = 50;
const DOWN_MS = 3_000;
const QUOTA_BYTES = 4 * 1024 ** 3;
const MIB = 1 << 20;

export interface ScaleBenchOptions {
  readonly hosts: number;
  readonly keys: number;
  readonly leaseTtlSeconds: number;
  /** The commands of the etcds to measure, by title. */
  readonly etcds: ReadonlyMap<string, string>;
}

type Row = readonly [what: string, value: string];

export async function benchScale(options: ScaleBenchOptions): Promise<string> {
  const columns: { title: string; rows: readonly Row[] }[] = [];
  const load = figure(loadavg()[0] ?? Number.NaN, 1);
  for (const [title, command] of options.etcds)
    columns.push({ title, rows: await measure(title, command, options) });
  const [longest] = columns.map(({ rows }) => rows).sort((a, b) => b.length - a.length);
  const names = longest?.map(([what]) => what) ?? [];
  const rows = names.map((what, i) => [what, ...columns.map(({ rows }) => rows[i]?.[1] ?? '–')]);
  const { hosts, keys } = options;
  return [
    '## Many hosts\n',
    markdown([
      [
        `${figure(hosts)} mirrors, ${figure(hosts)} registrars, ${figure(keys)} keys`,
        ...columns.map(({ title }) => title),
      ],
      ...rows,
    ]),
    `\nThe machine's load was ${load} before the run.`,
  ].join('\n');
}

async function measure(
  title: string,
  command: string,
  { hosts: count, keys, leaseTtlSeconds }: ScaleBenchOptions,
): Promise<readonly Row[]> {
  const etcd = await startEtcd({ command, args: ['--quota-backend-bytes', String(QUOTA_BYTES)] });
  const setup = { etcd, hosts: count, processes: PROCESSES, leaseTtlSeconds };
  const hosts = new Hosts(setup);
  const rows: Row[] = [];
  let hasFailed = false;
  /** After a failure the later phases would measure something else, so the table has only the rows before it. */
  const phase = async (name: string, run: () => Promise<readonly Row[]>): Promise<void> => {
    if (hasFailed) return;
    const startMs = performance.now();
    let added: readonly Row[] = [];
    try {
      added = await run();
    } catch (error) {
      hasFailed = true;
      process.exitCode = 1;
      console.error(`${title}: ${name} failed:`, error);
    }
    rows.push(...added);
    console.error(`${title}: ${name}, ${figure((performance.now() - startMs) / 1000, 1)} s`);
    for (const [what, value] of added) console.error(`    ${what}: ${value}`);
  };
  const scene = { etcd, hosts, count, keys };
  try {
    await phase('registered', async () => {
      await hosts.register(keys);
      return [];
    });
    await phase('renewals', () => renewals(scene));
    await phase('all start', () => startAll(scene, 'all mirrors start at once'));
    await phase('steady', () => steady(scene));
    await phase('puts', () => puts(scene));
    await phase('etcd killed', () => killed(scene));
    await phase('compacted', () => compacted(scene));
    await phase('all restart', async () => {
      await hosts.all('close');
      return startAll(scene, 'all mirrors restart at once');
    });
    return rows;
  } finally {
    await hosts.close();
    await etcd.stop();
  }
}

interface Scene {
  readonly etcd: Etcd;
  readonly hosts: Hosts;
  readonly count: number;
  readonly keys: number;
}

async function during(etcd: Etcd, run: () => Promise<unknown>): Promise<EtcdFigures> {
  const before = await etcdFigures(etcd);
  await run();
  return between(before, await etcdFigures(etcd));
}

async function renewals({ etcd, hosts }: Scene): Promise<readonly Row[]> {
  let renewals = { renewed: 0, unanswered: 0 };
  const used = await during(etcd, async () => {
    renewals = await hosts.renew(RENEWALS);
  });
  const { renewed, unanswered } = renewals;
  const perSecond = renewed / (used.atMs / 1000);
  return [
    ['etcd, CPU of a lease renewal, µs', figure((used.cpuSeconds * 1e6) / renewed)],
    ['renewals/s reached', figure(perSecond)],
    ['renewals without an answer in time', figure(unanswered)],
  ];
}

async function startAll(scene: Scene, what: string): Promise<readonly Row[]> {
  const { etcd, hosts, count } = scene;
  forgetPeak(etcd);
  const { revision } = await hosts.put();
  const startMs = epochMs();
  let times: number[] = [];
  const used = await during(etcd, async () => {
    await hosts.startMirrors();
    times = await hosts.agree(revision);
  });
  return [
    [`${what}: the median has all names, s`, seconds(median(times) - startMs)],
    ['... the last one, s', seconds(Math.max(...times) - startMs)],
    ['... etcd, CPU a mirror, ms', figure((used.cpuSeconds * 1000) / count)],
    ['... etcd, peak memory, MiB', figure(peakBytes(etcd) / MIB)],
    ['... read a mirror, MiB', figure(used.sentBytes / count / MIB, 1)],
    ['... pages and gets a mirror', figure(used.ranges / count, 1)],
    ...(await outcome(scene, '...')),
  ];
}

async function steady({ etcd }: Scene): Promise<readonly Row[]> {
  const used = await during(etcd, () => sleep(STEADY_MS));
  const each = used.atMs / 1000;
  return [
    ['at rest: etcd, CPU, % of a core', figure((used.cpuSeconds / each) * 100, 1)],
    ['... renewals/s', figure(used.renewals / each, 1)],
    ['... lookups of leases/s', figure(used.leaseLookups / each, 1)],
    ['... watches', figure(used.watchers)],
  ];
}

async function puts({ etcd, hosts, count }: Scene): Promise<readonly Row[]> {
  let delays: number[][] = [];
  const idle = await during(etcd, () => sleep(PUTS * PUT_EVERY_MS));
  const used = await during(etcd, async () => {
    delays = await hosts.timedPuts(PUTS, PUT_EVERY_MS);
  });
  const all = delays.flat();
  const cpuSeconds = used.cpuSeconds - idle.cpuSeconds * (used.atMs / idle.atMs);
  return [
    ['put → a mirror has it, p50, ms', figure(median(all), 1)],
    ['... p99, ms', figure(percentile(all, 0.99), 1)],
    [
      '... the last mirror, median of the puts, ms',
      figure(median(delays.map((each) => Math.max(...each))), 1),
    ],
    ['... etcd, CPU a change and watcher, µs', figure((cpuSeconds * 1e6) / PUTS / count, 1)],
  ];
}

async function killed(scene: Scene): Promise<readonly Row[]> {
  const { etcd, hosts, count } = scene;
  await etcd.kill();
  await sleep(DOWN_MS);
  const startMs = epochMs();
  await etcd.restart();
  const servesMs = epochMs();
  const before = await etcdFigures(etcd);
  const { revision } = await hosts.put();
  const times = await hosts.agree(revision);
  const used = between(before, await etcdFigures(etcd));
  return [
    [
      `etcd killed, started after ${figure(DOWN_MS / 1000)} s: it serves after, s`,
      seconds(servesMs - startMs),
    ],
    ['... then the median mirror agrees after, s', seconds(median(times) - servesMs)],
    ['... the last one, s', seconds(Math.max(...times) - servesMs)],
    ['... etcd, CPU a mirror, ms', figure((used.cpuSeconds * 1000) / count, 1)],
    ['... read a mirror, KiB', figure(used.sentBytes / count / 1024, 1)],
    ...(await outcome(scene, '...')),
  ];
}

/** All mirrors lose their watches, and the revisions that they need next are compacted meanwhile. */
async function compacted(scene: Scene): Promise<readonly Row[]> {
  const { etcd, hosts, count } = scene;
  forgetPeak(etcd);
  const before = await hosts.check();
  await hosts.all('cut');
  for (let i = 0; i < PUTS; i++) await hosts.put(`cut-${i}`);
  const { revision } = await hosts.put();
  await etcd.etcdctl(['compact', '--command-timeout', '60s', String(revision)]);
  const startMs = epochMs();
  let times: number[] = [];
  const used = await during(etcd, async () => {
    await hosts.all('restore');
    times = await hosts.agree(revision);
  });
  const after = await hosts.check();
  return [
    ['all must list again: the median mirror agrees after, s', seconds(median(times) - startMs)],
    ['... the last one, s', seconds(Math.max(...times) - startMs)],
    ['... relists', figure(after.relists - before.relists)],
    ['... etcd, CPU a mirror, ms', figure((used.cpuSeconds * 1000) / count)],
    ['... etcd, peak memory, MiB', figure(peakBytes(etcd) / MIB)],
    ...(await outcome(scene, '...')),
  ];
}

/** Every mirror in comparison with etcd. */
async function outcome({ hosts, count, keys }: Scene, prefix: string): Promise<readonly Row[]> {
  const { revision } = await hosts.put();
  await hosts.agree(revision);
  const check = await hosts.check();
  const { wrong, missing, losses, leastSize, leaseLosses, failures, mirrors } = check;
  if (mirrors !== count) throw new Error(`${mirrors} of ${count} mirrors were compared`);
  console.error('    failures of the first process:', check.reasons);
  const never = leastSize >= keys ? 'all' : figure(leastSize);
  return [
    [
      `${prefix} wrong / missing / names lost meanwhile / leases lost`,
      [wrong, missing, losses, leaseLosses].map((each) => figure(each)).join(' / '),
    ],
    [
      `${prefix} least names that a mirror had since its load; failed calls so far`,
      `${never}; ${figure(failures)}`,
    ],
  ];
}

function seconds(ms: number): string {
  return figure(ms / 1000, 2);
}
