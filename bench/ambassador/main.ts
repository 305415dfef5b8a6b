/** The process that measures the ambassador: it has a network namespace of its own, in which it is the host. */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Finding, targetTable } from '../dataplane/compare.ts';
import { serveLines } from '../lineChild.ts';
import { measureChanges } from './changes.ts';
import { measureDnsCost } from './dnsCost.ts';
import { measureLeader } from './leader.ts';
import { measureLeaving } from './leaving.ts';
import { measureManyServices } from './manyServices.ts';
import type { Ambassador } from './measured.ts';
import { Scene, type SceneOptions } from './scene.ts';
import { measureWays } from './throughWays.ts';

export interface AmbassadorRequest extends SceneOptions {
  /** Of `MEASURES`; default: all. */
  readonly measures: readonly string[] | undefined;
}

export interface AmbassadorAnswer {
  /** Markdown. */
  readonly text: string;
  readonly isComplete: boolean;
}

const MEASURES: Readonly<Record<string, Measurement>> = {
  ways: { title: 'The ways of a connection', measure: measureWays },
  services: { title: 'Many services', measure: measureManyServices },
  changes: { title: 'Changes', measure: measureChanges },
  leaving: { title: 'A backend that leaves', measure: measureLeaving },
  leader: { title: 'Leaders', measure: measureLeader },
  dns: { title: 'DNS', measure: measureDnsCost },
};

interface Measurement {
  readonly title: string;
  readonly measure: (scene: Scene) => Promise<Ambassador>;
}

process.stdin.on('end', () => process.exit()); // The benchmark has ended.
await serveLines(benchAmbassador);

async function benchAmbassador(request: AmbassadorRequest): Promise<AmbassadorAnswer> {
  const scene = await Scene.open(request);
  const sections: string[] = [];
  const findings: Finding[] = [];
  let isComplete = true;
  const wanted = request.measures ?? Object.keys(MEASURES);
  try {
    for (const name of wanted) {
      const measurement = MEASURES[name];
      if (measurement === undefined) throw new Error(`--measure takes ${Object.keys(MEASURES)}`);
      const beganMs = performance.now();
      try {
        const measured = await measurement.measure(scene);
        sections.push(`### ${measurement.title}\n\n${measured.text}`);
        findings.push(...measured.findings);
      } catch (error) {
        console.error(`${name}:`, error);
        sections.push(`### ${measurement.title}\n\nNot measured: ${String(error)}.`);
        isComplete = false;
      }
      console.error(`${name} took ${Math.round((performance.now() - beganMs) / 1000)} s`);
      await sleep(0);
    }
  } finally {
    scene.close();
  }
  const targets = findings.length > 0 ? [`### Targets\n\n${targetTable(findings)}`] : [];
  return { text: [...sections, ...targets].join('\n\n'), isComplete };
}
