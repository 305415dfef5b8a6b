/** Server CPU per answer at saturation, of one kind of question or zone against another. */
import { figure } from '../table.ts';
import { finding, ratioOf } from './compare.ts';
import { alternate, type Contender, saturate, warmUp } from './contenders.ts';
import { costTable, cpuOf } from './costTable.ts';
import { type Lab, NAMES } from './lab.ts';
import type { Measured } from './measure.ts';

export async function measureNxdomain(lab: Lab): Promise<Measured> {
  const server = await lab.ours();
  const hits: Contender = { title: 'hits', server, load: { questions: lab.questions('hits') } };
  const below: Contender = {
    ...{ title: 'NXDOMAIN, random names', server },
    load: { questions: lab.questions('below'), expects: 'nxdomain' },
  };
  return comparePair(lab, [hits, below], 'NXDOMAIN flood ÷ hits', 1.1);
}

export async function measureEdns(lab: Lab): Promise<Measured> {
  const server = await lab.ours();
  const questions = lab.questions('hits');
  const plain: Contender = { title: 'plain', server, load: { questions } };
  const edns: Contender = { title: 'EDNS', server, load: { questions, edns: true } };
  return comparePair(lab, [plain, edns], 'EDNS ÷ plain', 1.1);
}

/** A small zone and a large one, each on a server of its own. */
export async function measureManyNames(lab: Lab): Promise<Measured> {
  const { manyNames } = lab.options;
  const small: Contender = {
    ...{ title: `${figure(NAMES)} names`, server: await lab.ours() },
    load: { questions: lab.questions('hits') },
  };
  const large: Contender = {
    ...{ title: `${figure(manyNames)} names`, server: await lab.large() },
    load: { questions: lab.questions('hits', manyNames) },
  };
  return comparePair(lab, [small, large], `${large.title} ÷ ${small.title}`, 1.25);
}

async function comparePair(
  lab: Lab,
  contenders: readonly [base: Contender, other: Contender],
  what: string,
  target: number,
): Promise<Measured> {
  await warmUp(lab, contenders);
  const samples = await alternate(contenders, lab.options.rounds, (contender, round) =>
    saturate(lab, contender, round),
  );
  const [base, other] = samples;
  return {
    text: costTable(contenders, samples),
    findings: [finding(what, target, ratioOf(cpuOf(other), cpuOf(base)))],
  };
}
