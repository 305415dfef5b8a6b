/** `soradns links` against a server in this process: what it prints, writes, warns about and refuses. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CliResult, callCli } from '../../support/cli.ts';
import { startFakeDocker } from '../../support/fakeDocker.ts';
import { freePort } from '../../support/freePort.ts';
import { clientEnv, startTestServer, type TestServer, WITH_TOKEN } from '../../support/server.ts';

let server: TestServer;
let env: Record<string, string>;

before(async () => {
  server = await startTestServer({});
  env = clientEnv(server);
  await putRaw('/skydns/local/skydns/db/1', {
    host: '10.0.0.1',
    port: 49153,
    expose: '5432/tcp',
    text: 'USER=app',
  });
  await putRaw('/skydns/local/skydns/db/2', { host: '10.0.0.2', port: 49160, expose: '5432/tcp' });
  await putRaw('/skydns-vip/198.18.73.12', { name: 'db.skydns.local' });
  await putRaw('/skydns/local/skydns/cache', { host: '10.0.0.3', port: 6379, text: 'MOTD=a b' });
  await putRaw('/skydns/local/skydns/silent', { host: '10.0.0.4' });
});
after(() => server?.close());

async function putRaw(key: string, value: object): Promise<void> {
  const body = new URLSearchParams({ value: JSON.stringify(value) });
  const response = await fetch(`${env.SORADNS_STORE}/v2/keys${key}`, { method: 'PUT', body });
  assert.ok(response.ok);
}

function links(...args: readonly string[]): Promise<CliResult> {
  return callCli(['links', ...args], { env });
}

async function lines(...args: readonly string[]): Promise<readonly string[]> {
  const { code, stdout, stderr } = await links(...args);
  assert.equal(code, 0, stderr);
  return stdout.trimEnd().split('\n');
}

const DB = [
  'DB_PORT=tcp://198.18.73.12:5432',
  'DB_PORT_5432_TCP=tcp://198.18.73.12:5432',
  'DB_PORT_5432_TCP_ADDR=198.18.73.12',
  'DB_PORT_5432_TCP_PORT=5432',
  'DB_PORT_5432_TCP_PROTO=tcp',
  'DB_NAME=/db.skydns.local',
];

test('links prints Docker’s variables with the virtual address of the name, without a warning', async () => {
  const { code, stdout, stderr } = await links('db=DB.skydns.local.');
  assert.deepEqual([code, stderr], [0, '']);
  assert.deepEqual(stdout.trimEnd().split('\n'), DB);
});

test('links prints the variables of several aliases in the order of the words', async () => {
  const found = await lines('db=db.skydns.local', 'the-cache=cache.skydns.local');
  assert.deepEqual(found.slice(0, DB.length), DB);
  assert.equal(found.at(-1), 'THE_CACHE_NAME=/cache.skydns.local');
});

test('links without a virtual address leads to an instance and warns that this goes stale', async () => {
  const { stdout, stderr } = await links('cache=cache.skydns.local');
  assert.match(stdout, /^CACHE_PORT=tcp:\/\/10\.0\.0\.3:6379\n/);
  assert.match(stderr, /note: cache: 10\.0\.0\.3 is where cache\.skydns\.local\. runs now/);
  assert.equal((await links('-q', 'cache=cache.skydns.local')).stderr, '');
});

test('links --via direct and --via name lead elsewhere than the virtual address', async () => {
  const [direct] = await lines('--via', 'direct', 'db=db.skydns.local');
  assert.equal(direct, 'DB_PORT=tcp://10.0.0.1:49153');
  const byName = await links('--via', 'name', 'db=db.skydns.local');
  assert.match(byName.stdout, /^DB_PORT=tcp:\/\/db\.skydns\.local:5432\n/);
  assert.equal(byName.stderr, '');
});

test('links --via name warns about instances that are published at different ports', async () => {
  await putRaw('/skydns/local/skydns/two/1', { host: '10.0.0.1', port: 1001, expose: 80 });
  await putRaw('/skydns/local/skydns/two/2', { host: '10.0.0.2', port: 1002, expose: 80 });
  const { stdout, stderr } = await links('--via', 'name', 'two=two.skydns.local');
  assert.match(stdout, /^TWO_PORT=tcp:\/\/two\.skydns\.local:1001\n/);
  assert.match(
    stderr,
    /two: the instances of two\.skydns\.local\. publish 80\/tcp at different ports/,
  );
});

test('links --via vip exits with 3 for a name without a virtual address', async () => {
  const { code, stdout, stderr } = await links('--via', 'vip', 'c=cache.skydns.local');
  assert.deepEqual([code, stdout], [3, '']);
  assert.match(stderr, /cache\.skydns\.local\. has no virtual address/);
});

test('links exits with 3 and names every name without an instance', async () => {
  const words = ['a=no.skydns.local', 'db=db.skydns.local', 'b=none.skydns.local'];
  const { code, stdout, stderr } = await links(...words);
  assert.deepEqual([code, stdout], [3, '']);
  assert.match(
    stderr,
    /no\.skydns\.local\. has no instance; none\.skydns\.local\. has no instance/,
  );
  assert.doesNotMatch(stderr, /db\.skydns/);
});

test('links of a service without a known port has only ALIAS_NAME, and warns', async () => {
  const { code, stdout, stderr } = await links('--via', 'name', 's=silent.skydns.local');
  assert.deepEqual([code, stdout], [0, 'S_NAME=/silent.skydns.local\n']);
  assert.match(stderr, /s: no port of silent\.skydns\.local\. is known, so only S_NAME is set/);
});

test('links --env sets ALIAS_ENV_* from the texts whose key has the prefix', async () => {
  const envOf = async (...args: readonly string[]) =>
    (await lines('db=db.skydns.local', ...args)).filter((line) => line.startsWith('DB_ENV_'));
  assert.deepEqual(await envOf(), []);
  assert.deepEqual(await envOf('--env='), ['DB_ENV_USER=app']);
  assert.deepEqual(await envOf('--env', 'US'), ['DB_ENV_USER=app']);
  assert.deepEqual(await envOf('--env', 'X'), []);
});

test('links --safe=false spells the variables as Docker does', async () => {
  assert.match((await lines('a.b=db.skydns.local')).join(), /^A_B_PORT=/);
  assert.match((await lines('--safe=false', 'a.b=db.skydns.local')).join(), /^A\.B_PORT=/);
  const { code, stderr } = await links('--safe=false', '--format', 'sh', 'a.b=db.skydns.local');
  assert.equal(code, 2);
  assert.match(stderr, /a\.b: a shell takes no variable A\.B_PORT \(remove --safe=false\)/);
});

test('links prints options for docker run, export commands and JSON', async () => {
  const [docker = ''] = await lines('--format', 'docker', 'db=db.skydns.local');
  const options = DB.flatMap((line) => ['-e', line]);
  assert.equal(docker, [...options, '--add-host', 'db:198.18.73.12'].join(' '));
  const [exported] = await lines('--format', 'sh', 'db=db.skydns.local');
  assert.equal(exported, "export DB_PORT='tcp://198.18.73.12:5432'");
  for (const args of [['--format', 'json'], ['--json']]) {
    const [json = ''] = await lines(...args, 'db=db.skydns.local');
    assert.deepEqual(JSON.parse(json), [
      {
        alias: 'db',
        name: 'db.skydns.local.',
        via: 'vip',
        host: '198.18.73.12',
        variables: Object.fromEntries(DB.map((line) => line.split('='))),
      },
    ]);
  }
});

test('links says which variables a format cannot carry', async () => {
  const args = ['--format', 'docker', '--env=', 'cache=cache.skydns.local'];
  const { code, stdout, stderr } = await links(...args);
  assert.equal(code, 0);
  assert.doesNotMatch(stdout, /MOTD/);
  assert.match(
    stderr,
    /--format docker cannot carry CACHE_ENV_MOTD: left out; --format json has it/,
  );
});

test('links --write replaces the file, and prints nothing', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'soradns-links-'));
  try {
    const file = join(folder, 'app.env');
    for (const word of ['cache=cache.skydns.local', 'db=db.skydns.local']) {
      const { code, stdout, stderr } = await links('-q', '--write', file, word);
      assert.deepEqual([code, stdout, stderr], [0, '', '']);
    }
    assert.equal(readFileSync(file, 'utf8'), `${DB.join('\n')}\n`);
    const { code, stderr } = await links('--write', folder, 'db=db.skydns.local');
    assert.equal(code, 1, stderr);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('links --wait prints as soon as every name has an instance', async () => {
  const waiting = links('--wait', '60', '-q', 'late=late.skydns.local');
  const isDone = { value: false };
  void waiting.then(() => {
    isDone.value = true;
  });
  // The command has looked at least once by the time it has answered a shorter wait.
  const { code } = await links('--wait', '1', 'never=never.skydns.local');
  assert.equal(code, 3);
  assert.equal(isDone.value, false);
  await putRaw('/skydns/local/skydns/late', { host: '10.0.0.5', port: 80 });
  const { code: found, stdout } = await waiting;
  assert.equal(found, 0);
  assert.match(stdout, /^LATE_PORT=tcp:\/\/10\.0\.0\.5:80\n/);
});

test('links leads to the leader of a name, and to the one that an operator has chosen', async () => {
  const [oldest] = await lines('-q', 'm=leader.db.skydns.local');
  assert.equal(oldest, 'M_PORT=tcp://10.0.0.1:49153');
  const manual = { port: 80, leader: 'manual' };
  await putRaw('/skydns/local/skydns/pg/1', { host: '10.0.0.1', ...manual });
  await putRaw('/skydns/local/skydns/pg/2', { host: '10.0.0.2', ...manual });
  assert.equal((await links('m=leader.pg.skydns.local')).code, 3);
  await putRaw('/skydns-leader/local/skydns/pg', { instance: '2.pg.skydns.local.' });
  const [chosen] = await lines('-q', 'm=leader.pg.skydns.local');
  assert.equal(chosen, 'M_PORT=tcp://10.0.0.2:80');
});

test('links --container takes the links from the labels of a container', async () => {
  const docker = await startFakeDocker();
  try {
    const name = 'app';
    const labels = {
      'dns.link.db': 'db.skydns.local',
      'dns.link.6379': 'cache.skydns.local',
      'dns.link.local': 'true',
    };
    const id = docker.run({ name, labels });
    const engine = ['--docker-host', docker.host];
    assert.deepEqual(await lines('--container', id, ...engine), DB);
    const both = await lines('-q', '--container', id, ...engine, 'c=cache.skydns.local');
    assert.match(both.join('\n'), /^C_PORT=.*\nDB_PORT=/s);
    const other = docker.run({ labels: { 'my.link.x': 'db.skydns.local' } });
    assert.match(
      (await lines('--container', other, ...engine, '--label-prefix', 'my.')).join('\n'),
      /^X_PORT=/,
    );
    const unlinked = await links('--container', other, ...engine);
    assert.equal(unlinked.code, 3);
    assert.match(unlinked.stderr, /has no label dns\.link\.ALIAS \(set dns\.link\.db=NAME\)/);
    const missing = await links('--container', 'nothing', ...engine);
    assert.equal(missing.code, 3);
    assert.match(missing.stderr, /nothing: the engine has no such container/);
  } finally {
    await docker.close();
  }
});

test('links --container exits with 4 if the engine does not answer', async () => {
  const { code } = await links('--container', 'x', '--docker-host', 'unix:///nonexistent/d.sock');
  assert.equal(code, 4);
});

const MISUSES: readonly (readonly [args: readonly string[], line: RegExp])[] = [
  [[], /no links \(for example soradns links db=/],
  [['db'], /db: is not ALIAS=NAME/],
  [['=db.skydns.local'], /=db\.skydns\.local: is not ALIAS=NAME/],
  [['a b=db.skydns.local'], /a b=db\.skydns\.local: the alias has other characters than/],
  [['db='], /db=: "" is not a domain name/],
  [['db=db.skydns.local:5432'], /db\.skydns\.local:5432" is not a domain name/],
  [['db=a.skydns.local', 'db=b.skydns.local'], /db: the alias is given twice/],
  [['db=a.skydns.local', 'DB=b.skydns.local'], /db and DB: both aliases stand for DB_\*/],
  [['a-b=a.skydns.local', 'a.b=b.skydns.local'], /a-b and a\.b: both aliases stand for A_B_\*/],
  [['--via', 'x', 'db=db.skydns.local'], /--via: x is not one of vip, direct, name/],
  [['--format', 'xml', 'db=db.skydns.local'], /--format: xml is not one of env, docker, sh, json/],
  [['--wait', 'long', 'db=db.skydns.local'], /--wait: must be whole seconds from 0 to 86400/],
  [
    ['--env-file', 'f', 'db=x'],
    /--env-file: Node\.js takes this option itself \(use --write FILE\)/,
  ],
  [['--json', '--format', 'sh', 'db=x'], /--json: cannot be combined with --format sh/],
  [['--write', 'f', '--format', 'sh', 'db=x'], /--write: cannot be combined with --format sh/],
];

for (const [args, line] of MISUSES)
  test(`links ${args.join(' ')} exits with 2`, async () => {
    const { code, stdout, stderr } = await links(...args);
    assert.deepEqual([code, stdout], [2, ''], stderr);
    assert.match(stderr, line);
  });

test('links exits with 2 if two aliases have a variable in common', async () => {
  await putRaw('/skydns/local/skydns/odd', { host: '10.0.0.1', port: 1, text: 'NAME=x' });
  const words = ['db=odd.skydns.local', 'db-env=db.skydns.local'];
  const { code, stderr } = await links('--env=', ...words);
  assert.equal(code, 2);
  assert.match(stderr, /db and db-env: both aliases have the variable DB_ENV_NAME/);
});

test('links --wait waits for a store that is late, and without --wait a store out of reach is exit code 4', async (context) => {
  const store = `http://127.0.0.1:${await freePort()}`;
  const late = (...args: readonly string[]) =>
    callCli(['links', 'db=db.skydns.local', ...args], { env: { SORADNS_STORE: store } });
  assert.equal((await late()).code, 4);
  assert.equal((await late('--wait', '1')).code, 4);
  const waiting = late('--wait', '30');
  await sleep(300);
  const started = await startTestServer({ http: store.slice('http://'.length) });
  context.after(() => started.close());
  const body = new URLSearchParams({ value: JSON.stringify({ host: '10.0.0.1', port: 1 }) });
  const put = await fetch(`${store}/v2/keys/skydns/local/skydns/db`, {
    ...{ method: 'PUT', headers: WITH_TOKEN, body },
  });
  assert.ok(put.ok);
  const { code, stdout, stderr } = await waiting;
  assert.equal(code, 0, stderr);
  assert.match(stdout, /^DB_PORT=tcp:\/\/10\.0\.0\.1:1$/m);
});
