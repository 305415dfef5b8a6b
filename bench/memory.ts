/**
 * The part `memory`: the resident memory of idle servers, beside that of a Node process that does nothing and of other
 * DNS servers, and what a server with many names uses its memory for.
 */
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startDockerd } from '../test/support/dockerd.ts';
import { noOwnNetwork } from '../test/support/ownNetwork.ts';
import { type Finding, finding, ratioOf, targetTable, withRange } from './dataplane/compare.ts';
import { Lab, type LabOptions } from './dataplane/lab.ts';
import { measureMemory } from './dataplane/memory.ts';
import { startBenchEtcd } from './etcd.ts';
import { emptyNode, type IdleServer, idlePeers, ours } from './memory/idleServers.ts';
import { type Resident, residentOf } from './memory/resident.ts';
import { isInstalled } from './process.ts';
import { figure, markdown, median } from './table.ts';

/** Longer than our server takes to give back what its start has used. */
const SETTLING_MS = 9_000;
const TARGET = 1.5;

export interface MemoryOptions extends LabOptions {
  /** Leaves out the server with many names. */
  readonly isQuick: boolean;
}

interface Measurement {
  readonly server: IdleServer;
  readonly rounds: Resident[];
}

export async function benchMemory(options: MemoryOptions): Promise<string> {
  const { text, findings } = await idleMemory(options);
  if (options.isQuick) return `${text}\n\n${targetTable(findings)}`;
  const lab = new Lab(options);
  try {
    const many = await measureMemory(lab);
    return `${text}\n\n${many.text}\n\n${targetTable([...findings, ...many.findings])}`;
  } finally {
    await lab.close();
  }
}

async function idleMemory({ folder, rounds }: MemoryOptions) {
  const workers = Math.max(1, availableParallelism() - 1);
  const closing: (() => Promise<void>)[] = [];
  try {
    const empty = { server: emptyNode(workers), rounds: [] };
    const own = await ourServers(workers, folder, closing);
    const measured: Measurement[] = [empty, ...[...own, ...idlePeers()].map(unmeasured)];
    for (let round = 0; round < rounds; round++)
      for (const each of measured) {
        const cwd = join(folder, `memory-${round}-${measured.indexOf(each)}`);
        mkdirSync(cwd);
        each.rounds.push(await measure(each.server, cwd));
      }
    return { text: report(measured, empty), findings: findingsOf(measured, empty) };
  } finally {
    for (const close of closing) await close();
  }
}

function unmeasured(server: IdleServer): Measurement {
  return { server, rounds: [] };
}

/** Adds what has to end after the measurement to `closing`. */
async function ourServers(
  workers: number,
  folder: string,
  closing: (() => Promise<void>)[],
): Promise<readonly IdleServer[]> {
  const storeIn = (cwd: string): string => `file:${join(cwd, 'store')}`;
  const servers = [
    ours('`serve --store memory:`', workers, () => 'memory:'),
    ours('`serve`, its own file', workers, storeIn),
  ];
  if (isInstalled('etcd')) {
    const etcd = await startBenchEtcd(join(folder, 'memory-etcd'));
    closing.push(() => etcd.stop());
    servers.push(ours('`serve`, etcd', workers, () => etcd.store));
  }
  if (isInstalled('dockerd') && noOwnNetwork === undefined) {
    const dockerd = await startDockerd();
    closing.push(() => dockerd.stop());
    const register = ['--register', '--register-docker-host', dockerd.host];
    servers.push(ours('`up`, its own file', workers, storeIn, register));
  }
  return servers;
}

async function measure(server: IdleServer, cwd: string): Promise<Resident> {
  const running = await server.start(cwd);
  try {
    await sleep(SETTLING_MS);
    return residentOf(running.pid);
  } finally {
    await running.stop();
  }
}

const MIB = 2 ** 20;

function report(measured: readonly Measurement[], empty: Measurement): string {
  const head = ['idle', 'RSS, MiB (range)', '÷ empty Node', 'PSS, MiB', 'not pages of files, MiB'];
  const rows = measured.map(({ server, rounds }) => [
    server.title,
    withRange(
      rounds.map(({ all }) => all / MIB),
      1,
    ),
    server.isNode ? figure(ratioTo(empty, rounds).perRound, 2) : '–',
    figure(median(rounds.map(({ proportional }) => proportional / MIB)), 1),
    figure(median(rounds.map(({ anonymous }) => anonymous / MIB)), 1),
  ]);
  return `${markdown([head, ...rows])}

Each process was read ${SETTLING_MS / 1000} s after it was ready. PSS shares Node's program with the benchmark, which is a Node process too.`;
}

function findingsOf(measured: readonly Measurement[], empty: Measurement): readonly Finding[] {
  return measured
    .filter(({ server }) => server.isNode && server !== empty.server)
    .map(({ server, rounds }) =>
      finding(`${server.title} ÷ empty Node process`, TARGET, ratioTo(empty, rounds)),
    );
}

function ratioTo(empty: Measurement, rounds: readonly Resident[]) {
  return ratioOf(
    rounds.map(({ all }) => all),
    empty.rounds.map(({ all }) => all),
  );
}
