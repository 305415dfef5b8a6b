/** Each row is a host that differs from one on which all is well, and the finding about the difference. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { judgePlane, judgeProxyPlane } from '../../../../src/tools/doctor/ambassador/judgePlane.ts';
import type { PlaneFacts } from '../../../../src/tools/doctor/ambassador/planeFacts.ts';
import { start, VIP, WELL } from '../../../support/planeFacts.ts';

const RUN =
  'docker run -d --network host --cap-add NET_ADMIN --user 0:65532 -v /var/run:/var/run:ro soradns up --vip';
const PROXY = 'soradns up --ambassador --ambassador-plane proxy';
const NO_RIGHTS = { label: 'this process', hasNetAdmin: false, isBehindProxy: false };
const FALLBACK = '; the proxy carries links, and virtual addresses are not answered';
const NO_START = '; with --ambassador-plane nft the server does not start';

/** The findings of one check as `level: message -> fix`. */
function judged(check: string, changes: Partial<PlaneFacts>, settings = VIP): readonly string[] {
  return judgePlane({ ...WELL, ...changes }, settings, start)
    .filter((finding) => finding.check === check)
    .map(({ level, message, fix }) => `${level}: ${message}${fix ? ` -> ${fix}` : ''}`);
}

const kernel = (changes: Partial<PlaneFacts['kernel']>) => ({
  kernel: { ...WELL.kernel, ...changes },
});
const engine = (kind: 'docker' | 'rootless' | 'desktop' | 'podman', version?: string) => ({
  engine: { kind, version, firewall: undefined },
});
const impossible = (reason: string) => kernel({ trial: { kind: 'impossible', reason } });

const levelsOf = (texts: readonly string[]) =>
  texts.map((text) => text.replace(/:.*/, '')).join(' and ') || 'absent';

describe('the plane of an ambassador', () => {
  it('A host that lacks nothing has only findings that are ok', () => {
    const found = judgePlane(WELL, VIP, start);
    assert.deepEqual(
      found.map(({ check, level }) => `${check} ${level}`),
      ['engine ok', 'namespace ok', 'capability ok', 'nftables ok', 'kernel ok'],
    );
  });

  const table: [what: string, check: string, Partial<PlaneFacts>, expected: readonly string[]][] = [
    ['Docker 28', 'engine', {}, ['ok: the engine is Docker 28.5.2']],
    ['an engine without a version', 'engine', engine('docker'), ['ok: the engine is Docker']],
    ['no engine', 'engine', { engine: undefined }, []],
    ...(['rootless', 'desktop', 'podman'] as const).map((kind): (typeof table)[number] => {
      const name = { rootless: 'rootless Docker', desktop: 'Docker Desktop', podman: 'Podman' }[
        kind
      ];
      const message = `the engine is ${name} 4.9, with which only links through the proxy are supported`;
      return [name, 'engine', engine(kind, '4.9'), [`warning: ${message} -> ${PROXY}`]];
    }),
    [
      'Podman 5',
      'engine',
      engine('podman', '5.4'),
      ['ok: the engine is Podman 5.4, whose containers the kernel can reach if it runs as root'],
    ],
    [
      'a process outside the engine’s network',
      'namespace',
      { bridge: { address: '172.17.0.1', isOwn: false } },
      [
        `warning: 172.17.0.1, the address of Docker's bridge, is not in this network namespace${FALLBACK} -> ${RUN}`,
      ],
    ],
    [
      'a server behind docker-proxy',
      'namespace',
      { examined: { label: 'the server (pid 7)', hasNetAdmin: true, isBehindProxy: true } },
      [
        `warning: the server (pid 7) is docker-proxy, so the server runs in a network of its own${FALLBACK} -> ${RUN}`,
      ],
    ],
    ['an unknown bridge', 'namespace', { bridge: undefined }, []],
    [
      'rootless Docker, whose bridge is elsewhere,',
      'namespace',
      { ...engine('rootless'), bridge: { address: '172.17.0.1', isOwn: false } },
      [],
    ],
    [
      'a user without rights',
      'capability',
      { examined: NO_RIGHTS },
      [`warning: this process lacks NET_ADMIN${FALLBACK} -> sudo soradns up --vip`],
    ],
    [
      'a container without rights',
      'capability',
      { examined: NO_RIGHTS, isInContainer: true },
      [`warning: this process lacks NET_ADMIN${FALLBACK} -> ${RUN}`],
    ],
    [
      'a server of another user',
      'capability',
      { examined: { label: 'the server (pid 7)', hasNetAdmin: true, isBehindProxy: false } },
      ['ok: the server (pid 7) has NET_ADMIN'],
    ],
    ['an unseen server', 'capability', { examined: undefined }, []],
    [
      'neither libnftables nor nft',
      'nftables',
      kernel({ writer: { kind: 'missing', reason: 'libnftables.so.1 cannot be loaded' } }),
      [
        `warning: libnftables.so.1 cannot be loaded${FALLBACK} -> sudo apt-get install libnftables1`,
      ],
    ],
    [
      'nft alone',
      'nftables',
      kernel({ writer: { kind: 'found', by: 'nft' } }),
      [
        'warning: the program nft writes the routes, which takes 20 ms instead of 1 ms a change -> sudo apt-get install libnftables1',
      ],
    ],
    ['an unseen server', 'nftables', kernel({ writer: undefined }), []],
    [
      'a kernel without nf_tables',
      'kernel',
      impossible('nf_tables cannot be read: EPROTONOSUPPORT'),
      [
        `warning: Linux 6.1.0-28-amd64 does not let this process carry connections: nf_tables cannot be read: EPROTONOSUPPORT${FALLBACK} -> sudo modprobe -a nf_tables nf_conntrack_netlink   # Linux 5.13 or newer has both`,
      ],
    ],
    [
      'a user namespace',
      'kernel',
      impossible('it needs the capability NET_ADMIN'),
      [
        `warning: Linux 6.1.0-28-amd64 does not let this process carry connections: it needs the capability NET_ADMIN${FALLBACK} -> cat /proc/self/uid_map   # a user namespace has no rights in the host's network`,
      ],
    ],
    [
      'a trial that fails for lack of a library',
      'kernel',
      kernel({
        writer: { kind: 'missing', reason: 'libnftables.so.1 cannot be loaded' },
        trial: { kind: 'impossible', reason: 'libnftables.so.1 cannot be loaded' },
      }),
      ['ok: Linux 6.1.0-28-amd64 is new enough to carry connections'],
    ],
    [
      'another system than Linux',
      'kernel',
      kernel({ release: undefined, trial: undefined }),
      [`warning: only Linux carries connections in the kernel${FALLBACK} -> ${PROXY}`],
    ],
    [
      'an old kernel',
      'kernel',
      kernel({ release: '5.10.0-8-amd64' }),
      [
        `warning: Linux 5.10.0-8-amd64 is older than 5.13, the oldest on which virtual addresses are known to work -> ${PROXY}   # or a newer kernel`,
      ],
    ],
    [
      'the oldest kernel',
      'kernel',
      kernel({ release: '5.13.0' }),
      ['ok: Linux 5.13.0 can carry connections'],
    ],
    [
      'no right to try',
      'kernel',
      kernel({ release: '6.18', trial: undefined }),
      ['ok: Linux 6.18 is new enough to carry connections'],
    ],
  ];
  for (const [what, check, changes, expected] of table)
    it(`The finding ${check} about ${what} is ${levelsOf(expected)}`, () =>
      assert.deepEqual(judged(check, changes), expected));

  it('With --ambassador-plane nft whatever the kernel lacks is a problem', () => {
    const nft = { ...VIP, plane: 'nft' } as const;
    const fix = 'sudo soradns up --vip --ambassador-plane nft';
    assert.deepEqual(judged('capability', { examined: NO_RIGHTS }, nft), [
      `problem: this process lacks NET_ADMIN${NO_START} -> ${fix}`,
    ]);
  });

  it('Without --vip the findings do not speak of virtual addresses', () => {
    const links = { ...VIP, vip: false };
    assert.deepEqual(judged('capability', { examined: NO_RIGHTS }, links), [
      'warning: this process lacks NET_ADMIN; the proxy carries links -> sudo soradns up --ambassador',
    ]);
  });

  it('The proxy needs nothing of the kernel', () => {
    assert.deepEqual(
      judgeProxyPlane().map(({ level }) => level),
      ['ok'],
    );
  });
});
