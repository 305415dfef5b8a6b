/** The latency of answers at a steady rate that no server finds hard. */
import type { StreamResult } from '../generator/stream.ts';
import { figure, markdown } from '../table.ts';
import { finding, ratioOf, withRange } from './compare.ts';
import type { Lab } from './lab.ts';
import { alternate, type Lane, warmUp } from './lanes.ts';
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
}

export async function measureLatency(lab: Lab): Promise<Measured> {
  const peers = (await lab.peers()).filter(({ title }) =>
    COMPARED.some((name) => title.startsWith(name)),
  );
  const load = { questions: lab.questions('hits') };
  const lanes = [await lab.ours(), ...peers].map((server) => ({
    title: server.title,
    server,
    load,
  }));
  await warmUp(lab, lanes);
  const samples = await alternate(lanes, lab.options.rounds, (lane, round) =>
    ask(lab, lane, round),
  );
  const p99s = samples.map((each) => each.map(({ p99 }) => p99));
  const knot = lanes.findIndex(({ title }) => title.startsWith('Knot'));
  const rows = lanes.map(({ title }, index) => latencyRow(title, samples[index] ?? []));
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

async function ask(lab: Lab, lane: Lane, round: number): Promise<Latency> {
  const { streams } = await lab.generator.ask({
    ...{ port: lane.server.port, seconds: lab.options.seconds },
    streams: [
      {
        questions: lane.load.questions.path,
        pace: { kind: 'rate', perSecond: PER_SECOND },
        ...{ sockets: SOCKETS, first: round * PER_SECOND },
      },
    ],
  });
  const latency = latencyOf(streams[0] as StreamResult);
  console.error(
    `${lane.title}, round ${round + 1}: p50 ${figure(latency.p50)} p99 ${figure(latency.p99)} µs`,
  );
  return latency;
}

/** In microseconds; what was never answered took for ever. */
export function latencyOf({ latency, lost }: StreamResult): Latency {
  const never = Number.POSITIVE_INFINITY;
  const of = (value: number | null | undefined): number => value ?? never;
  return {
    ...{ p50: of(latency?.p50), p90: of(latency?.p90), p99: of(latency?.p99) },
    ...{ max: of(latency?.max), lost },
  };
}

export const LATENCY_HEAD = ['', 'p50 µs', 'p90 µs', 'p99 µs', 'max µs', 'lost'];

export function latencyRow(title: string, samples: readonly Latency[]): string[] {
  const of = (key: keyof Latency): string =>
    withRange(
      samples.map((sample) => sample[key]),
      0,
    );
  return [title, of('p50'), of('p90'), of('p99'), of('max'), of('lost')];
}
