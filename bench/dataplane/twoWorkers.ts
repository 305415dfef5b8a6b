/** The cost of a second worker on a second core for each answer: contention, not the machine's other load. */
import { availableParallelism } from 'node:os';
import type { LoadResult, LoadSpec } from '../generator/load.ts';
import { GENERATOR_CORE, SERVER_CORE } from '../process.ts';
import { finding, ratioOf } from './compare.ts';
import { alternate, type Contender, saturate, warmUp } from './contenders.ts';
import { costTable, cpuOf } from './costTable.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

const CORES = `${SERVER_CORE},${GENERATOR_CORE}`;
/** The kernel assigns each client to a worker by its port. With this many clients both workers have some. */
const SOCKETS = 16;
/** With this window the batches of each worker are full, even if the generator uses its core for a while. */
const WINDOW = 32;

export async function measureTwoWorkers(lab: Lab): Promise<Measured> {
  const load = { questions: lab.questions('hits'), sockets: SOCKETS, window: WINDOW };
  const two: Contender = {
    ...{ title: 'two workers on two cores', load },
    server: await lab.startOurs({ workers: 2, cores: CORES }),
  };
  const one: Contender = { title: 'one worker on one core', load, server: await lab.ours() };
  const threeCores = availableParallelism() > 2;
  const generator = lab.child<LoadSpec, LoadResult>(
    'generator/main.ts',
    threeCores ? GENERATOR_CORE + 1 : undefined,
  );
  await warmUp(lab, [one, two]);
  const samples = await alternate([one, two], lab.options.rounds, (contender, round) =>
    saturate(lab, contender, round, generator),
  );
  const shared = threeCores
    ? ''
    : '\n\nThe generator may run on either core, as there is no third.';
  return {
    text: `${costTable([one, two], samples)}${shared}`,
    findings: [
      finding(
        'two workers on two cores ÷ one',
        1.15,
        ratioOf(cpuOf(samples[1]), cpuOf(samples[0])),
      ),
    ],
  };
}
