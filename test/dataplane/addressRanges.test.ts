/**
 * Whether ranges contain a client's address as the kernel writes it: the decision is the responder's, which reads the
 * address as text.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AddressRanges } from '../../src/dataplane/sockets/addressRanges.ts';
import { Sockaddr, writeSockaddr } from '../../src/dataplane/sockets/layout.ts';
import { printAddress } from '../../src/dns/address.ts';
import {
  type Cidr,
  cidrs,
  DEFAULT_RECURSION_RANGES,
  recursionRule,
} from '../../src/forward/addresses.ts';

/** The address as a packet's sender, somewhere in memory. */
function has(ranges: AddressRanges, address: string): boolean {
  const memory = new ArrayBuffer(3 * Sockaddr.ROOM);
  const room = new DataView(memory, Sockaddr.ROOM, Sockaddr.ROOM);
  writeSockaddr(room, { address, port: 5353 }, () => 7);
  return ranges.has(new Int32Array(memory), Sockaddr.ROOM);
}

/** Few different octets, so that many addresses are in a range. */
const octet = fc.constantFrom(0, 1, 10, 127, 128, 192, 254, 255);
const octets = (length: number) => fc.array(octet, { minLength: length, maxLength: length });
const mapped = octets(4).map((four) => [...new Array(10).fill(0), 255, 255, ...four]);
const address = fc
  .oneof(octets(4), octets(16), mapped)
  .map((numbers) => printAddress(Uint8Array.from(numbers)));
const range = address.chain((text) =>
  fc
    .integer({ min: 0, max: text.includes(':') ? 128 : 32 })
    .map((prefixLength): Cidr => ({ address: text, prefixLength })),
);

test('Ranges treat the octets of an address like its text', () => {
  fc.assert(
    fc.property(fc.array(range, { maxLength: 12 }), fc.array(address), (ranges, addresses) => {
      const expected = recursionRule(ranges);
      const judged = new AddressRanges(ranges);
      for (const text of addresses) {
        const plain = text.startsWith('::ffff:') ? text.slice('::ffff:'.length) : text;
        assert.equal(judged.has(...senderOf(text)), expected(plain), text);
        assert.equal(judged.hasAddress(plain), expected(plain), plain);
      }
    }),
    { numRuns: 500 },
  );
});

test('The default recursion ranges are loopback and private addresses', () => {
  const ranges = new AddressRanges(DEFAULT_RECURSION_RANGES);
  for (const inside of ['127.0.0.1', '10.255.0.1', '172.31.0.1', '192.168.1.1', '::1', 'fd00::1'])
    assert.ok(has(ranges, inside), inside);
  for (const inside of ['fe80::1', '::ffff:10.0.0.1']) assert.ok(has(ranges, inside), inside);
  for (const outside of ['128.0.0.1', '172.32.0.1', '192.169.0.1', '8.8.8.8', '0.0.0.0'])
    assert.ok(!has(ranges, outside), outside);
  for (const outside of ['2001:db8::1', '::', '::2', 'fec0::1', '::ffff:8.8.8.8'])
    assert.ok(!has(ranges, outside), outside);
});

test('Ranges can contain every address or none', () => {
  const everyClient = new AddressRanges(cidrs('0.0.0.0/0', '::/0'));
  const noClient = new AddressRanges([]);
  for (const text of ['0.0.0.0', '255.255.255.255', '::', 'ffff::ffff', '::ffff:1.2.3.4']) {
    assert.ok(has(everyClient, text), text);
    assert.ok(!has(noClient, text), text);
  }
});

function senderOf(text: string): [Int32Array, number] {
  const memory = new ArrayBuffer(Sockaddr.ROOM);
  writeSockaddr(new DataView(memory), { address: text, port: 1 }, () => 0);
  return [new Int32Array(memory), 0];
}
