/** Stub zones of the store, in whole servers: which questions they get, and what they hide. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it, type TestContext } from 'node:test';
import type { FlagValue } from '../../src/config/settings.ts';
import type { SocketAddress } from '../../src/dns/address.ts';
import { Rcode } from '../../src/dns/rr.ts';
import { dig } from '../support/dig.ts';
import { freePort } from '../support/freePort.ts';
import { hasKnot, startKnot } from '../support/knot.ts';
import { printed, questionOf } from '../support/messages.ts';
import { query, startTestServer, type TestServer, WITH_TOKEN } from '../support/server.ts';
import { withTempDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';

const noDig = spawnSync('dig', ['-v']).status === 0 ? false : 'dig is not installed';
const noKnot = hasKnot() ? false : 'knotd is not installed';

async function serverOf(
  t: TestContext,
  flags: Record<string, FlagValue> = {},
): Promise<TestServer> {
  const server = await startTestServer({ stubzones: true, 'table-memory': '16', ...flags });
  t.after(() => server.close());
  return server;
}

async function upstreamOf(t: TestContext, records: readonly string[]): Promise<TestUpstream> {
  const upstream = await startUpstream({ records });
  t.after(() => upstream.close());
  return upstream;
}

/** A put, or with the value `undefined` a delete, over HTTP. */
async function change({ http }: TestServer, key: string, value: unknown): Promise<void> {
  const url = `http://127.0.0.1:${http?.port}/v2/keys/skydns/${key}`;
  const body = new URLSearchParams({ value: JSON.stringify(value) });
  const put = { method: 'PUT', body, headers: WITH_TOKEN };
  const reply = await fetch(
    url,
    value === undefined ? { method: 'DELETE', headers: WITH_TOKEN } : put,
  );
  assert.ok(reply.ok, await reply.text());
}

const STUBS = 'local/skydns/dns/stub';

function stubOf({ port }: { readonly port: number }) {
  return { host: '127.0.0.1', port };
}

/** Records are without their TTLs. */
interface Reply {
  readonly rcode: number;
  readonly answer: readonly string[];
  readonly aa: boolean;
  readonly ra: boolean;
}

async function ask(dns: SocketAddress, name: string, type = 'A', rd = true): Promise<Reply> {
  const reply = await query(dns, questionOf(name, type), { recursionDesired: rd });
  const { rcode, authoritative: aa, recursionAvailable: ra } = reply;
  const answer = printed(reply.answer).map((line) => line.replace(/ \d+ IN /, ' '));
  return { rcode, answer, aa, ra };
}

/** Questions that reached the server's forwarder. */
async function forwarded({ http }: TestServer): Promise<number> {
  const page = await (await fetch(`http://127.0.0.1:${http?.port}/metrics`)).text();
  return Number(/^soradns_forward_requests_total (\d+)/m.exec(page)?.[1]);
}

const namesAskedOf = (server: TestUpstream) => server.queries.map(({ name }) => name.toLowerCase());

describe('stub zones', () => {
  it('A stub zone has the names at and below it until its key is removed, and no other server gets them', async (t) => {
    const general = await upstreamOf(t, ['www.lab.example 60 A 203.0.113.1']);
    const stub = await upstreamOf(t, [
      'www.lab.example 60 A 192.0.2.1',
      'lab.example 60 A 192.0.2.2',
    ]);
    const server = await serverOf(t, {
      'no-rec': false,
      nameservers: `127.0.0.1:${general.port}`,
    });
    await change(server, `${STUBS}/example/lab/ns1`, stubOf(stub));
    const { rcode, answer, aa, ra } = await ask(server.dns, 'www.lab.example.');
    assert.deepEqual([rcode, answer], [0, ['www.lab.example. A 192.0.2.1']]);
    assert.deepEqual([aa, ra], [false, true]);
    assert.deepEqual((await ask(server.dns, 'lab.example.')).answer, ['lab.example. A 192.0.2.2']);
    assert.equal((await ask(server.dns, 'none.lab.example.')).rcode, Rcode.NXDOMAIN);
    assert.equal((await ask(server.dns, 'www.lab.example.', 'A', false)).rcode, Rcode.REFUSED);
    assert.deepEqual(namesAskedOf(general), []);
    await change(server, `${STUBS}/example/lab/ns1`, undefined);
    assert.deepEqual((await ask(server.dns, 'www.lab.example.')).answer, [
      'www.lab.example. A 203.0.113.1',
    ]);
    assert.deepEqual(namesAskedOf(general), ['www.lab.example']);
  });

  it('A zone whose servers are closed gives SERVFAIL with the zone’s name, and the server stays ready', async (t) => {
    const general = await upstreamOf(t, ['www.lab.example 60 A 203.0.113.1']);
    const server = await serverOf(t, { 'no-rec': false, nameservers: `127.0.0.1:${general.port}` });
    await change(server, `${STUBS}/example/lab/ns1`, { host: '127.0.0.1', port: await freePort() });
    const reply = await dig(server.dns, 'www.lab.example');
    assert.equal(reply.status, 'SERVFAIL');
    assert.match(reply.edns ?? reply.text, /./);
    assert.match(reply.text, /EDE: 22 \(No Reachable Authority\): \(lab\.example\.: /);
    assert.deepEqual(namesAskedOf(general), []);
    assert.deepEqual(server.readiness(), []);
  });

  it('Two servers whose stub zones lead to each other give SERVFAIL after one question between them', {
    skip: noDig,
  }, async (t) => {
    const [one, other] = [await serverOf(t), await serverOf(t)];
    await change(one, `${STUBS}/example/lab/other`, stubOf(other.dns));
    await change(other, `${STUBS}/example/lab/one`, stubOf(one.dns));
    const reply = await dig(one.dns, 'www.lab.example');
    assert.equal(reply.status, 'SERVFAIL');
    assert.match(reply.text, /EDE: 22 .*lab\.example\.: its servers reply SERVFAIL/);
    assert.deepEqual([await forwarded(one), await forwarded(other)], [1, 1]);
    const marked = await dig(other.dns, 'x.lab.example', '+ednsopt=65011:01');
    assert.equal(marked.status, 'SERVFAIL');
    assert.match(marked.text, /EDE: 24 .*two stub zones lead to each other/);
    const unlike = await dig(other.dns, 'local', '+ednsopt=65011:02');
    assert.equal(unlike.status, 'REFUSED');
  });

  it('A stub zone inside a domain hides our names, and the names above it exist', async (t) => {
    const stub = await upstreamOf(t, ['a.team.dev.skydns.local 60 A 192.0.2.1']);
    const server = await serverOf(t);
    await change(server, 'local/skydns/dev/team/a', { host: '10.0.0.1', port: 80 });
    await change(server, 'local/skydns/dev/other/b', { host: '10.0.0.2', port: 80 });
    await change(server, 'local/skydns/www', { host: 'a.team.dev.skydns.local' });
    const addresses = async (name: string) => (await ask(server.dns, name)).answer;
    assert.deepEqual(await addresses('a.team.dev.skydns.local.'), [
      'a.team.dev.skydns.local. A 10.0.0.1',
    ]);
    await change(server, `${STUBS}/local/skydns/dev/team/ns1`, stubOf(stub));
    assert.deepEqual(await addresses('a.team.dev.skydns.local.'), [
      'a.team.dev.skydns.local. A 192.0.2.1',
    ]);
    assert.deepEqual(await addresses('dev.skydns.local.'), ['dev.skydns.local. A 10.0.0.2']);
    assert.deepEqual(await addresses('*.dev.skydns.local.'), ['*.dev.skydns.local. A 10.0.0.2']);
    const alias = await addresses('www.skydns.local.');
    assert.match(alias.join(), /CNAME a\.team\.dev\.skydns\.local\.,a\.team.* A 192\.0\.2\.1$/);
    assert.equal((await ask(server.dns, 'none.team.dev.skydns.local.')).rcode, Rcode.NXDOMAIN);
    await change(server, 'local/skydns/dev', undefined).catch(() => {});
    await change(server, 'local/skydns/dev/other/b', undefined);
    await change(server, 'local/skydns/dev/team/a', undefined);
    assert.deepEqual(await ask(server.dns, 'dev.skydns.local.'), {
      rcode: 0,
      answer: [],
      aa: true,
      ra: true,
    });
    await change(server, `${STUBS}/local/skydns/dev/team/ns1`, undefined);
    assert.equal((await ask(server.dns, 'dev.skydns.local.')).rcode, Rcode.NXDOMAIN);
  });

  it('A zone with invalid values only gives SERVFAIL, or has the servers of --forward', {
    skip: noDig,
  }, async (t) => {
    const general = await upstreamOf(t, ['www.lab.example 60 A 203.0.113.1']);
    const lab = await upstreamOf(t, ['www.lab2.example 60 A 192.0.2.2']);
    const server = await serverOf(t, {
      'no-rec': false,
      nameservers: `127.0.0.1:${general.port}`,
      forward: [`lab2.example=127.0.0.1:${lab.port}`],
    });
    for (const zone of ['lab', 'lab2'])
      await change(server, `${STUBS}/example/${zone}/ns1`, { host: 'ns1.example' });
    const reply = await dig(server.dns, 'www.lab.example');
    assert.equal(reply.status, 'SERVFAIL');
    assert.match(reply.text, /EDE: 22 .*lab\.example\.: it has no server that this one can ask/);
    assert.deepEqual(namesAskedOf(general), []);
    const { answer } = await ask(server.dns, 'www.lab2.example.');
    assert.deepEqual(answer, ['www.lab2.example. A 192.0.2.2']);
  });

  it('Keys that are no stub zones are logged with the reason, and change nothing', async (t) => {
    const server = await serverOf(t, { domain: ['skydns.local', 'east.skydns.local'] });
    const invalid: readonly [key: string, value: unknown, reason: RegExp][] = [
      [`${STUBS}/example/lab/a`, { host: 'ns1.example' }, /an IP address, not ns1\.example\.$/],
      [`${STUBS}/example/lab/b`, { text: 'x' }, /needs a host$/],
      [`${STUBS}/local/skydns/a`, { host: '192.0.2.1' }, /skydns\.local\. contains our domain/],
      [`${STUBS}/local/a`, { host: '192.0.2.1' }, /stub zone local\. contains our domain/],
      [`${STUBS}/a`, { host: '192.0.2.1' }, /stub zone \. contains our domain/],
    ];
    for (const [key, value] of invalid) await change(server, key, value);
    const lines = server.lines.filter(({ message }) => message === 'stub zone skipped');
    assert.deepEqual(
      lines.map(({ fields }) => fields.key),
      invalid.map(([key]) => `/skydns/${key}`),
    );
    for (const [i, { fields }] of lines.entries())
      assert.match(String(fields.reason), invalid[i]?.[2] ?? /^$/);
    assert.equal((await ask(server.dns, 'x.example.')).rcode, Rcode.REFUSED);
  });

  it('Without --stubzones the keys are names like any other, and a reload follows the option', async (t) => {
    const stub = await upstreamOf(t, ['www.lab.example 60 A 192.0.2.1']);
    const server = await serverOf(t, { stubzones: false });
    await change(server, `${STUBS}/example/lab/ns1`, stubOf(stub));
    assert.equal((await ask(server.dns, 'www.lab.example.')).rcode, Rcode.REFUSED);
    assert.equal((await ask(server.dns, 'ns1.lab.example.stub.dns.skydns.local.')).rcode, 0);
    const { config } = server;
    server.reload({ kind: 'config', config: { ...config(), stubZones: true }, notes: [] });
    assert.equal((await ask(server.dns, 'www.lab.example.')).rcode, 0);
    server.reload({ kind: 'config', config: { ...config(), stubZones: false }, notes: [] });
    assert.equal((await ask(server.dns, 'www.lab.example.')).rcode, Rcode.REFUSED);
  });

  it('Knot answers for a stub zone, and a chain that leaves the zone is followed to its end', {
    skip: noKnot,
  }, async (t) => {
    const general = await upstreamOf(t, ['cdn.example 60 A 203.0.113.7']);
    const port = await freePort();
    await withTempDir(async (folder) => {
      const zones = {
        'lab.example.': ['www A 192.0.2.1', 'out CNAME cdn.example.', 'in CNAME a.skydns.local.'],
      };
      const knot = startKnot({ port, folder, zones });
      try {
        const server = await serverOf(t, {
          'no-rec': false,
          nameservers: `127.0.0.1:${general.port}`,
        });
        await until(
          'knot listens',
          async () =>
            (await dig({ address: '127.0.0.1', port }, 'lab.example', 'SOA').catch(() => undefined))
              ?.status === 'NOERROR',
        );
        await change(server, 'local/skydns/a', { host: '10.0.0.1' });
        await change(server, `${STUBS}/example/lab/knot`, { host: '127.0.0.1', port });
        assert.deepEqual((await ask(server.dns, 'www.lab.example.')).answer, [
          'www.lab.example. A 192.0.2.1',
        ]);
        assert.deepEqual((await ask(server.dns, 'out.lab.example.')).answer, [
          'out.lab.example. CNAME cdn.example.',
          'cdn.example. A 203.0.113.7',
        ]);
        assert.deepEqual((await ask(server.dns, 'in.lab.example.')).answer, [
          'in.lab.example. CNAME a.skydns.local.',
          'a.skydns.local. A 10.0.0.1',
        ]);
        await change(server, 'local/skydns/b', { host: 'out.lab.example' });
        assert.deepEqual((await ask(server.dns, 'b.skydns.local.')).answer, [
          'b.skydns.local. CNAME out.lab.example.',
          'out.lab.example. CNAME cdn.example.',
          'cdn.example. A 203.0.113.7',
        ]);
        // systemd-resolved asks with DO and without a mark.
        const edns = { udpSize: 1472, dnssecOk: true };
        const signed = await query(server.dns, questionOf('www.lab.example.'), { edns });
        assert.equal(signed.answer.length, 1);
        assert.equal((await ask(server.dns, 'none.lab.example.')).rcode, Rcode.NXDOMAIN);
        assert.deepEqual(namesAskedOf(general), ['cdn.example']);
        await change(server, `${STUBS}/example/lab/knot`, undefined);
        assert.notDeepEqual((await ask(server.dns, 'www.lab.example.')).answer, [
          'www.lab.example. A 192.0.2.1',
        ]);
      } finally {
        await knot.kill();
      }
    });
  });
});
