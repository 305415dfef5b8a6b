import assert from 'node:assert/strict';
import test from 'node:test';
import {
  parseSocketAddress,
  printSocketAddress,
  type SocketAddress,
} from '../../src/dns/address.ts';

const at = (address: string, port: number): SocketAddress => ({ address, port });

const CASES: readonly [
  text: string,
  exact?: SocketAddress | undefined,
  withDefault?: SocketAddress,
][] = [
  ['192.0.2.1:53', at('192.0.2.1', 53), at('192.0.2.1', 53)],
  ['192.0.2.1:0', at('192.0.2.1', 0), at('192.0.2.1', 0)],
  ['[2001:db8::1]:65535', at('2001:db8::1', 65535), at('2001:db8::1', 65535)],
  ['[fe80::1%eth0]:53', at('fe80::1%eth0', 53), at('fe80::1%eth0', 53)],
  ['192.0.2.1', undefined, at('192.0.2.1', 7)],
  ['2001:db8::1', undefined, at('2001:db8::1', 7)],
  ['[2001:db8::1]', undefined, at('2001:db8::1', 7)],
  ['fe80::1%eth0', undefined, at('fe80::1%eth0', 7)],
  ['192.0.2.1:65536'],
  ['192.0.2.1:'],
  ['192.0.2:53'],
  ['192.0.2.01:53'],
  ['[192.0.2.1]:53'],
  ['192.0.2.1%eth0:53'],
  ['[2001:db8::1:53'],
  ['fe80::1%'],
  ['%eth0'],
  ['localhost:53'],
  [''],
];

for (const [text, exact, withDefault] of CASES)
  test(`parseSocketAddress ${exact ? 'accepts' : withDefault ? 'needs a default port for' : 'refuses'} "${text}"`, () => {
    assert.deepEqual(parseSocketAddress(text), exact);
    assert.deepEqual(parseSocketAddress(text, 7), withDefault);
    if (exact !== undefined) assert.equal(printSocketAddress(exact), text);
  });
