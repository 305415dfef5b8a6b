/** What engines report about themselves: answers of real engines, shortened to the fields that the registrar reads. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseBridge, parseInfo } from '../../../src/registrar/engine/responses.ts';

const DOCKER_ID = 'IOSV:SVED:RIXD:5AKU:PTGC:EF5X:ZMLH:UHJD:BFSS:HWMT:XIBL:IBWD';
const DOCKER_20 = {
  ID: DOCKER_ID,
  Name: 'vm',
  DockerRootDir: '/var/lib/docker',
  KernelVersion: '6.1.0-28-amd64',
  ServerVersion: '20.10.24+dfsg1',
  SystemTime: '2026-11-28T12:00:00.123456789+01:00',
  Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive' },
};
const DOCKER_28 = {
  ...DOCKER_20,
  ID: 'c5c03539-68c4-4bc7-9a6b-1c2a6b7f1e11',
  ServerVersion: '28.5.2',
  Swarm: { NodeID: 'x', NodeAddr: '10.0.0.7', LocalNodeState: 'active' },
};
/** With `PODMAN_4_AGAIN`: two answers of one service. */
const PODMAN_4 = {
  ID: '410a0460-cedd-4a1f-9c3c-405334720b79',
  Name: 'vm',
  DockerRootDir: '/var/lib/containers/storage',
  KernelVersion: '6.1.0-28-amd64',
  ServerVersion: '4.3.1',
  Swarm: { NodeID: '', NodeAddr: '', LocalNodeState: 'inactive' },
  ProductLicense: 'Apache-2.0',
  BuildahVersion: '1.28.2',
  Rootless: false,
};
const PODMAN_4_AGAIN = { ...PODMAN_4, ID: '93cd33fd-39a0-4597-a51e-eff3c2309545' };

describe('engine ids', () => {
  it('Docker’s engine id is the one that it reports', () => {
    assert.deepEqual(parseInfo(DOCKER_20), {
      id: DOCKER_ID,
      isOwnId: true,
      name: 'vm',
      nodeAddress: undefined,
      rootDir: '/var/lib/docker',
      kernel: '6.1.0-28-amd64',
      timeNano: BigInt(Date.UTC(2026, 10, 28, 11)) * 1_000_000n + 123_456_789n,
      platform: { kind: 'docker', version: '20.10.24+dfsg1', firewall: undefined },
    });
    const newer = parseInfo(DOCKER_28);
    assert.deepEqual([newer?.id, newer?.nodeAddress], [DOCKER_28.ID, '10.0.0.7']);
  });

  it('Podman’s engine id is made from its host name and folder because the id that it reports changes at each call', () => {
    const [first, second] = [parseInfo(PODMAN_4), parseInfo(PODMAN_4_AGAIN)];
    assert.deepEqual(first, second);
    assert.equal(first?.isOwnId, false);
    assert.match(first?.id ?? '', /^podman:vm:[0-9a-f]{12}$/);
  });

  for (const [what, change] of [
    ['another host', { Name: 'vm2' }],
    ['another user', { DockerRootDir: '/var/lib/user/containers/storage' }],
  ] as const)
    it(`A Podman of ${what} has another engine id`, () =>
      assert.notEqual(parseInfo({ ...PODMAN_4, ...change })?.id, parseInfo(PODMAN_4)?.id));

  for (const answer of [undefined, null, 'x', [], {}, { ID: '' }, { ID: 7 }])
    it(`A server that answers ${JSON.stringify(answer)} is not an engine`, () =>
      assert.equal(parseInfo(answer), undefined));
});

describe('engine platforms', () => {
  const nftables = { ServerVersion: '29.0.1', FirewallBackend: { Driver: 'nftables', Info: [] } };
  const SecurityOptions = ['name=seccomp,profile=builtin', 'name=rootless', 'name=cgroupns'];
  for (const [what, info, expected] of [
    ['Docker 20.10', DOCKER_20, 'docker 20.10.24+dfsg1'],
    ['Docker with its nftables backend', { ...DOCKER_28, ...nftables }, 'docker 29.0.1 nftables'],
    ['rootless Docker', { ...DOCKER_28, SecurityOptions }, 'rootless 28.5.2'],
    ['Docker Desktop', { ...DOCKER_28, OperatingSystem: 'Docker Desktop' }, 'desktop 28.5.2'],
    ['Podman', { ...PODMAN_4, SecurityOptions }, 'podman 4.3.1'],
    ['an engine without details', { ID: 'x' }, 'docker'],
    ['an engine with details of other types', { ID: 'x', SecurityOptions: 'x' }, 'docker'],
  ] as const)
    it(`The engine information of ${what} says on what platform it runs`, () => {
      const { kind, version, firewall } = parseInfo(info)?.platform ?? assert.fail();
      assert.equal([kind, version, firewall].filter(Boolean).join(' '), expected);
    });
});

describe('default bridge', () => {
  const Options = { 'com.docker.network.bridge.name': 'docker0' };
  it('The default bridge is read from Docker’s answer', () => {
    const Config = [{ Subnet: 'fd00::/64', Gateway: 'fd00::1' }, { Gateway: '172.17.0.1' }];
    const bridge = parseBridge({ Id: 'b1', IPAM: { Config }, Options });
    assert.deepEqual(bridge, { id: 'b1', gateway: '172.17.0.1', device: 'docker0' });
  });

  for (const answer of [null, {}, { IPAM: { Config: {} } }, { IPAM: { Config: [null, 7] } }])
    it(`The default bridge is unknown after the answer ${JSON.stringify(answer)}`, () => {
      const nothing = { id: undefined, gateway: undefined, device: undefined };
      assert.deepEqual(parseBridge(answer), nothing);
    });
});
