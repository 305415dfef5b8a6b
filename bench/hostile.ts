/**
 * What hostile clients can cost: each row is an attack with a target that must hold. `npm run bench -- --only hostile`
 * fails when one does not.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { benchForwarding } from './hostile/forwarding.ts';
import { benchSlowReader } from './hostile/slowReader.ts';
import { benchSnapshots } from './hostile/snapshots.ts';
import { benchStreams } from './hostile/streams.ts';
import { benchWildcards } from './hostile/wildcards.ts';
import { figure, markdown } from './table.ts';

/** One figure of an attack. */
export interface AttackResult {
  /** The attack, and what was measured. */
  readonly what: string;
  readonly unit: 'ms' | 'MB' | '%' | 'times';
  readonly value: number;
  /** At most. */
  readonly target: number;
}

export interface Attack {
  run(options: AttackOptions): Promise<readonly AttackResult[]>;
}

export interface AttackOptions {
  /** For files; each attack has its own. */
  readonly folder: string;
  /** Only shows that it works. */
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
