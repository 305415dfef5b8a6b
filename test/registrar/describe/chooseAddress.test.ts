import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type AddressSettings,
  chooseAddress,
} from '../../../src/registrar/describe/chooseAddress.ts';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import type { RegistrarContext } from '../../../src/registrar/describe/context.ts';
import {
  type ContainerSpec,
  inspection,
  networkId,
  registrarContext,
} from '../../support/inspection.ts';

interface Case {
  readonly spec: ContainerSpec;
  readonly settings?: Partial<AddressSettings>;
  readonly context?: Partial<RegistrarContext>;
  readonly parent?: ContainerSpec;
  readonly port?: number | 'none';
}

/** `192.0.2.1:80 [2001:db8::1]:80`, or `waiting: ...`, `refused: ...`. */
function choose({ spec, settings, context, parent, port = 80 }: Case): string {
  const choice = chooseAddress(
    readContainer(inspection(spec)),
    port === 'none' ? undefined : { number: port, protocol: 'tcp' },
    { mode: 'published', ...settings },
    registrarContext(context),
    parent && readContainer(inspection(parent)),
  );
  if (choice.kind !== 'endpoints') return `${choice.kind}: ${choice.reason}`;
  return choice.endpoints
    .map(({ address, port: open }) => `${address} ${open ?? '-'}${choice.isInternal ? ' own' : ''}`)
    .join(', ');
}

/** Registers a test for each row. */
function testChoices(
  rows: readonly (readonly [what: string, expected: string, one: Case])[],
): void {
  for (const [what, expected, one] of rows)
    it(`chooseAddress gives "${expected}" for ${what}`, () => assert.equal(choose(one), expected));
}

const at = (...bindings: string[]): ContainerSpec => ({ publish: { '80/tcp': bindings } });
const internal = { mode: 'internal' } as const;
const two: ContainerSpec = {
  networkMode: 'back',
  networks: { front: ['10.1.0.2'], back: ['10.2.0.2'] },
};
const NO_HOST = "waiting: needs this host's address, which is unknown: set --ip";
const HOST6 = { hostAddresses: { v4: '192.0.2.1', v6: '2001:db8::1' } };

describe('published ports', () => {
  testChoices([
    ['a port published at 0.0.0.0', '192.0.2.1 8080', { spec: at('0.0.0.0:8080') }],
    [
      'a port published at 0.0.0.0 and [::] of a host whose IPv6 address is unknown',
      '192.0.2.1 8080',
      { spec: at('0.0.0.0:8080', '[::]:8080') },
    ],
    [
      'a port published at 0.0.0.0 and [::] of a host with both addresses',
      '192.0.2.1 8080, 2001:db8::1 8081',
      { spec: at('0.0.0.0:8080', '[::]:8081'), context: HOST6 },
    ],
    [
      'a port published only at [::]',
      '2001:db8::1 8080',
      { spec: at('[::]:8080'), context: HOST6 },
    ],
    [
      'a port published only at [::] of a host whose IPv6 address is unknown',
      "waiting: needs this host's IPv6 address, which is unknown: set --ip",
      { spec: at('[::]:8080') },
    ],
    [
      'a port published at a specific address',
      '198.51.100.7 8080',
      { spec: at('198.51.100.7:8080') },
    ],
    [
      'a port published at 0.0.0.0 and at a specific address',
      '198.51.100.7 81',
      { spec: at('0.0.0.0:80', '198.51.100.7:81') },
    ],
    [
      'a port published at an IPv6 address in another form',
      '2001:db8::7 80',
      { spec: at('[2001:DB8:0::7]:80') },
    ],
    [
      'a port published at loopback and at 0.0.0.0',
      '192.0.2.1 81',
      { spec: at('127.0.0.1:80', '0.0.0.0:81') },
    ],
    [
      'a port published only at loopback',
      'refused: is published at 127.0.0.1:80, which only this host can reach: publish it on another address',
      { spec: at('127.0.0.1:80') },
    ],
    [
      'a port published only at IPv6 loopback',
      'refused: is published at [::1]:80, which only this host can reach: publish it on another address',
      { spec: at('[::1]:80') },
    ],
    [
      'a port published at 0.0.0.0 beside --ip',
      '203.0.113.9 8080',
      { spec: at('0.0.0.0:8080'), context: { ...HOST6, ip: '203.0.113.9' } },
    ],
    [
      'a port published at a specific address beside --ip',
      '198.51.100.7 80',
      { spec: at('198.51.100.7:80'), context: { ip: '203.0.113.9' } },
    ],
    [
      'a port published at a specific address beside registrator’s -ip',
      '203.0.113.9 80',
      { spec: at('198.51.100.7:80'), context: { ip: '203.0.113.9', compat: ['registrator'] } },
    ],
    [
      'a port published only at loopback beside registrator’s -ip',
      'refused: is published at 127.0.0.1:80, which only this host can reach: publish it on another address',
      { spec: at('127.0.0.1:80'), context: { ip: '203.0.113.9', compat: ['registrator'] } },
    ],
    [
      'a port published at 0.0.0.0 of a host without known addresses',
      NO_HOST,
      { spec: at('0.0.0.0:80'), context: { hostAddresses: {} } },
    ],
    [
      'a port that is exposed and not published',
      'refused: does not publish port 80/tcp: publish it with -p, or use DNS_MODE=internal',
      { spec: { expose: ['80/tcp'] } },
    ],
    [
      'a port beside the published one',
      'refused: does not publish port 81/tcp: publish it with -p, or use DNS_MODE=internal',
      { spec: at('0.0.0.0:80'), port: 81 },
    ],
    ['a container without a port', '192.0.2.1 -', { spec: {}, port: 'none' }],
    [
      'a port published by a container on user networks (registrator #337)',
      '192.0.2.1 18080',
      { spec: { ...two, ...at('0.0.0.0:18080') } },
    ],
  ]);

  const bridge: ContainerSpec = { request: ['80/tcp'] };
  const onInternal = { ...bridge, networkMode: 'int1', networks: { int1: ['10.1.0.2'] } } as const;
  const waits = 'waiting: waits for port 80/tcp to be published';
  const publishNone = `${waits}: internal, macvlan and ipvlan networks publish none; if`;
  testChoices([
    ['a requested port on the bridge that the engine has not bound yet', waits, { spec: bridge }],
    [
      'a requested port on a network that may publish none',
      `${publishNone} int1 is one of these, use DNS_MODE=internal`,
      { spec: onInternal },
    ],
    [
      'a requested port on two networks that may publish none',
      `${publishNone} a, b is one of these, use DNS_MODE=internal`,
      { spec: { ...bridge, networkMode: 'a', networks: { a: ['10.1.0.2'], b: ['10.2.0.2'] } } },
    ],
    [
      'a requested port on Docker’s bridge and on a network that may publish none',
      waits,
      { spec: { ...onInternal, networks: { bridge: ['172.17.0.2'], int1: ['10.1.0.2'] } } },
    ],
    [
      'a requested port in compat mode, where only an option sets the mode',
      `${publishNone} int1 is one of these, use --mode internal`,
      { spec: onInternal, context: { compat: ['registrator'] } },
    ],
    [
      'a requested port on the network none',
      'refused: is on the network none, which publishes no port, 80/tcp included: put it on another network',
      { spec: { ...bridge, networkMode: 'none', networks: { none: [''] } } },
    ],
  ]);

  it('A port that -P requests waits until the engine has bound it', () => {
    const plain = inspection({ expose: ['80/tcp'] });
    const asked = { ...plain, HostConfig: { PublishAllPorts: true } };
    const port = { number: 80, protocol: 'tcp' } as const;
    const choice = chooseAddress(
      readContainer(asked),
      port,
      { mode: 'published' },
      registrarContext(),
    );
    assert.equal(choice.kind, 'waiting');
  });
});

describe('networks', () => {
  const bridge: ContainerSpec = { expose: ['80/tcp'] };
  for (const [what, expected, one] of [
    ['a container on the bridge', '172.17.0.2 80 own', { spec: bridge }],
    ['a container with a published port', '172.17.0.2 80 own', { spec: at('0.0.0.0:8080') }],
    [
      'a container on two networks, one of them named by NetworkMode (registrator #498)',
      '10.2.0.2 80 own',
      { spec: two },
    ],
    [
      'a container on two networks, one of them named by NetworkMode with its id',
      '10.2.0.2 80 own',
      { spec: { ...two, networkMode: networkId('back') } },
    ],
    [
      'a container on two networks that NetworkMode does not name: the lowest name wins',
      '10.2.0.2 80 own',
      { spec: { ...two, networkMode: 'gone' } },
    ],
    [
      'a container that shares a network with the registrar',
      '10.1.0.2 80 own',
      { spec: two, context: { ownNetworks: ['front', 'x'] } },
    ],
    [
      'a container on a network whose id the registrar has among its own',
      '10.1.0.2 80 own',
      { spec: two, context: { ownNetworks: [networkId('front')] } },
    ],
    [
      'a container on a network of --network and on one that it shares with the registrar',
      '10.2.0.2 80 own',
      { spec: two, context: { networks: ['x', 'back'], ownNetworks: ['front'] } },
    ],
    [
      'a container on both networks of --network: the first one wins',
      '10.1.0.2 80 own',
      { spec: two, context: { networks: ['front', 'back'] } },
    ],
    [
      'a container on its DNS_NETWORK and on a network of --network',
      '10.1.0.2 80 own',
      { spec: two, settings: { network: 'front' }, context: { networks: ['back'] } },
    ],
    [
      'a container that is not on its DNS_NETWORK',
      'waiting: is not on the network side',
      { spec: two, settings: { network: 'side' } },
    ],
    [
      'a container without an address on its DNS_NETWORK',
      'waiting: has no address on the network late yet',
      { spec: { networks: { late: [''], other: ['10.9.0.2'] } }, settings: { network: 'late' } },
    ],
    [
      'a container whose DNS_NETWORK is ingress',
      'refused: cannot be reached on the network ingress: set DNS_NETWORK to another one',
      { spec: { networks: { ingress: ['10.0.0.5'] } }, settings: { network: 'ingress' } },
    ],
    [
      'a container on ingress and on an overlay network',
      '10.5.0.3 80 own',
      {
        spec: {
          networks: {
            docker_gwbridge: ['172.18.0.3'],
            ingress: ['10.0.0.5'],
            overlay: ['10.5.0.3'],
          },
        },
      },
    ],
    [
      'a container on ingress alone',
      "waiting: is only on swarm's ingress, where clients cannot reach it: attach an overlay network",
      { spec: { networks: { ingress: ['10.0.0.5'] } } },
    ],
    [
      'a container on slirp4netns, Podman’s network of a user',
      'refused: has no address of its own on slirp4netns: publish a port, or use a bridge network',
      { spec: { networkMode: 'slirp4netns', networks: {} } },
    ],
    [
      'a container on pasta, Podman’s newer network of a user, with options',
      'refused: has no address of its own on pasta: publish a port, or use a bridge network',
      { spec: { networkMode: 'pasta:-T,auto', networks: {} } },
    ],
    [
      'a container with an empty address on one of its networks (registrator #710)',
      '10.3.0.2 80 own',
      { spec: { networkMode: 'a', networks: { a: [''], b: ['10.3.0.2'] } } },
    ],
    [
      'a container without a network',
      'waiting: has no address on a network yet',
      { spec: { networks: {} } },
    ],
    [
      'a container on the network none',
      'refused: is on the network none: put it on another network',
      { spec: { networkMode: 'none', networks: { none: [''] } } },
    ],
    [
      'a container with addresses of both families',
      '10.1.0.2 80 own, fd00::2 80 own',
      { spec: { networks: { dual: ['10.1.0.2', 'fd00::2'] } } },
    ],
    [
      'a container with an IPv6 address alone',
      'fd00::2 80 own',
      { spec: { networks: { six: ['', 'fd00::2'] } } },
    ],
    [
      'a container with link-local addresses alone',
      'waiting: has no address on a network yet',
      { spec: { networks: { six: ['169.254.1.1', 'fe80::2'] } } },
    ],
    [
      'a container with invalid addresses alone',
      'waiting: has no address on a network yet',
      { spec: { networks: { bad: ['10.0.0.256', 'x::y'] } } },
    ],
  ] as const satisfies readonly [string, string, Case][]) {
    it(`chooseAddress in internal mode gives "${expected}" for ${what}`, () =>
      assert.equal(
        choose({
          settings: internal,
          ...one,
          ...('settings' in one ? { settings: { ...internal, ...one.settings } } : {}),
        }),
        expected,
      ));
  }

  it('The address on the default bridge is read from an engine without Networks', () => {
    const old = { ...inspection(bridge), NetworkSettings: { IPAddress: '172.17.0.9' } };
    const choice = chooseAddress(readContainer(old), undefined, internal, registrarContext());
    assert.ok(choice.kind === 'endpoints');
    assert.equal(choice.endpoints[0]?.address, '172.17.0.9');
  });

  it('The chosen address does not depend on the order of the networks', () => {
    const orders = [
      { a: ['10.1.0.2'], b: ['10.2.0.2'], c: ['10.3.0.2'] },
      { c: ['10.3.0.2'], a: ['10.1.0.2'], b: ['10.2.0.2'] },
      { b: ['10.2.0.2'], c: ['10.3.0.2'], a: ['10.1.0.2'] },
    ] as const;
    for (const networks of orders)
      assert.equal(choose({ spec: { networks }, settings: internal }), '10.1.0.2 80 own');
  });
});

describe('the host’s network', () => {
  const host: ContainerSpec = { networkMode: 'host', networks: { host: [''] }, expose: ['80/tcp'] };
  for (const [why, expected, one] of [
    ['in published mode', '192.0.2.1 80', { spec: host }],
    ['in internal mode', '192.0.2.1 80', { spec: host, settings: internal }],
    ['with both families', '192.0.2.1 80, 2001:db8::1 80', { spec: host, context: HOST6 }],
    [
      'with an IPv4 --ip',
      '203.0.113.9 80',
      { spec: host, context: { ...HOST6, ip: '203.0.113.9' } },
    ],
    [
      'with an IPv6 --ip',
      '2001:db8::9 80',
      { spec: host, context: { ...HOST6, ip: '2001:db8::9' } },
    ],
    ['without known addresses', NO_HOST, { spec: host, context: { hostAddresses: {} } }],
  ] as const satisfies readonly [string, string, Case][]) {
    it(`chooseAddress gives "${expected}" on the host’s network ${why}`, () =>
      assert.equal(choose(one), expected));
  }
});

describe('stated addresses', () => {
  const labelled = (value: string): ContainerSpec => ({
    labels: { 'net.ip': value },
    ...at('0.0.0.0:8080'),
  });
  const ipLabel = { ipLabel: 'net.ip' };
  testChoices([
    [
      'DNS_IP beside a published port',
      '198.51.100.1 8080',
      { spec: at('0.0.0.0:8080'), settings: { ip: '198.51.100.1' } },
    ],
    [
      'DNS_IP in internal mode',
      '198.51.100.1 80',
      { spec: at('0.0.0.0:8080'), settings: { ip: '198.51.100.1', ...internal } },
    ],
    [
      'DNS_IP without a published port',
      '198.51.100.1 80',
      { spec: {}, settings: { ip: '198.51.100.1' } },
    ],
    [
      'DNS_IP without a network',
      '198.51.100.1 80',
      { spec: { networkMode: 'none' }, settings: { ip: '198.51.100.1' } },
    ],
    [
      'DNS_IP with an address of each family',
      '198.51.100.1 80, 2001:db8::5 80',
      { spec: {}, settings: { ip: '2001:db8::5, 198.51.100.1' } },
    ],
    [
      'DNS_IP with two IPv4 addresses',
      'refused: states more than one IPv4 address: state one of each family',
      { spec: {}, settings: { ip: '198.51.100.1,198.51.100.2' } },
    ],
    [
      'DNS_IP beside the label of --ip-label',
      '198.51.100.1 8080',
      { spec: labelled('10.0.0.5/24'), settings: { ip: '198.51.100.1' }, context: ipLabel },
    ],
    [
      'a label of --ip-label with a prefix length',
      '10.0.0.5 8080',
      { spec: labelled('10.0.0.5/24'), context: ipLabel },
    ],
    [
      'a label of --ip-label without a slash',
      '10.0.0.5 8080',
      { spec: labelled('10.0.0.5'), context: ipLabel },
    ],
    [
      'a container without the label of --ip-label',
      '192.0.2.1 8080',
      { spec: at('0.0.0.0:8080'), context: ipLabel },
    ],
    [
      'a label of -useIpFromLabel beside -ip',
      '10.0.0.5 8080',
      {
        spec: labelled('10.0.0.5/24'),
        context: { ...ipLabel, ip: '203.0.113.9', compat: ['registrator'] },
      },
    ],
    [
      'a label of --ip-label that is not an address',
      'refused: states the address "x": state an IP address that other hosts can reach',
      { spec: labelled('x/24'), context: ipLabel },
    ],
  ]);

  for (const ip of [
    'host.example.org',
    '10.0.0.1:80',
    '10.0.0',
    '010.0.0.1',
    '0.0.0.0',
    '::',
    '127.0.0.1',
    '::1',
    '::ffff:127.0.0.1',
    '169.254.169.254',
    'fe80::1',
    'fe80::1%eth0',
    '224.0.0.1',
    '255.255.255.255',
    'ff02::1',
    ',',
    '\u001b[2J',
    '1'.repeat(100_000),
  ]) {
    it(`The stated address ${JSON.stringify(ip.slice(0, 30))} is refused`, () =>
      assert.match(
        choose({ spec: {}, settings: { ip } }),
        /^refused: states the address ".{0,43}": state an IP address/,
      ));
  }
});

describe('joined networks', () => {
  const child: ContainerSpec = {
    networkMode: 'container:abc',
    startedAt: '2026-01-01T00:00:00.12Z',
    networks: {},
    expose: ['80/tcp'],
  };
  const parent: ContainerSpec = {
    startedAt: '2026-01-01T00:00:00.119999999Z',
    ...at('0.0.0.0:8080'),
  };
  const lost = 'waiting: joined the network of a container that';
  for (const [why, expected, one] of [
    ['whose parent publishes the port', '192.0.2.1 8080', { spec: child, parent }],
    [
      'whose parent publishes another port',
      'refused: does not publish port 81/tcp: publish it with -p on the container whose network it joined (web.1), or use DNS_MODE=internal',
      { spec: child, parent, port: 81 },
    ],
    ['in internal mode', '172.17.0.2 80 own', { spec: child, parent, settings: internal }],
    [
      'in internal mode whose parent is on user networks (registrator #561)',
      '10.2.0.2 80 own',
      { spec: child, parent: { ...two, startedAt: '2025-12-31T23:59:59Z' }, settings: internal },
    ],
    [
      'whose parent is on the host’s network',
      '192.0.2.1 80',
      { spec: child, parent: { ...parent, networkMode: 'host' } },
    ],
    [
      'with its own DNS_IP',
      '198.51.100.1 8080',
      { spec: child, parent, settings: { ip: '198.51.100.1' } },
    ],
    [
      'whose parent has the label of --ip-label',
      '10.0.0.5 8080',
      {
        spec: child,
        parent: { ...parent, labels: { l: '10.0.0.5/8' } },
        context: { ipLabel: 'l' },
      },
    ],
    [
      'that started at the same instant as its parent',
      '192.0.2.1 8080',
      { spec: child, parent: { ...parent, startedAt: '2026-01-01T00:00:00.12Z' } },
    ],
    ['whose parent does not exist', `${lost} does not exist`, { spec: child }],
    [
      'whose parent has ended',
      `${lost} is exited`,
      { spec: child, parent: { ...parent, state: 'exited' } },
    ],
    [
      'whose parent is paused',
      `${lost} is paused`,
      { spec: child, parent: { ...parent, state: 'paused' } },
    ],
    [
      'whose parent has restarted since',
      `${lost} has restarted since: restart this one too`,
      { spec: child, parent: { ...parent, startedAt: '2026-01-01T00:00:00.1200001Z' } },
    ],
    [
      'whose parent has an unknown start time',
      `${lost} has restarted since: restart this one too`,
      { spec: child, parent: { ...parent, startedAt: '' } },
    ],
    [
      'whose parent has joined another container',
      'refused: joined the network of a container that joined another one: join the last one directly',
      { spec: child, parent: { ...parent, networkMode: 'container:x' } },
    ],
  ] as const satisfies readonly [string, string, Case][]) {
    it(`chooseAddress gives "${expected}" for a joined container ${why}`, () =>
      assert.equal(choose(one), expected));
  }
});
