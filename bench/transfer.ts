/**
 * What secondaries cost: the CPU time of a whole transfer beside Knot's of the same zone, questions while transfers run,
 * the changes of one service in a large zone, and the time until a secondary has a change.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { transferRecords } from '../src/cli/zoneTransfer.ts';
import { printRr } from '../src/dns/presentation/presentation.ts';
import { freePort } from '../test/support/freePort.ts';
import { type BenchEtcd, startBenchEtcd } from './etcd.ts';
import { BENCH_FOLDER, BENCH_PARENT, benchNames, DOMAIN, serviceValue } from './names.ts';
import { GENERATOR_CORE, pinned, type Running, SERVER_CORE, start } from './process.ts';
import { openQueryClient, untilAnswers } from './queryClient.ts';
import { startKnotZone } from './rivalServers.ts';
import { type Soradns, startSoradns, untilReady } from './soradns.ts';
import { figure, markdown, median } from './table.ts';

export interface TransferBenchOptions {
  readonly folder: string;
  readonly rounds: number;
  readonly seconds: number;
  /** Names of the large zone. */
  readonly manyNames: number;
  readonly isQuick: boolean;
}

const ZONE = [...DOMAIN.split('.')];
/** A whole zone with so many names is transferred. */
const NAMES = 100_000;
const CONCURRENT = 4;
/** A secondary is notified at most once in this time. */
const NOTIFY_MS = 5_500;

export async function benchTransfer(options: TransferBenchOptions): Promise<string> {
  const { folder, isQuick, manyNames } = options;
  const etcd = await startBenchEtcd(join(folder, 'transfer-etcd'));
  try {
    const count = isQuick ? NAMES / 10 : NAMES;
    await etcd.fill(benchNames(count));
    const rows = [['measured', 'soradns', 'Knot', 'ratio', 'at most']];
    await withServer(etcd, options, [], async (server) => {
      rows.push(await wholeZone(server, count, options), await hitsMeanwhile(server, options));
    });
    rows.push(await untilSecondaryAnswers(etcd, options));
    await etcd.fill(benchNames(manyNames));
    await withServer(etcd, options, [], async (server) => {
      rows.push(await oneChange(server, etcd, manyNames, options));
    });
    return `## Secondaries\n\n${markdown(rows)}`;
  } finally {
    await etcd.stop();
  }
}

async function withServer(
  { store }: BenchEtcd,
  { folder: cwd }: TransferBenchOptions,
  more: readonly string[],
  use: (server: Soradns) => Promise<void>,
): Promise<void> {
  const args = ['--no-rec', '--transfer-allow', '127.0.0.0/8', '--transfers', '8', ...more];
  const server = await startSoradns({ store, cwd, core: SERVER_CORE, args });
  try {
    await untilReady(server);
    await untilTransferable(server.port);
    await use(server);
  } finally {
    await server.stop();
  }
}

/** Waits until the server has read its zone for transfers. */
async function untilTransferable(port: number): Promise<void> {
  for (;;) {
    const reply = await soaSerial(port).catch(() => undefined);
    if (reply !== undefined) return;
    await sleep(100);
  }
}

/** The serial of the zone as a transfer says it. */
async function soaSerial(port: number): Promise<number> {
  for await (const rrs of received(port, undefined)) {
    const rdata = rrs[0]?.rdata;
    if (rdata?.kind === 'soa') return rdata.serial;
  }
  throw new Error('a transfer without SOA');
}

function received(port: number, serial: number | undefined): ReturnType<typeof transferRecords> {
  const server = { address: '127.0.0.1', port };
  return transferRecords({ server, zone: ZONE, serial, key: undefined, timeoutMs: 60_000 });
}

/** CPU time of a whole transfer of each server, in turns. */
async function wholeZone(
  server: Soradns,
  count: number,
  { folder, rounds }: TransferBenchOptions,
): Promise<string[]> {
  const lines: string[] = [];
  let soas = 0;
  for await (const rrs of received(server.port, undefined)) {
    for (const rr of rrs) if (rr.rdata.kind !== 'soa' || soas++ === 0) lines.push(printRr(rr));
  }
  const knotFolder = join(folder, 'transfer-knot');
  mkdirSync(knotFolder);
  const port = await freePort();
  const knot = await startKnotPrimary(lines.join('\n'), port, knotFolder);
  try {
    await untilTransferable(port);
    const own: number[] = [];
    const rival: number[] = [];
    for (let round = 0; round < rounds; round++) {
      own.push(await cpuOfTransfer(server, server.port));
      rival.push(await cpuOfTransfer(knot, port));
    }
    return row(`AXFR of ${count} names, CPU ms`, median(own), median(rival), 3);
  } finally {
    await knot.stop();
  }
}

function startKnotPrimary(text: string, port: number, folder: string): Promise<Running> {
  return startKnotZone({ domain: DOMAIN, text: `${text}\n` }, port, folder, {
    sections: ['acl:', '  - id: all', '    address: 127.0.0.0/8', '    action: transfer'],
    settings: ['acl: all'],
  });
}

async function cpuOfTransfer(server: Running, port: number): Promise<number> {
  const before = server.cpuSeconds();
  await dig(port, 'AXFR');
  return (server.cpuSeconds() - before) * 1_000;
}

/** Transfers the zone without keeping it. */
async function dig(port: number, type: string): Promise<void> {
  const words = ['@127.0.0.1', '-p', String(port), '+nocomments', '+noanswer', DOMAIN, type];
  const child = spawn(...pinned(['dig', ...words], GENERATOR_CORE), { stdio: 'ignore' });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`dig ${type} failed with ${code}`);
}

/** The time of one question after the other, with and without transfers beside them. */
async function hitsMeanwhile(
  server: Soradns,
  { rounds, seconds }: TransferBenchOptions,
): Promise<string[]> {
  const quiet: number[] = [];
  const busy: number[] = [];
  for (let round = 0; round < rounds; round++) {
    quiet.push(await questionMicros(server.port, seconds));
    let isOver = false;
    const transfers = Array.from({ length: CONCURRENT }, async () => {
      while (!isOver) await dig(server.port, 'AXFR');
    });
    busy.push(await questionMicros(server.port, seconds));
    isOver = true;
    await Promise.all(transfers);
  }
  const what = `a hit during ${CONCURRENT} transfers, µs; "Knot" is soradns without them`;
  return row(what, median(busy), median(quiet), 1.1);
}

async function questionMicros(port: number, seconds: number): Promise<number> {
  const client = await openQueryClient(port);
  const name = `0.service0.${BENCH_PARENT}`;
  const times: number[] = [];
  const until = performance.now() + seconds * 1_000;
  while (performance.now() < until) {
    const began = performance.now();
    await client.addresses(name);
    times.push((performance.now() - began) * 1_000);
  }
  client.close();
  return median(times);
}

/** Gets what has changed since a serial. Returns the newest serial. */
async function newestSerial(port: number, since: number): Promise<number> {
  let newest = since;
  let isFirst = true;
  for await (const rrs of received(port, since)) {
    const rdata = rrs[0]?.rdata;
    if (isFirst && rdata?.kind === 'soa') newest = rdata.serial;
    isFirst = false;
  }
  return newest;
}

/** The time from the question to the last record of a difference. */
async function oneChange(
  { port }: Soradns,
  etcd: BenchEtcd,
  count: number,
  { rounds }: TransferBenchOptions,
): Promise<string[]> {
  const times: number[] = [];
  let serial = await soaSerial(port);
  for (let round = 0; round < rounds; round++) {
    await etcd.put(`${BENCH_FOLDER}/service7/7`, serviceValue(`10.200.0.${round}`));
    let next = serial;
    while (next === serial) {
      await sleep(50);
      next = await newestSerial(port, serial);
    }
    const began = performance.now();
    await newestSerial(port, serial);
    times.push(performance.now() - began);
    serial = next;
  }
  return [`IXFR of one change in ${count} names, ms`, figure(median(times), 2), '–', '–', '5 ms'];
}

/** The time from a put in etcd until Knot as a secondary answers with it. */
async function untilSecondaryAnswers(
  etcd: BenchEtcd,
  options: TransferBenchOptions,
): Promise<string[]> {
  const folder = join(options.folder, 'transfer-secondary');
  mkdirSync(folder);
  const port = await freePort();
  const times: number[] = [];
  await withServer(etcd, options, ['--notify', `127.0.0.1:${port}`], async (server) => {
    const knot = startKnotSecondary(folder, port, server.port);
    const client = await openQueryClient(port);
    try {
      const name = `3.service3.${BENCH_PARENT}`;
      for (let i = 0; i < (options.isQuick ? 2 : 7); i++) {
        await sleep(NOTIFY_MS);
        const address = `10.201.0.${i}`;
        const began = performance.now();
        await etcd.put(`${BENCH_FOLDER}/service3/3`, serviceValue(address));
        await untilAnswers(client, name, address, 30_000);
        times.push(performance.now() - began);
      }
    } finally {
      client.close();
      await knot.stop();
    }
  });
  return [
    'put in etcd → Knot as secondary answers, ms',
    figure(median(times)),
    '–',
    '–',
    '1200 ms',
  ];
}

function startKnotSecondary(folder: string, port: number, primaryPort: number): Running {
  const config = join(folder, 'knot.conf');
  writeFileSync(
    config,
    `server:
  rundir: "${folder}"
  listen: 127.0.0.1@${port}
database:
  storage: "${folder}"
remote:
  - id: primary
    address: 127.0.0.1@${primaryPort}
acl:
  - id: notify
    address: 127.0.0.1
    action: notify
zone:
  - domain: ${DOMAIN}
    storage: "${folder}"
    master: primary
    acl: notify
`,
  );
  return start(['knotd', '-c', config], { cwd: folder });
}

function row(what: string, own: number, other: number, target: number): string[] {
  return [what, figure(own, 1), figure(other, 1), figure(own / other, 2), figure(target, 2)];
}
