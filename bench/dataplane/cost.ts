/** Server CPU per answer at saturation: against other servers, and of one kind of question against another. */
import { type Generator as CGenerator, prepareGenerator } from '../flood.ts';
import { pinning } from '../process.ts';
import { figure, markdown, median } from '../table.ts';
import { type Finding, finding, ratioOf, withRange } from './compare.ts';
import { type Lab, NAMES } from './lab.ts';
import { alternate, type Lane, type Sample, sampleOf, saturate, WINDOW, warmUp } from './lanes.ts';
import type { Measured } from './measure.ts';

const PEER_TARGETS = [
  { peer: 'Knot', target: 0.85 },
  { peer: 'NSD', target: 0.8 },
];

/** Our server and every other on the same names; and dnsflood.c in our generator's place, to compare these two. */
export async function measureHits(lab: Lab): Promise<Measured> {
  const servers = [await lab.ours(), ...(await lab.peers())];
  const load = { questions: lab.questions('hits') };
  const lanes: Lane[] = servers.map((server) => ({ title: server.title, server, load }));
  await warmUp(lab, lanes);
  const dnsflood = prepareGenerator(lab.options.folder);
  const byC = { ...(lanes[0] as Lane), title: `soradns, asked by ${dnsflood.title}` };
  const samples = await alternate([...lanes, byC], lab.options.rounds, (lane, round) =>
    lane === byC ? floodWith(lab, dnsflood, lane) : saturate(lab, lane, round),
  );
  const [ours = [], asked = []] = [samples[0], samples.at(-1)];
  const findings = PEER_TARGETS.map(({ peer, target }): Finding => {
    const index = servers.findIndex(({ title }) => title.startsWith(peer));
    const what = `CPU per answer ÷ ${peer}'s`;
    return finding(what, target, ratioOf(cpuOf(ours), cpuOf(samples[index] ?? [])));
  });
  const rows = [...lanes, byC].map(({ title }, index) => row(title, samples[index] ?? []));
  const generated = ratioOf(ours.map(qpsOf), asked.map(qpsOf));
  return {
    findings,
    text: `${markdown([HEAD, ...rows])}

${figure(NAMES)} names, half asked for by SRV and half by A; ${placement()}; medians of ${lab.options.rounds} turns of
${lab.options.seconds} s, least and most in brackets. Our generator's load ÷ dnsflood.c's: ${figure(generated.perRound, 2)}.`,
  };
}

/** Two kinds of questions to the same server. */
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
  const [base = [], other = []] = samples;
  const rows = lanes.map(({ title }, index) => row(title, samples[index] ?? []));
  return {
    text: markdown([HEAD, ...rows]),
    findings: [finding(what, target, ratioOf(cpuOf(other), cpuOf(base)))],
  };
}

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

async function floodWith(lab: Lab, dnsflood: CGenerator, lane: Lane): Promise<Sample> {
  const { port } = lane.server;
  const { path } = lane.load.questions;
  return await sampleOf(lane, async () => {
    const { seconds } = lab.options;
    const { answered, lost, noerror } = await dnsflood.flood(port, path, seconds, WINDOW);
    const rest = { nxdomain: 0, servfail: 0, refused: 0, truncated: 0, octets: 0 };
    const stream = { sent: answered + lost, answered, lost, noerror, ...rest };
    return { seconds, cpuSeconds: Number.NaN, streams: [stream] };
  });
}

const HEAD = ['', 'CPU µs/answer', 'answers/s', 'server busy', 'generator busy', 'unanswered'];

function row(title: string, samples: readonly Sample[]): string[] {
  const percent = (values: readonly number[], decimals = 0): string =>
    `${figure(median(values) * 100, decimals)} %`;
  return [
    title,
    withRange(cpuOf(samples), 2),
    withRange(samples.map(qpsOf), 0),
    percent(samples.map(({ serverBusy }) => serverBusy)),
    percent(samples.map(({ generatorBusy }) => generatorBusy)),
    percent(
      samples.map(({ failedShare }) => failedShare),
      2,
    ),
  ];
}

export function cpuOf(samples: readonly Sample[]): number[] {
  return samples.map(({ cpuMicros }) => cpuMicros);
}

function qpsOf({ qps }: Sample): number {
  return qps;
}

function placement(): string {
  return pinning
    ? 'each server pinned to one core, the generator to another'
    : 'nothing pinned (one core, or no taskset)';
}
