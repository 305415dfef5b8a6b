/**
 * The part `forward`: what an answer about a name outside the zone costs when it is cached, beside the peers, which
 * have the same upstream.
 */
import { type Finding, finding, ratioOf, targetTable } from './dataplane/compare.ts';
import {
  alternate,
  type Contender,
  type Sample,
  saturate,
  warmUp,
} from './dataplane/contenders.ts';
import { costTable, cpuOf } from './dataplane/costTable.ts';
import { Lab, type LabOptions, type Server } from './dataplane/lab.ts';
import { measureDomains } from './forward/domains.ts';
import { measureFirst } from './forward/first.ts';
import { outsideQuestions, type Spread, startUpstream } from './forward/outside.ts';
import { startRecursors } from './forward/recursors.ts';
import { figure } from './table.ts';

const FEW = 1_000;
const MANY = 100_000;

const LOADS: readonly { readonly names: number; readonly spread: Spread }[] = [
  { names: FEW, spread: 'uniform' },
  { names: MANY, spread: 'zipf' },
  { names: MANY, spread: 'uniform' },
];

/** Returns markdown. */
export async function benchForward(options: LabOptions): Promise<string> {
  const lab = new Lab(options);
  try {
    const upstream = await startUpstream(lab, MANY);
    const servers = await startRecursors(lab, upstream);
    const sections: string[] = [];
    const findings: Finding[] = [];
    for (const { names, spread } of LOADS) {
      const contenders = await contendersOf(lab, servers, names, spread);
      const samples = await alternate(contenders, options.rounds, (contender, round) =>
        saturate(lab, contender, round),
      );
      const what = `${figure(names)} names, ${spread}`;
      sections.push(`### Outside names, cached: ${what}\n\n${costTable(contenders, samples)}`);
      findings.push(...findingsOf(what, contenders, samples));
    }
    const first = await measureFirst(lab, servers, upstream);
    sections.push(`### First answers\n\n${first.text}`);
    findings.push(...first.findings);
    const domains = await measureDomains(lab, upstream);
    sections.push(`### Domains with servers\n\n${domains.text}`);
    findings.push(...domains.findings);
    return [...sections, `### Targets\n\n${targetTable(findings)}`].join('\n\n');
  } finally {
    await lab.close();
  }
}

/** Our own names come second. Every server has been asked every question. */
async function contendersOf(
  lab: Lab,
  servers: readonly Server[],
  names: number,
  spread: Spread,
): Promise<Contender[]> {
  const [ours, ...peers] = servers as [Server, ...Server[]];
  const each = { questions: outsideQuestions(lab, names, 'uniform') };
  await warmUp(
    lab,
    // The cache takes an answer at its question's second time.
    servers.flatMap((server) => [1, 2, 3].map(() => ({ title: server.title, server, load: each }))),
  );
  const own: Contender = {
    ...{ title: 'soradns, own names', server: ours },
    load: { questions: lab.questions('hits') },
  };
  await warmUp(lab, [own]);
  const load = { questions: outsideQuestions(lab, names, spread) };
  const outside = (server: Server): Contender => ({ title: server.title, server, load });
  return [outside(ours), own, ...peers.map(outside)];
}

function findingsOf(
  what: string,
  contenders: readonly Contender[],
  samples: readonly (readonly Sample[])[],
): ReturnType<typeof finding>[] {
  const of = (title: string): number[] =>
    cpuOf(samples[contenders.findIndex((each) => each.title.startsWith(title))]);
  const [ours] = samples;
  const against = (title: string, name: string, target: number) =>
    finding(`${what}: CPU per answer ÷ ${name}`, target, ratioOf(cpuOf(ours), of(title)));
  return [
    against('unbound', "unbound's", 0.75),
    against('dnsmasq', "dnsmasq's", 0.75),
    against('soradns, own', 'own names', 1.1),
  ];
}
