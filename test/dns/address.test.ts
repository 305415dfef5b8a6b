import assert from 'node:assert/strict';
import { BlockList, isIP } from 'node:net';
import test from 'node:test';
import fc from 'fast-check';
import {
  addressOctets,
  ipv4Bits,
  isLoopbackAddress,
  printAddress,
  reverseName,
} from '../../src/dns/address.ts';
import { nameOf } from '../support/messages.ts';

const addresses: readonly (readonly [string, string, string])[] = [
  ['0.0.0.0', '00000000', '0.0.0.0'],
  ['192.0.2.1', 'c0000201', '192.0.2.1'],
  ['255.255.255.255', 'ffffffff', '255.255.255.255'],
  ['::', '00000000000000000000000000000000', '::'],
  ['::1', '00000000000000000000000000000001', '::1'],
  ['1::', '00010000000000000000000000000000', '1::'],
  ['2001:DB8::1', '20010db8000000000000000000000001', '2001:db8::1'],
  ['2001:db8:0:0:1:0:0:1', '20010db8000000000001000000000001', '2001:db8::1:0:0:1'],
  ['2001:db8:0:1:1:1:1:1', '20010db8000000010001000100010001', '2001:db8:0:1:1:1:1:1'],
  ['2001:0db8:0:0:0:0:0:0', '20010db8000000000000000000000000', '2001:db8::'],
  ['1:2:3:4:5:6:7::', '00010002000300040005000600070000', '1:2:3:4:5:6:7:0'],
  ['::2:3:4:5:6:7:8', '00000002000300040005000600070008', '0:2:3:4:5:6:7:8'],
  ['::ffff:1.2.3.4', '00000000000000000000ffff01020304', '::ffff:1.2.3.4'],
  ['::FFFF:102:304', '00000000000000000000ffff01020304', '::ffff:1.2.3.4'],
  ['64:ff9b::192.0.2.33', '0064ff9b0000000000000000c0000221', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:7.8.9.10', '0001000200030004000500060708090a', '1:2:3:4:5:6:708:90a'],
];

for (const [text, hex, canonical] of addresses) {
  test(`The address ${text} has the right octets and is printed as ${canonical}`, () => {
    const octets = addressOctets(text);
    assert.equal(Buffer.from(octets).toString('hex'), hex);
    assert.equal(printAddress(octets), canonical);
  });
}

const notAddresses = [
  ...['', '.', '1', '1.2.3', '1.2.3.', '.1.2.3', '1.2.3.4.', '1.2.3.4.5', '1..2.3', '1.2.3.256'],
  ...['999.1.1.1', '01.2.3.4', '00.0.0.0', '1.2.3.-4', '1.2.3.4 ', '0x1.2.3.4', '１.2.3.4'],
  ...[':', ':::', '1:2:3:4:5:6:7', '1:2:3:4:5:6:7:8:9', '1::2::3', '12345::', 'g::', '::1%eth0'],
  ...[':1:2:3:4:5:6:7:8', '1:2:3:4:5:6:7:8:', '1:2:3:4::5:6:7:8', '1.2.3.4::', '::1.2.3.4:5'],
  ...['::1.2.3', '::1.2.3.256', '1:2:3:4:5:6:7:1.2.3.4', 'host', ':: ', '::1\n'],
];

for (const text of notAddresses) {
  test(`addressOctets throws RangeError on ${JSON.stringify(text)}`, () => {
    assert.equal(isIP(text) !== 0 && !text.includes('%'), false);
    assert.throws(() => addressOctets(text), RangeError);
  });
}

test('addressOctets accepts exactly the addresses that Node accepts', () => {
  const soup = fc.string({ unit: fc.constantFrom(...'0123456789abf.::'), maxLength: 20 });
  const near = fc.oneof(fc.ipV4(), fc.ipV6(), soup);
  fc.assert(
    fc.property(near, (text) => {
      if (isIP(text) === 0) assert.throws(() => addressOctets(text), RangeError);
      else assert.equal(addressOctets(text).length, isIP(text) === 4 ? 4 : 16);
    }),
    { numRuns: 3000 },
  );
});

test('An address survives printing, and its text is the shortest that Node accepts', () => {
  const sparse = fc.constantFrom(0, 0, 0, 1, 255);
  const octets = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
    fc.array(sparse, { minLength: 16, maxLength: 16 }).map((list) => Uint8Array.from(list)),
  );
  fc.assert(
    fc.property(octets, (address) => {
      const text = printAddress(address);
      assert.deepEqual(addressOctets(text), address);
      const { hostname } = new URL(address.length === 4 ? `http://${text}` : `http://[${text}]`);
      if (!text.startsWith('::ffff:')) assert.equal(hostname.replace(/[[\]]/g, ''), text);
    }),
    { numRuns: 2000 },
  );
});

test('Only 4 and 16 octets are addresses', () => {
  for (const length of [0, 3, 5, 15, 17])
    assert.throws(() => printAddress(new Uint8Array(length)), RangeError);
});

test('The loopback addresses are those of 127.0.0.0/8 and ::1, in every form', () => {
  const ranges = new BlockList();
  ranges.addSubnet('127.0.0.0', 8, 'ipv4');
  ranges.addAddress('::1', 'ipv6');
  const near = fc.tuple(fc.constantFrom(126, 127, 128), fc.ipV4()).map(([first, rest]) => {
    return `${first}${rest.slice(rest.indexOf('.'))}`;
  });
  const mapped = near.map((address) => `::ffff:${address}`);
  const ones = fc.constantFrom('::1', '0:0:0:0:0:0:0:1', '::0.0.0.1', '::2', '1::1', '::');
  fc.assert(
    fc.property(fc.oneof(near, mapped, ones, fc.ipV6()), (address) => {
      const family = isIP(address) === 4 ? 'ipv4' : 'ipv6';
      assert.equal(isLoopbackAddress(address), ranges.check(address, family));
    }),
  );
  for (const text of ['', 'localhost', '127.1', '127.0.0.1.example']) {
    assert.equal(isLoopbackAddress(text), false, text);
  }
});

test('IPv4 as a number is unsigned', () => {
  assert.equal(ipv4Bits('255.0.0.1'), 0xff000001);
});

const ones = '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa';

test('Addresses have their reverse names', () => {
  assert.deepEqual(reverseName('192.0.2.1'), nameOf('1.2.0.192.in-addr.arpa'));
  assert.deepEqual(reverseName('2001:db8::1'), nameOf(ones));
  assert.throws(() => reverseName('192.0.2'), RangeError);
});
