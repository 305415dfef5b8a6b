import assert from 'node:assert/strict';
import test from 'node:test';
import { parseCidr, recursionRule } from '../../src/forward/addresses.ts';
import { isPrivateName, isPublicAddress } from '../../src/forward/privateNames.ts';
import { nameOf } from '../support/messages.ts';

const ranges: readonly [string, string | undefined, number?][] = [
  ['10.0.0.0/8', '10.0.0.0', 8],
  ['192.0.2.1', '192.0.2.1', 32],
  ['fc00::/7', 'fc00::', 7],
  ['2001:db8::1', '2001:db8::1', 128],
  ['0.0.0.0/0', '0.0.0.0', 0],
  ['10.0.0.0/33', undefined],
  ['fc00::/129', undefined],
  ['10.0.0.0/-1', undefined],
  ['10.0.0/8', undefined],
  ['10.0.0.0/', undefined],
  ['host/8', undefined],
  ['', undefined],
];

for (const [text, address, prefixLength] of ranges)
  test(`The recursion range "${text}" is ${address ? 'accepted' : 'refused'}`, () =>
    assert.deepEqual(parseCidr(text), address && { address, prefixLength }));

test('By default only loopback and private clients may recurse', () => {
  const mayRecurse = recursionRule();
  const allowed = [
    '127.0.0.1',
    '127.255.255.255',
    '::1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.255.1',
    'fd00::1',
    'fe80::1',
    'fe80::1%eth0',
    '::ffff:10.0.0.1',
  ];
  const refused = [
    '8.8.8.8',
    '172.15.255.255',
    '172.32.0.0',
    '192.169.0.1',
    '100.64.0.1',
    '169.254.1.1',
    '128.0.0.1',
    '2001:db8::1',
    '::',
    '::ffff:8.8.8.8',
    'fec0::1',
    '',
    'localhost',
  ];
  assert.deepEqual([...allowed, ...refused].filter(mayRecurse), allowed);
});

test('A list of recursion ranges replaces the default one', () => {
  const range = parseCidr('203.0.113.0/24');
  assert.ok(range);
  const mayRecurse = recursionRule([range]);
  assert.ok(mayRecurse('203.0.113.9'));
  assert.ok(!mayRecurse('127.0.0.1'));
  assert.ok(!recursionRule([])('127.0.0.1'));
});

test('Private names are single labels, special-use names and private reverse zones', () => {
  const secret = [
    'printer',
    'printer.local',
    'a.b.LOCAL',
    'local',
    'x.localhost',
    'db.internal',
    'nas.home.arpa',
    'hidden.onion',
    '1.0.0.10.in-addr.arpa',
    '1.1.16.172.in-addr.arpa',
    '1.1.31.172.in-addr.arpa',
    '1.1.168.192.IN-ADDR.arpa',
    '1.1.254.169.in-addr.arpa',
    '9.1.64.100.in-addr.arpa',
    '1.0.0.0.d.f.ip6.arpa',
    '1.0.8.e.f.ip6.arpa',
    `1.${'0.'.repeat(31)}ip6.arpa`,
  ];
  const known = [
    '.',
    'example.com',
    'local.example.com',
    'notlocal.com',
    '8.8.8.8.in-addr.arpa',
    '1.1.15.172.in-addr.arpa',
    '1.1.32.172.in-addr.arpa',
    '1.1.128.100.in-addr.arpa',
    '8.b.d.0.1.0.0.2.ip6.arpa',
    'arpa.com',
  ];
  assert.deepEqual(
    [...secret, ...known].filter((name) => isPrivateName(nameOf(name))),
    secret,
  );
});

test('isPublicAddress is false for loopback, private, shared and link-local addresses', () => {
  const near = ['127.0.0.53', '10.0.0.2', '169.254.169.253', '100.100.100.100', 'fe80::1%eth0'];
  const far = ['8.8.8.8', '1.1.1.1', '2620:fe::fe', '192.0.2.1'];
  assert.deepEqual([...near, ...far].filter(isPublicAddress), far);
});

test('The recursion rule gives the same result for repeated and many addresses', () => {
  const rule = recursionRule();
  for (let round = 0; round < 2; round++) {
    for (let i = 0; i < 5_000; i++) {
      const host = `${i >> 8}.${i & 255}`;
      assert.equal(rule(`10.0.${host}`), true);
      assert.equal(rule(`203.0.${host}`), false);
    }
  }
});
