/** The whole server: late and lost stores, forwarding, message sizes, and the two lines of the SkyDNS article. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Rcode } from '../../src/dns/rr.ts';
import type { ServerStats } from '../../src/server/http/health.ts';
import { dig } from '../support/dig.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';
import { question, text } from '../support/zone.ts';

const KEY = '/v2/keys/skydns/local/skydns';

async function put(server: TestServer, path: string, value: unknown): Promise<void> {
  const body = new URLSearchParams({ value: JSON.stringify(value) });
  const reply = await fetch(`${httpOf(server)}${KEY}/${path}`, { method: 'PUT', body });
  assert.ok(reply.ok, await reply.text());
}

function httpOf(server: TestServer): string {
  assert.ok(server.http !== undefined);
  return `http://${server.http.address}:${server.http.port}`;
}

async function answers(server: TestServer, qname: string, type: string): Promise<string[]> {
  return text((await query(server.dns, question(qname, type))).answer);
}

describe('memory store', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({});
  });
  after(() => server.close());

  it('The server answers dig SRV after the curl line of the SkyDNS article', async () => {
    await put(server, 'east/production/rails/1', { host: 'service1.example.com', port: 8080 });
    const { answer, flags } = await dig(server.dns, 'SRV', '1.rails.production.east.skydns.local');
    assert.deepEqual(answer, [
      '1.rails.production.east.skydns.local. 3600 IN SRV 10 100 8080 service1.example.com.',
    ]);
    assert.deepEqual(flags, ['qr', 'aa', 'rd']);
  });

  it('The server skips and logs an invalid value and answers with the valid ones', async () => {
    await put(server, 'mixed/good', { host: '10.0.0.1' });
    await put(server, 'mixed/bad', { host: ['10.0.0.2'] });
    await until('the skipped value is logged', () =>
      server.lines.some((l) => l.message === 'value skipped'),
    );
    assert.deepEqual(await answers(server, 'mixed.skydns.local.', 'A'), [
      'mixed.skydns.local. 3600 IN A 10.0.0.1',
    ]);
    const ready = await fetch(`${httpOf(server)}/readyz`, {
      headers: { accept: 'application/json' },
    });
    const { services, invalid, revision, udp, tcp, mirror } = (await ready.json()) as ServerStats;
    assert.deepEqual([services, invalid], [2, 1]);
    assert.ok(Number(revision) >= 3 && udp.queries > 0 && tcp.open === 0 && mirror.events >= 3);
    const skipped = server.lines.find((line) => line.message === 'value skipped');
    assert.equal(skipped?.fields.key, '/skydns/local/skydns/mixed/bad');
  });

  it('The server truncates a large answer over UDP to the records that fit and sends all of them over TCP', async () => {
    for (let i = 0; i < 120; i++) await put(server, `many/${i}`, { host: `10.1.0.${i}` });
    const edns = { udpSize: 4096, dnssecOk: false };
    const many = question('many.skydns.local.', 'A');
    await until('the server has all names', async () => {
      const whole = await query(server.dns, many, { transport: 'tcp', edns });
      return whole.answer.length === 120;
    });
    const cut = await query(server.dns, many, { edns });
    assert.equal(cut.truncated, true);
    assert.ok(cut.answer.length >= 70 && cut.answer.length < 120, `${cut.answer.length} records`);
    assert.ok(cut.edns !== undefined);
  });

  it('The server answers with the letter case of the query', async () => {
    const reply = await query(server.dns, question('gOOd.MiXeD.skydns.LOCAL.', 'A'));
    assert.deepEqual(text(reply.answer), ['gOOd.MiXeD.skydns.LOCAL. 3600 IN A 10.0.0.1']);
  });
});

describe('etcd', () => {
  let etcd: Etcd;
  before(async () => {
    etcd = await startEtcd();
  });
  after(() => etcd?.stop());

  it('The server answers SERVFAIL before it has read the store and marks answers as stale after it has lost the store', async () => {
    await etcd.etcdctl(['put', '/skydns/local/skydns/web', '{"host":"10.0.0.1"}']);
    await etcd.kill();
    const server = await startTestServer(
      { store: `etcd://${etcd.endpoint}` },
      { awaitReady: false },
    );
    try {
      const early = await dig(server.dns, 'web.skydns.local');
      assert.equal(early.status, 'SERVFAIL');
      assert.match(early.text, /EDE: 14/);
      assert.equal((await dig(server.dns, 'www.example.com')).status, 'REFUSED');
      const ready = await fetch(`${httpOf(server)}/readyz`);
      assert.equal(ready.status, 503);
      assert.match(await ready.text(), /^store: etcd:\/\/.* has not been read yet/);

      await etcd.restart();
      await until('the store is read', () => server.readiness().length === 0, 20_000);
      const fresh = await dig(server.dns, 'web.skydns.local');
      assert.deepEqual(fresh.answer, ['web.skydns.local. 3600 IN A 10.0.0.1']);
      assert.doesNotMatch(fresh.text, /EDE/);

      await etcd.kill();
      await until('the server has lost the store', () => server.readiness().length > 0, 20_000);
      const stale = await dig(server.dns, 'web.skydns.local');
      assert.deepEqual(stale.answer, fresh.answer);
      assert.match(stale.text, /EDE: 3/);
    } finally {
      await server.close();
    }
  });
});

describe('names outside the zones', () => {
  let upstream: TestUpstream;
  let server: TestServer;
  before(async () => {
    const records = [
      'www.example.com. 300 CNAME a.example.com.',
      'a.example.com. 300 A 192.0.2.80',
      'mx.example.com. 300 A 192.0.2.25',
    ];
    upstream = await startUpstream({ records });
    server = await startTestServer({ 'no-rec': false, nameservers: `127.0.0.1:${upstream.port}` });
    await put(server, 'alias', { host: 'www.example.com' });
    await put(server, 'gone', { host: 'gone.example.com' });
    await put(server, 'srv/1', { host: 'mx.example.com', port: 25 });
    await until('the server has all names', async () => {
      return (await query(server.dns, question('1.srv.skydns.local.', 'SRV'))).answer.length === 1;
    });
  });
  after(async () => {
    await server?.close();
    await upstream?.close();
  });

  it('The server forwards an outside name and answers with RA and without AA', async () => {
    const { answer, flags } = await dig(server.dns, 'www.example.com');
    assert.deepEqual(
      answer.map((line) => line.replace(/ \d+ /, ' ')),
      ['www.example.com. IN CNAME a.example.com.', 'a.example.com. IN A 192.0.2.80'],
    );
    assert.deepEqual(flags, ['qr', 'rd', 'ra']);
    assert.equal((await dig(server.dns, 'nobody.example.com')).status, 'NXDOMAIN');
  });

  it('The server does not forward a query without RD or a name with too few labels', async () => {
    assert.equal((await dig(server.dns, '+norec', 'www.example.com')).status, 'REFUSED');
    assert.equal((await dig(server.dns, 'localhostish')).status, 'REFUSED');
  });

  it('The server completes its own answers with outside records: CNAME chains, SRV glue and missing targets', async () => {
    const alias = await dig(server.dns, 'alias.skydns.local');
    assert.equal(alias.answer.length, 3);
    assert.match(
      alias.answer[0] ?? '',
      /^alias\.skydns\.local\. 3600 IN CNAME www\.example\.com\.$/,
    );
    const srv = await query(server.dns, question('srv.skydns.local.', 'SRV'));
    assert.match(text(srv.additional)[0] ?? '', /^mx\.example\.com\. \d+ IN A 192\.0\.2\.25$/);
    const gone = await query(server.dns, question('gone.skydns.local.', 'A'));
    assert.equal(gone.rcode, Rcode.NOERROR);
    assert.equal(gone.answer.length, 0);
  });

  for (const transport of ['udp', 'tcp'] as const) {
    it(`A stopping server still answers a forwarded query over ${transport}`, async () => {
      const leaving = await startTestServer({
        'no-rec': false,
        nameservers: `127.0.0.1:${upstream.port}`,
      });
      upstream.behave({ delayMs: 700 });
      try {
        const before = upstream.queries.length;
        const outside = question(`${transport}.example.com.`, 'A');
        const pending = query(leaving.dns, outside, { transport });
        await until('the upstream has the query', () => upstream.queries.length > before);
        await leaving.close();
        assert.equal((await pending).rcode, Rcode.NXDOMAIN);
      } finally {
        upstream.behave({});
        await leaving.close();
      }
    });
  }

  it('The server forwards nothing for clients outside --recursion-allow and still answers for its zones', async () => {
    const closed = await startTestServer({
      'no-rec': false,
      nameservers: `127.0.0.1:${upstream.port}`,
      'recursion-allow': '10.0.0.0/8',
    });
    try {
      const before = upstream.queries.length;
      const { status, flags } = await dig(closed.dns, 'www.example.com');
      assert.equal(status, 'REFUSED');
      assert.deepEqual(flags, ['qr', 'rd']);
      assert.equal(upstream.queries.length, before);
      assert.equal((await dig(closed.dns, 'skydns.local', 'SOA')).status, 'NOERROR');
    } finally {
      await closed.close();
    }
  });
});
