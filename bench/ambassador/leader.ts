/** The leader of a service leaves: how soon every server names the next one. */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openKeyWriter } from '../dataplane/keyWriter.ts';
import { startBenchEtcd } from '../etcd.ts';
import { addressOf, BENCH_FOLDER, BENCH_PARENT, serviceValue } from '../names.ts';
import { isInstalled } from '../process.ts';
import { startSoradns, untilReady } from '../soradns.ts';
import { figure, percentile } from '../table.ts';
import type { Ambassador } from './measured.ts';
import { clientLines, HOST_ADDRESS, type Scene } from './scene.ts';

const SERVERS = 3;
const INSTANCES = 3;
const CHANGES = 40;
const QUICK_CHANGES = 5;
const PAUSE_MS = 50;
const FIRST_PORT = 5200;
const TARGET_MS = 150;
const WHAT = 'leader changes → every server says so, p50';

/** A line of `links watch`. */
interface Seen {
  readonly at: number;
  readonly dns: number;
  readonly seen: string;
}

export async function measureLeader(scene: Scene): Promise<Ambassador> {
  const finding = { what: WHAT, target: TARGET_MS, unit: 'ms' };
  if (!isInstalled('etcd')) {
    const reason = 'etcd is not installed';
    return {
      text: `Not measured: ${reason}.`,
      findings: [{ ...finding, value: Number.NaN, reason }],
    };
  }
  const { folder } = scene.options;
  const etcd = await startBenchEtcd(join(folder, 'leader-etcd'));
  const closing = [() => etcd.stop()];
  try {
    const ports = Array.from({ length: SERVERS }, (_, i) => FIRST_PORT + i);
    for (const port of ports) {
      const server = await startSoradns({
        ...{ port, store: etcd.store, cwd: folder },
        args: ['--no-rec', '--addr', `${HOST_ADDRESS}:${port}`],
      });
      closing.unshift(() => server.stop());
      await untilReady(server);
    }
    const times = await measure(scene, etcd.url, ports);
    const [p50, most] = [percentile(times, 0.5), Math.max(...times)];
    return {
      text: `${figure(times.length)} times the oldest of ${INSTANCES} instances leaves the etcd of ${SERVERS} servers: all of them name the next one after p50
${figure(p50, 1)} ms, p99 ${figure(percentile(times, 0.99), 1)} ms, at most ${figure(most, 1)} ms from the call of the deletion.`,
      findings: [{ ...finding, value: p50 }],
    };
  } finally {
    for (const close of closing) await close();
  }
}

async function measure(scene: Scene, hosts: string, ports: readonly number[]): Promise<number[]> {
  const writer = openKeyWriter({ kind: 'etcd', hosts });
  const keyOf = (instance: number): string => `${BENCH_FOLDER}/led/${instance}`;
  const put = (instance: number): Promise<void> =>
    writer.write({ kind: 'put', key: keyOf(instance), value: serviceValue(addressOf(instance)) });
  for (let instance = 0; instance < INSTANCES; instance++) await put(instance);
  const servers = ports.map((port) => `${HOST_ADDRESS}:${port}`);
  const name = `leader.led.${BENCH_PARENT}`;
  const watched = ['watch', '-', '0', name, ...servers] as const;
  const client = clientLines<Seen>(scene, scene.links, ...watched);
  /** Waits until every server names the instance; returns when the last one did. */
  const allName = async (from: number, instance: number): Promise<number> => {
    const seen = ports.map((_, server) =>
      client.next(from, (line) => line.dns === server && line.seen === addressOf(instance)),
    );
    const lines = (await Promise.all(seen)).map((at) => client.lines[at]?.value.at ?? Number.NaN);
    return Math.max(...lines);
  };
  const times: number[] = [];
  try {
    await allName(0, 0);
    const changes = scene.options.isQuick ? QUICK_CHANGES : CHANGES;
    for (let leader = 0; leader < changes; leader++) {
      await sleep(PAUSE_MS);
      const from = client.lines.length;
      const startedMs = Number(process.hrtime.bigint()) / 1e6;
      await writer.write({ kind: 'delete', key: keyOf(leader) });
      times.push((await allName(from, leader + 1)) - startedMs);
      await put(leader + INSTANCES);
    }
  } finally {
    client.stop();
    writer.close();
  }
  return times;
}
