import assert from 'node:assert/strict';
import type { NetworkInterfaceInfo } from 'node:os';
import { describe, it } from 'node:test';
import type { Inspection } from '../../../src/registrar/engine/engine.ts';
import { type HostSources, readHostFacts } from '../../../src/registrar/observe/hostFacts.ts';
import { inspection } from '../../support/inspection.ts';

const ROUTES = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
wlan0	00000000	0102A8C0	0003	0	0	600	00000000	0	0	0
eth0	00000000	010200C0	0003	0	0	100	00000000	0	0	0
down0	00000000	010200C0	0002	0	0	1	00000000	0	0	0
docker0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
`;
const ZERO = '0'.repeat(32);
const ROUTES_6 = `${ZERO} 00 ${ZERO} 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth0
${ZERO} 00 ${ZERO} 00 ${ZERO} ffffffff 00000001 00000000 00200200       lo
`;
const ID = 'ab'.repeat(32);
const MOUNTS = `512 490 254:1 /var/lib/docker/containers/${ID}/hostname /etc/hostname rw - ext4 /dev/vda1 rw\n`;

const at = (address: string, internal = false) => ({ address, internal }) as NetworkInterfaceInfo;

function sourcesOf(
  changes: Partial<HostSources> & { proc?: Record<string, string>; own?: Inspection },
): HostSources {
  const proc = { '/proc/net/route': ROUTES, '/proc/net/ipv6_route': ROUTES_6, ...changes.proc };
  return {
    engine: { inspect: async (id) => (id === ID ? changes.own : undefined) },
    isLocal: true,
    interfaces: () => ({
      lo: [at('127.0.0.1', true)],
      eth0: [at('fe80::1'), at('192.0.2.7'), at('2001:db8::7')],
      wlan0: [at('192.0.2.8')],
    }),
    readProc: async (path) => (proc as Record<string, string | undefined>)[path],
    ...changes,
  };
}

const UNKNOWN = { rootDir: undefined, kernel: undefined, timeNano: undefined };
const PLATFORM = { kind: 'docker', version: undefined, firewall: undefined } as const;
const NAMED = { id: 'E', isOwnId: true, name: 'n', platform: PLATFORM, ...UNKNOWN };
const INFO = { ...NAMED, nodeAddress: undefined };

describe('host facts', () => {
  for (const [title, changes, info, expected] of [
    [
      'A registrar on the host uses the addresses of the default routes',
      {},
      INFO,
      ['192.0.2.7', '2001:db8::7'],
    ],
    [
      'The address of a swarm node takes precedence over that of the default route',
      {},
      { ...INFO, nodeAddress: '198.51.100.1' },
      ['198.51.100.1', '2001:db8::7'],
    ],
    [
      'The host of an engine on another machine has unknown addresses',
      { isLocal: false },
      INFO,
      [undefined, undefined],
    ],
    [
      'A registrar in a container does not know its host’s addresses',
      { proc: { '/proc/self/mountinfo': MOUNTS }, own: inspection({ id: ID }) },
      INFO,
      [undefined, undefined],
    ],
    [
      'A registrar in a container on the host’s network uses the addresses of the default routes',
      {
        proc: { '/proc/self/mountinfo': MOUNTS },
        own: inspection({ id: ID, networkMode: 'host' }),
      },
      INFO,
      ['192.0.2.7', '2001:db8::7'],
    ],
    [
      'A registrar in a container of another engine does not know its host’s addresses',
      { proc: { '/proc/self/mountinfo': MOUNTS } },
      INFO,
      [undefined, undefined],
    ],
    [
      'Without default routes the host’s addresses are unknown',
      { proc: { '/proc/net/route': '', '/proc/net/ipv6_route': '' } },
      INFO,
      [undefined, undefined],
    ],
  ] as const) {
    it(title, async () => {
      const { hostAddresses } = await readHostFacts(sourcesOf(changes), info);
      assert.deepEqual([hostAddresses.v4, hostAddresses.v6], expected);
    });
  }

  it('The registrar finds the networks of its own container', async () => {
    const own = inspection({ id: ID, networkMode: 'shop', networks: { shop: ['172.20.0.2'] } });
    const { ownNetworks } = await readHostFacts(
      sourcesOf({ proc: { '/proc/self/mountinfo': MOUNTS }, own }),
      INFO,
    );
    assert.deepEqual(ownNetworks, ['shop']);
  });
});
