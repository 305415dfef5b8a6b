/**
 * How long answers to existing names take during a flood of questions: as many as one core of the server could answer,
 * and half as many. Questions for existing names are sent by a timetable all the time.
 */
import { availableParallelism } from 'node:os';
import type { StreamSpec } from '../generator/stream.ts';
import { GENERATOR_CORE, SERVER_CORE } from '../process.ts';
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
/** On a machine with enough cores the main thread and the worker have one each. */
const CORES = availableParallelism() > 2 ? [SERVER_CORE, GENERATOR_CORE + 1].join() : SERVER_CORE;
const SHARES = [0.5, 1];
const KNOWN_PER_SECOND = 2000;
const SOCKETS = 2;
const ATTEMPTS = 2;
const CAPACITY_ATTEMPTS = 3;
const TARGET = 1.5;
const MEMORY_TARGET = 1.1;

interface FloodContender {
  readonly title: string;
  /** Undefined: no flood. */
  readonly flood: StreamSpec | undefined;
}

interface FloodSample extends Latency {
  /** Answers to the flood, a second. */
  readonly floodAnswered: number;
}

export async function measureFloods(lab: Lab): Promise<Measured> {
  const server = await lab.startOurs({ cores: CORES });
  const contender: Contender = {
    title: 'capacity',
    server,
    load: { questions: lab.questions('hits') },
  };
  await askEach(lab, contender);
  const attempts = await alternate([contender], CAPACITY_ATTEMPTS, (_, round) =>
    saturate(lab, contender, round),
  );
  // The best attempt, because other programs on this machine reduce the others.
  const capacity = Math.max(...qpsOf(attempts[0]));
  const contenders = floodContenders(lab, capacity);
  for (const each of contenders) await ask(lab, server, each, 0);
  const before = server.running.rssBytes();
  const rounds = Math.ceil(lab.options.rounds / 2);
  const samples = await alternate(contenders, rounds, (each, round) =>
    ask(lab, server, each, round),
  );
  const memory = server.running.rssBytes() / before;
  return report(contenders, samples, { capacity, memory });
}

function floodContenders(lab: Lab, capacity: number): FloodContender[] {
  const quiet: FloodContender = { title: 'quiet', flood: undefined };
  const floods = SHARES.flatMap((share) =>
    KINDS.map(({ kind, title }): FloodContender => {
      const pace = { kind: 'rate', perSecond: capacity * share } as const;
      const flood = { questions: lab.questions(kind).path, pace };
      return { title: `${title}, ${figure(share * 100)} %`, flood };
    }),
  );
  return [quiet, ...floods];
}

async function ask(
  lab: Lab,
  server: OurServer,
  { title, flood }: FloodContender,
  round: number,
): Promise<FloodSample> {
  const known: StreamSpec = {
    questions: lab.questions('hits').path,
    pace: { kind: 'rate', perSecond: KNOWN_PER_SECOND },
    sockets: SOCKETS,
  };
  const streams = flood === undefined ? [known] : [known, { ...flood, first: round + 1 }];
  return await leastDisturbed(ATTEMPTS, async () => {
    const { latency, result } = await timed(lab, server, `${title}, round ${round + 1}`, streams);
    return { ...latency, floodAnswered: (result.streams[1]?.answered ?? 0) / result.seconds };
  });
}

function report(
  contenders: readonly FloodContender[],
  samples: readonly (readonly FloodSample[])[],
  { capacity, memory }: { capacity: number; memory: number },
): Measured {
  const quiet = samples[0] ?? [];
  const rows = contenders.map(({ title }, index) => {
    const each = samples[index] ?? [];
    return [
      ...latencyRow(title, each),
      figure(median(each.map(({ floodAnswered }) => floodAnswered))),
    ];
  });
  const findings = contenders.flatMap(({ title, flood }, index): Finding[] => {
    if (flood === undefined || title.startsWith('known')) return [];
    const p50 = (of: readonly FloodSample[]): number[] => of.map((sample) => sample.p50);
    return [
      finding(
        `p50 of known names, flood of ${title} ÷ quiet`,
        TARGET,
        ratioOf(p50(samples[index] ?? []), p50(quiet)),
      ),
    ];
  });
  return {
    text: `${markdown([[...LATENCY_HEAD, 'of the flood answered/s'], ...rows])}

${figure(KNOWN_PER_SECOND)} questions a second for known names. 100 % is ${figure(capacity)} a second, what one core answers of known names.`,
    findings: [
      ...findings,
      { what: 'memory after the floods ÷ before', target: MEMORY_TARGET, value: memory },
    ],
  };
}
