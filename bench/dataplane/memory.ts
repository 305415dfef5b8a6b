/** The memory that a large zone takes after a query for SRV and a query for A of every name. */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { figure } from '../table.ts';
import { askEach } from './contenders.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

const SETTLING_MS = 5000;
const TARGET_GB = 1;

interface Resident {
  readonly all: number;
  /** Pages of mapped files, of the program and of the embedded store. The kernel may drop them. */
  readonly files: number;
}

export async function measureMemory(lab: Lab): Promise<Measured> {
  const { manyNames } = lab.options;
  const server = await lab.large();
  const load = { questions: lab.questions('every', manyNames) };
  const before = await resident(server.running.pid);
  const beganMs = performance.now();
  await askEach(lab, { title: 'soradns', server, load });
  const seconds = (performance.now() - beganMs) / 1000;
  const after = await resident(server.running.pid);
  const what = `memory at ${figure(manyNames)} names`;
  const row = { target: TARGET_GB, unit: 'GB' };
  return {
    text: `${figure(manyNames)} names, each asked for by SRV and by A, once, in ${figure(seconds, 1)} s: ${text(before)} before, ${text(after)} after.`,
    findings: [
      { ...row, what, value: (after.all - after.files) / 1e9 },
      { ...row, what: `${what}, mapped files included`, value: after.all / 1e9 },
    ],
  };
}

/** The memory of one process, after it had time to free what it can. */
async function resident(pid: number): Promise<Resident> {
  await sleep(SETTLING_MS);
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  const octets = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { all: octets('VmRSS'), files: octets('RssFile') };
}

function text({ all, files }: Resident): string {
  return `${figure(all / 1e9, 3)} GB resident (${figure(files / 1e9, 3)} GB of them pages of mapped files)`;
}
