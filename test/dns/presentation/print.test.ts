import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { printRdata, printRr } from '../../../src/dns/presentation/presentation.ts';
import type { Rdata } from '../../../src/dns/rr.ts';
import { nameOf } from '../../support/messages.ts';
import { unhex } from '../../support/packets.ts';
import { anyRr } from '../../support/records.ts';

const target = nameOf('service1.example.com');

const cases: readonly (readonly [number, Rdata, string])[] = [
  [1, { kind: 'address', address: '192.0.2.1' }, 'A\t192.0.2.1'],
  [28, { kind: 'address', address: '2001:db8::1' }, 'AAAA\t2001:db8::1'],
  [5, { kind: 'name', target }, 'CNAME\tservice1.example.com.'],
  [2, { kind: 'name', target: [] }, 'NS\t.'],
  [
    33,
    { kind: 'srv', priority: 10, weight: 50, port: 8080, target },
    'SRV\t10 50 8080 service1.example.com.',
  ],
  [15, { kind: 'mx', preference: 20, exchange: target }, 'MX\t20 service1.example.com.'],
  [16, { kind: 'txt', strings: ['a b', '', 'c"d\\e;'] }, 'TXT\t"a b" "" "c\\"d\\\\e;"'],
  [
    16,
    { kind: 'txt', strings: ['\x1b[31m\x00\x7f\x9b\xff\n'] },
    'TXT\t"\\027[31m\\000\\127\\155\\255\\010"',
  ],
  [13, { kind: 'hinfo', cpu: 'RFC8482', os: '' }, 'HINFO\t"RFC8482" ""'],
  [
    6,
    {
      kind: 'soa',
      mname: target,
      rname: nameOf('a\\.b.example.com'),
      serial: 1,
      refreshSeconds: 2,
      retrySeconds: 3,
      expireSeconds: 4,
      minimumSeconds: 5,
    },
    'SOA\tservice1.example.com. a\\.b.example.com. 1 2 3 4 5',
  ],
  [1000, { kind: 'unknown', octets: unhex('00ff10') }, 'TYPE1000\t\\# 3 00FF10'],
  [10, { kind: 'unknown', octets: unhex('') }, 'NULL\t\\# 0'],
];

for (const [type, rdata, text] of cases) {
  test(`printRr prints ${JSON.stringify(text)}`, () => {
    const rr = { owner: nameOf('x.skydns.local'), type, class: 1, ttlSeconds: 3600, rdata };
    assert.equal(printRr(rr), `x.skydns.local.\t3600\tIN\t${text}`);
    assert.equal(printRdata(rr), text.slice(text.indexOf('\t') + 1));
  });
}

test('printRr escapes octets in owner names and prints unnamed classes by number', () => {
  const rdata: Rdata = { kind: 'address', address: '192.0.2.1' };
  const rr = { owner: ['a.b', '\x1b\x9b '], type: 1, class: 32, ttlSeconds: 0, rdata };
  assert.equal(printRr(rr), 'a\\.b.\\027\\155\\032.\t0\tCLASS32\tA\t192.0.2.1');
});

test('A printed record has only printable ASCII and tabs', () => {
  fc.assert(fc.property(anyRr, (rr) => assert.match(printRr(rr), /^[ -~\t]+$/)));
});
