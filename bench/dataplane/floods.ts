/**
 * How long answers to existing names take during a flood of questions: as many as one core of the server could answer,
 * half as many, and half as many again. Questions for existing names are sent by a timetable all the time. The flood's sender reads no
 * answers, as one that forges its address.
 *
 * Two servers are asked: one with a worker and the main thread on one core, and one with two workers on two cores. On a
 * machine with two cores the generator shares the second one with the server.
 */
import { availableParallelism } from 'node:os';
import type { StreamSpec } from '../generator/stream.ts';
import { type MetricSum, readMetrics } from '../metrics.ts';
import { type Cores, GENERATOR_CORE, SERVER_CORE } from '../process.ts';
import { leastDisturbed } from '../quiet.ts';
import { figure, markdown, median } from '../table.ts';
import { type Finding, finding, ratioOf } from './compare.ts';
import { alternate, askEach, type Contender, saturate } from './contenders.ts';
import { qpsOf } from './costTable.ts';
import type { Lab, OurServer } from './lab.ts';
import type { Measured } from './measure.ts';
import { LATENCY_HEAD, type Latency, latencyRow, timed } from './paced.ts';

const KINDS = [
  { kind: 'hits', title: 'known names' },
  { kind: 'below', title: 'random names below the zone' },
  { kind: 'outside', title: 'random names outside' },
  { kind: 'wildcard', title: 'wildcards' },
] as const;
const TWO_CORES = [
  SERVER_CORE,
  availableParallelism() > 2 ? GENERATOR_CORE + 1 : GENERATOR_CORE,
].join();
/** The servers: where each runs, and with how many workers. */
const PLACES: readonly { title: string; cores: Cores; workers: number }[] = [
  { title: 'one core', cores: SERVER_CORE, workers: 1 },
  { title: 'two cores', cores: TWO_CORES, workers: 2 },
];
const SHARES = [0.5, 1, 1.5];
const KNOWN_PER_SECOND = 2000;
const SOCKETS = 2;
const ATTEMPTS = 2;
const CAPACITY_ATTEMPTS = 3;
const TARGET = 1.5;
const MEMORY_TARGET = 1.1;

interface FloodContender {
  readonly title: string;
  readonly server: OurServer;
  /** Undefined: no flood. */
  readonly flood: StreamSpec | undefined;
}

interface FloodSample extends Latency {
  /** Of the flood, a second. */
  readonly answered: number;
  readonly shed: number;
  readonly generatorBusy: number;
}

export async function measureFloods(lab: Lab): Promise<Measured> {
  const servers: OurServer[] = [];
  for (const place of PLACES) servers.push(await lab.startOurs(place));
  const capacity = await capacityOf(lab, servers[0] as OurServer);
  for (const server of servers.slice(1)) await askEach(lab, knownOf(lab, server));
  const contenders = servers.map((server) => floodContenders(lab, server, capacity));
  for (const each of contenders.flat()) await ask(lab, each, 0);
  const before = servers.map(({ running }) => running.rssBytes());
  const rounds = Math.ceil(lab.options.rounds / 2);
  const samples = await alternate(contenders.flat(), rounds, (each, round) =>
    ask(lab, each, round),
  );
  const ofServer = (i: number): FloodSample[][] => {
    const { length } = contenders[i] ?? [];
    return samples.slice(i * length, (i + 1) * length);
  };
  return {
    text: [
      ...contenders.map((each, i) => `On ${PLACES[i]?.title}:\n\n${tableOf(each, ofServer(i))}`),
      `${figure(KNOWN_PER_SECOND)} questions a second for known names. 100 % is ${figure(capacity)} a second, what one core answers of known names.`,
    ].join('\n\n'),
    findings: contenders.flatMap((each, i) => [
      ...findingsOf(each, ofServer(i), PLACES[i]?.title ?? ''),
      {
        what: `memory after the floods ÷ before, ${PLACES[i]?.title}`,
        target: MEMORY_TARGET,
        value: (servers[i] as OurServer).running.rssBytes() / (before[i] ?? Number.NaN),
      },
    ]),
  };
}

function knownOf(lab: Lab, server: OurServer): Contender {
  return { title: 'capacity', server, load: { questions: lab.questions('hits') } };
}

/** The best attempt, because other programs on this machine reduce the others. */
async function capacityOf(lab: Lab, server: OurServer): Promise<number> {
  const contender = knownOf(lab, server);
  await askEach(lab, contender);
  const attempts = await alternate([contender], CAPACITY_ATTEMPTS, (_, round) =>
    saturate(lab, contender, round),
  );
  return Math.max(...qpsOf(attempts[0]));
}

function floodContenders(lab: Lab, server: OurServer, capacity: number): FloodContender[] {
  const quiet: FloodContender = { title: 'quiet', server, flood: undefined };
  const floods = SHARES.flatMap((share) =>
    KINDS.map(({ kind, title }): FloodContender => {
      const pace = { kind: 'rate', perSecond: capacity * share } as const;
      const flood = { questions: lab.questions(kind).path, pace, blind: true };
      return { title: `${title}, ${figure(share * 100)} %`, server, flood };
    }),
  );
  return [quiet, ...floods];
}

async function ask(
  lab: Lab,
  { title, server, flood }: FloodContender,
  round: number,
): Promise<FloodSample> {
  const known: StreamSpec = {
    questions: lab.questions('hits').path,
    pace: { kind: 'rate', perSecond: KNOWN_PER_SECOND },
    sockets: SOCKETS,
  };
  const streams = flood === undefined ? [known] : [known, { ...flood, first: round + 1 }];
  return await leastDisturbed(ATTEMPTS, async () => {
    const before = await readMetrics(server.running.httpPort);
    const { latency, result, generatorBusy } = await timed(
      ...([lab, server, `${title}, round ${round + 1}`, streams] as const),
    );
    const after = await readMetrics(server.running.httpPort);
    const since = (of: (sum: MetricSum) => number): number =>
      (of(after) - of(before)) / result.seconds;
    const answered = since((sum) => sum('soradns_dns_responses_total'));
    return {
      ...{ ...latency, generatorBusy },
      answered: answered - (result.streams[0]?.answered ?? 0) / result.seconds,
      shed: since((sum) => sum('soradns_dropped_total', 'overload')),
    };
  });
}

function tableOf(
  contenders: readonly FloodContender[],
  samples: readonly (readonly FloodSample[])[],
): string {
  const rows = contenders.map(({ title }, index) => {
    const each = samples[index] ?? [];
    const of = (key: keyof FloodSample, factor = 1): string =>
      figure(median(each.map((sample) => sample[key])) * factor);
    const generator = `${of('generatorBusy', 100)} %`;
    return [...latencyRow(title, each), generator, of('answered'), of('shed')];
  });
  const head = [...LATENCY_HEAD, 'generator busy', 'of the flood answered/s', 'shed/s'];
  return markdown([head, ...rows]);
}

function findingsOf(
  contenders: readonly FloodContender[],
  samples: readonly (readonly FloodSample[])[],
  place: string,
): Finding[] {
  const p50 = (of: readonly FloodSample[] = []): number[] => of.map((sample) => sample.p50);
  return contenders.flatMap(({ title, flood }, index): Finding[] => {
    if (flood === undefined || title.startsWith('known')) return [];
    const ratio = ratioOf(p50(samples[index]), p50(samples[0]));
    return [finding(`p50 of known names, ${place}, flood of ${title} ÷ quiet`, TARGET, ratio)];
  });
}
