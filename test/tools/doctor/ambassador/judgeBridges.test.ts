/** Each row is a host that differs from one on which all is well, and the finding about the difference. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgeBridges } from '../../../../src/tools/doctor/ambassador/judgeBridges.ts';
import type { PlaneFacts } from '../../../../src/tools/doctor/ambassador/planeFacts.ts';
import { VIP, WELL } from '../../../support/planeFacts.ts';

function judged(check: string, changes: Partial<PlaneFacts>, settings = VIP): readonly string[] {
  return judgeBridges({ ...WELL, ...changes }, settings)
    .filter((finding) => finding.check === check)
    .map(({ level, message, fix }) => `${level}: ${message}${fix ? ` -> ${fix}` : ''}`);
}

const dockerd = (changes: Partial<NonNullable<PlaneFacts['dockerd']>>): Partial<PlaneFacts> => {
  assert.ok(WELL.dockerd);
  return { dockerd: { ...WELL.dockerd, ...changes } };
};
const backend = (firewall: string | undefined): Partial<PlaneFacts> => ({
  engine: { kind: 'docker', version: '29.0.1', firewall },
});
const MASQUERADED = 'connections within a bridge are masqueraded, so they work with any setting';
const NO_PROXY =
  "dockerd runs without its userland proxy: a connection from another bridge to the host's address and a published port hangs; virtual addresses lead to the container's own address";
const UNREACHABLE = 'virtual addresses do not lead to containers on another bridge of this host';
const NFTABLES = `warning: dockerd writes its rules with nftables, which has no chain DOCKER-USER; ${UNREACHABLE} -> docker network connect NETWORK CONTAINER   # a network of both containers; or, from Docker 29: dockerd --bridge-accept-fwmark 0x20000000/0x20000000; or: dockerd --firewall-backend iptables`;

const levelsOf = (texts: readonly string[]) =>
  texts.map((text) => text.replace(/:.*/, '')).join(' and ') || 'absent';

describe('the bridges of an ambassador’s host', () => {
  it('A host that lacks nothing has only findings that are ok', () => {
    assert.deepEqual(
      judgeBridges(WELL, VIP).map(({ check, level }) => `${check} ${level}`),
      ['br_netfilter ok', 'userland-proxy ok', 'isolation ok'],
    );
  });

  const table: [string, string, Partial<PlaneFacts>, readonly string[], typeof VIP?][] = [
    [
      'packets within bridges that pass no rules',
      'br_netfilter',
      { bridgeRules: 'off' },
      [`ok: net.bridge.bridge-nf-call-iptables is 0; ${MASQUERADED}`],
    ],
    [
      'a kernel without br_netfilter',
      'br_netfilter',
      { bridgeRules: 'absent' },
      [`ok: br_netfilter is not loaded; ${MASQUERADED}`],
    ],
    ['an unknown state', 'br_netfilter', { bridgeRules: undefined }, []],
    [
      'a dockerd whose file disables its proxy',
      'userland-proxy',
      dockerd({ userlandProxy: { isOn: false, setBy: { file: '/etc/docker/daemon.json' } } }),
      [
        `warning: ${NO_PROXY} -> sudo sed -i -E 's/("userland-proxy"[[:space:]]*:[[:space:]]*)false/\\1true/' /etc/docker/daemon.json && sudo systemctl restart docker`,
      ],
    ],
    [
      'a dockerd whose command line disables its proxy',
      'userland-proxy',
      dockerd({ userlandProxy: { isOn: false, setBy: { option: '--userland-proxy=0' } } }),
      [
        `warning: ${NO_PROXY} -> sudo systemctl edit --full docker   # without --userland-proxy=0, then: sudo systemctl restart docker`,
      ],
    ],
    ['an unseen dockerd', 'userland-proxy', { dockerd: undefined }, []],
    ['Docker’s nftables backend', 'isolation', backend('nftables'), [NFTABLES]],
    ['the nftables backend with firewalld', 'isolation', backend('nftables+firewalld'), [NFTABLES]],
    [
      'the nftables backend in dockerd’s file',
      'isolation',
      { engine: undefined, ...dockerd({ firewall: 'nftables' }) },
      [NFTABLES],
    ],
    [
      'a firewall without the chain',
      'isolation',
      { dockerUser: 'noChain' },
      [
        `warning: the chain DOCKER-USER does not exist; ${UNREACHABLE} -> sudo systemctl restart docker   # dockerd makes the chain`,
      ],
    ],
    [
      'a host without iptables',
      'isolation',
      { dockerUser: 'noProgram' },
      [
        `warning: the program iptables, which writes into DOCKER-USER, cannot be run; ${UNREACHABLE} -> sudo apt-get install iptables   # iptables-legacy also needs CAP_NET_RAW`,
      ],
    ],
    ['rules that this process may not read', 'isolation', { dockerUser: undefined }, []],
    [
      'a dockerd that writes no rules',
      'isolation',
      { ...dockerd({ writesRules: false }), dockerUser: 'noChain' },
      ['ok: dockerd writes no rules, so it does not isolate its bridges from each other'],
    ],
    [
      'a server that must not cross bridges',
      'isolation',
      backend('nftables'),
      [`ok: ${UNREACHABLE}, as --ambassador-cross-bridge=false asks`],
      { ...VIP, crossBridge: false },
    ],
    ['a server without virtual addresses', 'isolation', {}, [], { ...VIP, vip: false }],
  ];
  for (const [what, check, changes, expected, settings] of table)
    it(`The finding ${check} about ${what} is ${levelsOf(expected)}`, () =>
      assert.deepEqual(judged(check, changes, settings), expected));

  it('The bridges of other engines than Docker are not judged', () => {
    const podman = {
      ...WELL,
      engine: { kind: 'podman', version: '5.4', firewall: undefined },
    } as const;
    assert.deepEqual(judgeBridges(podman, VIP), []);
  });
});
