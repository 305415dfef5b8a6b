/**
 * The cost of hostile clients: each row of the table is an attack with a target. `npm run bench -- --only hostile` fails
 * when a target is missed.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { benchForwarding } from './hostile/forwarding.ts';
import { benchSlowReader } from './hostile/slowReader.ts';
import { benchSnapshots } from './hostile/snapshots.ts';
import { benchStreams } from './hostile/streams.ts';
import { benchWildcards } from './hostile/wildcards.ts';
import { figure, markdown } from './table.ts';

/** One measurement of an attack. */
export interface AttackResult {
  /** The attack and the measured quantity. */
  readonly what: string;
  readonly unit: 'ms' | 'MB' | '%' | 'times';
  readonly value: number;
  /** The largest accepted value. */
  readonly target: number;
}

export interface Attack {
  run(options: AttackOptions): Promise<readonly AttackResult[]>;
}

export interface AttackOptions {
  /** A folder for the attack's files. */
  readonly folder: string;
  /** A short run that only shows that the attack works. */
  readonly isQuick: boolean;
}

/** In the order of the table. */
const ATTACKS: Readonly<Record<string, Attack['run']>> = {
  snapshots: benchSnapshots,
  slowReader: benchSlowReader,
  streams: benchStreams,
  wildcards: benchWildcards,
  forwarding: benchForwarding,
};

export async function benchHostile(options: AttackOptions): Promise<string> {
  const rows: string[][] = [];
  let isMet = true;
  for (const [name, run] of Object.entries(ATTACKS)) {
    const folder = join(options.folder, `hostile-${name}`);
    mkdirSync(folder);
    for (const measured of await run({ ...options, folder })) {
      const holds = measured.value <= measured.target;
      isMet &&= holds;
      rows.push(rowOf(measured, holds));
      console.error(rows.at(-1)?.join(' | '));
    }
  }
  if (!isMet) process.exitCode = 1;
  return markdown([['attack', 'measured', 'at most', 'holds'], ...rows]);
}

function rowOf({ what, unit, value, target }: AttackResult, holds: boolean): string[] {
  const decimals = unit === 'times' ? 2 : 0;
  return [
    what,
    `${figure(value, decimals)} ${unit}`,
    `${figure(target, decimals)} ${unit}`,
    holds ? 'yes' : 'NO',
  ];
}
