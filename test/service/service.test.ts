import assert from 'node:assert/strict';
import { isIP } from 'node:net';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { addressFamily } from '../../src/dns/address.ts';
import { parseService } from '../../src/service/service.ts';

function parse(value: string | Uint8Array) {
  return parseService(typeof value === 'string' ? Buffer.from(value) : value);
}

function service(value: string) {
  const parsed = parse(value);
  assert.ok(parsed.kind === 'service', `${value} is refused: ${JSON.stringify(parsed)}`);
  const { attributes, ...host } = parsed.service;
  return { ...host, ...attributes };
}

describe('accepted values', () => {
  for (const [what, value, expected] of [
    ['an IPv4 host', '{"host":"10.0.0.1"}', { family: 4, address: '10.0.0.1' }],
    ['an IPv6 host', '{"host":"2001::8:8:8:8"}', { family: 6, address: '2001::8:8:8:8' }],
    ['a name', '{"host":"Web.example.com."}', { family: 0, target: ['Web', 'example', 'com'] }],
    ['a single label', '{"host":"server1"}', { target: ['server1'] }],
    ['names of fields in any case', '{"Host":"10.0.0.1","TTL":5}', { family: 4, ttlSeconds: 5 }],
    [
      'a repeated field with its last value',
      '{"host":"a.b","host":"10.0.0.1"}',
      { family: 4, target: undefined },
    ],
    ['numbers as text', '{"port":"80","ttl":"60"}', { port: 80, ttlSeconds: 60 }],
    ['null as absent', '{"host":null,"port":null}', { family: 0, port: 0 }],
    ['unknown fields', '{"host":"10.0.0.1","setIdentifier":{"a":[1]}}', { family: 4 }],
    ['port -1', '{"port":-1}', { port: -1 }],
    ['a negative targetstrip as none', '{"targetstrip":-3}', { targetStrip: 0 }],
    ['whole numbers however written', '{"port":8e1,"weight":100.0}', { port: 80, weight: 100 }],
    ['__proto__ as an unknown field', '{"__proto__":{"port":1},"constructor":2}', { port: 0 }],
    ['text in UTF-8 as octets', '{"text":"\u00e9"}', { text: '\xc3\xa9' }],
    ['escapes in text', '{"text":"a\\\\034b\\\\\\"c\\\\"}', { text: 'a"b"c\\' }],
    ['mail', '{"mail":true}', { mail: true }],
    [
      'an IPv4-mapped host as IPv4',
      '{"host":"::ffff:192.0.2.77"}',
      { family: 4, address: '192.0.2.77' },
    ],
    [
      'an IPv4-compatible host as IPv6',
      '{"host":"::192.0.2.77"}',
      { family: 6, address: '::c000:24d' },
    ],
    ['a TTL of 32 bits as the largest', '{"ttl":4294967295}', { ttlSeconds: 2147483647 }],
    ['an empty host', '{"host":"","text":"x"}', { family: 0, target: undefined }],
  ] as const) {
    it(`parseService accepts ${what}`, () => {
      const actual = service(value);
      const fields = Object.keys(expected).map((field) => [field, actual[field as 'port']]);
      assert.deepEqual(Object.fromEntries(fields), expected);
    });
  }
});

describe('refused values', () => {
  const deep = `${'{"a":'.repeat(100)}1${'}'.repeat(100)}`;
  for (const [what, value, reason] of [
    ['text that is not JSON', 'host=10.0.0.1', /not JSON/],
    ['an empty value', '', /not JSON/],
    ['an array', '["10.0.0.1"]', /not a JSON object/],
    ['a string', '"10.0.0.1"', /not a JSON object/],
    ['null', 'null', /not a JSON object/],
    ['10,000 nested arrays', '['.repeat(10_000), /not JSON/],
    ['a deep unknown field', `{"host":"10.0.0.1","x":${deep}}`, /^x: nested/],
    ['a BOM', '\ufeff{"host":"10.0.0.1"}', /BOM/],
    ['octets that are not UTF-8', Buffer.from([0x7b, 0xff, 0x7d]), /not UTF-8/],
    ['a value above 64 KB', `{"text":"${'x'.repeat(70_000)}"}`, /above/],
    ['a huge number', '{"port":1e999}', /^port: must be/],
    ['a port out of range', '{"port":65536}', /^port: must be/],
    ['a fraction', '{"ttl":1.5}', /^ttl: must be/],
    ['a negative TTL', '{"ttl":-1}', /^ttl: must be/],
    ['an empty number', '{"port":""}', /^port: must be/],
    ['a number as host', '{"host":10}', /^host: must be/],
    ['a list of hosts', '{"host":["10.0.0.1"]}', /^host: must be/],
    ['a host with a port', '{"host":"10.0.0.1:80"}', /^host: .*without port/],
    ['an invalid address', '{"host":"10.0.0.256"}', /^host: looks like/],
    ['a scoped address', '{"host":"fe80::1%eth0"}', /^host: must be/],
    ['a label of 64 octets', `{"host":"${'a'.repeat(64)}.b"}`, /^host: must be/],
    ['mail of another type', '{"mail":1}', /^mail: must be/],
  ] as const) {
    it(`parseService refuses ${what}`, () => {
      const parsed = parse(value);
      assert.ok(parsed.kind === 'invalid', 'was accepted');
      assert.match(parsed.reason, reason);
    });
  }

  it('parseService throws on no input and accepts only values in range', () => {
    const json = fc.oneof(
      fc.json(),
      fc.jsonValue().map((host) => JSON.stringify({ host, port: host })),
    );
    fc.assert(
      fc.property(
        fc.oneof(
          json.map((text) => Buffer.from(text)),
          fc.uint8Array(),
        ),
        (value) => {
          const parsed = parseService(value);
          if (parsed.kind === 'invalid') return parsed.reason.length > 0;
          const { port, priority, weight, ttlSeconds } = parsed.service.attributes;
          return port >= -1 && port < 65_536 && priority < 65_536 && weight >= 0 && ttlSeconds >= 0;
        },
      ),
      { numRuns: 2_000 },
    );
  });
});

describe('addressFamily', () => {
  it('addressFamily agrees with node:net', () => {
    const piece = fc.constantFrom(
      '0',
      '1',
      '255',
      '256',
      '01',
      'ffff',
      'g',
      '.',
      ':',
      '::',
      '%eth0',
      '',
    );
    const text = fc.oneof(
      fc.ipV4(),
      fc.ipV6(),
      fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join('')),
    );
    fc.assert(
      fc.property(text, (address) => {
        fc.pre(!address.includes('%'));
        assert.equal(addressFamily(address), isIP(address), address);
      }),
      { numRuns: 5_000 },
    );
    assert.equal(addressFamily('fe80::1%eth0'), 0);
  });
});
