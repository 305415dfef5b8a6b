/** Answers while the store changes all the time, and how long a change takes to be answered then. */
import { join } from 'node:path';
import { startEtcd } from '../etcd.ts';
import { benchNames, serviceValue } from '../names.ts';
import { GENERATOR_CORE, isInstalled } from '../process.ts';
import { figure, median, percentile } from '../table.ts';
import type { ChurnRequest, ChurnResult } from './churn.ts';
import { finding, ratioOf } from './compare.ts';
import { costTable, cpuOf } from './costTable.ts';
import type { Endpoint } from './keyWriter.ts';
import { type Lab, NAMES, type OurServer } from './lab.ts';
import { alternate, type Lane, type Sample, saturate, warmUp } from './lanes.ts';
import type { Measured } from './measure.ts';

const CHANGES_PER_SECOND = 1000;
/** The changes begin before the questions and end after them. */
const AROUND_SECONDS = 0.5;

interface Busy {
  readonly sample: Sample;
  readonly churn: ChurnResult;
}

export async function measureBusyStore(lab: Lab): Promise<Measured> {
  const { server, endpoint } = isInstalled('etcd') ? await overEtcd(lab) : await overHttp(lab);
  const load = { questions: lab.questions('hits') };
  const quiet: Lane = { title: 'quiet', server, load };
  const busy: Lane = { title: `${figure(CHANGES_PER_SECOND)} changes/s`, server, load };
  const writer = lab.child<ChurnRequest, ChurnResult>('dataplane/churnMain.ts', GENERATOR_CORE);
  await warmUp(lab, [quiet]);
  const churns: ChurnResult[] = [];
  const [quietSamples = [], busySamples = []] = await alternate(
    [quiet, busy],
    lab.options.rounds,
    async (lane, round) => {
      if (lane === quiet) return saturate(lab, lane, round);
      const { sample, churn } = await withChanges(lab, lane, round, { writer, endpoint });
      churns.push(churn);
      return sample;
    },
  );
  return report(quietSamples, busySamples, churns, endpoint);
}

/** The names in an etcd that runs away from the server's core. */
async function overEtcd(lab: Lab): Promise<{ server: OurServer; endpoint: Endpoint }> {
  const etcd = await startEtcd(join(lab.newFolder('etcd'), 'etcd'), GENERATOR_CORE);
  lab.atEnd(() => etcd.stop());
  const names = benchNames(NAMES);
  await etcd.fill(names.map(({ key, address }) => [key, serviceValue(address)] as const));
  const server = await lab.startOurs({ store: etcd.store });
  return { server, endpoint: { kind: 'etcd', hosts: etcd.store.replace('etcd:', 'http:') } };
}

async function overHttp(lab: Lab): Promise<{ server: OurServer; endpoint: Endpoint }> {
  const server = await lab.startOurs({});
  return { server, endpoint: { kind: 'http', port: server.running.httpPort } };
}

async function withChanges(
  lab: Lab,
  lane: Lane,
  round: number,
  {
    writer,
    endpoint,
  }: { writer: { ask(request: ChurnRequest): Promise<ChurnResult> }; endpoint: Endpoint },
): Promise<Busy> {
  const changing = writer.ask({
    ...{ endpoint, dnsPort: lane.server.port, names: NAMES, perSecond: CHANGES_PER_SECOND },
    seconds: lab.options.seconds + 2 * AROUND_SECONDS,
  });
  await new Promise((done) => setTimeout(done, AROUND_SECONDS * 1000));
  const sample = await saturate(lab, lane, round);
  return { sample, churn: await changing };
}

function report(
  quiet: readonly Sample[],
  busy: readonly Sample[],
  churns: readonly ChurnResult[],
  endpoint: Endpoint,
): Measured {
  const visible = churns.flatMap(({ visibleMs }) => visibleMs);
  const p99 = percentile(visible, 0.99);
  const rate = figure(median(churns.map(({ acknowledgedPerSecond }) => acknowledgedPerSecond)));
  const failed = churns.reduce((sum, churn) => sum + churn.failed, 0);
  return {
    text: `${costTable([{ title: 'quiet' }, { title: `${figure(CHANGES_PER_SECOND)} changes/s` }], [quiet, busy])}

${rate} changes acknowledged a second over ${endpoint.kind}, ${failed} failed: half new values, a quarter new names, a quarter
deleted. From a put to its answer, of ${figure(visible.length)}: p50 ${figure(median(visible), 1)} ms, p99 ${figure(p99, 1)} ms, at most ${figure(Math.max(...visible), 1)} ms.`,
    findings: [
      finding(`${CHANGES_PER_SECOND} changes/s ÷ quiet`, 1.2, ratioOf(cpuOf(busy), cpuOf(quiet))),
      { what: 'put → answer meanwhile, p99', target: 20, unit: 'ms', value: p99 },
    ],
  };
}
