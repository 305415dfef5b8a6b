/** Each row is a host that differs from one on which all is well, and the finding about the difference. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeNetwork } from '../../../../src/tools/doctor/ambassador/judgeNetwork.ts';
import type { PlaneFacts } from '../../../../src/tools/doctor/ambassador/planeFacts.ts';
import { networksOf, route, start, VIP, WELL } from '../../../support/planeFacts.ts';

const VIP6 = { ...VIP, vipRange6: { address: 'fd53:6f72:6100::', prefixLength: 64 } };

function judged(check: string, changes: Partial<PlaneFacts>, settings = VIP): readonly string[] {
  return judgeNetwork({ ...WELL, ...changes }, settings, start)
    .filter((finding) => finding.check === check)
    .map(({ level, message, fix }) => `${level}: ${message}${fix ? ` -> ${fix}` : ''}`);
}

const conntrack = (count: number) => ({ conntrack: { count, max: 1_000 } });
const inUse = (count: number, percent: number) =>
  `${count} of 1000 entries of connection tracking are in use (${percent} %)`;

const levelsOf = (texts: readonly string[]) =>
  texts.map((text) => text.replace(/:.*/, '')).join(' and ') || 'absent';

describe('the network of an ambassador’s host', () => {
  it('A host that lacks nothing has only findings that are ok', () => {
    const found = judgeNetwork(WELL, VIP, start);
    assert.deepEqual(
      found.map(({ check, level }) => `${check} ${level}`),
      ['forwarding ok', 'vip-range ok', 'route ok', 'conntrack ok'],
    );
  });

  const table: [string, string, Partial<PlaneFacts>, readonly string[], typeof VIP?][] = [
    [
      'a host that does not forward',
      'forwarding',
      { isForwarding4: false },
      [
        'problem: net.ipv4.ip_forward is 0, so this host forwards no connection of a container -> sudo sysctl -w net.ipv4.ip_forward=1',
      ],
    ],
    ['an unknown state', 'forwarding', { isForwarding4: undefined }, []],
    [
      'a host that does not forward IPv6',
      'forwarding',
      { isForwarding6: false },
      [
        'ok: net.ipv4.ip_forward is 1, so this host forwards the connections of containers',
        'problem: net.ipv6.conf.all.forwarding is 0, so this host forwards no connection of a container -> sudo sysctl -w net.ipv6.conf.all.forwarding=1   # an interface that learns its route from a router needs accept_ra=2 first',
      ],
      VIP6,
    ],
    [
      'a bridge in the range',
      'vip-range',
      { networks: networksOf([], { docker0: '198.18.0.1/24' }) },
      [
        'problem: --vip-range 198.18.0.0/16 overlaps docker0 (198.18.0.1/24), whose addresses would be hidden -> soradns up --vip --vip-range 198.19.0.0/16   # this range on every host',
      ],
    ],
    [
      'no free range',
      'vip-range',
      {
        networks: networksOf(
          ['198.18.0.0/15', '10.0.0.0/8', '172.16.0.0/12'].map((text) => route(text, 'tun0')),
        ),
      },
      [
        'problem: --vip-range 198.18.0.0/16 overlaps the route 198.18.0.0/15 of tun0, whose addresses would be hidden -> ip route show table all   # choose a range that is not there',
      ],
    ],
    [
      'a range of IPv6 with a route',
      'vip-range',
      { networks: networksOf([route('fd53:6f72:6100::/48', 'wg0')]) },
      [
        'ok: --vip-range 198.18.0.0/16 overlaps no network of this host',
        'problem: --vip-range6 fd53:6f72:6100::/64 overlaps the route fd53:6f72:6100::/48 of wg0, whose addresses would be hidden -> soradns up --vip --vip-range6 fd53:6f72:6101::/64   # this range on every host',
      ],
      VIP6,
    ],
    [
      'a host without a default route',
      'route',
      { networks: networksOf([route('10.0.0.0/8', 'eth0')]) },
      [
        "warning: this host's own programs have no route to 198.18.0.0/16; containers need none -> sudo ip route replace 198.18.0.0/16 dev lo",
      ],
    ],
    [
      'a host without a default route of IPv6',
      'route',
      {},
      [
        "ok: this host's own programs have a route to 198.18.0.0/16",
        "warning: this host's own programs have no route to fd53:6f72:6100::/64; containers need none -> sudo ip -6 route add default via ROUTER   # any default route is enough",
      ],
      VIP6,
    ],
    ['80 % of the entries', 'conntrack', conntrack(809), [`ok: ${inUse(809, 80)}`]],
    [
      '81 % of the entries',
      'conntrack',
      conntrack(810),
      [
        `warning: ${inUse(810, 81)}; the kernel drops new connections when none is free -> sudo sysctl -w net.netfilter.nf_conntrack_max=2000`,
      ],
    ],
    ['a host without connection tracking', 'conntrack', { conntrack: undefined }, []],
  ];
  for (const [what, check, changes, expected, settings] of table)
    it(`The finding ${check} about ${what} is ${levelsOf(expected)}`, () =>
      assert.deepEqual(judged(check, changes, settings), expected));

  it('Without --vip neither a range nor a route to it is judged', () => {
    const found = judgeNetwork(WELL, { ...VIP, vip: false }, start);
    assert.deepEqual(
      found.map(({ check }) => check),
      ['forwarding', 'conntrack'],
    );
  });
});
