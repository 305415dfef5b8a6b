/** Requests of RFC 8484 and how long caches may keep the replies, without connections. */
import assert from 'node:assert/strict';
import test from 'node:test';
import dnsPacket, { type Packet } from 'dns-packet';
import {
  cacheControlOf,
  type DohHead,
  PostBody,
  readHead,
} from '../../src/server/tls/dohMessage.ts';
import { parseRecord } from '../support/upstreamReply.ts';

const MESSAGE = 'application/dns-message';

const requests: readonly [string, Partial<DohHead>, number | 'query' | 'body'][] = [
  [
    'GET with a query',
    { target: '/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB' },
    'query',
  ],
  ['GET with other parameters beside it', { target: '/dns-query?ct&dns=AAAA&x=1' }, 'query'],
  ['GET without a query', { target: '/dns-query' }, 400],
  ['GET with an empty query', { target: '/dns-query?dns=' }, 400],
  ['GET with two queries', { target: '/dns-query?dns=AAAA&dns=AAAA' }, 400],
  ['GET with padding', { target: '/dns-query?dns=AAA=' }, 400],
  ['GET with a text of an impossible length', { target: '/dns-query?dns=AAAAA' }, 400],
  ['GET with the alphabet of plain base64', { target: '/dns-query?dns=A+A/' }, 400],
  ['GET of JSON', { target: '/dns-query?name=example.com&type=A' }, 400],
  ['GET with a query that is too long', { target: `/dns-query?dns=${'A'.repeat(90_000)}` }, 413],
  ['GET of another path', { target: '/v2/keys' }, 404],
  ['GET of a path below', { target: '/dns-query/x?dns=AAAA' }, 404],
  ['POST with a query', { method: 'POST', contentType: MESSAGE, contentLength: '40' }, 'body'],
  ['POST with a parameter of its type', { method: 'POST', contentType: `${MESSAGE}; x=y` }, 'body'],
  ['POST without a type', { method: 'POST' }, 415],
  ['POST of another type', { method: 'POST', contentType: 'application/dns-json' }, 415],
  [
    'POST with a body that is too long',
    { method: 'POST', contentType: MESSAGE, contentLength: '65536' },
    413,
  ],
  ['HEAD', { method: 'HEAD', target: '/dns-query?dns=AAAA' }, 405],
  ['PUT', { method: 'PUT', contentType: MESSAGE }, 405],
];

for (const [what, head, expected] of requests)
  test(`The head of a request is read: ${what}`, () => {
    const whole = {
      method: 'GET',
      target: '/dns-query',
      contentType: undefined,
      contentLength: undefined,
    };
    const read = readHead({ ...whole, ...head }, '/dns-query');
    assert.equal(read.kind === 'refused' ? read.status : read.kind, expected);
  });

const SOA = 'example.com. 300 SOA ns.example.com. host.example.com. 1 2 3 4 60';

const replies: readonly [string, Partial<Packet> & { readonly rcode?: number }, string][] = [
  [
    'the least TTL of the answer',
    { answers: ['a.example. 300 A 192.0.2.1', 'a.example. 30 A 192.0.2.2'].map(parseRecord) },
    'max-age=30',
  ],
  ['a TTL of 0', { answers: [parseRecord('a.example. 0 A 192.0.2.1')] }, 'max-age=0'],
  [
    'NODATA: the least of TTL and MINIMUM of its SOA',
    { authorities: [parseRecord(SOA)] },
    'max-age=60',
  ],
  ['NXDOMAIN: the same', { rcode: 3, authorities: [parseRecord(SOA)] }, 'max-age=60'],
  [
    'an alias to nothing: the least of both',
    {
      rcode: 3,
      answers: [parseRecord('a.example. 20 CNAME b.example.')],
      authorities: [parseRecord(SOA)],
    },
    'max-age=20',
  ],
  ['a negative reply without SOA', { rcode: 3 }, 'no-store'],
  ['SERVFAIL', { rcode: 2, answers: [parseRecord('a.example. 300 A 192.0.2.1')] }, 'no-store'],
  ['REFUSED', { rcode: 5 }, 'no-store'],
];

for (const [what, { rcode = 0, ...sections }, expected] of replies)
  test(`A cache may keep a reply: ${what}`, () => {
    const reply = dnsPacket.encode({
      ...{ type: 'response', id: 0, flags: 0x8180 | rcode },
      questions: [{ type: 'A', name: 'a.example' }],
      ...sections,
    } as Packet);
    assert.equal(cacheControlOf(reply), expected);
  });

test('The body of a request is what its chunks have, up to the length of a message', () => {
  const whole = Buffer.from(Array.from({ length: 65_535 }, (_, i) => (i * 7) & 0xff));
  for (const octets of [1, 40, 511, 512, 513, 60_000, 65_535]) {
    const body = new PostBody();
    for (let at = 0; at < whole.length; at += octets) body.push(whole.subarray(at, at + octets));
    assert.ok(!body.isTooLong);
    assert.ok(whole.equals(body.octets), `in chunks of ${octets}`);
    body.push(Buffer.alloc(1));
    assert.ok(body.isTooLong);
  }
});

test('The time for a body in chunks of one octet grows as its length does', () => {
  const chunk = Buffer.alloc(1);
  const leastMs = (octets: number): number => {
    const times = Array.from({ length: 7 }, () => {
      const startMs = performance.now();
      const body = new PostBody();
      for (let i = 0; i < octets; i++) body.push(chunk);
      assert.equal(body.octets.length, octets);
      return performance.now() - startMs;
    });
    return Math.min(...times);
  };
  leastMs(10_000); // compiles it
  // The sum over all earlier chunks at each one makes it 256.
  const ratio = leastMs(64_000) / leastMs(4_000);
  assert.ok(ratio < 64, `16 times the length takes ${ratio} times the time`);
});
