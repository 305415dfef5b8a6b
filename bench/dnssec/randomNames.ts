/** How long plain hits take while names that do not exist are asked for with DO: each of them needs a signature. */

import { finding, ratioOf } from '../dataplane/compare.ts';
import { alternate, askEach } from '../dataplane/contenders.ts';
import type { Lab, OurServer } from '../dataplane/lab.ts';
import type { Measured } from '../dataplane/measure.ts';
import { LATENCY_HEAD, type Latency, latencyRow, timed } from '../dataplane/paced.ts';
import type { StreamSpec } from '../generator/stream.ts';
import { readMetrics } from '../metrics.ts';
import { leastDisturbed } from '../quiet.ts';
import { figure, markdown, median } from '../table.ts';
import { startSigning } from './servers.ts';

const SIGN_RATE = 2_000;
const FLOOD_PER_SECOND = 2 * SIGN_RATE;
const KNOWN_PER_SECOND = 2_000;
const SOCKETS = 2;
const ATTEMPTS = 2;
const TARGET = 1.5;

interface FloodSample extends Latency {
  readonly signaturesPerSecond: number;
}

export async function measureRandomNames(lab: Lab, keys: string): Promise<Measured> {
  const server = await startSigning(lab, keys, { signRate: String(SIGN_RATE) });
  const hits = { questions: lab.questions('hits') };
  await askEach(lab, { title: 'plain hits', server, load: hits });
  const known: StreamSpec = {
    questions: hits.questions.path,
    pace: { kind: 'rate', perSecond: KNOWN_PER_SECOND },
    sockets: SOCKETS,
  };
  const flood: StreamSpec = {
    questions: lab.questions('below').path,
    pace: { kind: 'rate', perSecond: FLOOD_PER_SECOND },
    edns: { dnssecOk: true },
    blind: true,
  };
  const contenders = [
    { title: 'quiet', streams: [known] },
    { title: `${figure(FLOOD_PER_SECOND)} random names/s with DO`, streams: [known, flood] },
  ];
  for (const each of contenders) await ask(lab, server, each, 0);
  const samples = await alternate(contenders, lab.options.rounds, (each, round) =>
    ask(lab, server, each, round + 1),
  );
  const p99 = samples.map((each) => each.map((sample) => sample.p99));
  const rows = contenders.map(({ title }, index) => {
    const each = samples[index] ?? [];
    const signatures = median(each.map((sample) => sample.signaturesPerSecond));
    return [...latencyRow(title, each), figure(signatures)];
  });
  return {
    text: `${markdown([[...LATENCY_HEAD, 'signatures/s'], ...rows])}

${figure(KNOWN_PER_SECOND)} plain questions a second for known names; \`--dnssec-sign-rate ${SIGN_RATE}\`.`,
    findings: [
      finding(
        'p99 of plain hits, random names with DO at twice the sign rate ÷ quiet',
        TARGET,
        ratioOf(p99[1] ?? [], p99[0] ?? []),
      ),
    ],
  };
}

async function ask(
  lab: Lab,
  server: OurServer,
  { title, streams }: { readonly title: string; readonly streams: readonly StreamSpec[] },
  round: number,
): Promise<FloodSample> {
  // `first` also seeds the random names.
  const seeded = streams.map((stream) => ({ ...stream, first: 1 + round }));
  return await leastDisturbed(ATTEMPTS, async () => {
    const before = await signatures(server);
    const { latency, result } = await timed(lab, server, `${title}, round ${round}`, seeded);
    const made = (await signatures(server)) - before;
    return { ...latency, signaturesPerSecond: made / result.seconds };
  });
}

async function signatures({ running }: OurServer): Promise<number> {
  const sum = await readMetrics(running.httpPort);
  return sum('soradns_dnssec_signatures_total', 'made');
}
