/** ISC's EDNS compliance queries and those of RFC 8906 §8, sent by a real dig. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type DigReply, dig } from '../support/dig.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

const SOA = /^skydns\.local\. \d+ IN SOA ns\.dns\.skydns\.local\./;

interface Expected {
  readonly status: string;
  readonly soa?: boolean;
  /** Pattern of the OPT line; null: the reply must have no OPT record. */
  readonly edns: RegExp | null;
  readonly not?: RegExp;
  readonly flags?: readonly string[];
}

const PLAIN_OPT = /^version: 0, flags:; udp: 1232$/;
const CASES: readonly (readonly [args: string, expected: Expected])[] = [
  ['+noedns skydns.local soa', { status: 'NOERROR', soa: true, edns: null, flags: ['qr', 'aa'] }],
  ['+edns=0 skydns.local soa', { status: 'NOERROR', soa: true, edns: PLAIN_OPT }],
  ['+edns=100 +noednsneg skydns.local soa', { status: 'BADVERS', soa: false, edns: PLAIN_OPT }],
  [
    '+ednsopt=100 skydns.local soa',
    { status: 'NOERROR', soa: true, edns: PLAIN_OPT, not: /OPT=100/ },
  ],
  [
    '+ednsflags=0x80 skydns.local soa',
    { status: 'NOERROR', soa: true, edns: PLAIN_OPT, not: /MBZ/ },
  ],
  [
    '+edns=100 +noednsneg +ednsopt=100 skydns.local soa',
    { status: 'BADVERS', soa: false, edns: PLAIN_OPT, not: /OPT=100/ },
  ],
  [
    '+dnssec skydns.local soa',
    { status: 'NOERROR', soa: true, edns: /^version: 0, flags: do; udp/ },
  ],
  ['+nsid skydns.local soa', { status: 'NOERROR', soa: true, edns: PLAIN_OPT }],
  ['+subnet=0.0.0.0/0 skydns.local soa', { status: 'NOERROR', soa: true, edns: PLAIN_OPT }],
  [
    '+cookie skydns.local soa',
    { status: 'NOERROR', soa: true, edns: /^version: 0, flags:; udp: 1232/ },
  ],
  ['+tcp skydns.local soa', { status: 'NOERROR', soa: true, edns: /^version: 0/ }],
  ['+noedns skydns.local type1000', { status: 'NOERROR', edns: null, flags: ['qr', 'aa'] }],
  [
    '+noedns +cd skydns.local soa',
    { status: 'NOERROR', soa: true, edns: null, flags: ['qr', 'aa', 'cd'] },
  ],
  [
    '+noedns +ad skydns.local soa',
    { status: 'NOERROR', soa: true, edns: null, flags: ['qr', 'aa'] },
  ],
  ['+noedns +zflag skydns.local soa', { status: 'NOERROR', soa: true, edns: null, not: /MBZ/ }],
  [
    '+noedns +rec skydns.local soa',
    { status: 'NOERROR', soa: true, edns: null, flags: ['qr', 'aa', 'rd'] },
  ],
  ['+noedns +opcode=15 +header-only', { status: 'NOTIMP', edns: null }],
  ['+noedns +header-only', { status: 'FORMERR', edns: null }],
  ['+noedns nothing.skydns.local a', { status: 'NXDOMAIN', edns: null, flags: ['qr', 'aa'] }],
];

describe('EDNS compliance', () => {
  let server: TestServer;
  before(async () => {
    server = await startTestServer({});
  });
  after(() => server.close());

  for (const [args, expected] of CASES) {
    it(`The server gives dig +norec ${args} the reply that ISC and RFC 8906 require`, async () => {
      const defaults = ['+norec', '+noad', ...(args.includes('cookie') ? [] : ['+nocookie'])];
      assertReply(await dig(server.dns, ...defaults, ...args.split(' ')), expected);
    });
  }

  it("The server keeps a truncated reply within the client's size and keeps its OPT record", async () => {
    const args = '+norec +dnssec +bufsize=512 +ignore skydns.local dnskey'.split(' ');
    const reply = await dig(server.dns, ...args);
    assert.ok(reply.messageOctets <= 512);
    assert.match(reply.edns ?? '', /flags: do/);
  });

  it('The server refuses a zone transfer', async () => {
    const { text } = await dig(server.dns, '+tcp', 'axfr', 'skydns.local');
    assert.match(text, /Transfer failed/);
  });

  it('The server answers ANY with the single HINFO record of RFC 8482', async () => {
    const { answer } = await dig(server.dns, '+norec', 'skydns.local', 'any');
    assert.deepEqual(answer, ['skydns.local. 3600 IN HINFO "RFC8482" ""']);
  });

  it('The server answers a query signed with an unknown key with NOTAUTH and BADKEY', async () => {
    const key = 'hmac-sha256:key.example:c2VjcmV0';
    const reply = await dig(server.dns, '-y', key, 'skydns.local', 'soa');
    assert.equal(reply.status, 'NOTAUTH');
    assert.match(reply.text, /BADKEY/);
  });

  it('The server refuses a name outside its zones with EDE 20 and without RA', async () => {
    const reply = await dig(server.dns, '+rec', 'www.example.com', 'a');
    assert.equal(reply.status, 'REFUSED');
    assert.deepEqual(reply.flags, ['qr', 'rd']);
    assert.match(reply.text, /EDE: 20/);
  });
});

function assertReply(reply: DigReply, expected: Expected): void {
  assert.equal(reply.status, expected.status, reply.text);
  if (expected.edns === null) assert.equal(reply.edns, undefined, reply.text);
  else assert.match(reply.edns ?? 'no OPT', expected.edns);
  if (expected.soa !== undefined) {
    assert.equal(
      reply.answer.some((line) => SOA.test(line)),
      expected.soa,
      reply.text,
    );
  }
  if (expected.not !== undefined) assert.doesNotMatch(reply.text, expected.not);
  if (expected.flags !== undefined) assert.deepEqual(reply.flags, expected.flags);
}
