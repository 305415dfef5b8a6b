/** What the memory of a server with a large zone holds after a query for SRV and a query for A of every name. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type MemorySplit, memorySplitOf } from '../memory/resident.ts';
import { figure, markdown } from '../table.ts';
import { askEach } from './contenders.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

/** The server has time to give back what it can. */
const SETTLING_MS = 5000;
const TARGET_GB = 0.8;

export async function measureMemory(lab: Lab): Promise<Measured> {
  const { manyNames } = lab.options;
  const server = await lab.large();
  const load = { questions: lab.questions('every', manyNames) };
  await sleep(SETTLING_MS);
  const before = await memorySplitOf(server.running);
  const beganMs = performance.now();
  await askEach(lab, { title: 'soradns', server, load });
  const seconds = (performance.now() - beganMs) / 1000;
  await sleep(SETTLING_MS);
  const after = await memorySplitOf(server.running);
  const row = { target: TARGET_GB, unit: 'GB', value: after.resident.all / 1e9 };
  return {
    text: `${figure(manyNames)} names, each asked for by SRV and by A, once, in ${figure(seconds, 1)} s. GB:

${splitTable([
  ['before', before],
  ['after', after],
])}`,
    findings: [{ ...row, what: `memory at ${figure(manyNames)} names, mapped files included` }],
  };
}

function splitTable(rows: readonly (readonly [when: string, split: MemorySplit])[]): string {
  const head = [
    '',
    'RSS',
    "V8's heap",
    'table',
    "pages of the store's file",
    'other files',
    'rest',
  ];
  const gigabytes = (octets: number): string => figure(octets / 1e9, 3);
  return markdown([
    head,
    ...rows.map(([when, { resident, heap, table, storeFile }]) => [
      when,
      gigabytes(resident.all),
      gigabytes(heap),
      gigabytes(table),
      gigabytes(storeFile),
      gigabytes(resident.all - resident.anonymous - storeFile),
      gigabytes(resident.anonymous - heap - table),
    ]),
  ]);
}
