/** Consumers and local backends: by which addresses a host knows its containers, and which containers it cannot tell. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import { consumersOf } from '../../../src/registrar/links/consumers.ts';
import { readLinks } from '../../../src/registrar/links/links.ts';
import { localBackendOf } from '../../../src/registrar/links/localBackends.ts';
import {
  AddressBook,
  type HostedContainer,
  type IsBridge,
} from '../../../src/registrar/links/networkAddresses.ts';
import {
  CONTAINER_ID,
  type ContainerSpec,
  inspection,
  networkId,
  registrarContext,
  STARTED_AT,
} from '../../support/inspection.ts';

const LINK = { DNS_LINK_80: 'web.skydns.local', DNS_LINK_81: 'http://' };
const TARGET_REFUSAL =
  'DNS_LINK_81 is "http://": a link takes NAME, NAME:PORT or IP:PORT, and no key of a store';

function hosted(spec: ContainerSpec): HostedContainer {
  const container = readContainer(inspection(spec));
  return { id: container.id, container, reading: readLinks(container, registrarContext()) };
}

const id = (letter: string): string => letter.repeat(64);

/** Networks whose name begins with `mac` are macvlan; `new` is not known yet. */
const isBridge: IsBridge = ({ name }) =>
  name.startsWith('new') ? undefined : !name.startsWith('mac');

function consumers(...specs: readonly ContainerSpec[]) {
  const all = specs.map(hosted);
  return consumersOf(all, new AddressBook(all, isBridge));
}

function only(spec: ContainerSpec, ...others: readonly ContainerSpec[]) {
  const [consumer, more] = consumers(spec, ...others);
  assert.ok(consumer !== undefined && more === undefined);
  return {
    addresses: consumer.addresses.map(({ network, address }) => `${network} ${address}`),
    links: consumer.links.map(({ source }) => source),
    refusals: consumer.refusals.map(({ about, reason }) => `${about} ${reason}`),
    waiting: consumer.waiting,
  };
}

describe('the consumers of a host', () => {
  it('A consumer has its addresses on all bridge networks, in both families', () => {
    const networks = {
      back: ['10.2.0.2', 'FD00:0::2'],
      bridge: ['172.17.0.2'],
      mac1: ['192.168.1.9'],
      ingress: ['10.0.0.9'],
    } as const;
    const [consumer] = consumers({ env: LINK, networks });
    assert.deepEqual(consumer?.addresses, [
      {
        address: '10.2.0.2',
        family: 4,
        network: 'back',
        networkId: networkId('back'),
        isBridge: true,
      },
      {
        address: 'fd00::2',
        family: 6,
        network: 'back',
        networkId: networkId('back'),
        isBridge: true,
      },
      {
        address: '172.17.0.2',
        family: 4,
        network: 'bridge',
        networkId: networkId('bridge'),
        isBridge: true,
      },
    ]);
  });

  it('A consumer has its id, name, start, process and links, and the refusals of others', () => {
    const container = readContainer({
      ...inspection({ env: LINK, name: 'app' }),
      State: { Status: 'running', Running: true, StartedAt: STARTED_AT, Pid: 4711 },
    });
    const reading = readLinks(container, registrarContext());
    const all = [{ id: container.id, container, reading }];
    const [consumer] = consumersOf(all, new AddressBook(all, isBridge));
    const { addresses, links, refusals, ...rest } = consumer ?? assert.fail('there is none');
    assert.deepEqual(rest, {
      id: CONTAINER_ID,
      shortId: 'c0ffee123456',
      name: 'app',
      startedAt: STARTED_AT,
      pid: 4711,
    });
    assert.equal(addresses.length, 1);
    assert.deepEqual(links, reading.links);
    assert.deepEqual(refusals, reading.refusals);
  });

  for (const state of ['running', 'paused', 'stopping'])
    it(`A ${state} container is a consumer`, () => {
      const [consumer] = consumers({ env: LINK, state });
      assert.equal(consumer?.id, CONTAINER_ID);
    });

  for (const state of ['created', 'restarting', 'exited', 'dead', 'removing', 'odd'])
    it(`A container that is ${state} is no consumer`, () =>
      assert.deepEqual(consumers({ env: LINK, state }), []));

  it('A container without links is no consumer', () =>
    assert.deepEqual(consumers({ env: { DNS_NAME: 'web', DNS_LINK_LOCAL: 'true' } }), []));

  for (const networkMode of ['host', 'none'])
    it(`The links of a container on the network ${networkMode} are refused`, () => {
      const networks = { [networkMode]: [''] } as const;
      assert.deepEqual(only({ env: LINK, networkMode, networks }), {
        addresses: [],
        links: [],
        refusals: [
          TARGET_REFUSAL,
          `DNS_LINK_80 needs a bridge network: the container is on the network ${networkMode}, where it has no address of its own`,
        ],
        waiting: undefined,
      });
    });

  it('The links of a container that is only on a macvlan network are refused', () => {
    const { links, refusals } = only({ env: LINK, networks: { mac1: ['192.168.1.9'] } });
    assert.deepEqual(links, []);
    assert.deepEqual(refusals, [
      TARGET_REFUSAL,
      'DNS_LINK_80 needs a bridge network: the container is only on mac1',
    ]);
  });

  it('A consumer waits while the drivers of its networks are unknown', () => {
    const waiting = 'waits for the driver of the network mac1, new1 (GET /networks)';
    const networks = { mac1: ['192.168.1.9'], new1: ['10.9.0.2'] } as const;
    const outcome = only({ env: LINK, networks });
    assert.deepEqual(outcome, {
      addresses: [],
      links: [],
      refusals: [TARGET_REFUSAL],
      waiting,
    });
  });

  it('A consumer without an address yet waits for one', () => {
    assert.equal(only({ env: LINK, networks: {} }).waiting, 'has no address on a network yet');
  });

  it('A consumer that joined another container’s network has the addresses of that container', () => {
    const parent = {
      id: id('a'),
      name: 'front',
      networks: { back: ['10.2.0.7'] },
      startedAt: '2026-01-01T00:00:00Z',
    } as const;
    for (const networkMode of [`container:${id('a')}`, 'container:front']) {
      const child = { env: LINK, networkMode, networks: {} };
      assert.deepEqual(only(child, parent).addresses, ['back 10.2.0.7'], networkMode);
    }
  });

  for (const [what, parent, reason] of [
    ['does not exist', [], /^joined the network of a container that does not exist$/],
    ['ended', [{ id: id('a'), state: 'exited' }], /that is exited$/],
    [
      'restarted later',
      [{ id: id('a'), startedAt: '2026-02-01T00:00:00Z' }],
      /that has restarted since: restart this one too$/,
    ],
  ] as const)
    it(`A consumer that joined the network of a container that ${what} waits`, () => {
      const child = { env: LINK, networkMode: `container:${id('a')}`, networks: {} };
      const { waiting, links } = only(child, ...parent);
      assert.deepEqual(links, []);
      assert.match(waiting ?? '', reason);
    });

  it('The links of a container that joined the host’s network through another one are refused', () => {
    const parent = { id: id('a'), networkMode: 'host', startedAt: '2026-01-01T00:00:00Z' };
    const child = { env: LINK, networkMode: `container:${id('a')}`, networks: {} };
    assert.match(only(child, parent).refusals.join(), /DNS_LINK_80 needs a bridge network/);
  });

  it('Consumers are listed by their start, the oldest first, whatever the form of the time', () => {
    const started = [
      ['b', '2026-01-02T03:04:05.5Z'],
      ['d', '2026-01-02T03:04:05.123456789Z'],
      ['a', '2026-01-02T04:04:05.600+00:00'],
      ['c', '2026-01-02T03:04:05.123456790Z'],
      ['e', 'odd'],
    ] as const;
    const specs = started.map(([letter, startedAt], i) => ({
      ...{ id: id(letter), startedAt, env: LINK },
      networks: { bridge: [`172.17.0.${i + 2}`] as const },
    }));
    assert.deepEqual(
      consumers(...specs).map((one) => one.id[0]),
      ['e', 'd', 'c', 'b', 'a'],
    );
  });

  it('An address belongs to the container that started last, even if that one has no links', () => {
    const lost = { id: id('a'), env: LINK, startedAt: '2026-01-01T00:00:00Z' };
    const next = { id: id('b'), startedAt: '2026-01-02T00:00:00Z' };
    for (const all of [
      [lost, next],
      [next, lost],
    ]) {
      const [consumer] = consumers(...all);
      assert.equal(consumer?.waiting, 'has no address on a network yet');
    }
    const elsewhere = { ...next, networks: { back: ['172.17.0.2'] } } as const;
    assert.equal(consumers(lost, elsewhere)[0]?.addresses.length, 1);
  });

  it('A container that has ended has no address, although the engine reported one last', () => {
    const here = hosted({ id: id('a'), env: LINK, startedAt: '2026-01-01T00:00:00Z' });
    const other = hosted({ id: id('b'), startedAt: '2026-01-02T00:00:00Z' });
    const ended = { ...other, container: { ...other.container, state: 'exited' } };
    const all = [here, ended];
    const [consumer] = consumersOf(all, new AddressBook(all, isBridge));
    assert.equal(consumer?.addresses.length, 1);
  });
});

describe('the local backend of a record', () => {
  const web: ContainerSpec = {
    name: 'web',
    publish: {
      '80/tcp': ['0.0.0.0:8080', '[::]:8080'],
      '53/udp': ['127.0.0.1:5353'],
      '9000/tcp': ['192.0.2.7:9000', '192.0.2.8:9000'],
    },
    expose: ['81/tcp'],
    networks: { back: ['10.2.0.2', 'fd00::2'], mac1: ['192.168.1.9'] },
  };

  function backend(
    spec: ContainerSpec | undefined,
    record: { host?: string; port?: number; protocol?: 'tcp' | 'udp'; startedAt?: string },
    ...others: readonly ContainerSpec[]
  ) {
    const one = spec && hosted(spec);
    const { host = '192.0.2.1', port, protocol = 'tcp', startedAt = STARTED_AT } = record;
    const expose = port === undefined ? undefined : { number: port, protocol };
    const book = new AddressBook([...(one ? [one] : []), ...others.map(hosted)], isBridge);
    return localBackendOf({ host, expose, startedAt }, one, book);
  }

  it('A published port is reached at the container’s own addresses, bridge or not', () => {
    const found = backend(web, { port: 80 });
    assert.ok(found.kind === 'running');
    const { addresses, ...rest } = found;
    assert.deepEqual(rest, {
      kind: 'running',
      containerId: CONTAINER_ID,
      name: 'web',
      port: { number: 80, protocol: 'tcp' },
      publishedAt: ['0.0.0.0', '::'],
      mode: 'published',
    });
    assert.deepEqual(
      addresses.map(({ network, address, isBridge }) => [network, address, isBridge]),
      [
        ['back', '10.2.0.2', true],
        ['back', 'fd00::2', true],
        ['mac1', '192.168.1.9', false],
      ],
    );
  });

  for (const [port, protocol, publishedAt] of [
    [53, 'udp', ['127.0.0.1']],
    [53, 'tcp', []],
    [81, 'tcp', []],
    [9000, 'tcp', ['192.0.2.7', '192.0.2.8']],
    [undefined, 'tcp', []],
  ] as const)
    it(`The port ${port}/${protocol} is published at ${publishedAt.join(' and ') || 'no address'}`, () => {
      const found = backend(web, { protocol, ...(port === undefined ? {} : { port }) });
      assert.deepEqual(found.kind === 'running' && found.publishedAt, publishedAt);
    });

  it('A port without an address in its binding is published at all addresses', () => {
    const podman = { publish: { '80/tcp': [':8080'] } };
    const found = backend(podman, { port: 80 });
    assert.deepEqual(found.kind === 'running' && found.publishedAt, ['0.0.0.0', '::']);
  });

  it('A record at an own address is internal', () => {
    for (const host of ['10.2.0.2', 'FD00:0::2']) {
      const found = backend(web, { host, port: 80 });
      assert.equal(found.kind === 'running' && found.mode, 'internal', host);
    }
  });

  it('A backend on the host’s network has no address of its own', () => {
    const found = backend({ networkMode: 'host', expose: ['80/tcp'] }, { port: 80 });
    assert.ok(found.kind === 'running');
    assert.deepEqual([found.addresses, found.mode, found.publishedAt], [[], 'published', []]);
  });

  it('A backend that joined another container’s network has its addresses and its published ports', () => {
    const parent = { ...web, id: id('a'), startedAt: '2026-01-01T00:00:00Z' };
    const child = { name: 'sidecar', networkMode: `container:${id('a')}`, networks: {} };
    const found = backend(child, { port: 9000 }, parent);
    assert.ok(found.kind === 'running');
    assert.equal(found.name, 'sidecar');
    assert.deepEqual(found.publishedAt, ['192.0.2.7', '192.0.2.8']);
    assert.equal(found.addresses.length, 3);
  });

  it('A backend has ended when its container is gone, has ended, or runs again', () => {
    assert.deepEqual(backend(undefined, {}), { kind: 'ended', containerId: undefined });
    const ended = { kind: 'ended', containerId: CONTAINER_ID };
    assert.deepEqual(backend({ ...web, state: 'exited' }, { port: 80 }), ended);
    assert.deepEqual(backend(web, { port: 80, startedAt: '2025-01-01T00:00:00Z' }), ended);
  });

  it('A backend has no address that another container has by now', () => {
    const next = {
      id: id('b'),
      networks: { back: ['10.2.0.2'] },
      startedAt: '2027-01-01T00:00:00Z',
    } as const;
    const found = backend(web, { port: 80 }, next);
    assert.deepEqual(found.kind === 'running' && found.addresses.map(({ address }) => address), [
      'fd00::2',
      '192.168.1.9',
    ]);
  });
});
