/** `soradns links` with a real Docker: a provider that the registrar has registered, and a consumer with its variables. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';
import { childEnv, MAIN, spawnCli } from '../support/cli.ts';
import { isUnchanged } from '../support/dockerLinks.ts';
import { answers, type ServedDocker, useServedDocker } from '../support/servedDocker.ts';

const docker = useServedDocker();
const PORTS = ['5432', '5433', '53/udp', '9000', '9001', '9002'];

/** Starts a provider with several ports, and waits until the registrar has published its name. */
async function provide(served: ServedDocker): Promise<void> {
  // Each port has a name of its own below the service's name.
  const labels = Object.fromEntries(
    PORTS.map((port) => [`dns.${port}.name`, `p${port.replace('/', '')}.db.skydns.local`]),
  );
  const expose = PORTS.flatMap((port) => ['--expose', port]);
  const command = ['nc', '-ll', '-p', '5432', '-e', 'hostname'];
  await served.dockerd.run({
    name: 'provider',
    labels,
    args: ['--hostname', 'answerer', ...expose, '-P'],
    command,
  });
  for (const port of PORTS) {
    const name = `p${port.replace('/', '')}.db.skydns.local`;
    await answers(served, 'A', name, [served.dockerd.address]);
  }
}

async function links({ http }: ServedDocker, ...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await spawnCli(['links', '--store', http, ...args]);
  assert.equal(code, 0, stderr);
  return stdout;
}

/** Gives the name a virtual address without routes. */
async function giveAddress({ http }: ServedDocker, address: string): Promise<void> {
  const body = new URLSearchParams({ value: JSON.stringify({ name: 'db.skydns.local' }) });
  const url = `${http}/v2/keys/skydns-vip/${address}`;
  assert.ok((await fetch(url, { method: 'PUT', body })).ok);
}

test(
  'links has the variables of docker run --link for the same provider, except for the address and the name',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    await provide(served);
    await giveAddress(served, '198.18.73.12');
    const ours = (await links(served, 'the-db=db.skydns.local')).trimEnd().split('\n');
    const format = '{{.NetworkSettings.Networks.bridge.IPAddress}}';
    const actual = await dockerd.docker('inspect', '--format', format, 'provider');
    const link = ['--name', 'consumer', '--link', 'provider:the-db'];
    const env = await dockerd.docker('run', '--rm', ...link, 'bb', 'env');
    const docker = env
      .split('\n')
      .filter((line) => /^THE_DB_(?!ENV_)/.test(line))
      .map((line) => line.replaceAll(actual, '198.18.73.12'))
      .map((line) => line.replace('/consumer/the-db', '/db.skydns.local'));
    const version = await dockerd.docker('version', '--format', '{{.Server.Version}}');
    if (Number.parseInt(version, 10) >= 28) assert.deepEqual(ours, docker);
    else assert.deepEqual(ours.filter(isUnchanged).sort(), docker.filter(isUnchanged).sort());
  }),
);

test(
  'docker run takes the options of links in a command substitution, and the consumer reaches the provider',
  docker.options,
  docker.on(async (served) => {
    const { dockerd, http } = served;
    await provide(served);
    const consume = 'cat /etc/hosts; nc $DB_PORT_5432_TCP_ADDR $DB_PORT_5432_TCP_PORT </dev/null';
    const [program, ...engine] = dockerd.cli();
    const script = `"$1" ${engine.map((word) => `'${word}'`).join(' ')} run --rm $("$2" "$3" links -q --format docker --via direct --store "$4" db=db.skydns.local) bb sh -c '${consume}'`;
    const args = ['-c', script, 'sh', program, process.execPath, MAIN, http];
    const { stdout } = await promisify(execFile)('sh', args, { env: childEnv() });
    assert.ok(stdout.includes(`${dockerd.address}\tdb\n`), stdout);
    assert.match(stdout, /^answerer$/m);
  }),
);

test(
  'docker run --env-file takes the file of links --write, and links --container reads the labels of the consumer',
  docker.options,
  docker.on(async (served) => {
    const { dockerd } = served;
    await provide(served);
    const file = join(mkdtempSync(join(dirname(dockerd.socket), 'links-')), 'app.env');
    await links(served, '--write', file, '--via', 'direct', 'db=db.skydns.local');
    const env = await dockerd.docker('run', '--rm', '--env-file', file, 'bb', 'env');
    const printed = await links(served, '--via', 'direct', 'db=db.skydns.local');
    assert.deepEqual(
      env.split('\n').filter((line) => line.startsWith('DB_')),
      printed.trimEnd().split('\n'),
    );
    await dockerd.run({ name: 'app', labels: { 'dns.link.db': 'db.skydns.local' } });
    const engine = ['--docker-host', dockerd.host, '--via', 'direct'];
    assert.equal(await links(served, '--container', 'app', ...engine), printed);
  }),
);
