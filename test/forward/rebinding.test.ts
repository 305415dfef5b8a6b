/** DNS rebinding through the whole server: names outside that lead inside. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Message } from '../../src/dns/message.ts';
import { leadsInside, mayLeadInside } from '../../src/forward/rebinding.ts';
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
  const put = await fetch(`http://127.0.0.1:${server.http?.port}/v2/keys/skydns/local/skydns/db`, {
    method: 'PUT',
    body: new URLSearchParams({ value: '{"host":"172.17.0.9"}' }),
  });
  assert.ok(put.ok);
  return server;
}

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
    it(`${name} has no ${type}, and the reply says why`, async () => {
      const reply = await ask(name, type);
      assert.deepEqual([reply.rcode, reply.answer.length], [0, 0]);
    });
  }

  it('public addresses, allowed domains, private names and our own names are as ever', async () => {
    for (const [name, address] of [
      ['www.good.example', '198.51.100.2'],
      ['vpn.corp.example', '10.1.2.3'],
      ['nas.home.arpa', '192.168.1.5'],
      ['db.skydns.local', '172.17.0.9'],
    ] as const) {
      const [rr = ''] = printed((await ask(name, 'A')).answer);
      assert.ok(rr.endsWith(address), `${name}: ${rr}`);
    }
  });
});

it('without --rebind-protection all of them are answered', async () => {
  const server = await serverWith({});
  try {
    for (const [name, type] of asked)
      assert.ok((await query(server.dns, questionOf(name, type))).answer.length > 0, name);
  } finally {
    await server.close();
  }
});

it('addresses inside are told from others, and names of private use from others', () => {
  assert.equal(leadsInside([addressRr('x', '198.51.100.1')]), false);
  for (const address of ['10.0.0.1', '169.254.169.254', '100.64.0.1', '::1', 'fe80::1', '0.0.0.0'])
    assert.equal(leadsInside([addressRr('x', address)]), true, address);
  assert.equal(mayLeadInside(nameOf('printer.local'), []), true);
  assert.equal(mayLeadInside(nameOf('a.b.example'), [nameOf('b.example')]), true);
  assert.equal(mayLeadInside(nameOf('ab.example'), [nameOf('b.example')]), false);
});
