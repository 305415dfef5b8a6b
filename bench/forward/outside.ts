/** The names outside the zone: an authoritative server that holds them, and files of questions about them. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../../test/support/freePort.ts';
import type { Lab, QuestionFile } from '../dataplane/lab.ts';
import { addressOf } from '../names.ts';
import { isInstalled, type Running } from '../process.ts';
import { startKnotZone } from '../rivalServers.ts';

export const ZONE = 'outside.example';
const TTL_SECONDS = 86_400;
/** Lines of a file of Zipf-distributed questions. */
const ZIPF_LINES = 400_000;

export type Spread = 'uniform' | 'zipf';

export interface Upstream {
  readonly port: number;
  readonly running: Running;
}

export function outsideName(index: number): string {
  return `host${index}.${ZONE}`;
}

/** Starts Knot with that many names of the zone, and with a wildcard below `any`. */
export async function startUpstream(lab: Lab, count: number): Promise<Upstream> {
  if (!isInstalled('knotd')) throw new Error('needs Knot (Debian package knot) as the upstream');
  const port = await freePort();
  const zone = { domain: ZONE, text: zoneText(count) };
  const running = await startKnotZone(zone, port, lab.newFolder('upstream'));
  lab.atEnd(() => running.stop());
  return { port, running };
}

function zoneText(count: number): string {
  const records = Array.from({ length: count }, (_, i) => `${outsideName(i)}. A ${addressOf(i)}`);
  return [
    `$TTL ${TTL_SECONDS}`,
    `${ZONE}. SOA ns.${ZONE}. hostmaster.${ZONE}. 1 28800 7200 604800 300`,
    `${ZONE}. NS ns.${ZONE}.`,
    `ns.${ZONE}. A 127.0.0.1`,
    `*.any.${ZONE}. A 192.0.2.1`,
    ...records,
    '',
  ].join('\n');
}

/** A file of questions for the addresses of `count` names, each name about equally often or by Zipf's law. */
export function outsideQuestions(lab: Lab, count: number, spread: Spread): QuestionFile {
  const path = join(lab.options.folder, `outside-${spread}-${count}`);
  const lines = spread === 'uniform' ? shuffled(count) : zipf(count);
  writeFileSync(path, lines.map((index) => `${outsideName(index)} A\n`).join(''));
  return { path, count: lines.length };
}

/** A question for a name below the wildcard, whose `?` the generator replaces. */
export function freshQuestions(lab: Lab): QuestionFile {
  const path = join(lab.options.folder, 'outside-fresh');
  writeFileSync(path, `????????????.any.${ZONE} A\n`);
  return { path, count: 1 };
}

function shuffled(count: number): number[] {
  const random = randomNumbers();
  const indexes = Array.from({ length: count }, (_, i) => i);
  for (let left = count - 1; left > 0; left--) {
    const other = Math.floor(random() * (left + 1));
    [indexes[left], indexes[other]] = [indexes[other] as number, indexes[left] as number];
  }
  return indexes;
}

/** Zipf's law with exponent 1: the name of rank r is asked for 1/r as often as the first. */
function zipf(count: number): number[] {
  const random = randomNumbers();
  const cumulated = new Float64Array(count);
  let sum = 0;
  for (let i = 0; i < count; i++) {
    sum += 1 / (i + 1);
    cumulated[i] = sum;
  }
  return Array.from({ length: ZIPF_LINES }, () => {
    const wanted = random() * sum;
    let [low, high] = [0, count - 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((cumulated[middle] as number) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  });
}

/** In [0, 1); the same numbers in every run. */
function randomNumbers(): () => number {
  let state = 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}
