/** The cost for other clients' outside names when one client queries for names of silent servers. */
import { setTimeout as sleep } from 'node:timers/promises';
import { startUpstream } from '../../test/support/upstream.ts';
import type { AttackOptions, AttackResult } from '../hostile.ts';
import { startSoradns, untilReady } from '../soradns.ts';
import { figure } from '../table.ts';
import { startFlood } from './flood.ts';

const RATES = [60, 200, 1_500];
const OTHERS_PER_SECOND = 50;
const SECONDS = 6;

export async function benchForwarding({ folder, isQuick }: AttackOptions): Promise<AttackResult[]> {
  const upstream = await startUpstream({
    behaviour: ({ name }) => (/silent/i.test(name) ? { drop: true } : { delayMs: 20 }),
  });
  const server = await startSoradns({
    store: 'memory:',
    cwd: folder,
    args: ['--nameservers', `127.0.0.1:${upstream.port}`],
  });
  try {
    await untilReady(server);
    const rows: AttackResult[] = [];
    for (const rate of isQuick ? RATES.slice(-1) : RATES)
      rows.push(await othersAt(server.port, rate));
    return rows;
  } finally {
    await server.stop();
    await upstream.close();
  }
}

async function othersAt(port: number, perSecond: number): Promise<AttackResult> {
  const flood = await startFlood({
    ...{ port, from: '127.0.0.66', perSecond, drainMs: 200 },
    name: (i) => `n${i}.r${perSecond}.silent.example`,
  });
  // Until the flood has used up its share of the forwarder.
  await sleep(2_000);
  const others = await startFlood({
    ...{ port, from: '127.0.0.7', perSecond: OTHERS_PER_SECOND },
    name: (i) => `n${i}.r${perSecond}.other.example`,
  });
  await sleep(SECONDS * 1_000);
  const { sent, rcodes } = await others.stop();
  await flood.stop();
  const answered = rcodes.NXDOMAIN ?? 0;
  const failed = sent - answered;
  return {
    what: `other clients' uncached names that fail at ${figure(perSecond)} silent queries a second (${failed} of ${sent})`,
    unit: '%',
    value: (100 * failed) / sent,
    target: 0,
  };
}
