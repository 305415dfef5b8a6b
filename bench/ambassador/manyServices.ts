/** 10,000 services in the kernel: loading them, their memory, connects, and the change of one of them. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Finding, finding, type Ratio, ratioOf, withRange } from '../dataplane/compare.ts';
import { figure, median, percentile } from '../table.ts';
import { ChainTable } from './chainTable.ts';
import { changeInForce, endOf, type OpenedPlane, openKernelPlane, routeOf } from './kernelPlane.ts';
import { type Ambassador, roundsWithin } from './measured.ts';
import { measureConnects, type Scene } from './scene.ts';
import { clearTables } from './vipServer.ts';

const SERVICES = 10_000;
const QUICK_SERVICES = 500;
const CONNECT_SECONDS = 0.5;
const CHANGES = 25;
const CHAIN_CHANGES = 9;
/** The kernel frees elements after a while. */
const FREEING_MS = 1_500;
/** It resizes its tables after a load. */
const SETTLING_MS = 500;
const BUDGET_SECONDS = 150;
const CHAIN_BUDGET_SECONDS = 45;

interface Round {
  readonly loadSeconds: number;
  readonly octetsOfPort: number;
  /** In microseconds. */
  readonly connectOne: number;
  readonly connectMany: number;
  /** In milliseconds. */
  readonly changes: readonly number[];
}

export async function measureManyServices(scene: Scene): Promise<Ambassador> {
  const { rounds, isQuick } = scene.options;
  const services = isQuick ? QUICK_SERVICES : SERVICES;
  const opened = await openKernelPlane();
  try {
    const measured = await roundsWithin(
      { rounds, least: 3, seconds: BUDGET_SECONDS },
      async (at) => {
        const round = await measureRound(scene, opened, services);
        console.error(`${figure(services)} services, round ${at + 1}: ${describe(round)}`);
        return round;
      },
    );
    await opened.plane.clear();
    const chains = await measureChains(scene, opened, services);
    return report(services, measured, chains);
  } finally {
    await opened.plane.clear();
    await opened.plane.close();
    clearTables();
  }
}

async function measureRound(scene: Scene, opened: OpenedPlane, services: number): Promise<Round> {
  await opened.plane.clear();
  for (let service = 0; service < services; service++)
    opened.plane.remove(routeOf(scene, service, false).match);
  opened.plane.set(routeOf(scene, 0, true));
  opened.plane.release();
  await opened.inForce();
  const one = await measureConnects(scene, endOf(0), CONNECT_SECONDS);
  await opened.plane.clear();
  await sleep(FREEING_MS);
  const memoryBefore = kernelOctets();
  const loadSeconds = await load(scene, opened, services);
  const octetsOfPort = (kernelOctets() - memoryBefore) / services;
  await sleep(SETTLING_MS);
  const last = services - 1;
  const first = await measureConnects(scene, endOf(0), CONNECT_SECONDS / 2);
  const lastOne = await measureConnects(scene, endOf(last), CONNECT_SECONDS / 2);
  const changes: number[] = [];
  for (let i = 1; i <= CHANGES; i++)
    changes.push(await changeInForce(opened, routeOf(scene, last, true, i)));
  return {
    ...{ loadSeconds, octetsOfPort, changes },
    connectOne: one.p50,
    connectMany: (first.p50 + lastOne.p50) / 2,
  };
}

/** Loads all services from nothing; returns the seconds. The first and the last one are served. */
async function load(scene: Scene, opened: OpenedPlane, services: number): Promise<number> {
  const { plane } = opened;
  await plane.clear();
  for (let service = 0; service < services; service++)
    plane.set(routeOf(scene, service, service === 0 || service === services - 1));
  const startedMs = performance.now();
  plane.release();
  await opened.inForce();
  return (performance.now() - startedMs) / 1000;
}

/** Memory that the kernel cannot take back: its objects, and the areas of large tables. */
function kernelOctets(): number {
  const text = readFileSync('/proc/meminfo', 'latin1');
  const kilobytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(text)?.[1]);
  return (kilobytes('SUnreclaim') + kilobytes('VmallocUsed')) * 1024;
}

interface Chains {
  readonly loadSeconds: number;
  /** In milliseconds, by round. */
  readonly changes: readonly number[];
  /** A change of our table while the other one is there. */
  readonly oursBeside: number;
}

/** The same services as a chain for each. */
async function measureChains(scene: Scene, opened: OpenedPlane, services: number): Promise<Chains> {
  const table = new ChainTable();
  try {
    const loadSeconds = table.load(services);
    console.error(`a chain per service: loaded in ${figure(loadSeconds, 1)} s`);
    const { rounds } = scene.options;
    const budget = { rounds, least: 1, seconds: CHAIN_BUDGET_SECONDS };
    const changes = await roundsWithin(budget, async (round) => {
      const first = round * CHAIN_CHANGES;
      const versions = Array.from({ length: CHAIN_CHANGES }, (_, i) => first + i + 1);
      return median(versions.map((version) => table.change(services - 1, version)));
    });
    await load(scene, opened, services);
    const ours: number[] = [];
    for (let i = 1; i <= CHAIN_CHANGES; i++)
      ours.push(await changeInForce(opened, routeOf(scene, services - 1, true, i)));
    return { loadSeconds, changes, oursBeside: median(ours) };
  } finally {
    table.close();
  }
}

function describe({ loadSeconds, octetsOfPort, connectOne, connectMany, changes }: Round): string {
  return `load ${figure(loadSeconds, 1)} s, ${figure(octetsOfPort)} octets each, connect ${figure(connectOne, 1)} µs with 1, ${figure(connectMany, 1)} µs, change p50 ${figure(median(changes), 2)} ms`;
}

function report(services: number, rounds: readonly Round[], chains: Chains): Ambassador {
  const of = (key: 'loadSeconds' | 'octetsOfPort' | 'connectOne' | 'connectMany') =>
    rounds.map((round) => round[key]);
  const changes = rounds.map((round) => median(round.changes));
  const all = rounds.flatMap((round) => round.changes);
  const what = figure(services);
  const connects = ratioOf(of('connectMany'), of('connectOne'));
  const toChains: Ratio = ratioOf(changes, chains.changes);
  const row = (
    title: string,
    target: number,
    unit: string,
    values: readonly number[],
  ): Finding => ({
    ...{ what: title, target, unit, value: median(values) },
  });
  return {
    text: `${what} services with 3 backends and 16 slots each, ${rounds.length} rounds. Load: ${withRange(of('loadSeconds'), 2)} s. Memory:
${withRange(of('octetsOfPort'), 0)} octets a service port. Connect+echo p50: ${withRange(of('connectMany'), 1)} µs, with one service ${withRange(of('connectOne'), 1)} µs.
A change of all slots of one service, from the call until the plane knows that it is in force: p50 ${figure(median(changes), 2)} ms, p99 ${figure(percentile(all, 0.99), 2)} ms.
A chain per service: loaded in ${figure(chains.loadSeconds, 1)} s; a change takes ${withRange(chains.changes, 1)} ms. In each transaction the kernel looks at
all chains of all tables: beside that table a change of ours takes ${figure(chains.oursBeside, 1)} ms.`,
    findings: [
      finding(`connect with ${what} services ÷ with 1`, 1.15, connects),
      row(`change of one of ${what} services in force, p50`, 2, 'ms', changes),
      finding('÷ the same with a chain per service', 0.05, toChains),
      row(`load of ${what} services from nothing`, 6, 's', of('loadSeconds')),
      row(
        'kernel memory a service port',
        2,
        'KB',
        of('octetsOfPort').map((octets) => octets / 1024),
      ),
    ],
  };
}
