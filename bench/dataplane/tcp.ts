/** Server CPU per answer over TCP, on connections that stay open. */
import type { LoadResult } from '../generator/load.ts';
import type { TcpLoadSpec } from '../generator/tcpLoad.ts';
import { GENERATOR_CORE } from '../process.ts';
import { figure } from '../table.ts';
import { finding, ratioOf } from './compare.ts';
import { alternate, type Contender, logSample, sampleOf, warmUp } from './contenders.ts';
import { costTable, cpuOf } from './costTable.ts';
import type { Lab } from './lab.ts';
import type { Measured } from './measure.ts';

const CONNECTIONS = 100;
/** Pending queries on each connection. */
const WINDOW = 16;
const COMPARED = ['Knot', 'NSD'];
const WARM_UP_ROUND = -1;

export async function measureTcp(lab: Lab): Promise<Measured> {
  const load = { questions: lab.questions('hits') };
  const peers = (await lab.peers()).filter(({ title }) =>
    COMPARED.some((name) => title.startsWith(name)),
  );
  const contenders = [await lab.ours(), ...peers].map(
    (server): Contender => ({ title: server.title, server, load }),
  );
  const generator = lab.child<TcpLoadSpec, LoadResult>('generator/tcpMain.ts', GENERATOR_CORE);
  const ask = async (contender: Contender, round: number) => {
    const { port } = contender.server;
    const sample = await sampleOf(contender, () =>
      generator.request({
        ...{ port, seconds: lab.options.seconds, questions: load.questions.path },
        ...{ connections: CONNECTIONS, window: WINDOW },
      }),
    );
    logSample(`${contender.title} over TCP`, round, sample);
    return sample;
  };
  await warmUp(lab, contenders);
  for (const contender of contenders) await ask(contender, WARM_UP_ROUND);
  const samples = await alternate(contenders, lab.options.rounds, ask);
  const knot = contenders.findIndex(({ title }) => title.startsWith('Knot'));
  // Answers per second of CPU: the inverse of the CPU per answer.
  return {
    text: `${costTable(contenders, samples)}

${CONNECTIONS} connections, ${figure(WINDOW)} pending queries on each.`,
    findings: [
      {
        ...finding(
          "TCP answers per core ÷ Knot's",
          0.5,
          ratioOf(cpuOf(samples[knot]), cpuOf(samples[0])),
        ),
        isLeast: true,
      },
    ],
  };
}
