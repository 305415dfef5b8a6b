/** The memory of a signed answer in the table, which is beside the plain one. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { askEach } from '../dataplane/contenders.ts';
import { type Lab, NAMES } from '../dataplane/lab.ts';
import type { Measured } from '../dataplane/measure.ts';
import { type MemorySplit, memorySplitOf } from '../memory/resident.ts';
import { benchNames, questionText } from '../names.ts';
import { figure, markdown } from '../table.ts';
import { startSigning } from './servers.ts';

/** The server has time to give back what it can. */
const SETTLING_MS = 3_000;
/** An RRSIG, and the head of an answer. */
const TARGET_OCTETS = 160;
/** Of the address in each answer. */
const RECORD_OCTETS = 16;

export async function measureSignedMemory(lab: Lab, keys: string): Promise<Measured> {
  const server = await startSigning(lab, keys);
  const questions = { path: join(lab.options.folder, 'addresses'), count: NAMES };
  writeFileSync(questions.path, questionText(benchNames(NAMES), ['A']));
  const load = { questions };
  const splits: MemorySplit[] = [];
  const read = async (): Promise<void> => {
    await sleep(SETTLING_MS);
    splits.push(await memorySplitOf(server.running));
  };
  await read();
  await askEach(lab, { title: 'plain', server, load });
  await read();
  await askEach(lab, { title: 'DO', server, load: { ...load, edns: { dnssecOk: true } } });
  await read();
  const [empty, plain, signed] = splits as [MemorySplit, MemorySplit, MemorySplit];
  const perAnswer = (of: (split: MemorySplit) => number, from: MemorySplit, to: MemorySplit) =>
    (of(to) - of(from)) / NAMES;
  const table = ({ table: octets }: MemorySplit): number => octets;
  const all = ({ resident }: MemorySplit): number => resident.anonymous;
  const plainOctets = perAnswer(table, empty, plain);
  const signedOctets = perAnswer(table, plain, signed);
  return {
    text: markdown([
      ['octets an answer', 'table', 'all memory'],
      ['plain', figure(plainOctets), figure(perAnswer(all, empty, plain))],
      ['signed', figure(signedOctets), figure(perAnswer(all, plain, signed))],
    ]),
    findings: [
      {
        ...{ what: 'memory of a signed answer in the table, without its address', unit: 'octets' },
        ...{ target: TARGET_OCTETS, value: signedOctets - RECORD_OCTETS },
      },
    ],
  };
}
