/** A minute of connects through virtual addresses, links and the proxy while containers come and go on two hosts. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { MAIN } from '../support/cli.ts';
import { type CliProcess, startCli } from '../support/cliProcess.ts';
import { type ClientPlace, connectOften, serveFlows } from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { reportCount } from '../support/measurement.ts';
import { until } from '../support/until.ts';
import { virtualAddress } from '../support/virtualAddress.ts';

const hosts = useHosts({ options: ['--vip', '--ambassador-drain', '2'] });
const SECONDS = Number(process.env.SORADNS_SOAK_SECONDS ?? 60);
const PORT = 80;
const PROXY_PORT = 8100;
/** How long an instance serves after SIGTERM: longer than etcd's members on a loaded machine need for an election. */
const GRACE_SECONDS = '8';
/** Of one client; several follow one another. */
const CONNECTS = 2_000;

/** Without a health check Docker's start event may come before the program listens. */
const CHECK = `flow connects 127.0.0.1 ${PORT} 1 0 | grep -q '"failed":0'`;
const HEALTHY = ['--health-cmd', CHECK, '--health-interval', '500ms'];

/** A service with two instances, of which the older one is replaced again and again. */
class ChangingService {
  readonly kind: string;
  readonly name: string;
  readonly #running: { readonly host: Host; readonly id: string }[] = [];
  started = 0;

  constructor(kind: string) {
    this.kind = kind;
    this.name = `${kind}.skydns.local`;
  }

  async start(host: Host): Promise<void> {
    const text = `${this.kind}${++this.started}`;
    const id = await serveFlows(host, {
      ...{ text, ports: [PORT], publish: [`${PORT}/tcp`], args: HEALTHY },
      env: { DNS_NAME: `${text}.${this.name}`, DNS_VIP: 'auto', FLOW_GRACE_SECONDS: GRACE_SECONDS },
    });
    this.#running.push({ host, id });
  }

  /** Moves the older instance to the host. */
  async moveTo(host: Host): Promise<void> {
    await this.start(host);
    const isHealthy = async (): Promise<boolean> => {
      const { id } = this.#running.at(-1) ?? assert.fail('no instance');
      return (
        (await host.dockerd.docker('inspect', '--format', '{{.State.Health.Status}}', id)) ===
        'healthy'
      );
    };
    await until(`the new ${this.kind} is healthy`, isHealthy, 30_000);
    const oldest = this.#running.shift();
    await oldest?.host.dockerd.docker('stop', '--time', '20', oldest.id);
  }
}

/** Connects until the time is over; counts the replies by the service that answered, and the failures. */
async function connectUntil(
  host: Host,
  place: ClientPlace,
  to: readonly [name: string, port: number],
  untilMs: number,
): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  while (Date.now() < untilMs) {
    const { replies, failed, error } = await connectOften(host, place, to, {
      count: CONNECTS,
      pauseMs: 1,
    });
    for (const [text, count] of Object.entries(replies)) {
      const kind = text.replace(/\d+$/, '');
      seen[kind] = (seen[kind] ?? 0) + count;
    }
    if (failed > 0) seen[`failed: ${error}`] = (seen[`failed: ${error}`] ?? 0) + failed;
  }
  return seen;
}

function startProxy(host: Host, service: string): CliProcess {
  const route = `${host.address}:${PROXY_PORT}=${service}:${PORT}`;
  const store = ['--store', `etcd://${host.address}:2379`];
  const program = host.dockerd.onHost(process.execPath, MAIN);
  return startCli(['ambassador', route, ...store], {}, program);
}

test(
  'No connection fails or reaches another service while the instances of three services move',
  hosts.options,
  hosts.on(async ({ a, b }) => {
    const web = new ChangingService('web');
    const db = new ChangingService('db');
    const cache = new ChangingService('cache');
    const services = [web, db, cache];
    for (const service of services) for (const host of [a, b]) await service.start(host);
    const proxy = startProxy(a, cache.name);
    try {
      await virtualAddress(a, web.name);
      const env = { [`DNS_LINK_${PORT}`]: db.name };
      const linked = { kind: 'exec', id: await a.dockerd.run({ image: 'peer', env }) } as const;
      const plain = { kind: 'container' } as const;
      const ways = [
        [web, plain, [web.name, PORT]],
        [db, linked, [a.bridge, PORT]],
        [cache, plain, [a.address, PROXY_PORT]],
      ] as const;
      for (const [{ kind }, place, to] of ways)
        await until(
          `${kind} is reached`,
          async () => (await connectOften(a, place, to, { count: 20 })).failed === 0,
          30_000,
        );
      const untilMs = Date.now() + SECONDS * 1_000;
      const clients = ways.map(([, place, to]) => connectUntil(a, place, to, untilMs));
      const moving = services.map(async (service) => {
        for (let i = 0; Date.now() < untilMs; i++) await service.moveTo(i % 2 === 0 ? b : a);
      });
      await Promise.all(moving);
      const seen = await Promise.all(clients);
      for (const [index, { kind, started }] of services.entries()) {
        const replies = seen[index] ?? {};
        assert.deepEqual(Object.keys(replies), [kind], JSON.stringify(replies));
        assert.ok(started > 2, `${kind} has moved`);
        reportCount(`soak of links: connects to ${kind}, ${started - 2} moves`, replies[kind] ?? 0);
      }
    } finally {
      await proxy.end();
    }
  }),
);
