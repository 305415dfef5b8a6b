/**
 * A real etcd that soradns does not trust or that refuses soradns: one log line and readiness give the reason, and
 * soradns keeps retrying.
 */
import assert from 'node:assert/strict';
import { copyFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseSocketAddress } from '../../src/dns/address.ts';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { spawnCli } from '../support/cli.ts';
import { type CliProcess, ON_FREE_PORTS, startCli } from '../support/cliProcess.ts';
import { dig } from '../support/dig.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { readyz, useFakeDocker } from '../support/registrarProcesses.ts';
import { until } from '../support/until.ts';

type Name = 'signed' | 'expired' | 'elsewhere' | 'strict' | 'guarded';

let certificates: Certificates;
let etcds: Record<Name, Etcd>;
before(async () => {
  certificates = makeCertificates();
  const { path } = certificates;
  const tls = (name: string) => ({
    ca: path('ca.pem'),
    cert: path(`${name}.pem`),
    key: path(`${name}-key.pem`),
  });
  const [signed, expired, elsewhere, strict, guarded] = await Promise.all([
    startEtcd({ tls: tls('server') }),
    startEtcd({ tls: tls('expired') }),
    startEtcd({ tls: tls('elsewhere') }),
    startEtcd({ tls: { ...tls('server'), clientAuth: true } }),
    startEtcd(),
  ]);
  etcds = { signed, expired, elsewhere, strict, guarded };
  for (const [user, role] of [
    ['root', 'root'],
    ['writer', 'rw'],
    ['nobody', 'none'],
  ] as const) {
    await guarded.etcdctl(['role', 'add', role]).catch(() => undefined);
    await guarded.etcdctl(['user', 'add', `${user}:secret`]);
    await guarded.etcdctl(['user', 'grant-role', user, role]);
  }
  const grant = ['role', 'grant-permission', '--prefix=true'];
  await guarded.etcdctl([...grant, 'rw', 'readwrite', '/skydns/']);
  await guarded.etcdctl(['auth', 'enable']);
});
const running = new Set<CliProcess>();
after(async () => {
  await Promise.all([...running].map((child) => child.end('SIGKILL')));
  await Promise.all(Object.values(etcds ?? {}).map((etcd) => etcd.stop()));
  certificates?.remove();
});

function start(args: readonly string[]): CliProcess {
  const child = startCli(args);
  running.add(child);
  return child;
}

interface Refusal {
  readonly what: string;
  readonly etcd: Name;
  readonly options: () => readonly string[];
  readonly reason: RegExp;
}

const ca = (name: string) => () => ['--ca-cert', certificates.path(`${name}.pem`)];
const login = (user: string, password: string) => () => {
  const file = certificates.path(`password-${user}`);
  writeFileSync(file, password);
  return ['--username', user, '--password-file', file];
};
const REFUSALS: readonly Refusal[] = [
  {
    what: 'an unknown CA',
    etcd: 'signed',
    options: ca('stranger'),
    reason: /no CA that we trust$/,
  },
  {
    what: 'a missing CA option',
    etcd: 'signed',
    options: () => [],
    reason: /no CA that we trust$/,
  },
  { what: 'an expired certificate', etcd: 'expired', options: ca('ca'), reason: /has expired$/ },
  {
    what: 'a certificate for another host',
    etcd: 'elsewhere',
    options: ca('ca'),
    reason: /is not for 127\.0\.0\.1: its subjectAltName does not list IP:127\.0\.0\.1$/,
  },
  {
    what: 'a missing client certificate',
    etcd: 'strict',
    options: ca('ca'),
    reason: /requires a client certificate/,
  },
  {
    what: 'a missing user',
    etcd: 'guarded',
    options: () => [],
    reason: /requires a user and a password$/,
  },
  {
    what: 'a wrong password',
    etcd: 'guarded',
    options: login('writer', 'x'),
    reason: /refuses the user or/,
  },
  {
    what: 'a missing permission',
    etcd: 'guarded',
    options: login('nobody', 'secret'),
    reason: /^etcd \S+: permission denied/,
  },
];

const storeOf = ({ etcd, options }: Refusal): readonly string[] => {
  const scheme = etcd === 'guarded' ? 'etcd' : 'etcds';
  return ['--store', `${scheme}://${etcds[etcd].endpoint}`, ...options()];
};

const losses = (child: CliProcess) =>
  child.lines().filter(({ msg }) => msg === 'the store is unreachable');

/** Long enough for several connection attempts. */
const RETRIES_MS = 2_000;

describe('serve', { concurrency: 4 }, () => {
  for (const refusal of REFUSALS) {
    it(`serve that cannot use etcd because of ${refusal.what} logs the reason once, reports it in readiness and keeps running`, {
      timeout: 60_000,
    }, async () => {
      const child = start(['serve', ...storeOf(refusal), ...ON_FREE_PORTS]);
      const { dns, http } = await child.logged('serving');
      await child.logged('the store is unreachable');
      await sleep(RETRIES_MS);
      const logged = losses(child);
      assert.equal(logged.length, 1, JSON.stringify(logged));
      assert.match(String(logged[0]?.reason), refusal.reason);
      assert.match(String(logged[0]?.reason), /^etcd 127\.0\.0\.1:\d+: [^\n]*$/);
      assert.equal(logged[0]?.level, 'warn');
      const ready = await readyz(`http://${http}`);
      assert.ok(ready.startsWith('503 store: etcd'), ready);
      assert.ok(ready.includes(`has not been read yet (${logged[0]?.reason})`), ready);
      const [address = ''] = dns as string[];
      const reply = await dig(parseSocketAddress(address) ?? assert.fail(), 'a.skydns.local');
      assert.equal(reply.status, 'SERVFAIL');
      assert.ok(child.isRunning);
      assert.equal(child.stderr(), '');
      assert.equal(await child.end('SIGTERM'), 0);
    });
  }
});

describe('ls', () => {
  it('ls prints in one line why it cannot use etcd and exits with code 6', async () => {
    for (const refusal of [REFUSALS[0], REFUSALS[5]] as Refusal[]) {
      const { code, stderr } = await spawnCli(['ls', ...storeOf(refusal)]);
      assert.equal(code, 6, stderr);
      assert.match(stderr, /^soradns: etcd 127\.0\.0\.1:\d+: [^\n]+\n$/);
    }
  });
});

describe('register', () => {
  const fixture = useFakeDocker();

  it('register that does not trust etcd’s CA reports the reason in readiness and keeps running', {
    timeout: 60_000,
  }, async () => {
    const args = ['register', ...storeOf(REFUSALS[0] as Refusal), '--http', '127.0.0.1:0'];
    const child = fixture.start(args);
    const { http } = await child.logged('registering');
    await sleep(RETRIES_MS);
    assert.match(await readyz(`http://${http}`), /^503 store: .*no CA that we trust/);
    assert.equal(await child.end('SIGINT'), 0, child.stderr());
    assert.equal(child.stderr(), '');
  });
});

// Last, because it ends two of the refusals.
describe('serve after a correction', () => {
  it('serve connects to etcd without a restart after the certificate or the password in etcd is corrected', {
    timeout: 120_000,
  }, async () => {
    const [password, expired] = [6, 2].map((i) => REFUSALS[i] as Refusal);
    const renewed = start(['serve', ...storeOf(expired as Refusal), ...ON_FREE_PORTS]);
    const allowed = start(['serve', ...storeOf(password as Refusal), ...ON_FREE_PORTS]);
    const urls = [];
    for (const child of [renewed, allowed]) {
      urls.push(`http://${(await child.logged('serving')).http}`);
      await child.logged('the store is unreachable');
    }
    // etcd reads its certificate again for each connection.
    const { path } = certificates;
    copyFileSync(path('server-key.pem'), path('expired-key.pem'));
    copyFileSync(path('server.pem'), path('expired.pem'));
    await etcds.guarded.etcdctl(
      ['--user', 'root:secret', 'user', 'passwd', 'writer', '--interactive=false'],
      'x\n',
    );
    for (const url of urls)
      await until(`${url} is ready`, async () => (await readyz(url)) === '200 ok', 30_000);
    for (const child of [renewed, allowed]) assert.equal(await child.end('SIGTERM'), 0);
  });
});
