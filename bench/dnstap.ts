/**
 * The part `dnstap`: what copies for a reader of dnstap add to the CPU time of an answer. `fstrm_capture` reads them and
 * throws them away; each server has a reader of its own.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { finding, ratioOf, targetTable } from './dataplane/compare.ts';
import { alternate, type Contender, type Load, saturate, warmUp } from './dataplane/contenders.ts';
import { costTable, cpuOf } from './dataplane/costTable.ts';
import { Lab, type LabOptions } from './dataplane/lab.ts';

/** Returns markdown. */
export async function benchDnstap(options: LabOptions): Promise<string> {
  const readers: ChildProcess[] = [];
  const lab = new Lab(options);
  try {
    const hits: Load = { questions: lab.questions('hits') };
    const tapped = async (sample: number) => {
      const socket = join(options.folder, `tap${sample}.sock`);
      readers.push(await startReader(socket));
      const args = ['--dnstap', `unix:${socket}`, '--dnstap-sample', `${sample}`];
      return lab.startOurs({ args });
    };
    const contenders: readonly Contender[] = [
      { title: 'off', server: await lab.ours(), load: hits },
      { title: '--dnstap', server: await tapped(1), load: hits },
      { title: '--dnstap, 1 of 100', server: await tapped(100), load: hits },
    ];
    await warmUp(lab, contenders);
    const samples = await alternate(contenders, options.rounds, (contender, round) =>
      saturate(lab, contender, round),
    );
    const [off = [], all = [], sampled = []] = samples.map((each) => cpuOf(each));
    const findings = [
      finding('--dnstap ÷ off', 1.5, ratioOf(all, off)),
      finding('--dnstap, 1 of 100 ÷ off', 1.05, ratioOf(sampled, off)),
    ];
    return `### dnstap\n\n${costTable(contenders, samples)}\n\n### Targets\n\n${targetTable(findings)}`;
  } finally {
    await lab.close();
    for (const reader of readers) reader.kill();
  }
}

/** Resolves when it listens. */
async function startReader(socket: string): Promise<ChildProcess> {
  const args = ['-t', 'protobuf:dnstap.Dnstap', '-u', socket, '-w', '/dev/null'];
  const reader = spawn('fstrm_capture', args, { stdio: 'ignore' });
  await once(reader, 'spawn');
  const deadline = performance.now() + 5_000;
  while (!existsSync(socket)) {
    if (reader.exitCode !== null || performance.now() > deadline) {
      reader.kill();
      throw new Error('fstrm_capture does not listen');
    }
    await sleep(20);
  }
  return reader;
}
