/**
 * The part `dataplane`: what an answer over UDP costs, and how long it takes, against the targets. Every measurement
 * alternates between its contenders, and does not depend on the others: a failure leaves the others valid. No figure is
 * asserted: the figures of a shared machine vary, so each is printed with its spread.
 */
import { measureBusyStore } from './dataplane/busyStore.ts';
import { type Finding, targetTable } from './dataplane/compare.ts';
import { measureFloods } from './dataplane/floods.ts';
import { measureHits } from './dataplane/hits.ts';
import { Lab, type LabOptions } from './dataplane/lab.ts';
import type { Measure } from './dataplane/measure.ts';
import { measureMemory } from './dataplane/memory.ts';
import { measureWorkers } from './dataplane/moreWorkers.ts';
import { measureLatency } from './dataplane/paced.ts';
import { measureEdns, measureManyNames, measureNxdomain } from './dataplane/pairs.ts';
import { measureProfile } from './dataplane/profile.ts';
import { measureTcp } from './dataplane/tcp.ts';

const MEASURES = {
  hit: { title: 'CPU per answer', measure: measureHits },
  nxdomain: { title: 'Names that do not exist', measure: measureNxdomain },
  edns: { title: 'EDNS', measure: measureEdns },
  latency: { title: 'Latency', measure: measureLatency },
  changes: { title: 'A store that changes', measure: measureBusyStore },
  workers: { title: 'More workers', measure: measureWorkers },
  tcp: { title: 'TCP', measure: measureTcp },
  floods: { title: 'Floods', measure: measureFloods },
  memory: { title: 'Memory', measure: measureMemory },
  names: { title: 'A large zone', measure: measureManyNames },
  profile: { title: 'Where the time goes', measure: measureProfile },
} as const satisfies Record<string, { title: string; measure: Measure }>;

export type MeasureName = keyof typeof MEASURES;

export const MEASURE_NAMES = Object.keys(MEASURES) as MeasureName[];

export const DEFAULT_MEASURES: readonly MeasureName[] = MEASURE_NAMES.filter(
  (name) => name !== 'profile',
);

/** Returns markdown; a measurement that fails is reported on stderr. */
export async function benchDataplane(
  options: LabOptions & { readonly measures: readonly MeasureName[] },
): Promise<string> {
  const lab = new Lab(options);
  const sections: string[] = [];
  const findings: Finding[] = [];
  try {
    for (const name of options.measures) {
      const { title, measure } = MEASURES[name];
      const began = performance.now();
      try {
        const measured = await measure(lab);
        sections.push(`### ${title}\n\n${measured.text}`);
        findings.push(...measured.findings);
      } catch (error) {
        console.error(`${name}:`, error);
        sections.push(`### ${title}\n\nNot measured: ${String(error)}.`);
        process.exitCode = 1;
      }
      console.error(`${name} took ${Math.round((performance.now() - began) / 1000)} s`);
    }
  } finally {
    await lab.close();
  }
  return [
    ...sections,
    ...(findings.length > 0 ? [`### Targets\n\n${targetTable(findings)}`] : []),
  ].join('\n\n');
}
