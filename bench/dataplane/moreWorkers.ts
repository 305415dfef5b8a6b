/** The cost of more workers on more cores for each answer: contention, not the machine's other load. */
import { availableParallelism } from 'node:os';
import type { LoadResult, LoadSpec } from '../generator/load.ts';
import { GENERATOR_CORE, SERVER_CORE } from '../process.ts';
import { figure } from '../table.ts';
import { type Finding, finding, ratioOf } from './compare.ts';
import { alternate, type Contender, saturate, warmUp } from './contenders.ts';
import { costTable, cpuOf } from './costTable.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

/** Each has as many cores as workers, as far as the machine has them. */
const WORKERS = [1, 2, 4];
/** The kernel assigns each client to a worker by its port. With this many clients all workers have some. */
const SOCKETS = 16;
/** With this window the batches of each worker are full, even if the generator uses its core for a while. */
const WINDOW = 32;
const TARGET = 1.15;

export async function measureWorkers(lab: Lab): Promise<Measured> {
  const machineCores = availableParallelism();
  const load = { questions: lab.questions('hits'), sockets: SOCKETS, window: WINDOW };
  const counts = WORKERS.filter((workers) => workers <= machineCores);
  const contenders: Contender[] = [];
  for (const workers of counts) {
    const cores = Array.from({ length: workers }, (_, i) => SERVER_CORE + i).join();
    const server = workers === 1 ? await lab.ours() : await lab.startOurs({ workers, cores });
    contenders.push({ title: `${figure(workers)} workers, as many cores`, server, load });
  }
  const most = Math.max(...counts);
  // The generator has a core of its own, if the largest server leaves one.
  const hasOwnCore = machineCores > most;
  const generator = lab.child<LoadSpec, LoadResult>(
    'generator/main.ts',
    hasOwnCore ? Math.max(most, GENERATOR_CORE) : undefined,
  );
  await warmUp(lab, contenders);
  const samples = await alternate(contenders, lab.options.rounds, (contender, round) =>
    saturate(lab, contender, round, generator),
  );
  const shared = hasOwnCore
    ? ''
    : '\n\nThe generator may run on every core, as the largest server uses all of them.';
  return {
    text: `${costTable(contenders, samples)}${shared}`,
    findings: contenders.slice(1).map(({ title }, i): Finding => {
      const ratio = ratioOf(cpuOf(samples[i + 1]), cpuOf(samples[0]));
      return finding(`CPU per answer, ${title} ÷ one`, TARGET, ratio);
    }),
  };
}
