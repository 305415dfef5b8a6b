/** Server CPU per answer at saturation, of one kind of question or zone against another. */
import { figure } from '../table.ts';
import { finding, ratioOf } from './compare.ts';
import { costTable, cpuOf } from './costTable.ts';
import { type Lab, NAMES } from './lab.ts';
import { alternate, type Lane, saturate, warmUp } from './lanes.ts';
import type { Measured } from './measure.ts';

export async function measureNxdomain(lab: Lab): Promise<Measured> {
  const server = await lab.ours();
  const hits: Lane = { title: 'hits', server, load: { questions: lab.questions('hits') } };
  const below: Lane = {
    ...{ title: 'NXDOMAIN, random names', server },
    load: { questions: lab.questions('below'), expects: 'nxdomain' },
  };
  return comparePair(lab, [hits, below], 'NXDOMAIN flood ÷ hits', 1.1);
}

export async function measureEdns(lab: Lab): Promise<Measured> {
  const server = await lab.ours();
  const questions = lab.questions('hits');
  const plain: Lane = { title: 'plain', server, load: { questions } };
  const edns: Lane = { title: 'EDNS', server, load: { questions, edns: true } };
  return comparePair(lab, [plain, edns], 'EDNS ÷ plain', 1.1);
}

/** A small zone and a large one, each on a server of its own. */
export async function measureManyNames(lab: Lab): Promise<Measured> {
  const { manyNames } = lab.options;
  const small: Lane = {
    ...{ title: `${figure(NAMES)} names`, server: await lab.ours() },
    load: { questions: lab.questions('hits') },
  };
  const large: Lane = {
    ...{ title: `${figure(manyNames)} names`, server: await lab.large() },
    load: { questions: lab.questions('hits', manyNames) },
  };
  return comparePair(lab, [small, large], `${large.title} ÷ ${small.title}`, 1.25);
}

async function comparePair(
  lab: Lab,
  lanes: readonly [base: Lane, other: Lane],
  what: string,
  target: number,
): Promise<Measured> {
  await warmUp(lab, lanes);
  const samples = await alternate(lanes, lab.options.rounds, (lane, round) =>
    saturate(lab, lane, round),
  );
  const [base, other] = samples;
  return {
    text: costTable(lanes, samples),
    findings: [finding(what, target, ratioOf(cpuOf(other), cpuOf(base)))],
  };
}
