/**
 * The part `wildcard`: what answers about random names cost that a stored wildcard answers, beside those about names that
 * are stored. The peers have the same names in a zone file.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../test/support/freePort.ts';
import { finding, type Ratio, ratioOf, targetTable } from './dataplane/compare.ts';
import {
  alternate,
  type Contender,
  type Sample,
  saturate,
  warmUp,
} from './dataplane/contenders.ts';
import { costTable, cpuOf } from './dataplane/costTable.ts';
import { Lab, type LabOptions, NAMES, type QuestionFile, type Server } from './dataplane/lab.ts';
import {
  BENCH_FOLDER,
  BENCH_PARENT,
  type BenchName,
  benchNames,
  DOMAIN,
  questionText,
  zoneText,
} from './names.ts';
import { isInstalled, type Running } from './process.ts';
import { untilLastAnswered } from './queryClient.ts';
import { startBindZone, startKnotZone, startNsdZone, type ZoneFile } from './rivalServers.ts';
import { figure, markdown } from './table.ts';

const WILD: BenchName = {
  name: `*.wild.${BENCH_PARENT}`,
  key: `${BENCH_FOLDER}/wild/*`,
  address: '10.255.0.1',
};
/** The wildcard first: the benchmark waits until the last name is answered. */
const ZONE: readonly BenchName[] = [WILD, ...benchNames(NAMES)];

const LINES = 1_000;
const TARGET = 1.15;
/** Of the kinds of questions. */
const RANDOM = 1;
/** As many labels as fit before the wildcard's name; the first one is random. */
const MANY_LABELS = `${'??????????'}${'.a'.repeat(100)}`;

type StartZone = (zone: ZoneFile, port: number, folder: string) => Promise<Running>;

const PEERS: readonly { readonly title: string; readonly command: string; start: StartZone }[] = [
  { title: 'Knot', command: 'knotd', start: startKnotZone },
  { title: 'NSD', command: 'nsd', start: startNsdZone },
  { title: 'BIND', command: 'named', start: startBindZone },
];

interface Kind {
  readonly title: string;
  readonly questions: QuestionFile;
}

/** Returns markdown. */
export async function benchWildcard(options: LabOptions): Promise<string> {
  const lab = new Lab(options);
  try {
    const ours = await lab.startOurs({ zone: ZONE });
    const servers = [ours, ...(await startPeers(lab))];
    const kinds = kindsOf(lab);
    const contenders = servers.flatMap((server) =>
      kinds.map(({ title, questions }): Contender => {
        return { title: `${server.title}, ${title}`, server, load: { questions } };
      }),
    );
    await warmUp(lab, contenders);
    const samples = await alternate(contenders, options.rounds, (contender, round) =>
      saturate(lab, contender, round),
    );
    const target = finding(
      'random names ÷ stored names',
      TARGET,
      ratioToStored(samples, kinds, 0, RANDOM),
    );
    return [
      `### Stored wildcards\n\n${costTable(contenders, samples)}`,
      ratioTable(servers, kinds, samples),
      `${figure(NAMES)} names, and a wildcard. All questions are for addresses.`,
      `### Targets\n\n${targetTable([target])}`,
    ].join('\n\n');
  } finally {
    await lab.close();
  }
}

async function startPeers(lab: Lab): Promise<Server[]> {
  const servers: Server[] = [];
  for (const { title, command, start } of PEERS) {
    if (!isInstalled(command)) continue;
    const port = await freePort();
    const zone = { domain: DOMAIN, text: zoneText(ZONE) };
    const running = await start(zone, port, lab.newFolder(title));
    lab.atEnd(() => running.stop());
    await untilLastAnswered(port, ZONE).catch((cause) => {
      throw new Error(running.output(), { cause });
    });
    servers.push({ title, port, running });
  }
  return servers;
}

/** The stored names first. */
function kindsOf(lab: Lab): readonly Kind[] {
  const kind = (title: string, text: string): Kind => {
    const path = join(lab.options.folder, title.replace(/\W+/g, '-'));
    writeFileSync(path, text);
    return { title, questions: { path, count: text.split('\n').length - 1 } };
  };
  const random = (labels: string): string => `${labels}.wild.${BENCH_PARENT} A\n`.repeat(LINES);
  return [
    kind('stored names', questionText(benchNames(NAMES), ['A'])),
    kind('random names', random('????????????')),
    kind('random names of 105 labels', random(MANY_LABELS)),
  ];
}

/** What the other kinds of questions cost beside stored names, of each server. */
function ratioTable(
  servers: readonly Server[],
  kinds: readonly Kind[],
  samples: readonly (readonly Sample[])[],
): string {
  const [, ...others] = kinds;
  const rows = servers.map(({ title }, server) => [
    title,
    ...others.map((_, i) => figure(ratioToStored(samples, kinds, server, i + 1).perRound, 2)),
  ]);
  return markdown([['÷ stored names', ...others.map(({ title }) => title)], ...rows]);
}

function ratioToStored(
  samples: readonly (readonly Sample[])[],
  { length }: readonly Kind[],
  server: number,
  kind: number,
): Ratio {
  return ratioOf(cpuOf(samples[server * length + kind]), cpuOf(samples[server * length]));
}
