/** Answers that the table has: with and without signatures, of names with the type that is asked for, and without it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finding, ratioOf } from '../dataplane/compare.ts';
import { alternate, askEach, type Contender, saturate, warmUp } from '../dataplane/contenders.ts';
import { costTable, cpuOf } from '../dataplane/costTable.ts';
import type { Lab, QuestionFile } from '../dataplane/lab.ts';
import type { Measured } from '../dataplane/measure.ts';
import { benchNames, questionText } from '../names.ts';
import { startSignedKnot, startSigning } from './servers.ts';

const DO = { dnssecOk: true };
const NODATA_NAMES = 200;

export async function measureSigned(lab: Lab, keys: string): Promise<Measured> {
  const hits = { questions: lab.questions('hits') };
  const nodata = { questions: nodataQuestions(lab) };
  const plain = { ...(await lab.ours()), title: 'soradns' };
  const signing = await startSigning(lab, keys);
  const knot = await startSignedKnot(lab);
  const contenders: readonly Contender[] = [
    { title: 'without --dnssec', server: plain, load: hits },
    { title: '--dnssec, plain', server: signing, load: hits },
    { title: '--dnssec, DO', server: signing, load: { ...hits, edns: DO } },
    { title: '--dnssec, NODATA, plain', server: signing, load: nodata },
    { title: '--dnssec, NODATA, DO', server: signing, load: { ...nodata, edns: DO } },
    ...(knot === undefined
      ? []
      : [
          { title: 'Knot, signed zone, plain', server: knot, load: hits },
          { title: 'Knot, signed zone, DO', server: knot, load: { ...hits, edns: DO } },
        ]),
  ];
  await warmUp(lab, contenders);
  const samples = await alternate(contenders, lab.options.rounds, async (contender, round) => {
    // The table holds a signed NODATA for 15 s, which is shorter than a round.
    if (contender.load.questions === nodata.questions) await askEach(lab, contender);
    return saturate(lab, contender, round);
  });
  const [off = [], on = [], dnssecOk = [], negative = [], denial = [], , ofKnot = []] =
    samples.map(cpuOf);
  return {
    text: costTable(contenders, samples),
    findings: [
      finding('hit with DO ÷ plain hit', 1.15, ratioOf(dnssecOk, on)),
      finding("hit with DO ÷ Knot's", 0.85, ratioOf(dnssecOk, ofKnot)),
      finding('plain hit, --dnssec ÷ without', 1, ratioOf(on, off)),
      finding('NODATA with DO ÷ plain', 1.15, ratioOf(denial, negative)),
    ],
  };
}

/** Names by a type that they do not have. */
function nodataQuestions(lab: Lab): QuestionFile {
  const path = join(lab.options.folder, 'nodata');
  writeFileSync(path, questionText(benchNames(NODATA_NAMES), ['AAAA']));
  return { path, count: NODATA_NAMES };
}
