import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { reverseName } from '../../../src/dns/address.ts';
import { isSubdomainOf, printName } from '../../../src/dns/name.ts';
import { addressSet, parseCidr } from '../../../src/forward/addresses.ts';
import { reverseZones } from '../../../src/forward/domains/forwardRule.ts';

const TABLE: readonly [range: string, zones: readonly string[]][] = [
  ['10.8.0.0/16', ['8.10.in-addr.arpa.']],
  ['10.8.1.7/16', ['8.10.in-addr.arpa.']],
  ['192.0.2.0/24', ['2.0.192.in-addr.arpa.']],
  ['192.0.2.1/32', ['1.2.0.192.in-addr.arpa.']],
  ['172.16.0.0/15', ['16.172.in-addr.arpa.', '17.172.in-addr.arpa.']],
  ['0.0.0.0/0', ['in-addr.arpa.']],
  ['2001:db8::/32', ['8.b.d.0.1.0.0.2.ip6.arpa.']],
  ['fc00::/7', ['c.f.ip6.arpa.', 'd.f.ip6.arpa.']],
];

test('A range of addresses stands for the reverse zones that have its addresses', () => {
  for (const [text, zones] of TABLE) {
    const range = parseCidr(text);
    assert.deepEqual(range && reverseZones(range).map(printName), zones, text);
  }
});

test('An address is in a range exactly if its reverse name is in one of the range’s zones', () => {
  const octet = fc.constantFrom(0, 1, 127, 128, 255);
  const address = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
  fc.assert(
    fc.property(address, fc.nat(32), address, (base, prefixLength, asked) => {
      const range = { address: base, prefixLength };
      const zones = reverseZones(range);
      const isInZone = zones.some((zone) => isSubdomainOf(reverseName(asked), zone));
      assert.equal(isInZone, addressSet([range])(asked));
    }),
  );
});
