import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createOwnAddresses } from '../../../src/dataplane/listeners/ownAddresses.ts';

test('A bound address is an own address only with its port', () => {
  const own = createOwnAddresses(() => ['192.0.2.1', '192.0.2.2']);
  own.add('192.0.2.1', 53);
  own.add('fe80::1%eth0', 53);
  assert.equal(own.has('192.0.2.1', 53), true);
  assert.equal(own.has('fe80::1', 53), true);
  assert.equal(own.has('192.0.2.1', 5353), false);
  assert.equal(own.has('192.0.2.2', 53), false);
  own.remove('192.0.2.1', 53);
  assert.equal(own.has('192.0.2.1', 53), false);
});

test('Every address of the machine is an own address behind a wildcard', () => {
  const own = createOwnAddresses(() => ['192.0.2.1', 'fe80::1%eth0']);
  own.add('0.0.0.0', 53);
  assert.equal(own.has('192.0.2.1', 53), true);
  assert.equal(own.has('fe80::1', 53), true);
  assert.equal(own.has('127.3.2.1', 53), true);
  assert.equal(own.has('198.51.100.1', 53), false);
  assert.equal(own.has('192.0.2.1', 54), false);
});

test('The machine’s addresses are listed rarely, and new ones are found', () => {
  let nowMs = 0;
  let listed = 0;
  let addresses = ['192.0.2.1'];
  const list = () => {
    listed += 1;
    return addresses;
  };
  const own = createOwnAddresses(list, () => nowMs);
  own.add('::', 53);
  for (let packet = 0; packet < 1000; packet += 1) own.has('198.51.100.1', 53);
  assert.equal(listed, 1);
  addresses = ['192.0.2.1', '192.0.2.9'];
  nowMs = 60_000;
  assert.equal(own.has('192.0.2.9', 53), true);
  assert.equal(listed, 2);
});
