import assert from 'node:assert/strict';
import test from 'node:test';
import { findBridgeAddress } from '../../src/app/process/bridgeAddress.ts';
import { connectEngine } from '../../src/registrar/engine/dockerode.ts';
import { type FakeDocker, startFakeDocker } from '../support/fakeDocker.ts';

/** Files of /proc from Linux 6, shortened. docker0 is down; br9 is another bridge. */
const PROC: Readonly<Record<string, string>> = {
  '/proc/net/route': [
    'Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT',
    'eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0',
    'eth0\t0000000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'docker0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0',
    'br9\t0000090A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    '',
  ].join('\n'),
  '/proc/net/fib_trie': [
    'Main:',
    '  +-- 0.0.0.0/0 3 0 5',
    '     |-- 0.0.0.0',
    '        /0 universe UNICAST',
    '        |-- 10.0.0.7',
    '           /32 host LOCAL',
    '        |-- 10.9.0.1',
    '           /32 host LOCAL',
    '        +-- 172.18.0.0/31 1 0 0',
    '           |-- 172.18.0.0',
    '              /16 link UNICAST',
    '           |-- 172.18.0.1',
    '              /32 host LOCAL',
    '        |-- 172.18.255.255',
    '           /32 link BROADCAST',
    '',
  ].join('\n'),
};

async function found(
  prepare: (fake: FakeDocker) => void,
  proc: Readonly<Record<string, string>> = PROC,
): Promise<string> {
  const fake = await startFakeDocker();
  const engine = connectEngine(fake.endpoint);
  try {
    prepare(fake);
    const { address, origin } = await findBridgeAddress(engine, async (path) => proc[path]);
    return `${address}: ${origin}`;
  } finally {
    engine.close();
    await fake.close();
  }
}

const withBridge =
  (bridge: object) =>
  (fake: FakeDocker): void => {
    fake.bridge = bridge;
  };

const answering =
  (status: number) =>
  ({ faults }: FakeDocker): void => {
    faults.status = () => status;
  };

test('The bridge’s address is the one that the engine reports', async () => {
  const bip = { IPAM: { Config: [{ Subnet: '172.30.0.0/24', Gateway: '172.30.0.1' }] } };
  const said = await found(withBridge(bip));
  assert.equal(said, '172.30.0.1: the gateway of Docker\'s network "bridge"');
});

test('The bridge’s address is the IPv4 address of a dual-stack bridge', async () => {
  const both = { IPAM: { Config: [{ Gateway: 'fd00::1' }, { Gateway: '172.20.0.1' }] } };
  assert.match(await found(withBridge(both)), /^172\.20\.0\.1: /);
});

test('If the engine reports no gateway, the bridge’s address is that of the interface that the engine names', async () => {
  const Options = { 'com.docker.network.bridge.name': 'br9' };
  for (const ipam of [{ Config: [{ Subnet: '10.9.0.0/24' }] }, { Config: null }, null]) {
    const said = await found(withBridge({ IPAM: ipam, Options }));
    assert.equal(said, "10.9.0.1: this host's address on br9");
  }
});

test('If the engine does not describe its network, the bridge’s address is that of docker0, up or down', async () => {
  for (const status of [403, 404, 500]) {
    assert.equal(await found(answering(status)), "172.18.0.1: this host's address on docker0");
  }
});

test('If the engine does not describe its network and docker0 does not exist, the bridge’s address is Docker’s default', async () => {
  assert.match(await found(answering(403), {}), /^172\.17\.0\.1: Docker's default/);
  const garbage = { '/proc/net/route': 'docker0\tx\t00000000', '/proc/net/fib_trie': '|-- 1.2' };
  assert.match(await found(answering(403), garbage), /^172\.17\.0\.1: Docker's default/);
});

test('A default route through the bridge does not make the addresses of other networks the bridge’s', async () => {
  const line = 'docker0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0';
  const proc = { ...PROC, '/proc/net/route': `${PROC['/proc/net/route']}${line}\n` };
  assert.equal(await found(answering(500), proc), "172.18.0.1: this host's address on docker0");
});
