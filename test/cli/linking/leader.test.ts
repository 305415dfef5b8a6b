/** `soradns leader` against a server in this process, and its watch while the store is away. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { runCli } from '../../../src/cli/cli.ts';
import { COMMAND_TABLE } from '../../../src/cli/commands/commands.ts';
import { type CliResult, callCli } from '../../support/cli.ts';
import { clientEnv, startTestServer, type TestServer, WITH_TOKEN } from '../../support/server.ts';
import { until } from '../../support/until.ts';

let server: TestServer;
let env: Record<string, string>;

before(async () => {
  server = await startTestServer({});
  env = clientEnv(server);
});
const stops: AbortController[] = [];
after(async () => {
  for (const stop of stops) stop.abort('SIGINT');
  await server?.close();
});

async function put(path: string, value: object, store = env.SORADNS_STORE): Promise<void> {
  const body = new URLSearchParams({ value: JSON.stringify(value) });
  const url = `${store}/v2/keys/${path}`;
  assert.ok((await fetch(url, { method: 'PUT', headers: WITH_TOKEN, body })).ok);
}

async function remove(path: string): Promise<void> {
  const url = `${env.SORADNS_STORE}/v2/keys/${path}`;
  assert.ok((await fetch(url, { method: 'DELETE', headers: WITH_TOKEN })).ok);
}

function leader(...args: readonly string[]): Promise<CliResult> {
  return callCli(['leader', ...args], { env });
}

const at = (host: string, more: object = {}) => ({ host, port: 3306, ...more });

test('leader get prints the instance, its address, and why it leads', async () => {
  await put('skydns/local/skydns/mysql/2', at('10.0.0.2'));
  await put('skydns/local/skydns/mysql/1', at('10.0.0.1'));
  const { code, stdout } = await leader('get', 'MySQL.skydns.local');
  assert.deepEqual([code, stdout], [0, '2.mysql.skydns.local. 10.0.0.2:3306 (oldest)\n']);
  assert.equal((await leader('get', '-q', 'mysql.skydns.local')).stdout, '2.mysql.skydns.local.\n');
  const json = JSON.parse((await leader('get', '--json', 'mysql.skydns.local')).stdout);
  assert.equal(json.name, 'mysql.skydns.local.');
  assert.deepEqual(
    [json.rule, json.leader.id, json.leader.addr],
    ['oldest', '2.mysql.skydns.local.', '10.0.0.2:3306'],
  );
});

test('leader get prints since when the container of the instance runs', async () => {
  for (const [name, ageMs, since] of [
    ['days', 50 * 3_600_000, '2 d'],
    ['hours', 4.5 * 3_600_000, '4 h'],
    ['minutes', 61_000, '1 min'],
    ['future', -60_000, '0 s'],
  ] as const) {
    const startedAt = new Date(Date.now() - ageMs).toISOString();
    const owner = { r: 'registrar', c: '0123456789ab', s: startedAt };
    await put(`skydns/local/skydns/${name}/1/ipv4`, at('10.0.0.1', { targetstrip: 1, owner }));
    const { stdout } = await leader('get', `${name}.skydns.local`);
    assert.equal(stdout, `1.${name}.skydns.local. 10.0.0.1:3306 (oldest, since ${since})\n`);
    const json = JSON.parse((await leader('get', '--json', `${name}.skydns.local`)).stdout);
    assert.equal(json.since, startedAt);
  }
});

test('leader get says which rule chose the leader', async () => {
  await put('skydns/local/skydns/marked/1', at('10.0.0.1'));
  await put('skydns/local/skydns/marked/2', at('10.0.0.2', { leader: 'yes' }));
  await put('skydns/local/skydns/taken/1', at('10.0.0.1'));
  await put('skydns/local/skydns/taken/leader', at('10.0.0.9'));
  const get = async (name: string) => (await leader('get', `${name}.skydns.local`)).stdout;
  assert.match(await get('marked'), /^2\.marked.* \(oldest with DNS_LEADER=yes\)\n/);
  assert.match(await get('taken'), /^leader\.taken.* \(registered by that name\)\n/);
});

test('leader get exits with 3 for a name without a leader', async () => {
  const absent = await leader('get', 'nothing.skydns.local');
  assert.deepEqual([absent.code, absent.stdout], [3, '']);
  assert.match(absent.stderr, /nothing\.skydns\.local\. does not exist/);
  await put('skydns/local/skydns/readers/1', at('10.0.0.1', { leader: 'never' }));
  const none = await leader('get', 'readers.skydns.local');
  assert.match(none.stderr, /readers\.skydns\.local\. has no leader\n/);
  await put('skydns/local/skydns/manual/1', at('10.0.0.1', { leader: 'manual' }));
  const unchosen = await leader('get', 'manual.skydns.local');
  assert.match(
    unchosen.stderr,
    /no leader \(choose one: soradns leader set manual\.skydns\.local\./,
  );
  assert.deepEqual([none.code, unchosen.code], [3, 3]);
});

test('leader set chooses among manual instances, with --if only if the choice is the expected one', async () => {
  const name = 'pg.skydns.local';
  for (const n of [1, 2, 3])
    await put(`skydns/local/skydns/pg/${n}`, at(`10.0.0.${n}`, { leader: 'manual' }));
  const set = (n: number, ...more: readonly string[]) =>
    leader('set', name, `${n}.${name}`, ...more);
  const first = await set(1, '--if', 'none');
  assert.deepEqual(
    [first.code, first.stdout, first.stderr],
    [0, 'chose 1.pg.skydns.local. to lead pg.skydns.local.\n', ''],
  );
  assert.match((await leader('get', name)).stdout, /^1\.pg.* \(chosen\)\n/);
  const late = await set(2, '--if', 'none');
  assert.equal(late.code, 5);
  assert.match(
    late.stderr,
    /pg\.skydns\.local\.: 1\.pg\.skydns\.local\. is chosen, and nothing was/,
  );
  assert.equal((await set(2, '--if', `3.${name}`)).code, 5);
  assert.equal((await set(2, '--if', `1.${name}.`)).code, 0);
  assert.match((await leader('get', name)).stdout, /^2\.pg/);
  assert.equal((await set(3)).code, 0);
  const json = await set(1, '--json');
  assert.deepEqual(JSON.parse(json.stdout), { name: `${name}.`, instance: `1.${name}.` });
  assert.deepEqual(await set(2, '-q'), { code: 0, stdout: '', stderr: '' });
});

test('leader clear takes the choice back, with --if only the expected one', async () => {
  const name = 'cleared.skydns.local';
  for (const n of [1, 2])
    await put(`skydns/local/skydns/cleared/${n}`, at(`10.0.0.${n}`, { leader: 'manual' }));
  await leader('set', name, `1.${name}`);
  const late = await leader('clear', name, '--if', `2.${name}`);
  assert.equal(late.code, 5);
  assert.match(late.stderr, /1\.cleared\.skydns\.local\. is chosen, and nothing was changed/);
  assert.match((await leader('get', name)).stdout, /^1\.cleared.* \(chosen\)\n/);
  const done = await leader('clear', name, '--if', `1.${name}`);
  const line = 'cleared the choice for cleared.skydns.local.\n';
  assert.deepEqual(done, { code: 0, stdout: line, stderr: '' });
  assert.match((await leader('get', name)).stderr, /cleared\.skydns\.local\. has no leader/);
  const again = await leader('clear', name);
  assert.equal(again.code, 3);
  assert.match(again.stderr, /no instance is chosen, so there is nothing to clear/);
  await put(`skydns-leader/local/skydns/cleared`, { instance: 7 });
  const json = await leader('clear', name, '--json');
  assert.deepEqual(JSON.parse(json.stdout), { name: `${name}.`, instance: null });
});

test('Of ten leader set with one expectation exactly one exits with 0, and the others with 5', async () => {
  const name = 'race.skydns.local';
  for (let n = 0; n < 10; n++)
    await put(`skydns/local/skydns/race/${n}`, at('10.0.0.1', { leader: 'manual' }));
  const results = await Promise.all(
    Array.from({ length: 10 }, (_, n) => leader('set', name, `${n}.${name}`, '--if', 'none', '-q')),
  );
  const codes = results.map(({ code }) => code).sort();
  assert.deepEqual(codes, [0, ...Array(9).fill(5)]);
  const winner = results.findIndex(({ code }) => code === 0);
  assert.match((await leader('get', name)).stdout, new RegExp(`^${winner}\\.race`));
});

test('leader set refuses an instance that is not there, unless it is forced', async () => {
  await put('skydns/local/skydns/few/1', at('10.0.0.1', { leader: 'manual' }));
  const { code, stderr } = await leader('set', 'few.skydns.local', '9.few.skydns.local');
  assert.equal(code, 3);
  assert.match(
    stderr,
    /9\.few\.skydns\.local\. is not an instance of few\.skydns\.local\. \(there are 1\.few/,
  );
  const forced = ['set', 'few.skydns.local', '9.few.skydns.local', '--force'];
  assert.equal((await leader(...forced)).code, 0);
  const none = await leader('set', 'none.skydns.local', '1.none.skydns.local');
  assert.match(none.stderr, /\(it has none\)/);
});

test('leader set says why a choice has no effect', async () => {
  await put('skydns/local/skydns/auto/1', at('10.0.0.1'));
  await put('skydns/local/skydns/auto/2', at('10.0.0.2', { leader: 'never' }));
  const choose = (n: number) => leader('set', 'auto.skydns.local', `${n}.auto.skydns.local`);
  assert.match((await choose(1)).stderr, /note: no instance of auto\.\S+ says DNS_LEADER=manual/);
  assert.match((await choose(2)).stderr, /note: 2\.auto\.\S+ says DNS_LEADER=never and does not/);
});

const MISUSES: readonly (readonly [args: readonly string[], line: RegExp])[] = [
  [['get', ''], /"" is not the name of a service/],
  [['get', '.'], /"\." is not the name of a service/],
  [['get', '*.skydns.local'], /"\*\.skydns\.local" is not the name of a service/],
  [['get', 'a.local', 'b.local'], /b\.local: unexpected argument \(use set a\.local b\.local\)/],
  [['set', 'a.local'], /set: needs an instance/],
  [['clear', 'a.local', '1.a.local'], /1\.a\.local: unexpected argument/],
  [['set', 'a.local', '1.a.local', '--force', '--if', '.'], /"\." is not the name of a service/],
];

for (const [args, line] of MISUSES)
  test(`leader ${args.join(' ')} exits with 2`, async () => {
    const { code, stderr } = await leader(...args);
    assert.equal(code, 2, stderr);
    assert.match(stderr, line);
  });

interface Watching {
  lines(): readonly string[];
  stderr(): string;
  end(): Promise<number>;
}

function watch(store: Readonly<Record<string, string>>, ...args: readonly string[]): Watching {
  const texts = { stdout: '', stderr: '' };
  const output = (name: keyof typeof texts) => ({
    isTty: false,
    colour: false,
    write: (text: string) => {
      texts[name] += text;
    },
  });
  const stop = new AbortController();
  stops.push(stop);
  const running = runCli(COMMAND_TABLE, ['leader', 'watch', ...args], {
    stdout: output('stdout'),
    stderr: output('stderr'),
    env: store,
    readFile: () => ({ problem: 'ENOENT' }),
    stateDirectory: '/nonexistent',
    stop: stop.signal,
    handleSignals: () => {},
    onReload: () => {},
    outliveReaders: () => {},
  });
  return {
    lines: () => texts.stdout.split('\n').filter(Boolean),
    stderr: () => texts.stderr,
    end() {
      stop.abort('SIGINT');
      return running;
    },
  };
}

test('leader watch prints the leader of now, and a line at each change of it', async () => {
  await put('skydns/local/skydns/seen/1', at('10.0.0.1'));
  await put('skydns/local/skydns/seen/2', at('10.0.0.2'));
  const watching = watch(env, 'seen.skydns.local');
  await until('the first line', () => watching.lines().length === 1);
  await put('skydns/local/skydns/seen/3', at('10.0.0.3'));
  await put('skydns/local/skydns/beside/1', at('10.0.0.3'));
  await remove('skydns/local/skydns/seen/1');
  await until('the second line', () => watching.lines().length === 2);
  await put('skydns/local/skydns/seen/2', at('10.0.0.2', { leader: 'manual' }));
  await until('the third line', () => watching.lines().length === 3);
  await put('skydns-leader/local/skydns/seen', { instance: '2.seen.skydns.local.' });
  await until('the fourth line', () => watching.lines().length === 4);
  assert.equal(await watching.end(), 130);
  assert.deepEqual(watching.lines(), [
    '1.seen.skydns.local. 10.0.0.1:3306 (oldest)',
    '2.seen.skydns.local. 10.0.0.2:3306 (oldest)',
    'no leader',
    '2.seen.skydns.local. 10.0.0.2:3306 (chosen)',
  ]);
});

test('leader watch --json prints an object for each line, with null for no leader', async () => {
  const watching = watch(env, 'coming.skydns.local', '--json');
  await until('the first line', () => watching.lines().length === 1);
  await put('skydns/local/skydns/coming', at('10.0.0.1'));
  await until('the second line', () => watching.lines().length === 2);
  assert.equal(await watching.end(), 130);
  const [first, second] = watching.lines().map((line) => JSON.parse(line));
  assert.deepEqual(first, { name: 'coming.skydns.local.', leader: null });
  assert.deepEqual(
    [second.name, second.rule, second.leader.id, second.leader.addr],
    ['coming.skydns.local.', 'oldest', 'coming.skydns.local.', '10.0.0.1:3306'],
  );
});

test('leader watch waits for a lost store, and prints what has changed meanwhile', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'soradns-leader-'));
  const store = `file:${directory}`;
  let other = await startTestServer({ store });
  try {
    const http = `127.0.0.1:${other.http?.port}`;
    const url = `http://${http}`;
    await put('skydns/local/skydns/away/1', at('10.0.0.1'), url);
    const watching = watch({ SORADNS_STORE: url }, 'away.skydns.local');
    await until('the first line', () => watching.lines().length === 1);
    await other.close();
    await until('it waits', () => watching.stderr().includes('retrying'), 20_000);
    other = await startTestServer({ store, http });
    const remote = `${url}/v2/keys/skydns/local/skydns/away/1`;
    assert.ok((await fetch(remote, { method: 'DELETE', headers: WITH_TOKEN })).ok);
    await until('the second line', () => watching.lines().length === 2, 20_000);
    assert.equal(await watching.end(), 130);
    assert.deepEqual(watching.lines(), [
      '1.away.skydns.local. 10.0.0.1:3306 (oldest)',
      'no leader',
    ]);
    const { code } = await callCli(['leader', 'watch', 'x.local'], {
      env: { SORADNS_STORE: 'http://127.0.0.1:1' },
    });
    assert.equal(code, 4);
  } finally {
    await other.close();
    rmSync(directory, { recursive: true });
  }
});
