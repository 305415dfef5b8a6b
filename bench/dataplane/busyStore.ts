/**
 * Measures answers while the store changes all the time, and the time until an answer has a change. The store and its
 * writer run on the generator's core and leave it less time, so the server receives fewer questions, in smaller
 * batches. A comparison with as many changes to keys that the server does not hold shows the cost of the changes
 * themselves.
 */
import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MEMORY, removeDir } from '../../test/support/tempDir.ts';
import { startBenchEtcd } from '../etcd.ts';
import type { LineChild } from '../lineChild.ts';
import { benchNames } from '../names.ts';
import { GENERATOR_CORE, isInstalled } from '../process.ts';
import { figure, median, percentile } from '../table.ts';
import type { ChurnRequest, ChurnResult } from './churn.ts';
import { finding, ratioOf } from './compare.ts';
import { alternate, type Contender, type Sample, saturate, warmUp } from './contenders.ts';
import { costTable, cpuOf } from './costTable.ts';
import type { Endpoint } from './keyWriter.ts';
import { type Lab, NAMES, type OurOptions, type OurServer } from './lab.ts';
import type { Measured } from './measure.ts';

const CHANGES_PER_SECOND = 1000;
/** The changes begin before the questions and end after them. */
const AROUND_SECONDS = 0.5;
const WARM_UPS = 3;

/** A server, and the process that changes its store. */
export interface BusyStore {
  readonly server: OurServer;
  readonly endpoint: Endpoint;
  readonly writer: LineChild<ChurnRequest, ChurnResult>;
}

export async function measureBusyStore(lab: Lab): Promise<Measured> {
  const store = await openBusyStore(lab, {});
  const [quiet, busy] = [quietContender(lab, store), busyContender(lab, store)];
  const elsewhere: Contender = { ...busy, title: `${busy.title} elsewhere in the store` };
  const contenders = store.endpoint.kind === 'etcd' ? [quiet, busy, elsewhere] : [quiet, busy];
  const churns: ChurnResult[] = [];
  await warmUp(lab, [quiet]);
  await warmUpChanging(lab, store);
  const samples = await alternate(contenders, lab.options.rounds, async (contender, round) => {
    const ask = () => saturate(lab, contender, round);
    if (contender === quiet) return ask();
    const where = contender === busy ? 'zone' : 'elsewhere';
    const { result, churn } = await whileChanging(lab, store, ask, where);
    if (contender === busy) churns.push(churn);
    return result;
  });
  const perChange = await cpuPerChange(lab, store);
  return report(contenders, samples, churns, { ...store, perChange });
}

/** The cost of following the store for a server that receives no questions. */
async function cpuPerChange(lab: Lab, store: BusyStore): Promise<number> {
  const { running } = store.server;
  const { result } = await whileChanging(lab, store, async () => {
    const before = running.cpuSeconds();
    await sleep(lab.options.seconds * 1000);
    return running.cpuSeconds() - before;
  });
  return (result * 1e6) / (CHANGES_PER_SECOND * lab.options.seconds);
}

/** Runs the code that follows the store until it is compiled, as `warmUp` does with the code that answers. */
export async function warmUpChanging(lab: Lab, store: BusyStore): Promise<void> {
  for (let time = 0; time < WARM_UPS; time++)
    await whileChanging(lab, store, () => saturate(lab, busyContender(lab, store), time));
}

/** The store is an etcd on another core than the server's, or without etcd the server's own store. */
export async function openBusyStore(
  lab: Lab,
  options: Pick<OurOptions, 'nodeArgs'>,
): Promise<BusyStore> {
  const writer = lab.child<ChurnRequest, ChurnResult>('dataplane/churnMain.ts', GENERATOR_CORE);
  if (!isInstalled('etcd')) {
    const server = await lab.startOurs(options);
    return { server, writer, endpoint: { kind: 'http', port: server.running.httpPort } };
  }
  // In memory, because the disk is not measured.
  const folder = mkdtempSync(join(MEMORY, 'soradns-bench-'));
  lab.atEnd(() => removeDir(folder));
  const etcd = await startBenchEtcd(join(folder, 'etcd'), GENERATOR_CORE);
  lab.atEnd(() => etcd.stop());
  await etcd.fill(benchNames(NAMES));
  const server = await lab.startOurs({ ...options, store: etcd.store });
  return { server, writer, endpoint: { kind: 'etcd', hosts: etcd.url } };
}

function quietContender(lab: Lab, { server }: BusyStore): Contender {
  return { title: 'quiet', server, load: { questions: lab.questions('hits') } };
}

export function busyContender(lab: Lab, store: BusyStore): Contender {
  return { ...quietContender(lab, store), title: `${figure(CHANGES_PER_SECOND)} changes/s` };
}

/** Measures while the store changes; the changes begin before the measurement and end after it. */
export async function whileChanging<R>(
  lab: Lab,
  { server, endpoint, writer }: BusyStore,
  measure: () => Promise<R>,
  where: ChurnRequest['where'] = 'zone',
): Promise<{ result: R; churn: ChurnResult }> {
  const changing = writer.request({
    ...{ endpoint, where, dnsPort: server.port, names: NAMES, perSecond: CHANGES_PER_SECOND },
    seconds: lab.options.seconds + 2 * AROUND_SECONDS,
  });
  await sleep(AROUND_SECONDS * 1000);
  const [result, churn] = await Promise.all([measure(), changing]);
  return { result, churn };
}

function report(
  contenders: readonly Contender[],
  samples: readonly (readonly Sample[])[],
  churns: readonly ChurnResult[],
  { endpoint, perChange }: { endpoint: Endpoint; perChange: number },
): Measured {
  const [quiet, busy, elsewhere] = samples;
  const visible = churns.flatMap(({ visibleMs }) => visibleMs);
  const what = `${figure(CHANGES_PER_SECOND)} changes/s`;
  const acknowledged = churns.flatMap(({ acknowledgedMs }) => acknowledgedMs);
  const afterwards = churns.flatMap(({ afterwardsMs }) => afterwardsMs);
  const p99 = percentile(visible, 0.99);
  const rate = figure(median(churns.map(({ acknowledgedPerSecond }) => acknowledgedPerSecond)));
  const failed = churns.reduce((sum, churn) => sum + churn.failed, 0);
  return {
    text: `${costTable(contenders, samples)}

${rate} changes acknowledged a second over ${endpoint.kind}, ${failed} failed: half new values, a quarter new names, a quarter
deleted. On its own a change costs the server ${figure(perChange)} µs of CPU, threads of the runtime included. From a put to its answer, of ${figure(visible.length)}: p50 ${figure(median(visible), 1)} ms, p99 ${figure(p99, 1)} ms, at most ${figure(Math.max(...visible), 1)} ms; to
the store's own acknowledgement: p50 ${figure(median(acknowledged), 1)} ms, p99 ${figure(percentile(acknowledged, 0.99), 1)} ms; from there: p50 ${figure(median(afterwards), 1)} ms, p99 ${figure(percentile(afterwards, 0.99), 1)} ms.`,
    findings: [
      finding(`${what} ÷ quiet`, 1.2, ratioOf(cpuOf(busy), cpuOf(quiet))),
      finding(`${what} ÷ as many elsewhere`, 1.2, ratioOf(cpuOf(busy), cpuOf(elsewhere))),
      { what: 'put → answer meanwhile, p99', target: 20, unit: 'ms', value: p99 },
    ],
  };
}
