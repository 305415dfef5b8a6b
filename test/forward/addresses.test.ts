import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import test from 'node:test';
import fc from 'fast-check';
import { addressSet, type Cidr } from '../../src/forward/addresses.ts';

/** Addresses that are likely to share prefixes. */
const octet = fc.constantFrom(0, 1, 10, 127, 128, 255);
const ipv4 = fc.tuple(octet, octet, octet, octet).map((octets) => octets.join('.'));
const group = fc.constantFrom('0', '1', 'ffff', 'fe80', '8000');
const ipv6 = fc.array(group, { minLength: 8, maxLength: 8 }).map((groups) => groups.join(':'));
const mapped = ipv4.map((address) => `::ffff:${address}`);
const address = fc.oneof(ipv4, ipv6, mapped, fc.constantFrom('::', '::1', 'fe80::1'));

function rangesOf(from: fc.Arbitrary<string>, longest: number): fc.Arbitrary<Cidr> {
  return fc.record({ address: from, prefixLength: fc.integer({ min: 0, max: longest }) });
}

const ranges = fc.array(fc.oneof(rangesOf(ipv4, 32), rangesOf(ipv6, 128)), { maxLength: 4 });

test('An address set contains the addresses that Node finds in the same ranges', () => {
  fc.assert(
    fc.property(ranges, address, (cidrs, text) => {
      const list = new BlockList();
      for (const { address: net, prefixLength } of cidrs)
        list.addSubnet(net, prefixLength, isIP(net) === 4 ? 'ipv4' : 'ipv6');
      const isListed = list.check(text, isIP(text) === 4 ? 'ipv4' : 'ipv6');
      assert.equal(addressSet(cidrs)(text), isListed);
    }),
    { numRuns: 2000 },
  );
});

test('An address set ignores zones, and contains no other text', () => {
  const has = addressSet([
    { address: 'fe80::%eth0', prefixLength: 10 },
    { address: '::ffff:10.0.0.0', prefixLength: 104 },
  ]);
  assert.deepEqual(
    ['fe80::1%eth1', '10.1.2.3', '::ffff:10.1.2.3', '11.0.0.1', 'localhost', '', '%', '10.1.2'].map(
      has,
    ),
    [true, true, true, false, false, false, false, false],
  );
});
