/** `soradns check`: reports every mistake on a line of its own, and the origin of each value. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CONFIG_OPTIONS } from '../../src/config/config.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { callCli, MAIN } from '../support/cli.ts';
import { startFakeDocker } from '../support/fakeDocker.ts';

const folder = mkdtempSync(join(tmpdir(), 'soradns-check-'));
const file = (name: string, text: string): string => {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
};
let certificates: Certificates;
before(() => {
  certificates = makeCertificates();
});
after(() => {
  certificates?.remove();
  rmSync(folder, { recursive: true });
});

const readFile = (path: string) => {
  try {
    return { text: readFileSync(path, 'utf8') };
  } catch {
    return { problem: 'ENOENT' };
  }
};
const check = (args: readonly string[], env = {}) => callCli(['check', ...args], { env, readFile });

describe('check', () => {
  it('check of a valid configuration exits with 0', async () => {
    const { code, stdout, stderr } = await check(['--ttl', '60']);
    assert.deepEqual(
      { code, stdout, stderr },
      {
        code: 0,
        stdout: 'the configuration is valid\n',
        stderr: '',
      },
    );
    assert.equal((await check(['-q'])).stdout, '');
  });

  it('check warns if --near knows no address of this host', async () => {
    const run = (...args: string[]) =>
      spawnSync('unshare', ['--net', process.execPath, MAIN, 'check', '--near', 'first', ...args], {
        encoding: 'utf8',
      });
    const { status, stderr } = run('--region', 'east');
    assert.equal(status, 0);
    assert.match(
      stderr,
      /^note: --near: no address of this host is known, so only services of the region are near; .*--near-networks 192\.0\.2\.10\n$/,
    );
    assert.equal(run('--near-networks', '192.0.2.0/24').stderr, '');
    assert.equal((await check(['--near', 'first'])).stderr, '');
    const { code, stderr: mistake } = await check(['--near', 'always']);
    assert.equal(code, 2);
    assert.match(mistake, /--near: "always" is not off, first or only; for example --near first/);
  });

  it('check warns if --allow lacks the containers of the Docker bridge', async (t) => {
    const docker = await startFakeDocker();
    t.after(() => docker.close());
    const env = { DOCKER_HOST: docker.host };
    const without = await check(['--allow', '10.0.0.0/8', '--allow', '127.0.0.1'], env);
    assert.equal(without.code, 0);
    assert.match(
      without.stderr,
      /^note: --allow: lacks 172\.17\.0\.1, .* for example 172\.17\.0\.1\/16\n$/,
    );
    for (const args of [[], ['--allow', '172.16.0.0/12']])
      assert.equal((await check(args, env)).stderr, '');
  });

  it('check reads the keys of --dnssec and reports each one that cannot sign', async () => {
    const line = 'soradns: --dnssec: Knone: there is neither a folder nor a key of this name\n';
    for (const [args, env] of [
      [['--dnssec', 'Knone'], {}],
      [['-dnssec', 'Knone.private'], {}],
      [[], { SKYDNS_DNSSEC: 'Knone' }],
    ] as const) {
      const { code, stdout, stderr } = await check([...args], env);
      assert.deepEqual({ code, stdout, stderr }, { code: 2, stdout: '', stderr: line });
    }
  });

  it('check lists every mistake on its own line and exits with 2', async () => {
    const config = file('bad.json', '{"tll": 1, "addr": "here"}');
    const ran = await check(['--config', config, '--min-ttl', '-1'], { SORADNS_ANY: 'perhaps' });
    assert.equal(ran.code, 2);
    const lines = ran.stderr.trimEnd().split('\n');
    assert.equal(lines.length, 4, ran.stderr);
    for (const [i, start] of ['"tll" in', 'addr in', '--min-ttl: ', 'SORADNS_ANY: '].entries())
      assert.ok(
        lines.some((line) => line.startsWith(`soradns: ${start}`)),
        `${i} ${ran.stderr}`,
      );
    const json = JSON.parse((await check(['--config', config, '--json'])).stdout);
    assert.deepEqual([json.ok, json.mistakes.length], [false, 2]);
  });

  it('check verifies the certificates and the Docker address', async () => {
    const { path } = certificates;
    const store = ['--store', 'etcds://127.0.0.1:2379'];
    const table: readonly [string[], RegExp][] = [
      [['--ca-cert', '/nonexistent'], /^soradns: --ca-cert: cannot read \/nonexistent \(ENOENT\)/],
      [['--ca-cert', file('ca', 'x')], /^soradns: --ca-cert: .* contains no certificate in PEM/],
      [
        ['--tls-pem', path('client.pem'), '--tls-key', file('key', 'x')],
        /^soradns: --tls-key: .* no private key/,
      ],
      [
        ['--tls-pem', path('client.pem'), '--tls-key', path('server-key.pem')],
        /^soradns: --tls-key: .*server-key\.pem is not the key of .*client\.pem/,
      ],
      [['--tls-pem', path('client.pem'), '--tls-key', path('client-key.pem')], /^$/],
      [
        ['--register', '--register-docker-host', 'ssh://h'],
        /^soradns: --register-docker-host: ssh/,
      ],
    ];
    for (const [args, stderr] of table) {
      const ran = await check([...store, ...args]);
      assert.match(ran.stderr, stderr);
      assert.equal(ran.code, ran.stderr === '' ? 0 : 2);
    }
  });

  it('check prints a note about each --register-allow that matches no name in the zones', async () => {
    const allow = ['--register-allow', '**.corp.example', '--register-allow', '*.skydns.local'];
    const { code, stderr } = await check(['--register', '--domain', 'skydns.local', ...allow]);
    assert.equal(code, 0);
    const note = 'has no effect: it matches no name in skydns.local.';
    assert.equal(stderr, `note: --register-allow: **.corp.example ${note}\n`);
  });

  it('check prints no note about --register-allow while the store may still set the domains', async () => {
    const { code, stderr } = await check(['--register', '--register-allow', '**.corp.example']);
    assert.deepEqual([code, stderr], [0, '']);
  });

  it('check prints a note about an option without effect', async () => {
    const { code, stderr } = await check(['--rcache', '10']);
    assert.equal(code, 0);
    assert.match(stderr, /^note: --rcache has no effect/);
  });
});

describe('check --show', () => {
  it('check --show prints every option with its value and origin', async () => {
    const config = file('good.json', '{"min_ttl": 7}');
    const args = ['--show', '--config', config, '--addr', '127.0.0.1:1', '--addr', '127.0.0.1:2'];
    const env = { SKYDNS_DOMAIN: 'a.example', SORADNS_VIP: 'true' };
    const { code, stdout } = await check(args, env);
    assert.equal(code, 0);
    const line = (name: string) => stdout.split('\n').find((text) => text.startsWith(`--${name} `));
    assert.match(line('addr') ?? '', /127\.0\.0\.1:1,127\.0\.0\.1:2 +flag +--addr$/);
    assert.match(line('domain') ?? '', /a\.example +environment +SKYDNS_DOMAIN$/);
    assert.match(line('min-ttl') ?? '', / 7 +file +min_ttl in .*good\.json$/);
    assert.match(line('ttl') ?? '', / 3600 +default$/);
    assert.match(line('store') ?? '', /file:\/nonexistent +default$/);
    for (const { name } of Object.values(CONFIG_OPTIONS)) assert.ok(line(name), name);
    assert.match(line('register-ip') ?? '', /default/);
    assert.match(line('vip') ?? '', / true +environment +SORADNS_VIP$/);
    assert.match(line('ambassador-drain') ?? '', / 30 +default$/);
  });

  it('check --show hides secrets from every origin', async () => {
    const args = ['--show', '--json', '--token', 's3cr3t'];
    const { stdout, stderr } = await check(args, {
      SORADNS_HTTP_TOKEN: 's3cr3t',
      SORADNS_STORE: 'etcd://u:s3cr3t@127.0.0.1:1',
    });
    assert.doesNotMatch(stdout + stderr, /s3cr3t/);
    const { options } = JSON.parse(stdout);
    const token = options.find(({ name }: { name: string }) => name === 'http-token');
    assert.deepEqual(token, {
      name: 'http-token',
      value: '[secret]',
      origin: 'environment',
      place: 'SORADNS_HTTP_TOKEN',
    });
  });
});
