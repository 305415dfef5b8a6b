/** What a large zone takes once every name was asked for by SRV and by A. */
import { setTimeout as sleep } from 'node:timers/promises';
import { figure } from '../table.ts';
import type { Lab } from './lab.ts';
import { askEach } from './lanes.ts';
import type { Measured } from './measure.ts';

const SETTLING_MS = 3000;
const GB = 1e9;

export async function measureMemory(lab: Lab): Promise<Measured> {
  const { manyNames } = lab.options;
  const server = await lab.large();
  const before = server.running.rssBytes();
  const began = performance.now();
  await askEach(lab, {
    title: 'soradns',
    server,
    load: { questions: lab.questions('every', manyNames) },
  });
  const seconds = (performance.now() - began) / 1000;
  await sleep(SETTLING_MS);
  const after = server.running.rssBytes();
  const gigabytes = (bytes: number): string => `${figure(bytes / GB, 3)} GB`;
  return {
    text: `${figure(manyNames)} names: ${gigabytes(before)} resident before and ${gigabytes(after)} after each was asked for by SRV and
by A, once, in ${figure(seconds, 1)} s.`,
    findings: [
      { what: `memory at ${figure(manyNames)} names`, target: 1, unit: 'GB', value: after / GB },
    ],
  };
}
