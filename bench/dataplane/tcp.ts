/** Server CPU per answer over TCP, on connections that stay open. */
import type { LoadResult } from '../generator/load.ts';
import type { TcpLoadSpec } from '../generator/tcpLoad.ts';
import { GENERATOR_CORE } from '../process.ts';
import { finding, type Ratio, ratioOf } from './compare.ts';
import {
  alternate,
  type Contender,
  logSample,
  type Sample,
  sampleOf,
  warmUp,
} from './contenders.ts';
import { costTable, cpuOf } from './costTable.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

const CONNECTIONS = 100;
/** Pending queries on each connection: pipelined ones, and one at a time. */
const WINDOWS = [16, 1];
const COMPARED = ['Knot', 'NSD'];
const WARM_UP_ROUND = -1;
const TARGET = 0.5;

export async function measureTcp(lab: Lab): Promise<Measured> {
  const questions = lab.questions('hits');
  const peers = (await lab.peers()).filter(({ title }) =>
    COMPARED.some((name) => title.startsWith(name)),
  );
  const contenders = [await lab.ours(), ...peers].flatMap((server) =>
    WINDOWS.map(
      (window): Contender => ({
        title: `${server.title}, ${window} pending`,
        server,
        load: { questions, window },
      }),
    ),
  );
  const generator = lab.child<TcpLoadSpec, LoadResult>('generator/tcpMain.ts', GENERATOR_CORE);
  const ask = async (contender: Contender, round: number): Promise<Sample> => {
    const { server, load, title } = contender;
    const sample = await sampleOf(contender, () =>
      generator.request({
        ...{ port: server.port, seconds: lab.options.seconds, questions: questions.path },
        ...{ connections: CONNECTIONS, window: load.window ?? 1 },
      }),
    );
    logSample(title, round, sample);
    return sample;
  };
  await warmUp(lab, contenders);
  for (const contender of contenders) await ask(contender, WARM_UP_ROUND);
  const samples = await alternate(contenders, lab.options.rounds, ask);
  const knot = contenders.findIndex(({ title }) => title.startsWith('Knot'));
  // Answers per second of CPU time: the inverse of the CPU time per answer.
  const perCore = (window: number): Ratio => {
    const i = WINDOWS.indexOf(window);
    return ratioOf(cpuOf(samples[knot + i]), cpuOf(samples[i]));
  };
  return {
    text: `${costTable(contenders, samples)}

${CONNECTIONS} connections that stay open, with so many pending queries on each.`,
    findings: WINDOWS.map((window) => ({
      ...finding(
        `TCP answers per core, ${window} pending on each connection ÷ Knot's`,
        TARGET,
        perCore(window),
      ),
      isLeast: true,
    })),
  };
}
