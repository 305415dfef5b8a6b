/** Where the CPU time of our server goes, by perf(1): kernel, libraries and compiled JavaScript side by side. */
import { execFile, spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { isInstalled } from '../process.ts';
import { busyContender, openBusyStore, warmUpChanging, whileChanging } from './busyStore.ts';
import { type Contender, saturate, warmUp } from './contenders.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

const LINES = 45;
const MAX_BUFFER = 64 << 20;

const NODE_ARGS = ['--perf-basic-prof'];

export async function measureProfile(lab: Lab): Promise<Measured> {
  if (!isInstalled('perf')) throw new Error('perf is not installed');
  const texts: string[] = [];
  const server = await lab.startOurs({ nodeArgs: NODE_ARGS });
  const hits: Contender = { title: 'hits', server, load: { questions: lab.questions('hits') } };
  const below: Contender = {
    ...{ title: 'NXDOMAIN', server },
    load: { questions: lab.questions('below'), expects: 'nxdomain' },
  };
  for (const contender of [
    hits,
    { ...hits, title: 'EDNS', load: { ...hits.load, edns: true } },
    below,
  ]) {
    await warmUp(lab, [contender]);
    texts.push(await profile(lab, contender));
  }
  const store = await openBusyStore(lab, { nodeArgs: NODE_ARGS });
  const contender = busyContender(lab, store);
  await warmUp(lab, [contender]);
  await warmUpChanging(lab, store);
  const { result } = await whileChanging(lab, store, () => profile(lab, contender));
  return { text: [...texts, result].join('\n\n'), findings: [] };
}

async function profile(lab: Lab, contender: Contender): Promise<string> {
  const { pid } = contender.server.running;
  lab.atEnd(async () => rmSync(`/tmp/perf-${pid}.map`, { force: true }));
  const data = join(lab.newFolder('perf'), 'data');
  const seconds = String(lab.options.seconds);
  const recording = promisify(execFile)('perf', [
    ...['record', '-e', 'cpu-clock', '-F', '4999', '-p', String(pid), '-o', data],
    ...['--', 'sleep', seconds],
  ]);
  await saturate(lab, contender, 0);
  await recording;
  const by = (sort: string, least: string): string =>
    spawnSync(
      'perf',
      ['report', '-i', data, '--stdio', '--no-children', '--sort', sort, '--percent-limit', least],
      { encoding: 'utf8', maxBuffer: MAX_BUFFER },
    ).stdout;
  const lines = (text: string): string[] =>
    text
      .split('\n')
      .filter((line) => line.trim() !== '' && !line.startsWith('#'))
      .map((line) => line.replace(/(\s+-)*\s*$/, ''));
  const report = [...lines(by('pid,dso', '0.5')), '', ...lines(by('symbol', '0.3'))];
  return [`${contender.title}:`, '```', ...report.slice(0, LINES), '```'].join('\n');
}
