/** What domains with servers of their own cost: answers through `--forward`, and a thousand of its domains. */
import { type Finding, finding, ratioOf } from '../dataplane/compare.ts';
import { alternate, type Contender, saturate, warmUp } from '../dataplane/contenders.ts';
import { costTable, cpuOf } from '../dataplane/costTable.ts';
import type { Lab, QuestionFile, Server } from '../dataplane/lab.ts';
import { outsideQuestions, type Upstream, ZONE } from './outside.ts';
import { startOurs } from './recursors.ts';

const NAMES = 1_000;
const DOMAINS = 1_000;

/** Domains outside our zone, and the same number inside it. */
function manyDomains(upstream: Upstream): string[] {
  const names = ['corp.example', 'skydns.local'].flatMap((above) =>
    Array.from({ length: DOMAINS }, (_, i) => `domain${i}.${above}`),
  );
  return names.flatMap((name) => ['--forward', `${name}=127.0.0.1:${upstream.port}`]);
}

export async function measureDomains(
  lab: Lab,
  upstream: Upstream,
): Promise<{ readonly text: string; readonly findings: readonly Finding[] }> {
  const plain = await startOurs(lab, upstream);
  const named = await startOurs(lab, upstream, [
    ...['--forward', `${ZONE}=127.0.0.1:${upstream.port}`],
  ]);
  const many = await startOurs(lab, upstream, manyDomains(upstream));
  const outside = outsideQuestions(lab, NAMES, 'uniform');
  const [hits, below] = [lab.questions('hits'), lab.questions('below')];
  const contender = (title: string, server: Server, questions: QuestionFile): Contender => ({
    ...{ title, server },
    load: { questions },
  });
  const absent = (title: string, server: Server): Contender => ({
    ...{ title, server },
    load: { questions: below, expects: 'nxdomain' },
  });
  const contenders = [
    contender('outside, --nameservers', plain, outside),
    contender('outside, --forward', named, outside),
    contender('outside, thousands of domains', many, outside),
    contender('own names', plain, hits),
    contender('own names, thousands of domains', many, hits),
    absent('no such names', plain),
    absent('no such names, thousands of domains', many),
  ];
  // The cache takes an answer at its question's second time.
  await warmUp(lab, [...contenders, ...contenders, ...contenders]);
  const samples = await alternate(contenders, lab.options.rounds, (each, round) =>
    saturate(lab, each, round),
  );
  const costs = samples.map(cpuOf);
  const compared = (what: string, a: number, b: number): Finding =>
    finding(what, 1.05, ratioOf(costs[a] ?? [], costs[b] ?? []));
  const findings = [
    compared('a cached answer through --forward ÷ through --nameservers', 1, 0),
    compared('a cached answer, 2,000 domains ÷ none', 2, 0),
    compared('an own name, 2,000 domains ÷ none', 4, 3),
    compared('NXDOMAIN, 2,000 domains ÷ none', 6, 5),
  ];
  return { text: costTable(contenders, samples), findings };
}
