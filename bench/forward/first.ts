/** First answers: how long a question takes that no cache knows, through each server and asked of the upstream itself. */
import type { Finding } from '../dataplane/compare.ts';
import { alternate } from '../dataplane/contenders.ts';
import type { Lab, Server } from '../dataplane/lab.ts';
import { LATENCY_HEAD, type Latency, latencyRow, timed } from '../dataplane/paced.ts';
import { markdown, median } from '../table.ts';
import { freshQuestions, type Upstream } from './outside.ts';

/** What a server may add at the median. */
const ADDED_MICROS = 200;

export async function measureFirst(
  lab: Lab,
  servers: readonly Server[],
  upstream: Upstream,
): Promise<{ readonly text: string; readonly findings: readonly Finding[] }> {
  const direct: Server = { title: 'the upstream itself', ...upstream };
  const contenders = [...servers, direct];
  const questions = freshQuestions(lab).path;
  const samples: Latency[][] = await alternate(
    contenders,
    lab.options.rounds,
    async (server, round) => {
      // It also seeds the names: each round asks for others.
      const first = (round + 1) * 1_000_003;
      const stream = { questions, pace: { kind: 'single' } as const, first };
      const title = `${server.title}, first answers, round ${round + 1}`;
      return (await timed(lab, server, title, [stream])).latency;
    },
  );
  const p50 = (index: number): number => median((samples[index] ?? []).map((sample) => sample.p50));
  const rows = contenders.map(({ title }, index) => latencyRow(title, samples[index] ?? []));
  const added = {
    ...{ what: 'first answer, p50, beyond that of the upstream', unit: 'µs' },
    ...{ target: ADDED_MICROS, value: p50(0) - p50(contenders.length - 1) },
  };
  return { text: markdown([LATENCY_HEAD, ...rows]), findings: [added] };
}
