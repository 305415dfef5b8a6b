import assert from 'node:assert/strict';
import test from 'node:test';
import { decodeMessage } from '../../src/dns/decode.ts';
import {
  COOKIE_OCTETS,
  MAX_NSID_OCTETS,
  MAX_OPTIONS_OCTETS,
  OptionCode,
} from '../../src/dns/edns.ts';
import { encodeQuery, encodeResponse } from '../../src/dns/encode.ts';
import { Ede, type Query, type Response } from '../../src/dns/message.ts';
import { splitText } from '../../src/dns/rdata.ts';
import { Rcode, type Rdata, type Rr } from '../../src/dns/rr.ts';
import { nameOf } from '../support/messages.ts';
import { bestMs, unhex } from '../support/packets.ts';
import { addressRr, queryFor, responseWith, rrOf, srvRr } from '../support/replies.ts';

function encoded(query: Query, sections: Partial<Response> = {}, limitOctets = 65535): Buffer {
  return Buffer.from(encodeResponse(query, responseWith(sections), limitOctets));
}

/** Compares with expected octets, written as hex with comments. */
function assertOctets(octets: Uint8Array, golden: string): void {
  assert.equal(Buffer.from(octets).toString('hex'), unhex(golden).toString('hex'));
}

test('An SRV record has its target uncompressed, and its glue points at the target', () => {
  const octets = encoded(queryFor('r.skydns.local', 33, { dnssecOk: true }), {
    answer: [srvRr('r.skydns.local', 's.skydns.local')],
    additional: [
      addressRr('s.skydns.local', '10.0.0.1'),
      addressRr('s.skydns.local', '2001:db8::1'),
      addressRr('S.skydns.local', '10.0.0.2'),
    ],
  });
  assertOctets(
    octets,
    `1234 8500 0001 0001 0000 0004           ; QR AA RD, one question, one answer, three glue and OPT
     01 72 06 736b79646e73 05 6c6f63616c 00  ; 12: r.skydns.local
     0021 0001
     c00c 0021 0001 0000003c 0016            ; SRV, 22 octets of rdata
       000a 0064 1f90 01 73 06 736b79646e73 05 6c6f63616c 00   ; 50: s.skydns.local
     c032 0001 0001 0000003c 0004 0a000001
     c032 001c 0001 0000003c 0010 20010db8 00000000 00000000 00000001
     01 53 c00e 0001 0001 0000003c 0004 0a000002               ; S keeps its case
     00 0029 04d0 00 00 8000 0000            ; OPT: 1232, DO`,
  );
});

/** Rdata as encoded for owner `c00c` and the question x.skydns.local, whose skydns.local is at offset 14. */
const rdatas: readonly (readonly [string, number, Rdata, string])[] = [
  ['A', 1, { kind: 'address', address: '192.0.2.255' }, 'c00002ff'],
  [
    'AAAA',
    28,
    { kind: 'address', address: '::ffff:1.2.3.4' },
    '00000000 00000000 0000ffff 01020304',
  ],
  ['NS', 2, { kind: 'name', target: nameOf('ns.skydns.local') }, '02 6e73 c00e'],
  ['CNAME', 5, { kind: 'name', target: nameOf('skydns.local') }, 'c00e'],
  ['PTR to the root', 12, { kind: 'name', target: [] }, '00'],
  ['DNAME, not compressed', 39, { kind: 'name', target: nameOf('local') }, '05 6c6f63616c 00'],
  [
    'SRV, not compressed',
    33,
    { kind: 'srv', priority: 1, weight: 0, port: 65535, target: nameOf('local') },
    '0001 0000 ffff 05 6c6f63616c 00',
  ],
  ['MX', 15, { kind: 'mx', preference: 50, exchange: nameOf('x.skydns.local') }, '0032 c00c'],
  ['TXT', 16, { kind: 'txt', strings: ['', 'a\xff\0'] }, '00 03 61ff00'],
  ['HINFO', 13, { kind: 'hinfo', cpu: 'RFC8482', os: '' }, '07 52464338343832 00'],
  [
    'SOA',
    6,
    {
      kind: 'soa',
      mname: nameOf('ns.skydns.local'),
      rname: nameOf('h.ns.skydns.local'),
      serial: 4294967295,
      refreshSeconds: 2,
      retrySeconds: 3,
      expireSeconds: 4,
      minimumSeconds: 5,
    },
    '02 6e73 c00e 01 68 c02c ffffffff 00000002 00000003 00000004 00000005',
  ],
  ['an unknown type', 1000, { kind: 'unknown', octets: unhex('c00cff') }, 'c00cff'],
];

for (const [what, type, rdata, hex] of rdatas) {
  test(`The encoder writes the right octets of ${what}`, () => {
    const answer = [rrOf('x.skydns.local', type, rdata)];
    const octets = encoded(queryFor('x.skydns.local', type), { answer });
    const rr = octets.subarray(32);
    assert.equal(rr.subarray(0, 2).toString('hex'), 'c00c');
    assert.equal(rr.readUInt16BE(10), rr.length - 12);
    assertOctets(rr.subarray(12), hex);
  });
}

test('encodeQuery writes a query with EDNS and without', () => {
  const question = { qname: nameOf('a.B'), qtype: 28, qclass: 1 };
  assertOctets(
    encodeQuery({ id: 0xfffe, question, recursionDesired: true, checkingDisabled: false }),
    'fffe 0100 0001 0000 0000 0000  01 61 01 42 00  001c 0001',
  );
  const edns = { udpSize: 1232, dnssecOk: true };
  assertOctets(
    encodeQuery({ id: 1, question, recursionDesired: false, checkingDisabled: true, edns }),
    '0001 0010 0001 0000 0000 0001  01 61 01 42 00  001c 0001  00 0029 04d0 0000 8000 0000',
  );
});

test('A reply has AA, RA and rcode from the response, and RD and CD from the query', () => {
  const query = queryFor('x');
  const flags = (q: Query, sections: Partial<Response>) => encoded(q, sections).readUInt16BE(2);
  const off = { authoritative: false };
  assert.equal(flags({ ...query, recursionDesired: false }, off), 0x8000);
  assert.equal(flags(query, off), 0x8100);
  assert.equal(flags({ ...query, checkingDisabled: true }, off), 0x8110);
  assert.equal(flags(query, { recursionAvailable: true, rcode: Rcode.NXDOMAIN }), 0x8583);
});

test('A reply has OPT only if the query has it, always with version 0 and the server’s own size', () => {
  assert.equal(decodeMessage(encoded(queryFor('x')))?.edns, undefined);
  const edns = { udpSize: 65535, version: 7, dnssecOk: true };
  const reply = decodeMessage(encoded(queryFor('x', 1, edns)));
  assert.deepEqual(reply?.edns, { udpSize: 1232, version: 0, dnssecOk: true });
});

test('An rcode above 15 uses the OPT record, and is SERVFAIL without one', () => {
  const sections = { rcode: Rcode.BADVERS };
  assert.equal(decodeMessage(encoded(queryFor('x', 1, {}), sections))?.rcode, Rcode.BADVERS);
  assert.equal(decodeMessage(encoded(queryFor('x'), sections))?.rcode, Rcode.SERVFAIL);
});

test('An extended error is sent in OPT, and is left out without OPT', () => {
  const extendedError = { code: Ede.STALE_ANSWER, text: 'store é' };
  const octets = encoded(queryFor('x', 1, {}), { extendedError });
  assertOctets(
    octets.subarray(-25),
    '00 0029 04d0 00 00 0000 000e  000f 000a 0003 73746f726520c3a9',
  );
  assert.equal(decodeMessage(encoded(queryFor('x'), { extendedError }))?.edns, undefined);
});

test('A long EDE text is cut between characters and leaves room for the question, an NSID and a cookie', () => {
  const qname = `${'a'.repeat(63)}.${'b'.repeat(63)}.${'c'.repeat(63)}.${'d'.repeat(61)}`;
  for (const text of ['é'.repeat(500), 'x'.repeat(5000), `x${'é'.repeat(100)}`, '€'.repeat(99)]) {
    const extendedError = { code: Ede.OTHER, text };
    const options = [
      { code: OptionCode.NSID, data: Buffer.alloc(MAX_NSID_OCTETS) },
      { code: OptionCode.COOKIE, data: Buffer.alloc(COOKIE_OCTETS) },
    ];
    const octets = encoded(queryFor(qname, 1, {}), { extendedError, options }, 512);
    assert.ok(octets.length <= 512);
    const textOctets = octets.length - (271 + 17) - MAX_OPTIONS_OCTETS;
    const sentOctets = octets.subarray(271 + 17, 271 + 17 + textOctets);
    const sent = new TextDecoder('utf-8', { fatal: true }).decode(sentOctets);
    assert.ok(text.startsWith(sent) && sent.length > 40);
  }
});

test('Every encoded reply is a separate copy', () => {
  const first = encodeResponse(queryFor('first'), responseWith({}), 512);
  const before = Buffer.from(first);
  encodeResponse(queryFor('second'), responseWith({}), 512);
  assert.deepEqual(Buffer.from(first), before);
});

test('The encoder throws on names, labels and numbers that cannot be encoded', () => {
  const a63 = 'a'.repeat(63);
  const rrs: readonly Rr[] = [
    { ...addressRr('x', '1.2.3.4'), owner: ['a'.repeat(64)] },
    { ...addressRr('x', '1.2.3.4'), owner: [''] },
    { ...addressRr('x', '1.2.3.4'), owner: ['é€'] },
    { ...addressRr('x', '1.2.3.4'), owner: [a63, a63, a63, 'a'.repeat(62)] },
    { ...addressRr('x', '1.2.3.4'), ttlSeconds: -1 },
    { ...addressRr('x', '1.2.3.4'), ttlSeconds: 1.5 },
    { ...addressRr('x', '1.2.3.4'), ttlSeconds: Number.NaN },
    addressRr('x', '1.2.3'),
    rrOf('x', 28, { kind: 'address', address: '1.2.3.4' }),
    rrOf('x', 1, { kind: 'address', address: '::1' }),
    srvRr('x', 'y', 65536),
    srvRr('x', 'y', -1),
    rrOf('x', 16, { kind: 'txt', strings: ['a'.repeat(256)] }),
  ];
  for (const rr of rrs)
    assert.throws(() => encoded(queryFor('x'), { answer: [rr] }), RangeError, JSON.stringify(rr));
  assert.equal(decodeMessage(encoded(queryFor('x')))?.questions.length, 1);
});

test('The encoder splits text at 255 octets', () => {
  const lengths = (octets: number) => splitText('x'.repeat(octets)).map((part) => part.length);
  assert.deepEqual(lengths(0), [0]);
  assert.deepEqual(lengths(1), [1]);
  assert.deepEqual(lengths(255), [255]);
  assert.deepEqual(lengths(256), [255, 1]);
  assert.deepEqual(lengths(510), [255, 255]);
  assert.deepEqual(lengths(511), [255, 255, 1]);
});

test('The encoder writes names beyond the reach of pointers in full', () => {
  const filler = Array.from({ length: 20 }, (_, i) =>
    rrOf(`f${i}`, 1000, { kind: 'unknown', octets: new Uint8Array(1000) }),
  );
  const late = Array.from({ length: 50 }, (_, i) =>
    srvRr(`late${i % 5}.example`, `t${i}.late.example`),
  );
  const octets = encoded(queryFor('x'), { answer: filler, additional: late });
  assert.ok(octets.length > 0x4000);
  assert.deepEqual(decodeMessage(octets)?.additional, late);
});

function manySrv(count: number): Response {
  const answer = Array.from({ length: count }, (_, i) => srvRr('x.skydns.local', `h${i}.a`));
  return responseWith({ answer });
}

test('The time to encode grows no faster than the number of records', () => {
  const query = queryFor('x.skydns.local');
  const time = (count: number) => {
    const response = manySrv(count);
    assert.equal(decodeMessage(encodeResponse(query, response, 65535))?.answer.length, count);
    return bestMs(15, () => encodeResponse(query, response, 65535));
  };
  time(500);
  const [once, double] = [time(1000), time(2000)];
  assert.ok(double / once < 4, `${once} ms, ${double} ms`);
});

test('The encoder handles more names than a message can point at', () => {
  const answer = Array.from({ length: 3500 }, (_, i) => addressRr(i.toString(36), '1.2.3.4'));
  assert.deepEqual(decodeMessage(encoded(queryFor('x'), { answer }))?.answer, answer);
});
