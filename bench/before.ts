/**
 * The part `before`: what a plain hit costs in this build beside another one, with every option at its default. Two
 * processes of one build may differ by as much as two builds, so each build has several.
 */
import { finding, ratioOf, targetTable } from './dataplane/compare.ts';
import { alternate, type Contender, saturate, warmUp } from './dataplane/contenders.ts';
import { costTable, cpuOf } from './dataplane/costTable.ts';
import { Lab, type LabOptions } from './dataplane/lab.ts';
import { program } from './soradns.ts';

/** Of each build. */
const PROCESSES = 3;
const TARGET = 1.02;

/** `other`: main.js of the other build. Returns markdown. */
export async function benchBefore(options: LabOptions, other: string): Promise<string> {
  const lab = new Lab(options);
  try {
    const load = { questions: lab.questions('hits') };
    const contenders: Contender[] = [];
    for (let i = 1; i <= PROCESSES; i++) {
      for (const [title, path] of [
        ['this build', program],
        ['the other', other],
      ] as const) {
        const server = await lab.startOurs({ program: path });
        contenders.push({ title: `${title}, process ${i}`, server, load });
      }
    }
    await warmUp(lab, contenders);
    const samples = await alternate(contenders, options.rounds, (contender, round) =>
      saturate(lab, contender, round),
    );
    const costs = samples.map(cpuOf);
    const sums = [0, 1].map((build) => sumsOf(costs.filter((_, i) => i % 2 === build)));
    const [ours = [], others = []] = sums;
    const target = finding('plain hit, this build ÷ the other', TARGET, ratioOf(ours, others));
    const table = costTable(contenders, samples);
    return `### Beside another build\n\n${table}\n\n### Targets\n\n${targetTable([target])}`;
  } finally {
    await lab.close();
  }
}

/** The sums of several series, round by round. */
function sumsOf(series: readonly (readonly number[])[]): number[] {
  const [first = [], ...others] = series;
  return first.map((value, round) =>
    others.reduce((sum, each) => sum + (each[round] ?? Number.NaN), value),
  );
}
