/**
 * The registrar with Compose v2 and with dockerd 28 or newer, which refuses every API version that Docker 29 refuses.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import test, { after } from 'node:test';
import { connectEngine } from '../../src/registrar/engine/dockerode.ts';
import { composeStack } from '../support/composeStack.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { type Followed, follow } from '../support/followed.ts';
import { provideNewerDebian } from '../support/newerDebian.ts';
import { PROJECT, standInForEtcd, standInForSoradns } from '../support/standIns.ts';
import { until } from '../support/until.ts';

const debian = provideNewerDebian();
const env = { DOCKER_MIN_API_VERSION: '1.44' };
const docker =
  debian.kind === 'there'
    ? useDockerd({ root: debian.root, env, liveRestore: true })
    : useDockerd({}, debian.reason);

const TIMEOUT_MS = 60_000;

let following: Promise<Followed> | undefined;
after(async () => (await following?.catch(() => undefined))?.stop());

function newerTest(title: string, body: (dockerd: Dockerd, dns: Followed) => Promise<void>): void {
  test(
    title,
    docker.options,
    docker.on(async (dockerd) => {
      following ??= follow(dockerd);
      await body(dockerd, await following);
    }),
  );
}

/** Runs the body with Compose v2 on these services, in a new project folder. */
async function withProject(
  dockerd: Dockerd,
  name: string,
  services: object,
  body: (compose: (...args: readonly string[]) => Promise<string>) => Promise<void>,
): Promise<void> {
  const file = join(mkdtempSync(join(dirname(dockerd.socket), 'project-')), 'compose.yaml');
  writeFileSync(file, JSON.stringify({ name, services }));
  const compose = (...args: readonly string[]) =>
    dockerd.docker('compose', '--file', file, ...args);
  try {
    await body(compose);
  } finally {
    await compose('down', '--timeout', '1');
  }
}

function statusOf(socketPath: string, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    const sent = request({ socketPath, path, agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode));
    });
    sent.on('error', reject);
    sent.end();
  });
}

newerTest('The registrar follows an engine that refuses old API versions', async (dockerd, dns) => {
  assert.equal(await statusOf(dockerd.socket, '/v1.43/info'), 400);
  const version = await dockerd.docker('version', '--format', '{{.Server.Version}}');
  assert.ok(Number.parseInt(version, 10) >= 28, version);
  await dockerd.run({ env: { DNS_NAME: 'web.skydns.local' }, publish: ['18080:80'] });
  await dns.services('web', `${dockerd.address}:18080`);
});

newerTest('The registrar follows run, stop, start, restart, pause and rm', async (dockerd, dns) => {
  const id = await dockerd.run({ env: { DNS_NAME: 'web.skydns.local' }, publish: ['18080:80'] });
  const steps = [
    ['stop', false],
    ['start', true],
    ['restart', true],
    ['pause', false],
    ['unpause', true],
  ] as const;
  for (const [step, isServed] of steps) {
    await dockerd.docker(step, id);
    await dns.addresses('web', ...(isServed ? [dockerd.address] : []));
  }
  await dockerd.docker('rm', '--force', id);
  await dns.addresses('web');
});

newerTest(
  'The registrar follows a port that -P chooses again at each restart',
  async (dockerd, dns) => {
    const args = ['--expose', '8080', '-P'];
    const id = await dockerd.run({ env: { DNS_NAME: 'web.skydns.local' }, args });
    for (let starts = 0; starts < 2; starts++) {
      const published = (await dockerd.docker('port', id)).split('\n')[0] ?? '';
      await dns.services('web', `${dockerd.address}:${published.replace(/.*:/, '')}`);
      await dockerd.docker('restart', id);
    }
  },
);

newerTest(
  'The registrar follows a container that joins and leaves a network',
  async (dockerd, dns) => {
    await dockerd.docker('network', 'create', '--subnet', '10.99.0.0/24', 'backend');
    const settings = { DNS_MODE: 'internal', DNS_NETWORK: 'backend', DNS_PORT: '80' };
    const id = await dockerd.run({ env: { DNS_NAME: 'web.skydns.local', ...settings } });
    await dockerd.docker('network', 'connect', 'backend', id);
    await dns.services('web', '10.99.0.2:80');
    await dockerd.docker('network', 'disconnect', 'backend', id);
    await dns.addresses('web');
    await dockerd.docker('network', 'connect', '--ip', '10.99.0.99', 'backend', id);
    await dns.services('web', '10.99.0.99:80');
  },
);

newerTest(
  'A container on an IPv6-only network has an AAAA and an SRV record and no A record',
  async (dockerd, dns) => {
    const subnet = ['--ipv4=false', '--ipv6', '--subnet', 'fd93::/64'];
    await dockerd.docker('network', 'create', ...subnet, 'six');
    const settings = { DNS_MODE: 'internal', DNS_PORT: '80' };
    await dockerd.run({ env: { DNS_NAME: 'web.skydns.local', ...settings }, network: 'six' });
    await dns.services('web', 'fd93::2:80');
    await dns.addresses('web');
  },
);

newerTest(
  'The registrar adds a container that becomes healthy and removes one that becomes unhealthy',
  async (dockerd, dns) => {
    const check = ['--health-cmd', 'test -e /sane', '--health-interval', '100ms'];
    const id = await dockerd.run({
      env: { DNS_NAME: 'web.skydns.local' },
      publish: ['18080:80'],
      args: [...check, '--health-retries', '1'],
    });
    for (const change of ['touch', 'rm', 'touch']) {
      await dockerd.docker('exec', id, change, ...(change === 'rm' ? ['-f'] : []), '/sane');
      await dns.addresses('web', ...(change === 'rm' ? [] : [dockerd.address]));
    }
  },
);

test(
  'The engine’s list has running, paused and restarting containers and no others',
  docker.options,
  docker.on(async (dockerd) => {
    const engine = connectEngine({ kind: 'unix', path: dockerd.socket });
    try {
      const running = await dockerd.run();
      const paused = await dockerd.run();
      await dockerd.docker('pause', paused);
      const stopped = await dockerd.run();
      await dockerd.docker('stop', '--time', '0', stopped);
      await dockerd.docker('create', 'bb');
      const loop = await dockerd.run({ args: ['--restart', 'always'], command: ['false'] });
      const states = async (): Promise<Record<string, string>> =>
        Object.fromEntries((await engine.list()).map(({ id, state }) => [id, state]));
      const expected = { [running]: 'running', [paused]: 'paused', [loop]: 'restarting' };
      let seen: Record<string, string> = {};
      await until(
        'the crash loop is restarting',
        async () => {
          seen = await states();
          return seen[loop] === 'restarting';
        },
        TIMEOUT_MS,
      );
      assert.deepEqual(seen, expected);
    } finally {
      engine.close();
    }
  }),
);

newerTest(
  'Names stay while dockerd restarts and the containers keep running',
  async (dockerd, dns) => {
    await dockerd.run({ env: { DNS_NAME: 'web.skydns.local' }, publish: ['18080:80'] });
    await dns.addresses('web', dockerd.address);
    await dockerd.terminate();
    await dns.addresses('web', dockerd.address);
    await dockerd.start();
    await dockerd.run({ env: { DNS_NAME: 'late.skydns.local' }, publish: ['18081:80'] });
    await dns.addresses('late', dockerd.address);
    await dns.services('web', `${dockerd.address}:18080`);
  },
);

newerTest(
  'The registrar gives each Compose replica a number below its service through up, scale and rm',
  async (dockerd, dns) => {
    const web = { image: 'bb', command: 'sleep 1000', environment: { DNS_ENABLE: 'true' } };
    const services = { web: { ...web, ports: ['80'], stop_grace_period: '1s' } };
    await withProject(dockerd, 'my_shop', services, async (compose) => {
      const port = async (index: number): Promise<string> => {
        const published = await compose('port', '--index', String(index), 'web', '80');
        return published.replace(/.*:/, '');
      };
      await compose('up', '--detach');
      await dns.services('web.my-shop', `${dockerd.address}:${await port(1)}`);
      await compose('up', '--detach', '--scale', 'web=3');
      const ports = [await port(1), await port(2), await port(3)];
      for (const [at, each] of ports.entries())
        await dns.services(`${at + 1}.web.my-shop`, `${dockerd.address}:${each}`);
      await dns.services('web.my-shop', ...ports.map((each) => `${dockerd.address}:${each}`));
      await compose('run', '--detach', '--name', 'once', '--publish', '18099:80', 'web');
      await until(
        'explain reports the one-off container',
        async () =>
          (await dns.reasons('once')).join() === 'is a one-off container of docker compose run',
      );
      await compose('up', '--detach', '--scale', 'web=1');
      await dns.services('web.my-shop', `${dockerd.address}:${ports[0]}`);
      await compose('rm', '--force', '--stop');
      await dns.addresses('web.my-shop');
      await dockerd.docker('rm', '--force', 'once');
    });
  },
);

newerTest(
  'A Compose service with network_mode service:front has the published port of the service front',
  async (dockerd, dns) => {
    const base = { image: 'bb', command: 'sleep 1000', stop_grace_period: '1s' };
    const services = {
      front: { ...base, ports: ['18080:80'] },
      side: {
        ...base,
        network_mode: 'service:front',
        environment: { DNS_NAME: 'side.skydns.local' },
      },
    };
    await withProject(dockerd, 'pair', services, async (compose) => {
      await compose('up', '--detach');
      await dns.services('side', `${dockerd.address}:18080`);
    });
  },
);

test(
  'compose.yaml starts under Compose v2, and its registrar names containers',
  docker.options,
  docker.on(async (dockerd) => {
    const folder = dirname(dockerd.socket);
    const project = join(folder, 'soradns');
    mkdirSync(project);
    copyFileSync(join(PROJECT, 'compose.yaml'), join(project, 'compose.yaml'));
    const etcd = /image: (\S+\/etcd:\S+)/.exec(readFileSync(join(project, 'compose.yaml'), 'utf8'));
    await standInForEtcd(dockerd.cli, etcd?.[1] ?? assert.fail('compose.yaml names no etcd'));
    await standInForSoradns(dockerd.cli);
    const program = dockerd.onHost('docker', '--host', dockerd.host, 'compose');
    const { compose } = composeStack(dockerd, { folder, project, program });
    await compose('config', '--quiet');
    const services = (await compose('config', '--services')).split('\n').sort();
    assert.deepEqual(services, ['dockerproxy', 'etcd', 'registrar', 'server']);
    await compose('up', '--detach', '--no-build', '--pull', 'never');
    try {
      const name = 'web.skydns.local';
      await dockerd.run({ env: { DNS_NAME: name }, publish: ['18080:80'] });
      const client = ['run', '--rm', '--dns', '172.17.0.1', 'bb', 'nslookup', '-type=a', name];
      const isFound = () =>
        dockerd.docker(...client).then(
          (output) => output.includes(dockerd.address),
          () => false,
        );
      await until('a container resolves the other one', isFound, TIMEOUT_MS);
      const status = await compose('exec', '-T', 'registrar', 'soradns', 'registrar', 'status');
      assert.match(status, / web\.skydns\.local\. .* yes$/m);
    } finally {
      await compose('down', '--timeout', '2', '--volumes');
    }
  }),
);
