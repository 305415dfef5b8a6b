/** The header of the PROXY protocol, version 2, octet for octet as proxy-protocol.txt section 2.2 lays it out. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { encodeProxyHeader } from '../../../src/ambassador/proxy/carry/proxyHeader.ts';

const SIGNATURE = '0d0a0d0a000d0a515549540a';

const TABLE = [
  {
    what: 'TCP over IPv4 (0x11), 12 octets of addresses and ports',
    ends: {
      client: { address: '192.0.2.17', port: 56_324 },
      local: { address: '198.51.100.5', port: 443 },
    },
    octets: '21' + '11' + '000c' + 'c0000211' + 'c6336405' + 'dc04' + '01bb',
  },
  {
    what: 'TCP over IPv6 (0x21), 36 octets of addresses and ports',
    ends: {
      client: { address: '2001:db8::1', port: 1 },
      local: { address: 'fd53:6f72:6100::ffff', port: 65_535 },
    },
    octets:
      '21' +
      '21' +
      '0024' +
      '20010db8000000000000000000000001' +
      'fd536f7261000000000000000000ffff' +
      '0001' +
      'ffff',
  },
  {
    what: 'IPv4-mapped addresses as IPv4',
    ends: {
      client: { address: '::ffff:10.0.0.1', port: 80 },
      local: { address: '10.0.0.2', port: 81 },
    },
    octets: '21' + '11' + '000c' + '0a000001' + '0a000002' + '0050' + '0051',
  },
  {
    what: 'a zone is left out',
    ends: {
      client: { address: 'fe80::1%eth0', port: 2 },
      local: { address: 'fe80::2', port: 3 },
    },
    octets:
      '21' +
      '21' +
      '0024' +
      'fe800000000000000000000000000001' +
      'fe800000000000000000000000000002' +
      '0002' +
      '0003',
  },
  {
    what: 'two families at once cannot be told: AF_UNSPEC (0x00), no addresses',
    ends: {
      client: { address: '10.0.0.1', port: 80 },
      local: { address: '2001:db8::1', port: 81 },
    },
    octets: '21' + '00' + '0000',
  },
  {
    what: 'a client without an address: AF_UNSPEC (0x00), no addresses',
    ends: undefined,
    octets: '21' + '00' + '0000',
  },
] as const;

for (const { what, ends, octets } of TABLE)
  test(`The PROXY header has the octets of the specification: ${what}`, () => {
    assert.equal(Buffer.from(encodeProxyHeader(ends)).toString('hex'), SIGNATURE + octets);
  });
