import assert from 'node:assert/strict';
import test, { before } from 'node:test';
import { listHostAddresses } from '../../src/kernel/knownNetworks.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };

before(() => {
  if (noOwnNetwork === undefined) enterOwnNetwork();
});

test('The addresses of all interfaces are listed, also of those that are down', options, () => {
  command('ip', 'link', 'add', 'down0', 'type', 'bridge');
  command('ip', 'address', 'add', '192.0.2.1/24', 'dev', 'down0');
  command('ip', 'address', 'add', 'fd00::1/64', 'dev', 'down0');
  command('ip', 'link', 'add', 'v1', 'type', 'veth', 'peer', 'name', 'v2');
  command('ip', 'address', 'add', '10.1.0.1', 'peer', '10.1.0.2', 'dev', 'v1');
  const listed = listHostAddresses();
  if (listed.kind === 'failed') assert.fail(listed.code);
  const addresses = ['10.1.0.1', '127.0.0.1', '192.0.2.1', '::1', 'fd00::1'];
  assert.deepEqual([...listed.entries].sort(), addresses);
});
