/**
 * `soradns ambassador` in containers of its own, on real Docker hosts: in place of svendowideit/ambassador, and in front
 * of services whose instances move between hosts.
 */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import {
  type Connects,
  connectOften,
  type FlowChange,
  serveFlows,
  watchFlow,
} from '../support/flows.ts';
import type { Host } from '../support/host.ts';
import { environment } from '../support/hostCleaner.ts';
import { type Hosts, useHosts } from '../support/hosts.ts';
import { standInForSoradns } from '../support/standIns.ts';
import { until } from '../support/until.ts';

const COMPAT = ['ambassadord', 'connectable'].flatMap((name) => ['--register-compat', name]);
const hosts = useHosts({ options: ['--ambassador', '--ambassador-plane', 'proxy', ...COMPAT] });

/** The images of Docker's page about ambassadors. The client prints what it reaches with the variables of its link. */
const PAGE_IMAGES = {
  'crosbymichael/redis': `FROM peer
EXPOSE 6379
CMD ["flow", "serve", "PONG", "6379"]`,
  'relateiq/redis-cli': `FROM peer
CMD ["sh", "-c", "echo redis at $REDIS_PORT; flow connects $REDIS_PORT_6379_TCP_ADDR $REDIS_PORT_6379_TCP_PORT 9 0"]`,
};

/** Runs shell commands with the host's Docker; returns their output. */
async function shell({ dockerd }: Host, text: string): Promise<string> {
  const env = { ...environment(), DOCKER_HOST: dockerd.host, DOCKER_BUILDKIT: '0' };
  return (await promisify(execFile)('sh', ['-euc', text], { env, timeout: 60_000 })).stdout;
}

let images: Promise<void> | undefined;

/** Runs a test on hosts that have the images. */
function withImages(body: (hosts: Hosts) => Promise<void>) {
  return hosts.on(async (all) => {
    images ??= provideImages(all);
    await images;
    await body(all);
  });
}

async function provideImages({ a, b }: Hosts): Promise<void> {
  await standInForSoradns(a.dockerd.cli);
  await shell(a, `docker save soradns | docker --host ${b.dockerd.host} load`);
  for (const host of [a, b])
    for (const [image, dockerfile] of Object.entries(PAGE_IMAGES))
      await shell(host, `echo '${dockerfile}' | docker build --tag ${image} -`);
}

/** Runs the client until its output matches; returns the output. */
async function printed(host: Host, client: string, expected: RegExp): Promise<string> {
  let text = '';
  const isSo = async (): Promise<boolean> => {
    text = await shell(host, client);
    return expected.test(text);
  };
  await until(`the client prints ${expected}`, isSo, 20_000).catch(() => {});
  assert.match(text, expected);
  return text;
}

test(
  'The two hosts of Docker’s page about ambassadors work with this image in place of svendowideit/ambassador',
  hosts.options,
  withImages(async ({ a: bigServer, b: clientServer }) => {
    const ambassador = 'soradns ambassador';
    await shell(
      bigServer,
      `docker run -d --name redis crosbymichael/redis
       docker run -d --link redis:redis --name redis_ambassador -p 6379:6379 ${ambassador}`,
    );
    await shell(
      clientServer,
      `docker run -d --name redis_ambassador --expose 6379 -e REDIS_PORT_6379_TCP=tcp://${bigServer.address}:6379 ${ambassador}`,
    );
    // Without -t: the test has no terminal.
    const client = 'docker run -i --rm --link redis_ambassador:redis relateiq/redis-cli';
    const text = await printed(clientServer, client, /"failed":0/);
    assert.match(text, /"replies":\{"PONG":9\}/);
    assert.match(text, /^redis at tcp:\/\/[0-9.]+:6379$/m);
    // svendowideit's other form: the host is the alias of a link, which is only in /etc/hosts.
    await shell(
      bigServer,
      `docker run -d --link redis:server --name by_words --expose 6379 ${ambassador} server 6379`,
    );
    const local = client.replace('redis_ambassador', 'by_words');
    await printed(bigServer, local, /"replies":\{"PONG":9\}/);
    for (const host of [bigServer, clientServer]) {
      const check = 'docker exec redis_ambassador node /soradns/dist/health.js';
      assert.equal(await shell(host, check), 'an ambassador is running\n');
    }
  }),
);

test(
  'An ambassador between two hosts carries four ports at once, with the variables of a link and with variables by hand',
  hosts.options,
  withImages(async ({ a: bigServer, b: clientServer }) => {
    const ports = [4369, 5672, 15672, 25672];
    const expose = ports.map((port) => `--expose ${port}`).join(' ');
    const publish = ports.map((port) => `-p ${port}:${port}`).join(' ');
    // Each port has a server of its own, and so answers with its own number.
    const servers = ports.map((port) => `flow serve at${port} ${port} &`).join(' ');
    const variables = ports
      .map((port) => `-e RABBIT_PORT_${port}_TCP=tcp://${bigServer.address}:${port}`)
      .join(' ');
    await shell(
      bigServer,
      `docker run -d --name rabbit ${expose} peer sh -c '${servers} wait'
       docker run -d --link rabbit:rabbit --name rabbit_ambassador ${publish} soradns ambassador`,
    );
    await shell(
      clientServer,
      `docker run -d --name rabbit_ambassador ${expose} ${variables} soradns ambassador`,
    );
    const connects = ports.map(
      (port) => `flow connects $RABBIT_PORT_${port}_TCP_ADDR ${port} 20 0 &`,
    );
    const client = `docker run --rm --link rabbit_ambassador:rabbit peer sh -c '${connects.join(' ')} wait'`;
    const text = await printed(clientServer, client, /(?:"failed":0[\s\S]*){4}/);
    for (const port of ports) assert.ok(text.includes(`"replies":{"at${port}":20}`), text);
  }),
);

/** Reads and writes the instances of a service at once; they are containers that no registrar knows. */
class Instances {
  readonly #store: EtcdStore;
  readonly #key: string;
  readonly #expose: string;
  readonly #present = new Set<string>();

  constructor(host: Host, name: string, expose: string) {
    this.#store = new EtcdStore({ endpoints: [`http://${host.etcd.endpoint}`] });
    this.#key = `/skydns/${name.split('.').reverse().join('/')}`;
    this.#expose = expose;
  }

  /** Makes these hosts' instances, and no others, those of the service; returns when that was. */
  async set(port: number, ...present: readonly Host[]): Promise<number> {
    const names = new Set(present.map(({ name }) => name));
    for (const { name, address } of present) {
      if (this.#present.has(name)) continue;
      this.#present.add(name);
      const value = JSON.stringify({ host: address, port, expose: this.#expose });
      await this.#store.put(`${this.#key}/${name}`, Buffer.from(value));
    }
    for (const name of [...this.#present]) {
      if (names.has(name)) continue;
      this.#present.delete(name);
      await this.#store.delete(`${this.#key}/${name}`);
    }
    return performance.now();
  }

  close(): Promise<void> {
    return this.#store.close();
  }
}

const REDIS = 'redis.production.east.skydns.local';

test(
  'A dynamic ambassador follows a service to another host, and none of 1,000 connections fails while its instances change ten times a second',
  hosts.options,
  withImages(async ({ a, b, c }) => {
    const store = `--store etcd://${a.etcd.endpoint},${b.etcd.endpoint}`;
    await shell(
      a,
      `docker run -d --name redis_ambassador --expose 6379 soradns ambassador 6379=${REDIS} ${store}`,
    );
    const place = { kind: 'container', args: ['--link', 'redis_ambassador:redis'] } as const;
    const connect = (count: number, pauseMs = 0): Promise<Connects> =>
      connectOften(a, place, ['redis', 6379], { count, pauseMs });
    const reaches = (text: string): Promise<void> =>
      until(
        `the consumer reaches ${text}`,
        async () => (await connect(5)).replies[text] === 5,
        30_000,
      );
    const provide = (host: Host): Promise<string> =>
      serveFlows(host, { text: host.name, ports: [6379], env: { DNS_NAME: `1.${REDIS}` } });
    const first = await provide(b);
    await reaches('b');
    // Docker gives the instance another port on its new host.
    await b.dockerd.docker('rm', '--force', first);
    const second = await provide(c);
    await reaches('c');
    await c.dockerd.docker('rm', '--force', second);

    const instances = new Instances(a, REDIS, '6379');
    try {
      for (const host of [b, c])
        await serveFlows(host, { text: host.name, ports: [6379], env: {}, publish: ['7000:6379'] });
      await instances.set(7000, b, c);
      await until('both are reached', async () => {
        const { replies } = await connect(30);
        return Object.keys(replies).length === 2;
      });
      let hasEnded = false;
      const connecting = connect(1_000, 3).finally(() => {
        hasEnded = true;
      });
      let changes = 0;
      const sets = [[b], [b, c], [c], [c, b]];
      const startedMs = performance.now();
      while (!hasEnded) {
        await instances.set(7000, ...(sets[changes++ % sets.length] ?? []));
        await sleep(Math.max(0, startedMs + changes * 100 - performance.now()));
      }
      const { failed, error, replies, slowestMs } = await connecting;
      console.log(`${changes} changes, slowest connection ${slowestMs} ms`, replies);
      assert.equal(failed, 0, error);
      assert.ok(changes > 20, `${changes} changes`);
      assert.ok((replies.b ?? 0) > 100 && (replies.c ?? 0) > 100, JSON.stringify(replies));
    } finally {
      await instances.close();
    }
  }),
);

test(
  'A UDP socket of a consumer moves to another instance, is refused without one, and is served again',
  hosts.options,
  withImages(async ({ a, b, c }) => {
    const store = `--store etcd://${a.etcd.endpoint}`;
    const name = 'syslog.skydns.local';
    const instances = new Instances(a, name, '514/udp');
    try {
      for (const host of [b, c]) {
        const publish = ['7514:514/udp'];
        await serveFlows(host, { text: host.name, ports: [514], env: {}, publish });
      }
      await instances.set(7514, b, c);
      await shell(
        a,
        `docker run -d --name log --expose 514/udp soradns ambassador 514/udp=${name} ${store}`,
      );
      const address = await a.dockerd.docker(
        ...['inspect', '--format', '{{.NetworkSettings.Networks.bridge.IPAddress}}', 'log'],
      );
      const flow = watchFlow(a, { kind: 'container' }, 'datagrams', [address, 514], {
        ...{ everyMs: 50, seconds: 40 },
      });
      let sinceMs = -1;
      const sees = async (what: string, isIt: RegExp): Promise<void> => {
        const isNow = ({ atMs, reply = '', error = reply }: FlowChange): boolean =>
          atMs > sinceMs && isIt.test(error);
        sinceMs = (await flow.saw(what, isNow)).atMs;
      };
      await sees('one of two instances answers', /^[bc] /);
      const [stays, other] = flow.seen().at(-1)?.reply?.startsWith('b') ? [c, b] : [b, c];
      await instances.set(7514, stays);
      await sees('the instance that is left answers', new RegExp(`^${stays.name} `));
      await instances.set(7514);
      await sees('without an instance it is refused', /refused/);
      await instances.set(7514, other);
      await sees('a new instance answers', new RegExp(`^${other.name} `));
      await instances.set(7514);
      await sees('a service that is gone is refused', /refused/);
      console.log(flow.seen().map(({ atMs, reply, error }) => `${atMs} ms ${reply ?? error}`));
    } finally {
      await instances.close();
    }
  }),
);

test(
  'The links that ambassadord and connectable read lead a consumer to its services, with --compat',
  hosts.options,
  withImages(async ({ a, b }) => {
    await serveFlows(b, { text: 'red', ports: [6379], env: { DNS_NAME: '1.red.skydns.local' } });
    await serveFlows(b, { text: 'blue', ports: [80], env: { DNS_NAME: '1.blue.skydns.local' } });
    const id = await a.dockerd.run({
      image: 'peer',
      env: { BACKEND_6379: 'red.skydns.local' },
      labels: { 'connect.8080': 'blue.skydns.local' },
    });
    const connect = (port: number): Promise<Connects> =>
      connectOften(a, { kind: 'exec', id }, [a.bridge, port], { count: 10 });
    for (const [port, text] of [
      [6379, 'red'],
      [8080, 'blue'],
    ] as const)
      await until(
        `port ${port} leads to ${text}`,
        async () => (await connect(port)).replies[text] === 10,
        20_000,
      );
  }),
);
