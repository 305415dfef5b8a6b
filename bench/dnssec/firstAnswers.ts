/** First answers: what the CPU time of an answer is that the server computes, with a signature and without. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { range } from '../dataplane/compare.ts';
import { weigh } from '../dataplane/contenders.ts';
import type { Lab, OurServer } from '../dataplane/lab.ts';
import type { Measured } from '../dataplane/measure.ts';
import type { Edns } from '../generator/questions.ts';
import { type BenchName, benchNames } from '../names.ts';
import { untilQuietMachine } from '../quiet.ts';
import { figure, markdown, median } from '../table.ts';
import { startSigning } from './servers.ts';

/** Names of one kind of questions in one round. */
const NAMES = 1_000;
const WINDOW = 8;
const SECONDS = 60;
const QUIET_MS = 2_000;
const TARGET_MICROS = 150;

const KINDS: readonly { readonly title: string; readonly edns: Edns }[] = [
  { title: 'plain', edns: false },
  { title: 'DO', edns: { dnssecOk: true } },
];

export async function measureFirstAnswers(lab: Lab, keys: string): Promise<Measured> {
  // The first round compiles code.
  const rounds = 1 + lab.options.rounds;
  const names = benchNames(KINDS.length * rounds * NAMES);
  const server = await startSigning(lab, keys, { zone: names });
  const samples = KINDS.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < KINDS.length; turn++) {
      const index = (turn + round) % KINDS.length;
      const first = (round * KINDS.length + index) * NAMES;
      const { edns } = KINDS[index] as (typeof KINDS)[number];
      await untilQuietMachine(QUIET_MS);
      const micros = await cpuOfFirst(lab, server, names.slice(first, first + NAMES), edns);
      console.error(`first answers, ${KINDS[index]?.title}: ${figure(micros, 1)} µs`);
      if (round > 0) samples[index]?.push(micros);
    }
  }
  const [plain = [], signed = []] = samples;
  const beyond = signed.map((micros, round) => micros - (plain[round] ?? Number.NaN));
  const rows = KINDS.map(({ title }, i) => {
    const of = samples[i] ?? [];
    return [title, figure(median(of), 1), range(of, 1)];
  });
  return {
    text: markdown([['', 'CPU µs/answer', 'least–most'], ...rows]),
    findings: [
      {
        ...{ what: 'first answer with DO, CPU beyond that of a plain one', unit: 'µs' },
        ...{ target: TARGET_MICROS, value: median(beyond) },
      },
    ],
  };
}

/** Asks for each name once. */
async function cpuOfFirst(
  lab: Lab,
  server: OurServer,
  names: readonly BenchName[],
  edns: Edns,
): Promise<number> {
  const path = join(lab.options.folder, `first-${names[0]?.name}`);
  writeFileSync(path, names.map(({ name }) => `${name} A\n`).join(''));
  const pace = { kind: 'window', window: WINDOW } as const;
  const streams = [{ questions: path, pace, edns, limit: names.length, sockets: 1 }];
  const { port } = server;
  const weighed = await weigh(server, () =>
    lab.generator.request({ port, seconds: SECONDS, streams }),
  );
  const { result, serverBusy } = weighed;
  const { answered = 0, truncated = 0 } = result.streams[0] ?? {};
  if (answered < names.length || truncated > 0) throw new Error('first answers: not all answered');
  return (serverBusy * result.seconds * 1e6) / answered;
}
