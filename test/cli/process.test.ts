/** Tests that need a separate process: exit codes, signals, closed pipes, files. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { callCli, childEnv, MAIN, spawnCli } from '../support/cli.ts';
import { clientEnv, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';

const directory = mkdtempSync(join(tmpdir(), 'soradns-cli-'));
let server: TestServer;
let env: Record<string, string>;

before(async () => {
  server = await startTestServer({});
  env = clientEnv(server);
  const { code, stderr } = await callCli(['set', 'a.skydns.local', '--host', '10.0.0.1'], { env });
  assert.equal(code, 0, stderr);
});
after(async () => {
  await server?.close();
  rmSync(directory, { recursive: true });
});

const children = new Set<ChildProcess>();
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

/** Starts a command that runs until it receives a signal. */
function start(args: readonly string[], more: Readonly<Record<string, string>> = {}) {
  const options = { env: childEnv({ ...env, ...more }) };
  const child = spawn(process.execPath, [MAIN, ...args], options);
  children.add(child);
  const texts = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text) => {
    texts.stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text) => {
    texts.stderr += text;
  });
  const exit = once(child, 'exit').finally(() => children.delete(child));
  return { child, texts, exit: exit.then(([code]) => code as number | null) };
}

describe('exit codes', () => {
  const config = join(directory, 'config.json');
  before(() => writeFileSync(config, '{"tll": 60}'));

  it('The exit codes are as documented', async () => {
    const taken = `${server.dns.address}:${server.dns.port}`;
    const serve = ['serve', '--store', 'memory:', '--http', 'off'];
    const table: [number, string[], RegExp][] = [
      [0, ['get', 'a.skydns.local'], /^$/],
      [2, ['set', 'a.skydns.local', '--prot', '80'], /^soradns: --prot: .*--port\?\)\n$/],
      [2, ['serve', '--config', config], /^soradns: "tll" in .*did you mean ttl\?\n$/],
      [3, ['get', 'b.skydns.local'], /^soradns: .*does not exist\n$/],
      [4, ['ls', '--store', 'http://127.0.0.1:1'], /^soradns: .*soradns serve.*\n$/],
      [4, ['ls', '--store', 'etcd://127.0.0.1:1'], /^soradns: .*\n$/],
      [4, [...serve, '--addr', taken], new RegExp(`^soradns: .*${taken}.*\\n$`)],
      [5, ['set', 'a.skydns.local', '--host', 'h', '--if-absent'], /^soradns: .*\n$/],
      [6, ['query', 'www.example.com'], /^soradns: .*REFUSED\n$/],
      [7, ['set', 'a.skydns.local', '--value', '[]'], /^soradns: --value: .*\n$/],
      [9, ['query', 'a', '@127.0.0.1:1', '--timeout', '0.2'], /^soradns: no reply .*\n$/],
    ];
    const check = async ([code, args, stderr]: (typeof table)[number]): Promise<void> => {
      const ran = await spawnCli(args, env);
      assert.equal(ran.code, code, `${args.join(' ')}: ${ran.stderr}`);
      assert.match(ran.stderr, stderr);
    };
    await Promise.all(table.map(check));
  });

  it('The exit codes after SIGINT and SIGTERM are 130 and 143', async () => {
    const watches = (['SIGINT', 'SIGTERM'] as const).map(async (signal) => {
      const { child, texts, exit } = start(['watch']);
      await until('it watches', () => texts.stderr.includes('watching /skydns'), 20_000);
      child.kill(signal);
      return exit;
    });
    assert.deepEqual(await Promise.all(watches), [130, 143]);
  });
});

describe('watch', () => {
  it('watch prints each change below a name once, as a line of JSON', async () => {
    const { child, texts, exit } = start(['watch', 'w.skydns.local', '--json', '-q']);
    const run = (...args: string[]) => callCli(args, { env });
    // A watch prints only changes after its start, so this repeats the first change until the watch prints one.
    await until(
      'it watches',
      async () => {
        await run('set', '0.w.skydns.local', '--host', '10.0.0.1');
        return texts.stdout !== '';
      },
      20_000,
    );
    await run('set', '1.w.skydns.local', '--host', '10.0.0.2', '--ttl', '5');
    await run('set', 'w.skydns.local', '--text', 'own', '--force');
    await run('set', 'ww.skydns.local', '--host', '10.0.0.3');
    await run('rm', '-r', '1.w.skydns.local');
    await until('all is printed', () => texts.stdout.includes('"delete"'));
    child.kill('SIGINT');
    assert.equal(await exit, 130);
    const lines = texts.stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    const seen = lines.filter(({ key }) => !key.endsWith('/0'));
    assert.deepEqual(
      seen.map(({ createRevision, modRevision, ...rest }) => rest),
      [
        {
          kind: 'put',
          key: '/skydns/local/skydns/w/1',
          name: '1.w.skydns.local.',
          service: { host: '10.0.0.2', ttl: 5 },
        },
        {
          kind: 'put',
          key: '/skydns/local/skydns/w',
          name: 'w.skydns.local.',
          service: { text: 'own' },
        },
        { kind: 'delete', key: '/skydns/local/skydns/w/1', name: '1.w.skydns.local.' },
      ],
    );
    const revisions = lines.map(({ modRevision }) => modRevision);
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].sort((a, b) => a - b),
    );
  });
});

describe('secrets', () => {
  it('The server writes no secret to its log at any level', async () => {
    const secrets = {
      SORADNS_STORE: 'etcd://user:s3cr3t@127.0.0.1:1',
      SORADNS_HTTP_TOKEN: 's3cr3t',
      SORADNS_TOKEN: 's3cr3t',
    };
    const args = ['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--log-level', 'trace'];
    const { child, texts, exit } = start(['serve', ...args], secrets);
    await until('it serves', () => texts.stdout.includes('"serving"'), 20_000);
    child.kill('SIGTERM');
    assert.equal(await exit, 0, texts.stderr);
    assert.doesNotMatch(texts.stdout + texts.stderr, /s3cr3t/);
    assert.match(texts.stdout, /etcd/);
  });
});

describe('secrets on the command line', () => {
  const table: readonly [readonly string[], RegExp][] = [
    [['serve', '--http-token', 's3cr3t'], /--http-token-file FILE or .* SORADNS_HTTP_TOKEN$/],
    [['up', '--password=s3cr3t'], /--password-file FILE or .* SORADNS_PASSWORD$/],
    [['register', '--token', 's3cr3t'], /--token-file FILE or .* SORADNS_TOKEN \(see/],
    [['ls', '--store', 'etcd://u:s3cr3t@127.0.0.1:1'], /--password-file FILE/],
  ];
  for (const [args, fix] of table) {
    it(`${args[0]} refuses the secret in ${args[1]} with the fix and does not print it`, async () => {
      const { texts, exit } = start(args);
      assert.equal(await exit, 2, texts.stdout);
      assert.match(texts.stderr.trimEnd(), fix);
      assert.match(texts.stderr, /every user of this host can read the command line/);
      assert.doesNotMatch(texts.stdout + texts.stderr, /s3cr3t/);
    });
  }

  it('The help of serve does not list options with secrets', async () => {
    const { texts, exit } = start(['serve', '--help']);
    assert.equal(await exit, 0);
    assert.match(texts.stdout, /--http-token-file/);
    assert.doesNotMatch(texts.stdout, /--(http-token|token|password) /);
  });
});

describe('pipes', () => {
  it('The server writes only JSON to a pipe and nothing to stderr', async () => {
    const addresses = ['--addr', '127.0.0.1:0', '--http', '127.0.0.1:0', '--no-rec'];
    const { child, texts, exit } = start(['serve', '--store', 'memory:', ...addresses]);
    await until('it serves', () => texts.stdout.includes('"serving"'), 20_000);
    const [, http] = /"http":"([^"]+)"/.exec(texts.stdout) ?? assert.fail(texts.stdout);
    await until('it is ready', async () => (await fetch(`http://${http}/readyz`)).ok, 20_000);
    child.kill('SIGTERM');
    assert.equal(await exit, 0);
    assert.equal(texts.stderr, '');
  });

  it('A command whose output pipe closes early exits with 0', async () => {
    const { child, exit } = start(['serve', '--help']);
    child.stdout?.destroy();
    assert.equal(await exit, 0);
  });
});

describe('embedded store', () => {
  it('Commands use an embedded store one after the other', async () => {
    const store = ['--store', `file:${join(directory, 'store')}`];
    const set = await spawnCli(['set', 'f.skydns.local', '--host', '10.0.0.9', ...store]);
    assert.equal(set.code, 0, set.stderr);
    const get = await spawnCli(['get', 'f.skydns.local', ...store]);
    assert.equal(get.stdout, '{"host":"10.0.0.9"}\n', get.stderr);
  });

  it('A command reports that a server has the embedded store open', async () => {
    const store = ['--store', `file:${join(directory, 'open')}`];
    const addresses = ['--addr', '127.0.0.1:0', '--http', 'off'];
    const { child, texts, exit } = start(['serve', ...store, ...addresses]);
    await until('it serves', () => texts.stdout.includes('"serving"'), 20_000);
    const { code, stderr } = await spawnCli(['ls', ...store]);
    assert.equal(code, 4);
    assert.match(
      stderr,
      /^soradns: .*\(a server probably has it open: use its --http address, .*\)\n$/,
    );
    child.kill('SIGTERM');
    assert.equal(await exit, 0, texts.stderr);
  });
});
