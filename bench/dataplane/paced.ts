/** The latency of answers at a steady rate that no server finds hard, and of one question at a time. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { LoadResult } from '../generator/load.ts';
import type { Pace, StreamResult, StreamSpec } from '../generator/stream.ts';
import { leastDisturbed } from '../quiet.ts';
import { figure, markdown, median } from '../table.ts';
import { finding, type Ratio, ratioOf, withRange } from './compare.ts';
import { alternate, busyText, type Contender, type Weighed, warmUp, weigh } from './contenders.ts';
import type { Lab, Server } from './lab.ts';
import type { Measured } from './measure.ts';

const PER_SECOND = 20_000;
const SOCKETS = 2;
const COMPARED = ['Knot', 'NSD'];

export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly max: number;
  readonly lost: number;
  /** Shares of a core. */
  readonly othersBusy: number;
}

const ATTEMPTS = 3;
const SINGLE_TARGET = 0.8;
const IDLE_SECONDS = 10;
/** In per cent of a core. */
const IDLE_TARGET = 0.5;

export async function measureLatency(lab: Lab): Promise<Measured> {
  const peers = (await lab.peers()).filter(({ title }) =>
    COMPARED.some((name) => title.startsWith(name)),
  );
  const load = { questions: lab.questions('hits') };
  const contenders = [await lab.ours(), ...peers].map((server) => ({
    title: server.title,
    server,
    load,
  }));
  await warmUp(lab, contenders);
  const samples = await alternate(contenders, lab.options.rounds, (contender, round) =>
    ask(lab, contender, round),
  );
  const singles = await alternate(contenders, lab.options.rounds, (contender, round) =>
    ask(lab, contender, round, { kind: 'single' }),
  );
  const idle = await idleShare(contenders[0]?.server as Server);
  const knot = contenders.findIndex(({ title }) => title.startsWith('Knot'));
  const table = (of: readonly (readonly Costed[])[]): string =>
    markdown([
      [...LATENCY_HEAD, 'CPU µs/answer'],
      ...contenders.map(({ title }, index) => costedRow(title, of[index] ?? [])),
    ]);
  const against = (of: readonly (readonly Costed[])[], key: keyof Costed): Ratio => {
    const values = of.map((each) => each.map((sample) => sample[key]));
    return ratioOf(values[0] ?? [], values[knot] ?? []);
  };
  const paced = `at ${figure(PER_SECOND)} q/s`;
  return {
    text: `${table(samples)}

An open loop at ${figure(PER_SECOND)} questions a second over ${SOCKETS} sockets, each answer timed from when its question was due.

${table(singles)}

One question at a time, by a client that sleeps until the answer arrives.`,
    findings: [
      finding(`p99 ${paced} ÷ Knot's`, 1, against(samples, 'p99')),
      finding("one question at a time, p50 ÷ Knot's", SINGLE_TARGET, against(singles, 'p50')),
      finding("... CPU per answer ÷ Knot's", 1, against(singles, 'cpuMicros')),
      { what: 'CPU of an idle server', target: IDLE_TARGET, unit: '%', value: idle * 100 },
    ],
  };
}

interface Costed extends Latency {
  /** CPU of the server for each answer. */
  readonly cpuMicros: number;
}

async function ask(
  lab: Lab,
  { title, server, load }: Contender,
  round: number,
  pace: Pace = { kind: 'rate', perSecond: PER_SECOND },
): Promise<Costed> {
  const stream: StreamSpec = {
    ...{ questions: load.questions.path, pace },
    ...{ sockets: SOCKETS, first: round * PER_SECOND },
  };
  return await leastDisturbed(ATTEMPTS, async () => {
    const about = `${title}, ${pace.kind}, round ${round + 1}`;
    const { latency, result, serverBusy } = await timed(lab, server, about, [stream]);
    const answered = result.streams[0]?.answered ?? 0;
    return { ...latency, cpuMicros: (serverBusy * result.seconds * 1e6) / answered };
  });
}

function costedRow(title: string, samples: readonly Costed[]): string[] {
  const cpu = withRange(
    samples.map(({ cpuMicros }) => cpuMicros),
    1,
  );
  return [...latencyRow(title, samples), cpu];
}

/** The share of a core that the server uses without questions. */
async function idleShare({ running }: Server): Promise<number> {
  const before = running.cpuSeconds();
  await sleep(IDLE_SECONDS * 1000);
  return (running.cpuSeconds() - before) / IDLE_SECONDS;
}

/** Puts a load on the server and returns the latencies of its first stream. */
export async function timed(
  lab: Lab,
  server: Server,
  title: string,
  streams: readonly StreamSpec[],
): Promise<Weighed & { readonly latency: Latency }> {
  const { seconds } = lab.options;
  const put = (): Promise<LoadResult> =>
    lab.generator.request({ port: server.port, seconds, streams });
  const { result, ...busy } = await weigh(server, put);
  const latency = latencyOf(result.streams[0] as StreamResult, busy.othersBusy);
  console.error(
    `${title}: p50 ${figure(latency.p50)} µs, p99 ${figure(latency.p99)} µs, lost ${latency.lost}, ${busyText(busy)}`,
  );
  return { latency, result, ...busy };
}

/** In microseconds; infinite for a question that was never answered. */
function latencyOf({ latency, lost }: StreamResult, othersBusy: number): Latency {
  const of = (value: number | null | undefined): number => value ?? Number.POSITIVE_INFINITY;
  const { p50, p90, p99, max } = latency ?? {};
  return { p50: of(p50), p90: of(p90), p99: of(p99), max: of(max), lost, othersBusy };
}

export const LATENCY_HEAD = ['', 'p50 µs', 'p90 µs', 'p99 µs', 'max µs', 'lost', 'others busy'];

export function latencyRow(title: string, samples: readonly Latency[]): string[] {
  const of = (key: keyof Latency): string =>
    withRange(
      samples.map((sample) => sample[key]),
      0,
    );
  const others = figure(median(samples.map(({ othersBusy }) => othersBusy)) * 100);
  return [title, of('p50'), of('p90'), of('p99'), of('max'), of('lost'), `${others} %`];
}
