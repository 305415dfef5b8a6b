/** The address towards a client, from the networks of this machine. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { createLocalAddresses } from '../../../src/dataplane/listeners/localAddress.ts';

test('The address towards a client is the one in its network', () => {
  const addresses = createLocalAddresses(
    () => [
      { address: '127.0.0.1', prefixLength: 8 },
      { address: '172.17.0.1', prefixLength: 16 },
      { address: '172.18.0.1', prefixLength: 16 },
      { address: 'fd00:1::1', prefixLength: 64 },
    ],
    () => 0,
  );
  assert.equal(addresses.towards('127.0.0.9'), '127.0.0.1');
  assert.equal(addresses.towards('172.17.200.3'), '172.17.0.1');
  assert.equal(addresses.towards('172.18.0.2'), '172.18.0.1');
  assert.equal(addresses.towards('fd00:1::99'), 'fd00:1::1');
  assert.equal(addresses.towards('192.0.2.1'), undefined);
  assert.equal(addresses.towards('fd00:2::99'), undefined);
  assert.equal(addresses.towards('no address'), undefined);
});

test('The networks of this machine are listed again after five seconds', () => {
  let nowMs = 0;
  let lists = 0;
  const addresses = createLocalAddresses(
    () => [{ address: `10.0.${lists++}.1`, prefixLength: 8 }],
    () => nowMs,
  );
  assert.equal(addresses.towards('10.0.0.9'), '10.0.0.1');
  nowMs = 4_999;
  assert.equal(addresses.towards('10.0.0.9'), '10.0.0.1');
  nowMs = 5_000;
  assert.equal(addresses.towards('10.0.0.9'), '10.0.1.1');
});
