/** The findings of `doctor` about etcd, with real members and real certificates, and about the clock. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { judgeClock, leastOffsetMs } from '../../../src/tools/doctor/judge/clock.ts';
import { judgeMember } from '../../../src/tools/doctor/judge/etcd.ts';
import { type Certificates, makeCertificates } from '../../support/certificates.ts';
import { DESIRED } from '../../support/desiredServer.ts';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { examined, finding } from '../../support/examination.ts';
import { startProxy } from '../../support/proxy.ts';

let certificates: Certificates;
let plain: Etcd;
let secure: Etcd;
let strict: Etcd;
let expired: Etcd;
let elsewhere: Etcd;
before(async () => {
  certificates = makeCertificates();
  const { path } = certificates;
  const tls = (name: string) => ({
    ca: path('ca.pem'),
    cert: path(`${name}.pem`),
    key: path(`${name}-key.pem`),
  });
  [plain, secure, strict, expired, elsewhere] = await Promise.all([
    startEtcd(),
    startEtcd({ tls: tls('server') }),
    startEtcd({ tls: { ...tls('server'), clientAuth: true } }),
    startEtcd({ tls: tls('expired') }),
    startEtcd({ tls: tls('elsewhere') }),
  ]);
});
after(async () => {
  await Promise.all([plain, secure, strict, expired, elsewhere].map((etcd) => etcd?.stop()));
  certificates?.remove();
});

describe('etcd', () => {
  const judge = (store: string, flags: Record<string, string> = {}) =>
    finding({ flags: { store, ...flags } }, 'etcd');
  const ca = () => ({ 'ca-cert': certificates.path('ca.pem') });

  it('doctor prints the version and latency of a working etcd, with and without TLS', async () => {
    for (const found of [
      await judge(`etcd://${plain.endpoint}`),
      await judge(`etcds://${secure.endpoint}`, ca()),
    ]) {
      assert.equal(found.level, 'ok', found.message);
      assert.match(
        found.message,
        /^etcd 3\.\d+\.\d+ at .*: p50 [\d.]+ ms, max [\d.]+ ms of 5 reads$/,
      );
    }
  });

  it('doctor checks each member of etcd', async () => {
    const store = `etcd://${plain.endpoint},127.0.0.1:1`;
    const found = await examined({ flags: { store } }, 'etcd');
    assert.deepEqual(
      found.map(({ level }) => level),
      ['ok', 'problem'],
    );
    assert.match(found[1]?.message ?? '', /^etcd 127\.0\.0\.1:1: connect ECONNREFUSED/);
    assert.match(found[1]?.fix ?? '', /^curl -sS http:\/\/127\.0\.0\.1:1\/health/);
  });

  it('doctor warns about a slow etcd', async () => {
    const proxy = await startProxy(plain.endpoint);
    proxy.delay(() => 150);
    try {
      const found = await judge(`etcd://${proxy.endpoint}`);
      assert.equal(found.level, 'warning', found.message);
      assert.match(found.message, /clients see changes that much later/);
    } finally {
      await proxy.close();
    }
  });

  it('doctor reports each fault of etcd’s certificate with its own fix', async () => {
    const table: readonly [Etcd, Record<string, string>, RegExp, RegExp][] = [
      [
        secure,
        { 'ca-cert': certificates.path('stranger.pem') },
        /no CA that we trust/,
        /--ca-cert/,
      ],
      [secure, {}, /no CA that we trust/, /--ca-cert/],
      [expired, ca(), /has expired/, /x509 -noout -dates/],
      [elsewhere, ca(), /is not for 127\.0\.0\.1/, /subjectAltName/],
      [strict, ca(), /requires a client certificate/, /--tls-pem .* --tls-key/],
    ];
    for (const [etcd, flags, message, fix] of table) {
      const found = await judge(`etcds://${etcd.endpoint}`, flags);
      assert.equal(found.level, 'problem');
      assert.match(found.message, message);
      assert.match(found.fix ?? '', fix);
    }
  });

  it('doctor reports a missing user, a wrong password and a missing permission in etcd', async () => {
    await plain.etcdctl(['user', 'add', 'root:root']);
    await plain.etcdctl(['user', 'grant-role', 'root', 'root']);
    await plain.etcdctl(['user', 'add', 'nobody:secret']);
    await plain.etcdctl(['auth', 'enable']);
    try {
      const judgeAs = (login: Record<string, string>) =>
        finding({ flags: { store: `etcd://${plain.endpoint}` }, env: login }, 'etcd');
      const as = (password: string) =>
        judgeAs({ ETCD_USERNAME: 'nobody', ETCD_PASSWORD: password });
      assert.match((await judgeAs({})).message, /requires a user/);
      const wrong = await as('wrong');
      assert.match(wrong.message, /refuses the user or the password/);
      assert.match(wrong.fix ?? '', /--username USER --password-file FILE/);
      const powerless = await as('secret');
      assert.match(powerless.message, /permission denied/);
      assert.match(powerless.fix ?? '', /grant-permission --prefix=true ROLE readwrite \/skydns\//);
    } finally {
      await plain.etcdctl(['--user', 'root:root', 'auth', 'disable']);
    }
  });

  it('doctor reports an etcd that is too old', () => {
    const facts = {
      address: 'h:1',
      usesTls: false,
      reading: { kind: 'read', samplesMs: [1] },
    } as const;
    assert.equal(
      judgeMember({ ...facts, version: '3.3.27' }, '/skydns/', DESIRED).level,
      'problem',
    );
    for (const version of ['3.4.0', '3.10.1', '4.0.0', undefined])
      assert.equal(judgeMember({ ...facts, version }, '/skydns/', DESIRED).level, 'ok', version);
  });
});

describe('the clock', () => {
  it('doctor finds that the clock agrees with an etcd on the same machine', async () => {
    const { level, message } = await finding(
      { flags: { store: `etcd://${plain.endpoint}` } },
      'clock',
    );
    assert.equal(level, 'ok', message);
  });

  /** An HTTP server in place of etcd, with a clock of its own. */
  async function withClock(aheadMs: number) {
    const other = createServer((_, response) => {
      response.setHeader('Date', new Date(Date.now() + aheadMs).toUTCString());
      response.end('{"etcdserver":"3.5.0"}');
    });
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    try {
      const { port } = other.address() as AddressInfo;
      return await finding({ flags: { store: `etcd://127.0.0.1:${port}` } }, 'clock');
    } finally {
      other.closeAllConnections();
      other.close();
    }
  }

  it('doctor warns about a clock that differs from etcd’s and reports a large difference as a problem', async () => {
    const behind = await withClock(20_000);
    assert.equal(behind.level, 'warning');
    assert.match(behind.message, /^this host's clock is (19|20) s behind that of etcd/);
    const ahead = await withClock(-3_600_000);
    assert.equal(ahead.level, 'problem');
    assert.match(ahead.message, /^this host's clock is (3599|3600) s ahead of/);
    assert.equal(ahead.fix, 'sudo timedatectl set-ntp true');
  });

  it('doctor allows for slow answers and whole seconds when it compares the clocks', () => {
    const source = 'x';
    assert.equal(leastOffsetMs({ source, theirsMs: 5_000, sentMs: 5_900, receivedMs: 5_950 }), 0);
    assert.equal(leastOffsetMs({ source, theirsMs: 5_000, sentMs: 0, receivedMs: 9_000 }), 0);
    assert.equal(
      leastOffsetMs({ source, theirsMs: 5_000, sentMs: 7_000, receivedMs: 7_001 }),
      1_000,
    );
    assert.equal(
      leastOffsetMs({ source, theirsMs: 5_000, sentMs: 3_000, receivedMs: 3_500 }),
      -1_500,
    );
    assert.equal(
      judgeClock({ source, theirsMs: 5_000, sentMs: 7_000, receivedMs: 7_001 }).level,
      'ok',
    );
  });
});
