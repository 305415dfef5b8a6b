/** Server CPU per answer at saturation, of every server on the same names. */
import { buildDnsflood, type Dnsflood } from '../dnsflood.ts';
import { pinning } from '../process.ts';
import { figure } from '../table.ts';
import { finding, ratioOf } from './compare.ts';
import {
  alternate,
  type Contender,
  type Sample,
  sampleOf,
  saturate,
  WINDOW,
  warmUp,
} from './contenders.ts';
import { costTable, cpuOf, qpsOf } from './costTable.ts';
import { type Lab, NAMES } from './lab.ts';
import type { Measured } from './measure.ts';

const TARGETS = [
  { peer: 'Knot', target: 0.8 },
  { peer: 'NSD', target: 0.95 },
];

/** A contender, and its load generator if that is dnsflood.c. */
interface HitContender extends Contender {
  readonly dnsflood?: Dnsflood;
}

export async function measureHits(lab: Lab): Promise<Measured> {
  const contenders = await hitContenders(lab);
  const ours = contenders[0] as Contender;
  await warmUp(lab, contenders);
  const dnsflood = buildDnsflood(lab.options.folder);
  if (dnsflood !== undefined)
    contenders.push({ ...ours, title: 'soradns, asked by dnsflood.c', dnsflood });
  const samples = await alternate(contenders, lab.options.rounds, (contender, round) =>
    contender.dnsflood === undefined
      ? saturate(lab, contender, round)
      : floodWith(lab, contender.dnsflood, contender),
  );
  const samplesOf = (title: string): readonly Sample[] | undefined =>
    samples[contenders.findIndex((contender) => contender.title.startsWith(title))];
  const generated = ratioOf(qpsOf(samples[0]), qpsOf(samplesOf('soradns, asked')));
  return {
    findings: TARGETS.map(({ peer, target }) =>
      finding(
        `CPU per answer ÷ ${peer}'s`,
        target,
        ratioOf(cpuOf(samples[0]), cpuOf(samplesOf(peer))),
      ),
    ),
    text: `${costTable(contenders, samples)}

${figure(NAMES)} names, half asked for by SRV and half by A; ${placement()}; medians of ${lab.options.rounds} rounds of
${lab.options.seconds} s, least and most in brackets. Our generator's load ÷ dnsflood.c's: ${figure(generated.perRound, 2)}.`,
  };
}

/** Returns the contenders; the first is soradns. */
async function hitContenders(lab: Lab): Promise<HitContender[]> {
  const load = { questions: lab.questions('hits') };
  const contenders = [await lab.ours(), ...(await lab.peers())].map(
    (server): HitContender => ({ title: server.title, server, load }),
  );
  const server = await lab.startOurs({ workers: 0 });
  return [...contenders, { title: 'soradns --workers 0', server, load }];
}

async function floodWith(lab: Lab, dnsflood: Dnsflood, contender: Contender): Promise<Sample> {
  const { seconds } = lab.options;
  const { port } = contender.server;
  return await sampleOf(contender, async () => {
    const questions = contender.load.questions.path;
    const asked = { port, questions, seconds, window: WINDOW };
    const { cpuSeconds, ...result } = await dnsflood(asked);
    const sent = result.answered + result.lost;
    const uncounted = { nxdomain: 0, servfail: 0, refused: 0, truncated: 0, octets: 0 };
    return { seconds, cpuSeconds, streams: [{ sent, ...result, ...uncounted }] };
  });
}

function placement(): string {
  return pinning
    ? 'each server pinned to one core, the generator to another'
    : 'nothing pinned (one core, or no taskset)';
}
