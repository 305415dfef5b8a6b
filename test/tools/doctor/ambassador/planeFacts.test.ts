/** The facts come from files below a folder that stands for `/`, and from the network and engine of the test. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  collectPlaneFacts,
  type ExaminedServer,
  type KernelProbe,
  type PlaneFacts,
  type PlaneHost,
} from '../../../../src/tools/doctor/ambassador/planeFacts.ts';
import { hostAt } from '../../../../src/tools/doctor/host.ts';
import { writeFiles } from '../../../support/examination.ts';
import { VIP } from '../../../support/planeFacts.ts';
import { withTempDir } from '../../../support/tempDir.ts';

interface Setup {
  readonly files?: Readonly<Record<string, string>>;
  readonly server?: ExaminedServer;
  /** Command line -> its output. */
  readonly programs?: Readonly<Record<string, string>>;
  readonly more?: Partial<PlaneHost>;
}

const probe: KernelProbe = {
  release: () => '6.1.0',
  writer: () => ({ kind: 'found', by: 'libnftables' }),
  trial: () => ({ kind: 'possible' }),
};

function factsOf({ files = {}, server = 'self', programs = {}, more }: Setup): Promise<PlaneFacts> {
  return withTempDir(async (root) => {
    await writeFiles(root, files);
    const host: PlaneHost = {
      ...hostAt(root, {
        addresses: async () => new Set(['127.0.0.1', '172.17.0.1']),
        bridgeAddress: async () => undefined,
        dnsListeners: async () => [],
        networks: async () => ({ interfaces: [], routes: [] }),
        engineInfo: async () => undefined,
        engineSocket: undefined,
      }),
      run: async (...line) => programs[line.join(' ')],
      kernel: probe,
      ...more,
    };
    return collectPlaneFacts(host, VIP, server);
  });
}

const status = (mask: string, pid = 'self') => ({
  [`/proc/${pid}/status`]: `Name:\tnode\nCapPrm:\t0000000000000000\nCapEff:\t${mask}\nCapBnd:\t0\n`,
});
const ALL = '000001ffffffffff';
const NET_ADMIN = '0000000000001000';
const ALL_BUT_NET_ADMIN = '000001ffffffefff';
const DOCKERD = { '/etc/docker/daemon.json': '{}' };

describe('the facts about a host for an ambassador', () => {
  it('A host that tells nothing leaves the facts undefined', async () => {
    const { networks, kernel, ...facts } = await factsOf({});
    const known = Object.entries(facts).filter(([, value]) => value !== undefined);
    assert.deepEqual(known, [['isInContainer', false]]);
    assert.deepEqual(kernel, { release: '6.1.0', writer: probe.writer(), trial: undefined });
  });

  for (const [mask, has] of [
    [ALL, true],
    [NET_ADMIN, true],
    [ALL_BUT_NET_ADMIN, false],
    ['0000000000000000', false],
    ['zz', undefined],
  ] as const)
    it(`A process with the capabilities ${mask} ${has ? 'has' : 'has no'} known NET_ADMIN`, async () => {
      const { examined, kernel } = await factsOf({ files: status(mask) });
      assert.equal(examined?.hasNetAdmin, has);
      assert.equal(kernel.trial !== undefined, has === true);
    });

  it('The rights that count are those of the process that holds the server’s port', async () => {
    const files = { ...status(ALL), ...status(ALL_BUT_NET_ADMIN, '7') };
    const server = { pid: 7, command: 'node' };
    const { examined, kernel } = await factsOf({ files, server });
    const expected = { label: 'the server (pid 7)', hasNetAdmin: false, isBehindProxy: false };
    assert.deepEqual(examined, expected);
    assert.deepEqual([kernel.writer, kernel.trial], [undefined, undefined]);
    const proxy = { pid: 7, command: 'docker-proxy' };
    assert.equal((await factsOf({ files, server: proxy })).examined?.isBehindProxy, true);
  });

  it('Nothing is known of a server that this user may not see', async () => {
    const { examined, kernel } = await factsOf({ files: status(ALL), server: 'unseen' });
    assert.deepEqual([examined, kernel.writer, kernel.trial], [undefined, undefined, undefined]);
  });

  it('Where no server runs, the kernel is tried for the next one', async () => {
    const { examined, kernel } = await factsOf({ files: status(ALL), server: 'none' });
    assert.deepEqual([examined, kernel.trial], [undefined, probe.trial(VIP)]);
  });

  it('A container is known by the file that its engine puts there', async () => {
    for (const path of ['/.dockerenv', '/run/.containerenv'])
      assert.equal((await factsOf({ files: { [path]: '' } })).isInContainer, true, path);
  });

  it('The bridge’s address is compared with the addresses of this network namespace', async () => {
    const at = (address: string) => factsOf({ more: { bridgeAddress: async () => address } });
    assert.deepEqual((await at('172.17.0.1')).bridge, { address: '172.17.0.1', isOwn: true });
    assert.deepEqual((await at('172.30.0.1')).bridge, { address: '172.30.0.1', isOwn: false });
  });

  it('Forwarding, br_netfilter and connection tracking are read as the kernel shows them', async () => {
    const NET = '/proc/sys/net';
    const off = await factsOf({
      files: { [`${NET}/ipv4/ip_forward`]: '0\n', [`${NET}/ipv6/conf/all/forwarding`]: '1\n' },
    });
    assert.deepEqual([off.isForwarding4, off.isForwarding6], [false, true]);
    assert.deepEqual([off.bridgeRules, off.conntrack], ['absent', undefined]);
    const on = await factsOf({
      files: {
        [`${NET}/ipv4/ip_forward`]: '1\n',
        [`${NET}/bridge/bridge-nf-call-iptables`]: '0\n',
        [`${NET}/netfilter/nf_conntrack_count`]: '7\n',
        [`${NET}/netfilter/nf_conntrack_max`]: '262144\n',
      },
    });
    assert.deepEqual([on.isForwarding4, on.bridgeRules], [true, 'off']);
    assert.deepEqual(on.conntrack, { count: 7, max: 262_144 });
    const damaged = await factsOf({ files: { [`${NET}/ipv4/ip_forward`]: 'x\n' } });
    assert.equal(damaged.isForwarding4, undefined);
  });

  it('The chain DOCKER-USER is looked for with iptables, where Docker and the right exist', async () => {
    const of = async (rules: string | undefined, files: Readonly<Record<string, string>>) => {
      const programs = rules === undefined ? {} : { 'iptables -w 2 -S': rules };
      return (await factsOf({ files, programs })).dockerUser;
    };
    const files = { ...status(ALL), ...DOCKERD };
    assert.equal(await of('-P FORWARD DROP\n-N DOCKER-USER\n', files), 'present');
    assert.equal(await of('-P FORWARD DROP\n-N DOCKER-USER-2\n', files), 'noChain');
    assert.equal(await of(undefined, files), 'noProgram');
    assert.equal(await of('-N DOCKER-USER\n', { ...files, ...status('0') }), undefined);
    assert.equal(await of('-N DOCKER-USER\n', status(ALL)), undefined);
  });
});
