/** The interfaces of this host, when this process has no descriptor left with which to list them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { networkInterfaces } from 'node:os';
import test from 'node:test';
import { hostRanges, interfaceAddresses } from '../../src/kernel/interfaces.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';

const SOURCE = new URL('../../src/kernel/interfaces.ts', import.meta.url);
const PROGRAM = `
import { openSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { interfaceAddresses } from '${SOURCE}';
const before = interfaceAddresses().length;
let isOut = false;
while (!isOut) try { openSync('/dev/null', 'r'); } catch { isOut = true; }
let problem = 'none';
try { networkInterfaces(); } catch (error) { problem = error.code; }
process.stdout.write([problem, before, interfaceAddresses().length].join(' '));
`;

test('All addresses of this host are listed', () => {
  const all = Object.values(networkInterfaces()).flatMap((some = []) => some);
  assert.deepEqual(interfaceAddresses(), all);
  assert.ok(all.some(({ address }) => address === '127.0.0.1'));
});

test('The former list stays while the process has no descriptor left', () => {
  const command = 'ulimit -n 128 && exec "$0" --import tsx --input-type module --eval "$1"';
  const child = spawnSync('sh', ['-c', command, process.execPath, PROGRAM], { encoding: 'utf8' });
  const count = interfaceAddresses().length;
  assert.equal(child.stdout, `ERR_SYSTEM_ERROR ${count} ${count}`, child.stderr);
});

const OWN_NETWORK = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };

test(
  'Docker’s bridges stand for their networks, and other interfaces for their addresses',
  OWN_NETWORK,
  () => {
    enterOwnNetwork();
    const interfaces: Readonly<Record<string, readonly string[]>> = {
      docker0: ['172.17.0.1/16'],
      'br-0123456789ab': ['10.9.0.1/24'],
      'br-lan': ['192.0.2.1/24'],
      eth7: ['198.51.100.7/24', '2001:db8::7/64'],
    };
    Object.entries(interfaces).forEach(([device, addresses], i) => {
      const peer = `peer${i}`;
      command('ip', 'link', 'add', device, 'type', 'veth', 'peer', 'name', peer);
      for (const address of addresses) command('ip', 'address', 'add', address, 'dev', device);
      for (const each of [device, peer]) command('ip', 'link', 'set', each, 'up');
    });
    const found = hostRanges().map(({ address, prefixLength }) => `${address}/${prefixLength}`);
    assert.deepEqual(found.sort(), [
      '10.9.0.1/24',
      '127.0.0.1/32',
      '172.17.0.1/16',
      '192.0.2.1/32',
      '198.51.100.7/32',
      '2001:db8::7/128',
      '::1/128',
    ]);
  },
);
