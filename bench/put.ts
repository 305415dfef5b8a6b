/** The time from a put into etcd until the new answer over UDP. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startBenchEtcd } from './etcd.ts';
import { addressOf, benchNames, serviceValue } from './names.ts';
import { openQueryClient, POLL_MS, untilAnswers } from './queryClient.ts';
import { startSoradns, untilReady } from './soradns.ts';
import { figure, markdown, percentile } from './table.ts';

/** Number of services, of which one changes. */
const NAMES = 10_000;
const PAUSE_MS = 20;

interface Sample {
  /** Milliseconds from the call of put. */
  readonly acknowledged: number;
  readonly visible: number;
}

export async function benchPut(options: { folder: string; puts: number }): Promise<string> {
  const etcd = await startBenchEtcd(join(options.folder, 'put-etcd'));
  try {
    await etcd.fill(benchNames(NAMES));
    const server = await startSoradns({ store: etcd.store, cwd: options.folder });
    try {
      await untilReady(server);
      const samples = await measure(etcd.put, server.port, options.puts);
      return report(samples);
    } finally {
      await server.stop();
    }
  } finally {
    await etcd.stop();
  }
}

async function measure(
  put: (key: string, value: string) => Promise<void>,
  port: number,
  puts: number,
): Promise<Sample[]> {
  const client = await openQueryClient(port);
  const [changing] = benchNames(1);
  if (changing === undefined) throw new Error('no name');
  await untilAnswers(client, changing.name, changing.address);
  const samples: Sample[] = [];
  for (let index = 1; index <= puts; index++) {
    const address = addressOf(NAMES + index);
    const startedMs = performance.now();
    const acknowledged = put(changing.key, serviceValue(address)).then(
      () => performance.now() - startedMs,
    );
    await untilAnswers(client, changing.name, address, 30_000);
    const visible = performance.now() - startedMs;
    samples.push({ acknowledged: await acknowledged, visible });
    await sleep(Math.random() * PAUSE_MS);
  }
  client.close();
  return samples;
}

function report(samples: readonly Sample[]): string {
  const row = (title: string, values: readonly number[]): string[] => [
    title,
    ...[0.5, 0.99, 1].map((share) => figure(percentile(values, share), 2)),
  ];
  const table = markdown([
    ['from an etcd put', 'p50 ms', 'p99 ms', 'max ms'],
    row(
      "issued → etcd's acknowledgement",
      samples.map(({ acknowledged }) => acknowledged),
    ),
    row(
      'issued → new answer over UDP',
      samples.map(({ visible }) => visible),
    ),
    row(
      'acknowledged → new answer over UDP',
      samples.map(({ acknowledged, visible }) => Math.max(0, visible - acknowledged)),
    ),
  ]);
  return `${table}

${figure(samples.length)} puts to one of ${figure(NAMES)} keys; the name is queried every ${POLL_MS} ms.`;
}
