import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientAddress } from '../../src/dns/address.ts';

const CASES: readonly [socketAddress: string, address: string][] = [
  ['192.0.2.1', '192.0.2.1'],
  ['2001:db8::1', '2001:db8::1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1%eth0', '192.0.2.1'],
  ['fe80::1%eth0', 'fe80::1'],
  ['::1', '::1'],
  ['::', '::'],
  ['::ffff:0:1', '::ffff:0:1'],
];

for (const [socketAddress, address] of CASES) {
  test(`clientAddress gives ${address} for ${socketAddress}`, () => {
    assert.equal(clientAddress(socketAddress), address);
  });
}
