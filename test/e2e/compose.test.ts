/** compose.yaml under Debian's docker-compose: with etcd and without it, containers resolve and reach each other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { after } from 'node:test';
import { type ComposeStack, composeStack } from '../support/composeStack.ts';
import type { Dockerd } from '../support/dockerd.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { shellBlocks } from '../support/pages.ts';
import { PROJECT, standInForBases, standInForEtcd } from '../support/standIns.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

const docker = useDockerd({ liveRestore: true });
const folder = await newTempDir();
after(() => removeDir(folder));

const NAME = '1.rails.production.east.skydns.local';
const FOUND_MS = 60_000;

/**
 * Starts a container with a name and waits until a client on each kind of network fetches a page from it by that name.
 */
async function assertReachable(dockerd: Dockerd): Promise<void> {
  await dockerd.run({
    env: { DNS_NAME: NAME },
    publish: ['8080:80'],
    command: ['sh', '-c', 'echo hello > /tmp/index.html && exec httpd -f -p 80 -h /tmp'],
  });
  await dockerd.docker('network', 'create', 'apart');
  for (const network of ['bridge', 'apart']) {
    const client = ['run', '--rm', '--network', network, '--dns', '172.17.0.1', 'bb'];
    const get = ['wget', '-qO-', `http://${NAME}:8080/index.html`];
    const isThere = () =>
      dockerd.docker(...client, ...get).then(
        (page) => page === 'hello',
        () => false,
      );
    await until(`a client on ${network} fetches the page`, isThere, FOUND_MS);
  }
}

interface Inspected {
  readonly State: {
    readonly StartedAt: string;
    readonly ExitCode: number;
    readonly Health?: { readonly Status: string };
  };
  readonly Config: { readonly User: string };
  readonly Mounts: readonly { readonly Destination: string }[];
  readonly HostConfig: {
    readonly ReadonlyRootfs: boolean;
    readonly CapDrop: readonly string[];
    readonly CapAdd: readonly string[] | null;
    readonly SecurityOpt: readonly string[];
    readonly PortBindings: Readonly<Record<string, readonly { readonly HostIp: string }[]>> | null;
  };
}

async function inspect(
  dockerd: Dockerd,
  { container }: ComposeStack,
  service: string,
): Promise<Inspected> {
  return JSON.parse(await dockerd.docker('inspect', await container(service)))[0];
}

async function assertHardened(
  dockerd: Dockerd,
  stack: ComposeStack,
  service: string,
): Promise<void> {
  const { HostConfig } = await inspect(dockerd, stack, service);
  assert.equal(HostConfig.ReadonlyRootfs, true, service);
  assert.deepEqual(HostConfig.CapDrop, ['ALL'], service);
  const more = (HostConfig.CapAdd ?? []).filter((capability) => capability !== 'NET_BIND_SERVICE');
  assert.deepEqual(more, service === 'linking' ? ['NET_ADMIN'] : [], service);
  assert.deepEqual(HostConfig.SecurityOpt, ['no-new-privileges:true'], service);
}

/**
 * The arguments of compose in the page's blocks: the first starts the whole stack, the second a single container, the
 * third one with virtual addresses.
 */
const ofPage = shellBlocks('docs/docker.md', 'A registrar without privileges').map((block) =>
  block.trim().split(' ').slice(2),
);

test(
  'docker-compose builds the image, and the README names the same etcd image as compose.yaml',
  docker.options,
  docker.on(async (dockerd) => {
    const text = readFileSync(join(PROJECT, 'compose.yaml'), 'utf8');
    const etcd =
      /image: (\S+\/etcd:\S+)/.exec(text)?.[1] ?? assert.fail('compose.yaml names no etcd image');
    const readme = readFileSync(join(PROJECT, 'README.md'), 'utf8');
    assert.ok(readme.includes(` ${etcd} `), `the README does not name ${etcd}`);
    await standInForEtcd(dockerd.cli, etcd);
    await standInForBases(dockerd.host);
    await composeStack(dockerd, { folder }).compose('build', 'server');
  }),
);

test(
  'compose up starts etcd, then an unprivileged server, then an unprivileged registrar',
  docker.options,
  docker.on(async (dockerd) => {
    const stack = composeStack(dockerd, { folder });
    await stack.compose(...(ofPage[0] ?? []));
    const services = ['etcd', 'server', 'registrar'];
    const inspected = await Promise.all(services.map((name) => inspect(dockerd, stack, name)));
    const starts = inspected.map(({ State }) => State.StartedAt);
    assert.deepEqual(starts, [...starts].sort());
    for (const service of [...services, 'dockerproxy']) {
      await assertHardened(dockerd, stack, service);
    }
    const [, server, registrar] = inspected;
    for (const one of [server, registrar]) assert.equal(one?.Config.User, '65532:65532');
    const mounts = registrar?.Mounts.map(({ Destination }) => Destination).sort();
    assert.deepEqual(
      mounts,
      ['/run/soradns', '/var/lib/soradns'],
      'Docker’s socket is not mounted',
    );
    const bindings = Object.values(server?.HostConfig.PortBindings ?? {}).flat();
    assert.deepEqual([...new Set(bindings.map(({ HostIp }) => HostIp))], ['172.17.0.1']);
    await assertReachable(dockerd);
    await until(
      'the registrar is healthy',
      async () => {
        const { State } = await inspect(dockerd, stack, 'registrar');
        return State.Health?.Status === 'healthy';
      },
      FOUND_MS,
    );
    const soradns = (service: string, ...args: readonly string[]) =>
      stack.compose('exec', '-T', service, 'soradns', ...args);
    assert.match(await soradns('server', 'ls', '--quiet'), new RegExp(`^${NAME}\\.$`, 'm'));
    assert.match(await soradns('registrar', 'registrar', 'status'), / yes$/m);
    await stack.compose('stop');
    for (const service of ['server', 'registrar', 'dockerproxy']) {
      assert.equal((await inspect(dockerd, stack, service)).State.ExitCode, 0, service);
    }
    await stack.compose('down');
  }),
);

test(
  'The embedded registrar reconnects to a restarted dockerd because the folder of the socket is mounted',
  docker.options,
  docker.on(async (dockerd) => {
    const stack = composeStack(dockerd, { folder });
    await stack.compose('up', '-d', 'embedded');
    const before = await inspect(dockerd, stack, 'embedded');
    await dockerd.terminate();
    await dockerd.start();
    await assertReachable(dockerd);
    const { State } = await inspect(dockerd, stack, 'embedded');
    assert.equal(State.StartedAt, before.State.StartedAt);
    await stack.compose('down');
  }),
);

test(
  'compose up embedded starts one container without etcd, and its names survive down and up',
  docker.options,
  docker.on(async (dockerd) => {
    const stack = composeStack(dockerd, { folder });
    await stack.compose(...(ofPage[1] ?? []));
    assert.equal((await dockerd.docker('ps', '--quiet')).split('\n').length, 1);
    await assertHardened(dockerd, stack, 'embedded');
    await assertReachable(dockerd);
    const soradns = async (...args: readonly string[]): Promise<string> =>
      dockerd.docker('exec', await stack.container('embedded'), 'soradns', ...args);
    await soradns('set', 'kept.skydns.local', '--host', '192.0.2.9');
    await stack.compose('down');
    await stack.compose('up', '-d', 'embedded');
    const isKept = () =>
      soradns('get', 'kept.skydns.local').then(
        (value) => value.includes('192.0.2.9'),
        () => false,
      );
    await until('the server has the name again', isKept, FOUND_MS);
    await stack.compose('down');
  }),
);

test(
  'compose up linking starts one container that gives a service a virtual address with its own port',
  docker.options,
  docker.on(async (dockerd) => {
    const stack = composeStack(dockerd, { folder });
    await stack.compose(...(ofPage[2] ?? []));
    await assertHardened(dockerd, stack, 'linking');
    await dockerd.run({
      env: { DNS_NAME: NAME, DNS_VIP: 'auto' },
      publish: ['8080:80'],
      command: ['sh', '-c', 'echo hello > /tmp/index.html && exec httpd -f -p 80 -h /tmp'],
    });
    const get = ['wget', '-qO-', `http://${NAME.replace('1.', '')}/index.html`];
    const isThere = () =>
      dockerd.docker('run', '--rm', '--dns', '172.17.0.1', 'bb', ...get).then(
        (page) => page === 'hello',
        () => false,
      );
    await until('a client fetches the page at port 80', isThere, FOUND_MS);
    await stack.compose('down');
  }),
);
