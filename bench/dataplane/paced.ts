/** The latency of answers at a steady rate that no server finds hard. */
import type { LoadResult } from '../generator/load.ts';
import type { StreamResult, StreamSpec } from '../generator/stream.ts';
import { leastDisturbed } from '../quiet.ts';
import { figure, markdown, median } from '../table.ts';
import { finding, ratioOf, withRange } from './compare.ts';
import { alternate, busyText, type Contender, warmUp, weigh } from './contenders.ts';
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
  const p99s = samples.map((each) => each.map(({ p99 }) => p99));
  const knot = contenders.findIndex(({ title }) => title.startsWith('Knot'));
  const rows = contenders.map(({ title }, index) => latencyRow(title, samples[index] ?? []));
  return {
    text: `${markdown([LATENCY_HEAD, ...rows])}

An open loop at ${figure(PER_SECOND)} questions a second over ${SOCKETS} sockets, each answer timed from when its question was due.`,
    findings: [
      finding(
        `p99 at ${figure(PER_SECOND)} q/s ÷ Knot's`,
        1,
        ratioOf(p99s[0] ?? [], p99s[knot] ?? []),
      ),
    ],
  };
}

async function ask(lab: Lab, contender: Contender, round: number): Promise<Latency> {
  const { server, load } = contender;
  const stream: StreamSpec = {
    questions: load.questions.path,
    pace: { kind: 'rate', perSecond: PER_SECOND },
    ...{ sockets: SOCKETS, first: round * PER_SECOND },
  };
  return await leastDisturbed(ATTEMPTS, async () => {
    const { latency } = await timed(lab, server, `${contender.title}, round ${round + 1}`, [
      stream,
    ]);
    return latency;
  });
}

/** Puts a load on the server and returns the latencies of its first stream. */
export async function timed(
  lab: Lab,
  server: Server,
  title: string,
  streams: readonly StreamSpec[],
): Promise<{ latency: Latency; result: LoadResult }> {
  const { seconds } = lab.options;
  const put = (): Promise<LoadResult> =>
    lab.generator.request({ port: server.port, seconds, streams });
  const { result, ...busy } = await weigh(server, put);
  const latency = latencyOf(result.streams[0] as StreamResult, busy.othersBusy);
  console.error(
    `${title}: p50 ${figure(latency.p50)} µs, p99 ${figure(latency.p99)} µs, lost ${latency.lost}, ${busyText(busy)}`,
  );
  return { latency, result };
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
