/** DNS rebinding through the whole server: outside names with private addresses. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Message } from '../../src/dns/message.ts';
import { hasPrivateAddress, mayRebind } from '../../src/forward/privateNames.ts';
import { nameOf, printed, questionOf } from '../support/messages.ts';
import { addressRr } from '../support/replies.ts';
import { query, startTestServer, type TestServer } from '../support/server.ts';
import { startUpstream, type TestUpstream } from '../support/upstream.ts';

const RECORDS = [
  'private.evil.example. 60 A 127.0.0.1',
  'private6.evil.example. 60 AAAA fd00::1',
  'mapped.evil.example. 60 AAAA ::ffff:10.0.0.1',
  'mixed.evil.example. 60 A 198.51.100.1',
  'mixed.evil.example. 60 A 192.168.1.1',
  'cname.evil.example. 60 CNAME db.skydns.local.',
  'www.good.example. 60 A 198.51.100.2',
  'vpn.corp.example. 60 A 10.1.2.3',
  'nas.home.arpa. 60 A 192.168.1.5',
];

let upstream: TestUpstream;
before(async () => {
  upstream = await startUpstream({ records: RECORDS });
});
after(() => upstream.close());

async function serverWith(flags: Readonly<Record<string, string | boolean>>): Promise<TestServer> {
  const server = await startTestServer({
    'no-rec': false,
    nameservers: `127.0.0.1:${upstream.port}`,
    ...flags,
  });
  for (const [name, host] of Object.entries(OURS)) {
    const url = `http://127.0.0.1:${server.http?.port}/v2/keys/skydns/local/skydns/${name}`;
    const body = new URLSearchParams({ value: JSON.stringify({ host }) });
    assert.ok((await fetch(url, { method: 'PUT', body })).ok);
  }
  return server;
}

const OURS = {
  db: '172.17.0.9',
  alias: 'private.evil.example',
  back: 'cname.evil.example',
  good: 'www.good.example',
  vpn: 'vpn.corp.example',
};

const asked: readonly (readonly [string, string])[] = [
  ['private.evil.example', 'A'],
  ['private6.evil.example', 'AAAA'],
  ['mapped.evil.example', 'AAAA'],
  ['mixed.evil.example', 'A'],
  ['cname.evil.example', 'A'],
];

describe('with --rebind-protection', () => {
  let server: TestServer;
  before(async () => {
    server = await serverWith({ 'rebind-protection': true, 'rebind-allow': 'corp.example' });
  });
  after(() => server.close());
  const ask = (name: string, type: string): Promise<Message> =>
    query(server.dns, questionOf(name, type), { edns: { udpSize: 1232, dnssecOk: false } });

  for (const [name, type] of asked) {
    it(`With --rebind-protection the reply for ${type} of ${name} has no records`, async () => {
      const reply = await ask(name, type);
      assert.deepEqual([reply.rcode, reply.answer.length], [0, 0]);
    });
  }

  it('The zones’ names that lead to private addresses through outside names have no address, even in repeated queries', async () => {
    for (const name of ['alias.skydns.local', 'back.skydns.local', 'alias.skydns.local']) {
      const reply = await ask(name, 'A');
      const addresses = printed(reply.answer).filter((rr) => / A /.test(rr));
      assert.deepEqual([reply.rcode, addresses], [0, []], name);
    }
  });

  it('--rebind-protection does not affect public addresses, allowed domains, private names and the zones’ names', async () => {
    for (const [name, address] of [
      ['www.good.example', '198.51.100.2'],
      ['vpn.corp.example', '10.1.2.3'],
      ['nas.home.arpa', '192.168.1.5'],
      ['db.skydns.local', '172.17.0.9'],
      ['good.skydns.local', '198.51.100.2'],
      ['vpn.skydns.local', '10.1.2.3'],
    ] as const) {
      const rrs = printed((await ask(name, 'A')).answer);
      assert.ok(
        rrs.some((rr) => rr.endsWith(address)),
        `${name}: ${rrs}`,
      );
    }
  });
});

it('Private addresses are answered without --rebind-protection', async () => {
  const server = await serverWith({});
  try {
    for (const [name, type] of asked)
      assert.ok((await query(server.dns, questionOf(name, type))).answer.length > 0, name);
  } finally {
    await server.close();
  }
});

it('Private addresses and private-use names are distinguished from others', () => {
  assert.equal(hasPrivateAddress([addressRr('x', '198.51.100.1')]), false);
  for (const address of ['10.0.0.1', '169.254.169.254', '100.64.0.1', '::1', 'fe80::1', '0.0.0.0'])
    assert.equal(hasPrivateAddress([addressRr('x', address)]), true, address);
  assert.equal(mayRebind(nameOf('printer.local'), []), true);
  assert.equal(mayRebind(nameOf('a.b.example'), [nameOf('b.example')]), true);
  assert.equal(mayRebind(nameOf('ab.example'), [nameOf('b.example')]), false);
});
