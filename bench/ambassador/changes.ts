/** Changes of the store while clients connect: how soon a change is in force, and whether a connect fails meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { command } from '../../test/support/ownNetwork.ts';
import { benchNames } from '../names.ts';
import { figure, percentile } from '../table.ts';
import type { Ambassador } from './measured.ts';
import { clientLines, ECHO_PORT, measureConnects, type Scene } from './scene.ts';
import { type Instance, nameOf, startVipServer, type VipServer } from './vipServer.ts';

/** Other services in the store. */
const NAMES = 10_000;
const CHANGES = 150;
const QUICK_CHANGES = 10;
/** Until code is compiled. */
const WARM_UPS = 60;
const PAUSE_MS = 25;
const CONNECTS = 100_000;
const QUICK_CONNECTS = 2_000;
const CONNECTS_SECONDS = 90;
const PER_SECOND = 100;
const SERVICE = 'changing';
const VIP_PORT = 80;
const CHANGING: Instance = { service: SERVICE, instance: '1', port: ECHO_PORT, expose: VIP_PORT };

/** A line of `links watch`. */
interface Seen {
  /** On the clock of `process.hrtime`, in milliseconds. */
  readonly at: number;
  readonly seen: string;
  /** The number of the DNS server; undefined: what a connect saw. */
  readonly dns?: number;
}

export async function measureChanges(scene: Scene): Promise<Ambassador> {
  // Entries of the client's own tries would otherwise stay for 10 s, and be looked at after each change.
  command('sysctl', '-qw', 'net.netfilter.nf_conntrack_tcp_timeout_close=1');
  const server = await startVipServer(scene, { names: benchNames(NAMES) });
  try {
    await server.put(CHANGING, scene.backends[0]);
    const address = await server.addressOf(SERVICE, VIP_PORT);
    const soon = await measureInForce(scene, server, address);
    const churn = await measureChurn(scene, server, address);
    return {
      text: `${soon.text}\n\n${churn.text}`,
      findings: [...soon.findings, ...churn.findings],
    };
  } finally {
    await server.stop();
  }
}

interface Times {
  /** Milliseconds from the call of put. */
  readonly acknowledged: number;
  readonly answered: number;
  readonly inForce: number;
}

async function measureInForce(
  scene: Scene,
  server: VipServer,
  address: string,
): Promise<Ambassador> {
  const name = `${CHANGING.instance}.${nameOf(SERVICE)}`;
  const watched = [address, `${VIP_PORT}`, name, server.dns] as const;
  const client = clientLines<Seen>(scene, scene.links, 'watch', ...watched);
  const times: Times[] = [];
  try {
    await client.next(0, ({ seen, dns }) => dns === undefined && seen === 'a');
    const changes = scene.options.isQuick ? QUICK_CHANGES : CHANGES;
    for (let i = 1; i <= WARM_UPS + changes; i++) {
      await sleep(PAUSE_MS * (0.5 + Math.random()));
      const backend = scene.backends[i % 2 === 0 ? 0 : 1];
      const from = client.lines.length;
      const startedMs = monotonicMs();
      const acknowledged = server.put(CHANGING, backend).then(() => monotonicMs() - startedMs);
      const saw = async (isIt: (line: Seen) => boolean): Promise<number> => {
        const at = await client.next(from, isIt);
        return (client.lines[at]?.value.at ?? Number.NaN) - startedMs;
      };
      const [answered, inForce] = await Promise.all([
        saw(({ dns, seen }) => dns === 0 && seen === backend.address),
        saw(({ dns, seen }) => dns === undefined && seen === backend.letter),
      ]);
      const time = { acknowledged: await acknowledged, answered, inForce };
      if (i > WARM_UPS) times.push(time);
    }
  } finally {
    client.stop();
  }
  return inForceReport(times);
}

function inForceReport(times: readonly Times[]): Ambassador {
  const of = (key: keyof Times, share: number): number =>
    percentile(
      times.map((each) => each[key]),
      share,
    );
  const both = (key: keyof Times): string =>
    `p50 ${figure(of(key, 0.5), 2)} ms, p99 ${figure(of(key, 0.99), 2)} ms`;
  return {
    text: `${times.length} puts to the server's own store, each of which moves a service: acknowledged ${both('acknowledged')}; new answer over UDP
${both('answered')}; a connect reaches the new backend ${both('inForce')}. The client tries both again and again, with a pause of 0.2 ms.`,
    findings: [
      {
        what: 'store’s change → in force ÷ store’s change → DNS answer, p50',
        ...{ target: 1.5, value: of('inForce', 0.5) / of('answered', 0.5) },
      },
    ],
  };
}

/** The clock that links.c uses. */
function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

async function measureChurn(scene: Scene, server: VipServer, address: string): Promise<Ambassador> {
  const connects = scene.options.isQuick ? QUICK_CONNECTS : CONNECTS;
  const beganMs = performance.now();
  const churn = new AbortController();
  const changing = changeOften(scene, server, churn.signal);
  const endpoint = { address, port: VIP_PORT };
  const seen = await measureConnects(scene, endpoint, CONNECTS_SECONDS, connects).finally(() =>
    churn.abort(),
  );
  const changes = await changing;
  const seconds = (performance.now() - beganMs) / 1000;
  const { count, failed, error, p50, p99, max } = seen;
  const tried = count + failed;
  const firstError = failed === 0 ? '' : ` The first failure: ${error}.`;
  return {
    text: `${figure(tried)} connects while the service moved ${figure(changes / seconds)} times a second: ${figure(failed)} failed.${firstError} Connect+echo p50
${figure(p50, 1)} µs, p99 ${figure(p99, 1)} µs, at most ${figure(max / 1000)} ms.`,
    findings: [
      {
        what: `failed connects of ${figure(tried)} while one service changes ${PER_SECOND} times/s`,
        ...{ target: 0, value: failed },
      },
    ],
  };
}

/** Returns the number of changes. */
async function changeOften(scene: Scene, server: VipServer, signal: AbortSignal): Promise<number> {
  const beganMs = performance.now();
  let changes = 0;
  while (!signal.aborted) {
    await server.put(CHANGING, scene.backends[changes++ % 2 === 0 ? 1 : 0]);
    const dueMs = beganMs + (changes * 1000) / PER_SECOND;
    await sleep(Math.max(0, dueMs - performance.now()));
  }
  return changes;
}
