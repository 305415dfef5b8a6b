/** What each way costs a connection: the time of an echo and of a connect, throughput, and CPU time of proxies. */
import { type Finding, finding, ratioOf, withRange } from '../dataplane/compare.ts';
import { alternate } from '../dataplane/contenders.ts';
import { figure, markdown } from '../table.ts';
import { type Ambassador, NOT_MEASURED } from './measured.ts';
import { measureConnects, measureEcho, measureThroughput, type Scene } from './scene.ts';
import { type MissingWay, openWays, type Way, type WayName } from './ways.ts';

interface WaySample {
  /** In microseconds. */
  readonly echo: number;
  readonly connect: number;
  readonly gigabits: number;
  /** CPU seconds of the proxy for a gigabyte. */
  readonly cpu: number;
}

const SECONDS = { echo: 0.4, connect: 0.5, send: 0.8 };
const QUICK_SECONDS = { echo: 0.1, connect: 0.1, send: 0.1 };
const WARM_UP_SECONDS = 1;
const QUIET_TIMEOUT_MS = 300;

export async function measureWays(scene: Scene): Promise<Ambassador> {
  const opened = await openWays(scene);
  const ways = opened.filter((way): way is Way => !('missing' in way));
  const missing = opened.filter((way): way is MissingWay => 'missing' in way);
  try {
    for (const way of ways) await warmUp(scene, way);
    const samples = await alternate(
      ways,
      scene.options.rounds,
      (way) => measureWay(scene, way),
      QUIET_TIMEOUT_MS,
    );
    return report(ways, samples, missing);
  } finally {
    for (const way of ways) await way.stop();
  }
}

/** Until code is compiled. A proxy may not listen yet. */
async function warmUp(scene: Scene, way: Way): Promise<void> {
  const echo = { address: way.address, port: way.echoPort };
  for (let time = 0; ; time++) {
    const { failed, error } = await measureConnects(scene, echo, 1, 1);
    if (failed === 0) break;
    if (time === 50 || way.proxies.some((proxy) => proxy.hasEnded()))
      throw new Error(`${way.title}: ${error} ${way.proxies.map((proxy) => proxy.output())}`);
    await new Promise((done) => setTimeout(done, 100));
  }
  await measureConnects(scene, echo, WARM_UP_SECONDS);
  await measureThroughput(scene, { ...echo, port: way.sinkPort }, WARM_UP_SECONDS);
}

async function measureWay(scene: Scene, way: Way): Promise<WaySample> {
  const { address, echoPort, sinkPort, proxies } = way;
  const seconds = scene.options.isQuick ? QUICK_SECONDS : SECONDS;
  const echo = await measureEcho(scene, { address, port: echoPort }, seconds.echo);
  const connect = await measureConnects(scene, { address, port: echoPort }, seconds.connect);
  const cpuSeconds = () => proxies.reduce((sum, proxy) => sum + proxy.cpuSeconds(), 0);
  const before = cpuSeconds();
  const sent = await measureThroughput(scene, { address, port: sinkPort }, seconds.send);
  const sample = {
    ...{ echo: echo.p50, connect: connect.p50, gigabits: sent.gigabits },
    // Of processes that have ended, such as socat's children, the CPU time is not known.
    cpu:
      proxies.length === 0 || way.name === 'socat'
        ? Number.NaN
        : (cpuSeconds() - before) / sent.gigabytes,
  };
  console.error(
    `${way.title}: echo ${figure(sample.echo, 1)} µs, connect ${figure(sample.connect, 1)} µs, ${figure(sample.gigabits, 1)} Gbit/s, ${figure(sample.cpu, 2)} s/GB`,
  );
  return sample;
}

function report(
  ways: readonly Way[],
  samples: readonly (readonly WaySample[])[],
  missing: readonly MissingWay[],
): Ambassador {
  const of = (name: WayName, key: keyof WaySample): readonly number[] => {
    const index = ways.findIndex((way) => way.name === name);
    return (samples[index] ?? []).map((sample) => sample[key]);
  };
  const row = (
    what: string,
    key: keyof WaySample,
    [a, b]: readonly [WayName, WayName],
    target: number,
  ): Finding => {
    const reason = missing.find(({ name }) => name === a || name === b)?.missing;
    return {
      ...finding(what, target, ratioOf(of(a, key), of(b, key))),
      ...(key === 'gigabits' && { isLeast: true }),
      ...(reason !== undefined && { reason }),
    };
  };
  return {
    text: wayTable(ways, samples, missing),
    findings: [
      row('echo p50 through a virtual address (nft) ÷ direct', 'echo', ['nft', 'direct'], 1.1),
      row('connect+echo p50 ÷ direct', 'connect', ['nft', 'direct'], 1.2),
      row('throughput ÷ direct', 'gigabits', ['nft', 'direct'], 0.9),
      row('connect+echo ÷ HAProxy’s', 'connect', ['nft', 'haproxy'], 0.45),
      row('connect+echo ÷ docker-proxy’s, same host', 'connect', ['nft', 'docker-proxy'], 0.35),
      row('proxy, splice: connect+echo ÷ HAProxy’s', 'connect', ['splice', 'haproxy'], 0.8),
      row('proxy, splice: CPU per GB ÷ Node pipe’s', 'cpu', ['splice', 'pipe'], 0.5),
      row(
        'proxy, splice: throughput ÷ HAProxy’s with splice',
        'gigabits',
        ['splice', 'haproxy'],
        0.9,
      ),
      row('proxy, portable: connect+echo ÷ socat’s', 'connect', ['portable', 'socat'], 0.45),
      row('proxy, portable: throughput ÷ socat’s', 'gigabits', ['portable', 'socat'], 2),
    ],
  };
}

function wayTable(
  ways: readonly Way[],
  samples: readonly (readonly WaySample[])[],
  missing: readonly MissingWay[],
): string {
  const rows = ways.map(({ title }, i) => {
    const of = (key: keyof WaySample, decimals: number): string =>
      withRange(
        (samples[i] ?? []).map((sample) => sample[key]),
        decimals,
      );
    return [title, of('echo', 1), of('connect', 1), of('gigabits', 1), of('cpu', 2)];
  });
  const absent = missing.map(({ name, missing: reason }) => [
    `${name}: ${reason}`,
    ...Array.from({ length: 4 }, () => NOT_MEASURED),
  ]);
  const head = ['way', 'echo p50 µs', 'connect+echo p50 µs', 'Gbit/s', 'CPU s/GB'];
  return markdown([head, ...rows, ...absent]);
}
