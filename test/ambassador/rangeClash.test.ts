import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  freeRange,
  hasRouteTo,
  printNetwork,
  rangeClash,
} from '../../src/ambassador/rangeClash.ts';
import type { Network } from '../../src/ambassador/vipRange.ts';
import type { KnownNetworks } from '../../src/kernel/knownNetworks.ts';
import type { HostRoute } from '../../src/kernel/routeTables.ts';
import { networksOf, route } from '../support/planeFacts.ts';

const DEFAULT = route('0.0.0.0/0', 'eth0', { hasGateway: true });
const DEFAULT6 = route('::/0', 'eth0', { hasGateway: true });

function network(text: string): Network {
  const [address = '', length] = text.split('/');
  return { address, prefixLength: Number(length) };
}

describe('clashes of a range of virtual addresses', () => {
  const table: [string, string, KnownNetworks, string | undefined][] = [
    [
      'a default route',
      '198.18.0.0/16',
      networksOf([DEFAULT, route('10.0.0.0/8', 'eth0')]),
      undefined,
    ],
    [
      'two halves of the address space, as VPNs add them',
      '198.18.0.0/16',
      networksOf([route('0.0.0.0/1', 'tun0'), route('128.0.0.0/1', 'tun0')]),
      undefined,
    ],
    [
      'a wider route',
      '10.64.0.0/16',
      networksOf([DEFAULT, route('10.0.0.0/8', 'tun0', { hasGateway: true })]),
      'the route 10.0.0.0/8 of tun0',
    ],
    [
      'a route to one address of the range',
      '198.18.0.0/16',
      networksOf([route('198.18.255.255/32', 'wg0')]),
      'the route 198.18.255.255/32 of wg0',
    ],
    [
      'a route beside the range',
      '198.18.0.0/16',
      networksOf([route('198.19.0.0/16', 'wg0'), route('198.17.255.0/24', 'wg0')]),
      undefined,
    ],
    [
      'a route of another table',
      '10.64.0.0/16',
      networksOf([route('10.0.0.0/8', undefined, { table: 52 })]),
      'the route 10.0.0.0/8 in table 52',
    ],
    [
      'a bridge',
      '172.17.4.0/24',
      networksOf([route('172.17.0.0/16', 'docker0')], { docker0: '172.17.0.1/16' }),
      'docker0 (172.17.0.1/16)',
    ],
    [
      'the interface lo',
      '127.16.0.0/16',
      networksOf([], { lo: '127.0.0.1/8' }),
      'lo (127.0.0.1/8)',
    ],
    [
      'a refused route',
      '198.18.0.0/16',
      networksOf([route('198.18.0.0/15', undefined, { isRefused: true })]),
      undefined,
    ],
    ['a route to lo', '198.18.0.0/16', networksOf([route('198.18.0.0/16', 'lo')]), undefined],
    [
      'bits behind the prefix',
      '198.18.77.0/16',
      networksOf([route('198.18.1.0/24', 'br0')]),
      'the route 198.18.1.0/24 of br0',
    ],
    [
      'IPv6 without a clash',
      'fd53::/64',
      networksOf([DEFAULT6, route('fd53:0:0:1::/64', 'br0'), route('2000::/3', 'tun0')]),
      undefined,
    ],
    [
      'a wider route of IPv6',
      'fd53::/64',
      networksOf([route('fc00::/7', 'tun0')]),
      'the route fc00::/7 of tun0',
    ],
    [
      'IPv6 beside a range of IPv4',
      '198.18.0.0/16',
      networksOf([route('fc00::/7', 'tun0')]),
      undefined,
    ],
  ];
  it('A range clashes on every host with addresses that no service can have', () => {
    for (const [range, expected] of [
      ['0.0.0.0/8', 'this network (0.0.0.0/8)'],
      ['127.0.0.0/16', 'loopback (127.0.0.0/8)'],
      ['169.0.0.0/8', 'link-local (169.254.0.0/16)'],
      ['169.254.169.0/24', 'link-local (169.254.0.0/16)'],
      ['239.1.0.0/16', 'multicast (224.0.0.0/4)'],
      ['255.255.255.0/24', 'broadcast (255.255.255.255/32)'],
      ['::ffff:0:0/96', 'loopback (::/32)'],
      ['fe80::/64', 'link-local (fe80::/10)'],
      ['ff02::/64', 'multicast (ff00::/8)'],
    ] as const)
      assert.equal(rangeClash(network(range), networksOf([])), expected, range);
  });

  for (const [what, range, networks, expected] of table)
    it(`The range ${range} on a host with ${what} ${expected === undefined ? 'clashes with nothing' : `clashes with ${expected}`}`, () =>
      assert.equal(rangeClash(network(range), networks), expected));
});

describe('free ranges', () => {
  const taken = (...texts: string[]) => networksOf(texts.map((text) => route(text, 'br0')));

  it('The free range is the first that no network overlaps, as long as the given one', () => {
    for (const [given, networks, expected] of [
      ['10.0.0.0/16', taken('10.0.0.0/8'), '198.18.0.0/16'],
      ['198.18.0.0/16', taken('198.18.0.0/16'), '198.19.0.0/16'],
      ['198.18.0.0/24', taken('198.18.0.0/15'), '10.255.0.0/24'],
      ['10.0.0.0/8', taken('10.0.0.0/8', '198.18.0.0/15'), '172.31.0.0/16'],
      ['fd53:6f72:6100::/64', taken('fd53:6f72:6100::/47'), 'fd53:6f72:6102::/64'],
      ['fd00::/112', taken('fc00::/8', 'fd00::/16'), 'fd53:6f72:6100::/112'],
    ] as const) {
      const free = freeRange(network(given), networks);
      assert.equal(free && printNetwork(free), expected, given);
    }
  });

  it('A host whose routes cover every candidate has no free range', () => {
    const all = taken('10.0.0.0/8', '172.16.0.0/12', '198.18.0.0/15');
    assert.equal(freeRange(network('198.18.0.0/16'), all), undefined);
    assert.equal(freeRange(network('fd53::/64'), taken('fc00::/7')), undefined);
  });

  it('A free range never clashes', () => {
    const networks = fc.array(
      fc
        .tuple(fc.nat(255), fc.nat(255), fc.integer({ min: 2, max: 32 }))
        .map(([a, b, length]) => route(`${a}.${b}.0.0/${length}`, 'br0')),
      { maxLength: 60 },
    );
    fc.assert(
      fc.property(networks, fc.integer({ min: 8, max: 24 }), (routes, prefixLength) => {
        const known = networksOf(routes);
        const free = freeRange({ address: '198.18.0.0', prefixLength }, known);
        assert.equal(free && rangeClash(free, known), undefined);
      }),
    );
  });
});

describe('the route of a host’s own programs', () => {
  const refused = { isRefused: true } as const;
  const table: [string, readonly HostRoute[], boolean][] = [
    ['no route', [route('10.0.0.0/8', 'eth0')], false],
    ['a default route', [DEFAULT], true],
    ['a route to a part of the range', [route('198.18.0.0/24', 'br0')], false],
    ['a route to lo', [route('198.18.0.0/16', 'lo')], true],
    [
      'a refused route before the default',
      [DEFAULT, route('198.18.0.0/15', undefined, refused)],
      false,
    ],
    [
      'a refused route with a greater metric',
      [route('0.0.0.0/0', undefined, { ...refused, metric: 9 }), { ...DEFAULT, metric: 5 }],
      true,
    ],
    ['a route in another table', [route('0.0.0.0/0', undefined, { table: 52 })], true],
    ['a default route of IPv6', [DEFAULT6], false],
  ];
  for (const [what, routes, expected] of table)
    it(`With ${what} a host’s own programs ${expected ? 'can' : 'cannot'} send to 198.18.0.0/16`, () =>
      assert.equal(hasRouteTo(network('198.18.0.0/16'), networksOf(routes)), expected));
});
