/**
 * Questions per second and CPU time per answer over UDP: every server alone on one core, the generator on the other,
 * the same 10,000 names. The servers take turns within each round, each round beginning with another, so that what
 * disturbs the machine disturbs all alike; the medians count.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openAsker, untilAnswers } from './ask.ts';
import { type Generator, prepareGenerator } from './flood.ts';
import { type BenchName, benchNames, questionText } from './names.ts';
import { findPeers, type Peer } from './peers.ts';
import { pinning, type Running } from './process.ts';
import { freePort } from './soradns.ts';
import { figure, markdown, median } from './table.ts';

const NAMES = 10_000;
const WARM_UP_SECONDS = 1;
const MIXES = [
  { title: 'A', types: ['A'] },
  { title: 'SRV', types: ['SRV'] },
] as const;

interface Contestant {
  readonly title: string;
  readonly port: number;
  readonly running: Running;
  /** By mix. */
  readonly samples: Map<string, Sample[]>;
}

interface Sample {
  readonly qps: number;
  readonly cpuMicros: number;
  /** Questions without a NOERROR answer, as a share. */
  readonly failedShare: number;
}

export async function benchUdp(options: {
  folder: string;
  rounds: number;
  seconds: number;
}): Promise<string> {
  const generator = prepareGenerator(options.folder);
  const names = benchNames(NAMES);
  for (const { title, types } of MIXES) {
    writeFileSync(join(options.folder, title), questionText(names, types));
  }
  const contestants: Contestant[] = [];
  try {
    for (const peer of findPeers()) {
      const contestant = await enter(peer, names, options.folder);
      if (contestant !== undefined) contestants.push(contestant);
    }
    await compete(contestants, generator, options);
  } finally {
    for (const { running } of contestants) await running.stop();
  }
  return report(contestants, generator, options);
}

/** Starts a server and sees that it answers right. One that does not is left out, with its own words on stderr. */
async function enter(
  peer: Peer,
  names: readonly BenchName[],
  folder: string,
): Promise<Contestant | undefined> {
  const port = await freePort();
  const cwd = join(folder, peer.title.replace(/\W+/g, '-'));
  mkdirSync(cwd, { recursive: true });
  let running: Running | undefined;
  try {
    running = await peer.start(names, port, cwd);
    const last = names.at(-1);
    const asker = await openAsker(port);
    if (last !== undefined && peer.answers)
      await untilAnswers(asker, last.name, last.address, 30_000);
    asker.close();
    return { title: peer.title, port, running, samples: new Map() };
  } catch (error) {
    console.error(`${peer.title} is left out: ${error}\n${running?.output() ?? ''}`);
    await running?.stop();
    return undefined;
  }
}

async function compete(
  contestants: readonly Contestant[],
  generator: Generator,
  options: { folder: string; rounds: number; seconds: number },
): Promise<void> {
  for (const { title } of MIXES) {
    const questions = join(options.folder, title);
    for (const { port } of contestants) await generator.flood(port, questions, WARM_UP_SECONDS);
    for (let round = 0; round < options.rounds; round++) {
      for (let turn = 0; turn < contestants.length; turn++) {
        const contestant = contestants[(turn + round) % contestants.length] as Contestant;
        const sample = await measure(contestant, generator, questions, options.seconds);
        contestant.samples.set(title, [...(contestant.samples.get(title) ?? []), sample]);
        console.error(
          `${title} round ${round + 1}: ${contestant.title}: ${figure(sample.qps)}/s, ${figure(sample.cpuMicros, 2)} µs`,
        );
      }
    }
  }
}

async function measure(
  { port, running }: Contestant,
  generator: Generator,
  questions: string,
  seconds: number,
): Promise<Sample> {
  const before = running.cpuSeconds();
  const { qps, answered, lost, noerror } = await generator.flood(port, questions, seconds);
  const cpuMicros = ((running.cpuSeconds() - before) * 1e6) / answered;
  return { qps, cpuMicros, failedShare: 1 - noerror / (answered + lost) };
}

function report(
  contestants: readonly Contestant[],
  generator: Generator,
  { rounds, seconds }: { rounds: number; seconds: number },
): string {
  const head = MIXES.flatMap(({ title }) => [`${title}: answers/s`, `${title}: CPU µs/answer`]);
  const rows = contestants.map(({ title, samples }) => [
    title,
    ...MIXES.flatMap((mix) => {
      const all = samples.get(mix.title) ?? [];
      const failed = median(all.map(({ failedShare }) => failedShare));
      const note = failed > 0.001 ? ` (${figure(failed * 100, 1)} % unanswered)` : '';
      return [
        `${figure(median(all.map(({ qps }) => qps)))}${note}`,
        figure(median(all.map(({ cpuMicros }) => cpuMicros)), 2),
      ];
    }),
  ]);
  const placement = pinning
    ? 'each server pinned to one core, the generator to another'
    : 'nothing pinned (one core, or no taskset)';
  return `${markdown([['server', ...head], ...rows])}

${figure(NAMES)} names over UDP on loopback; ${placement}; medians of ${rounds} interleaved runs of ${seconds} s;
CPU is user and kernel time of all threads of the server; questions by ${generator.title}.`;
}
