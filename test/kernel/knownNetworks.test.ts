import assert from 'node:assert/strict';
import test from 'node:test';
import { printNetwork, rangeClash } from '../../src/ambassador/rangeClash.ts';
import { type KnownNetworks, readKnownNetworks } from '../../src/kernel/knownNetworks.ts';
import { command, enterOwnNetwork, noOwnNetwork } from '../support/ownNetwork.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };

const RANGE = { address: '198.18.0.0', prefixLength: 16 };
const RANGE6 = { address: 'fd53::', prefixLength: 64 };

/** The routes with their devices or tables, as `ip route` would name them. */
function texts({ routes }: KnownNetworks): readonly string[] {
  return routes.map((each) => `${printNetwork(each)} ${each.device ?? each.table ?? 'refused'}`);
}

test(
  'The networks of a host are those of its interfaces and routes, with or without carrier',
  options,
  async () => {
    enterOwnNetwork();
    command('ip', 'link', 'add', 'br0', 'type', 'bridge');
    command('ip', 'link', 'set', 'br0', 'up');
    command('ip', 'address', 'add', '172.18.0.1/16', 'dev', 'br0');
    command('ip', 'address', 'add', 'fd18::1/64', 'dev', 'br0', 'nodad');
    command('ip', 'route', 'add', '10.0.0.0/8', 'via', '172.18.0.2');
    command('ip', 'route', 'add', '10.8.0.0/16', 'dev', 'br0', 'table', '52');
    command('ip', 'route', 'add', 'unreachable', '198.18.0.0/15');
    const known = await readKnownNetworks();
    assert.deepEqual(
      texts(known)
        .filter((text) => !/^f[ef]/.test(text) && !text.startsWith('::/0'))
        .sort(),
      [
        '10.0.0.0/8 br0',
        '10.8.0.0/16 52',
        '172.18.0.0/16 br0',
        '198.18.0.0/15 refused',
        'fd18::/64 br0',
      ],
    );
    const loopback = known.interfaces.filter(({ device }) => device === 'lo').map(printNetwork);
    assert.deepEqual(loopback, ['127.0.0.1/8', '::1/128']);
    assert.equal(rangeClash(RANGE, known), undefined);
    assert.equal(rangeClash(RANGE6, known), undefined);
    assert.match(rangeClash({ address: '172.18.0.0', prefixLength: 24 }, known) ?? '', /\bbr0\b/);
    assert.match(rangeClash({ address: 'fd18::', prefixLength: 64 }, known) ?? '', /\bbr0\b/);
    assert.equal(
      rangeClash({ address: '10.9.0.0', prefixLength: 16 }, known),
      'the route 10.0.0.0/8 of br0',
    );
  },
);

test('Where /proc cannot be read, the networks are those of the interfaces', async () => {
  const known = await readKnownNetworks(async () => undefined);
  assert.deepEqual(known.routes, []);
  assert.ok(known.interfaces.some(({ address }) => address === '127.0.0.1'));
});
