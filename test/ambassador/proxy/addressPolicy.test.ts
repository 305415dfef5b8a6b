/** Where a proxy does not connect to unless its operator wrote the address down. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { whyForbidden } from '../../../src/ambassador/proxy/addressPolicy.ts';

const TABLE: Readonly<Record<string, string | undefined>> = {
  '127.0.0.1': 'loopback',
  '127.255.255.254': 'loopback',
  '::1': 'loopback',
  '169.254.0.1': 'link-local',
  'fe80::1': 'link-local',
  'fe80::1%eth0': 'link-local',
  'febf::1': 'link-local',
  '169.254.169.254': 'metadata',
  'fd00:ec2::254': 'metadata',
  'fd20:ce::254': 'metadata',
  '100.100.100.200': 'metadata',
  '0.0.0.0': 'unspecified',
  '0.1.2.3': 'unspecified',
  '::': 'unspecified',
  '224.0.0.1': 'multicast',
  '239.255.255.255': 'multicast',
  'ff02::1': 'multicast',
  '255.255.255.255': 'broadcast',
  'redis.example.com': 'invalid',
  '127.1': 'invalid',
  '0177.0.0.1': 'invalid',
  '': 'invalid',
  '10.0.0.1': undefined,
  '172.17.0.2': undefined,
  '192.168.1.52': undefined,
  '126.255.255.255': undefined,
  '128.0.0.1': undefined,
  '169.253.255.255': undefined,
  '240.0.0.1': undefined,
  '2001:db8::1': undefined,
  'fd53:6f72:6100::1': undefined,
  'fec0::1': undefined,
};

test('Loopback, link-local, metadata and group addresses are forbidden in every form, and no other address is', () => {
  for (const [address, why] of Object.entries(TABLE))
    assert.equal(whyForbidden(address), why, address);
});

test('An IPv6 address that stands for an IPv4 address is judged as that one', () => {
  const address = fc.oneof(
    fc.ipV4(),
    fc.constantFrom('127.0.0.1', '169.254.169.254', '169.254.1.1', '224.0.0.1', '8.8.8.8'),
  );
  fc.assert(
    fc.property(address, (ipv4) => {
      const [a = 0, b = 0, c = 0, d = 0] = ipv4.split('.').map(Number);
      const high = ((a << 8) | b).toString(16);
      const low = ((c << 8) | d).toString(16);
      const why = whyForbidden(ipv4);
      for (const ipv6 of [
        `::ffff:${ipv4}`, // IPv4-mapped
        `::ffff:${high}:${low}`,
        `64:ff9b::${high}:${low}`, // NAT64
        `2002:${high}:${low}::1`, // 6to4
      ])
        assert.equal(whyForbidden(ipv6), why, ipv6);
    }),
  );
});
