/** A backend leaves for good, with its host: how soon its clients know. */
import { setTimeout as sleep } from 'node:timers/promises';
import { withRange } from '../dataplane/compare.ts';
import { figure, median } from '../table.ts';
import type { Ambassador } from './measured.ts';
import { clientLines, FLOW_PORT, type Scene } from './scene.ts';
import { type Instance, startVipServer, type VipServer } from './vipServer.ts';

const DRAIN_SECONDS = 1;
const EVERY_MS = 20;
const SECONDS = 30;
const AFTER_DRAIN_MS = 2_000;
const SETTLING_MS = 200;
const BUDGET_ROUNDS = 7;

/** A line of flow.c. */
interface Seen {
  readonly reply?: string;
  readonly error?: string;
}

const STREAM: Instance = { service: 'leaving', instance: 's', port: FLOW_PORT, expose: FLOW_PORT };
const DATAGRAMS: Instance = { ...STREAM, instance: 'd', expose: `${FLOW_PORT}/udp` };

export async function measureLeaving(scene: Scene): Promise<Ambassador> {
  const args = ['--ambassador-drain', String(DRAIN_SECONDS)];
  const server = await startVipServer(scene, { args });
  const resets: number[] = [];
  const moves: number[] = [];
  const errors = new Set<string>();
  try {
    for (let round = 0; round < Math.min(scene.options.rounds, BUDGET_ROUNDS); round++) {
      const left = await measureLoss(scene, server);
      resets.push(left.resetMs);
      errors.add(left.error);
      moves.push(left.movedMs);
    }
  } finally {
    await server.stop();
  }
  return {
    text: `The host of a backend is taken off the network, and its records move to another one. TCP, with \`--drain ${DRAIN_SECONDS}\`: the client knows after
${withRange(resets, 0)} ms (${[...errors].join(', ')}). UDP: the same socket gets an answer of another backend after ${withRange(moves, 0)} ms; the client waits
${EVERY_MS} ms for each answer.`,
    findings: [
      {
        what: `backend gone for good → client knows (RST), drain ${figure(DRAIN_SECONDS)} s`,
        ...{ target: DRAIN_SECONDS * 1000 + AFTER_DRAIN_MS, unit: 'ms', value: median(resets) },
      },
      {
        what: 'UDP socket moves after its backend’s withdrawal',
        ...{ target: 100, unit: 'ms', value: median(moves) },
      },
    ],
  };
}

async function measureLoss(scene: Scene, server: VipServer) {
  const [leaving, staying] = scene.backends;
  for (const each of [STREAM, DATAGRAMS]) await server.put(each, leaving);
  const address = await server.addressOf(STREAM.service, FLOW_PORT);
  const client = (kind: 'stream' | 'datagrams') => {
    const args = [kind, address, `${FLOW_PORT}`, `${EVERY_MS}`, `${SECONDS}`] as const;
    return clientLines<Seen>(scene, scene.hosts.flow, ...args);
  };
  const [stream, datagrams] = [client('stream'), client('datagrams')];
  const isOf =
    (letter: string) =>
    ({ reply }: Seen) =>
      reply?.startsWith(`${letter} `) === true;
  try {
    await stream.next(0, isOf(leaving.letter));
    await datagrams.next(0, isOf(leaving.letter));
    scene.hosts.disconnect(leaving.number);
    const startedMs = performance.now();
    // A put replaces the record: the service always has a backend.
    await Promise.all([DATAGRAMS, STREAM].map((each) => server.put(each, staying)));
    const [moved, reset] = await Promise.all([
      datagrams.next(0, isOf(staying.letter)),
      stream.next(0, ({ error }) => error !== undefined),
    ]);
    const line = stream.lines[reset];
    return {
      movedMs: (datagrams.lines[moved]?.arrivedMs ?? Number.NaN) - startedMs,
      resetMs: (line?.arrivedMs ?? Number.NaN) - startedMs,
      error: line?.value.error ?? '',
    };
  } finally {
    stream.stop();
    datagrams.stop();
    scene.hosts.reconnect(leaving.number);
    await sleep(SETTLING_MS);
  }
}
