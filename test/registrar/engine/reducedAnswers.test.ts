/** The read-only proxy passes on all that the registrar reads: the registrar decides the same with and without it. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { readContainer } from '../../../src/registrar/describe/container.ts';
import { describeContainer } from '../../../src/registrar/describeContainer.ts';
import { asContainerId } from '../../../src/registrar/engine/containerId.ts';
import type { EngineEvent, Inspection } from '../../../src/registrar/engine/engine.ts';
import { ACTIONS, parseEvent } from '../../../src/registrar/engine/eventLines.ts';
import {
  printEvent,
  readableMetadata,
  reduceAnswer,
  reduceInspection,
  reduceList,
} from '../../../src/registrar/engine/reducedAnswers.ts';
import {
  parseBridge,
  parseDriver,
  parseInfo,
  parseListing,
} from '../../../src/registrar/engine/responses.ts';
import { readLinks } from '../../../src/registrar/links/links.ts';
import { FakeContainer } from '../../support/fakeContainer.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';

const METADATA = readableMetadata(['DNS_', 'dns.'], ['org.example.ip']);

function through(whole: Inspection): Inspection {
  const sent = JSON.parse(JSON.stringify(whole));
  return JSON.parse(JSON.stringify(reduceInspection(sent, METADATA)));
}

const SPECS: readonly ContainerSpec[] = [
  {},
  { env: { DNS_NAME: 'web.skydns.local' }, publish: { '80/tcp': ['0.0.0.0:8080', '[::]:8080'] } },
  { env: { DNS_NAME: 'web.skydns.local' }, expose: ['80/tcp'], networkMode: 'host' },
  { labels: { 'dns.name': 'a.skydns.local', 'dns.mode': 'internal' }, expose: ['80/tcp'] },
  { env: { 'dns.name': 'x' }, labels: { DNS_NAME: 'x' } },
  { env: { DNS_NAME: 'a.skydns.local', DNS_PORT: '80' }, networkMode: 'none' },
  { env: { DNS_SERVICE: 'web' }, publish: { '80/tcp': ['0.0.0.0:8080'] }, health: 'unhealthy' },
  { env: { DNS_SERVICE: 'web' }, publish: { '80/tcp': ['0.0.0.0:8080'] }, health: 'starting' },
  {
    env: { SERVICE_80_NAME: 'web', SERVICE_TAGS: 'a,b', SERVICE_COLOUR: 'red', PASSWORD: 'x' },
    labels: { SERVICE_CHECK_TCP: 'true', 'org.example.ip': '192.0.2.7' },
    publish: { '80/tcp': ['0.0.0.0:8080'] },
  },
  {
    labels: {
      'com.docker.compose.project': 'shop',
      'com.docker.compose.service': 'web',
      'com.docker.compose.container-number': '3',
      'dns.enable': 'true',
    },
    publish: { '80/tcp': ['0.0.0.0:8080'] },
  },
  { labels: { 'com.docker.compose.oneoff': 'True' }, env: { DNS_NAME: 'a.skydns.local' } },
  {
    labels: {
      'com.docker.swarm.service.name': 'shop_web',
      'com.docker.swarm.task.name': 'shop_web.2.x1',
      'com.docker.stack.namespace': 'shop',
      'dns.enable': 'true',
    },
    publish: { '80/tcp': ['0.0.0.0:8080'] },
  },
  { env: { DNS_LINK_6379: 'redis.skydns.local', DNS_LINK_LOCAL: 'true' } },
  { labels: { 'dns.link.53/udp': 'ns.skydns.local', 'dns.link.db': 'db.skydns.local' } },
  { env: { BACKEND_6379: 'redis', backend_80: 'web' }, labels: { 'connect.5432': 'db' } },
  { env: { DNS_NAME: 'a', DNS_VIP: 'auto', DNS_TAGS: 'a,b' }, labels: { 'dns.vip.port': '80' } },
  { state: 'paused', env: { DNS_NAME: 'a.skydns.local' } },
  { state: 'exited' },
];

test('A reduced inspection gives the same description as the whole one', () => {
  const contexts = [
    registrarContext({ ipLabel: 'org.example.ip' }),
    registrarContext({ mode: 'internal', exposedByDefault: true }),
    registrarContext({ compat: ['registrator'], exposedByDefault: true }),
  ];
  const kinds = new Set<string>();
  for (const spec of SPECS) {
    for (const context of contexts) {
      const whole = describeContainer(inspection(spec), context);
      kinds.add(whole.kind);
      assert.deepEqual(
        describeContainer(through(inspection(spec)), context),
        whole,
        JSON.stringify(spec),
      );
    }
  }
  assert.deepEqual([...kinds].sort(), ['described', 'ignored']);
});

test('A reduced inspection gives the same links as the whole one, and the id of the process', () => {
  const context = registrarContext({ compat: ['ambassadord', 'connectable'] });
  let links = 0;
  for (const spec of SPECS) {
    const whole = readContainer(inspection(spec));
    const reduced = readContainer(through(inspection(spec)));
    links += readLinks(whole, context).links.length;
    assert.deepEqual(readLinks(reduced, context), readLinks(whole, context));
  }
  assert.equal(links, 6);
  const one = inspection({});
  const running = { ...one, State: { ...one.State, Pid: 4711 } };
  assert.equal(readContainer(through(running)).pid, 4711);
});

test('A variable or label that only resembles another program’s link does not pass', () => {
  const env = { BACKEND_PASSWORD: 's3cret', BACKEND_6379_KEY: 's3cret', XBACKEND_80: 's3cret' };
  const labels = { 'connect.key': 's3cret', 'connect.80.key': 's3cret', 'x.connect.80': 's3cret' };
  const passed = JSON.stringify(through(inspection({ env, labels })));
  assert.doesNotMatch(passed, /s3cret/);
});

test('A reduced inspection keeps every declared field without secrets', () => {
  const spec = { health: 'healthy', publish: { '80/tcp': ['0.0.0.0:8080'] } } as const;
  const whole = inspection(spec);
  const { Healthcheck, ...config } = whole.Config ?? {};
  assert.ok(Healthcheck !== undefined);
  const expected = { ...whole, Config: { ...config, Healthcheck: { Test: ['CMD'] } } };
  assert.deepEqual(through({ ...whole, Config: { ...whole.Config, StopTimeout: 3 } }), {
    ...expected,
    Config: { ...expected.Config, StopTimeout: 3 },
  });
});

test('A reduced list is read like the whole one', () => {
  const setups = [{ name: 'a' }, { name: 'b', publish: ['8080:80'], health: 'healthy' }] as const;
  const list = setups.map((setup) => {
    const container = new FakeContainer(setup);
    container.state = 'running';
    container.join('bridge', '172.17.0.2');
    return container.listing();
  });
  assert.equal(parseListing(list)?.length, 2);
  assert.deepEqual(parseListing(reduceList(list)), parseListing(list));
});

test('Reduced engine information is read like the whole one', () => {
  const docker = {
    ID: 'IOSV:SVED',
    Name: 'vm',
    DockerRootDir: '/var/lib/docker',
    KernelVersion: '6.1.0-28-amd64',
    SystemTime: '2026-11-28T12:00:00.123456789+01:00',
    Swarm: { NodeID: 'x', NodeAddr: '10.0.0.7' },
    ServerVersion: '29.0.1',
    FirewallBackend: { Driver: 'nftables', Info: [['ReloadedAt', 's3cret']] },
  };
  const podman = { ...docker, BuildahVersion: '1.28.2' };
  const rootless = { ...docker, SecurityOptions: ['name=seccomp', 'name=rootless'] };
  const desktop = { ...docker, OperatingSystem: 'Docker Desktop' };
  for (const info of [docker, podman, rootless, desktop, { ID: '' }, [], null]) {
    const whole = parseInfo(info);
    assert.deepEqual(parseInfo(reduceAnswer('info', info, METADATA)), whole);
    if (info !== docker) continue;
    assert.ok(whole !== undefined, 'it is an engine');
    const values = [...Object.values(whole), ...Object.values(whole.platform)];
    assert.ok(!values.includes(undefined), 'all is set');
  }
});

test('A reduced default bridge is read like the whole one', () => {
  const Config = [{ Subnet: 'fd00::/64', Gateway: 'fd00::1' }, { Gateway: '172.17.0.1' }];
  const bridge = {
    Id: 'b1',
    Driver: 'bridge',
    IPAM: { Config },
    Options: { 'com.docker.network.bridge.name': 'docker0' },
  };
  assert.ok(!Object.values(parseBridge(bridge)).includes(undefined), 'all is set');
  for (const answer of [bridge, { ...bridge, IPAM: null }, { Options: [] }, 7]) {
    const reduced = reduceAnswer('network', answer, METADATA);
    assert.deepEqual(parseBridge(reduced), parseBridge(answer));
    assert.equal(parseDriver(reduced), parseDriver(answer));
  }
});

test('A reduced event is read like the whole one', () => {
  const id = fc
    .string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 1 })
    .map(asContainerId);
  const timeNano = fc.bigInt(1n, 10n ** 20n).map(String);
  const ofContainer = fc.record({
    type: fc.constant('container' as const),
    action: fc.constantFrom(...ACTIONS.container, 'health_status: healthy'),
    containerId: id,
    signal: fc.constant(undefined),
    timeNano,
  });
  const kill = fc.record({
    type: fc.constant('container' as const),
    action: fc.constant('kill'),
    containerId: id,
    signal: fc.string(),
    timeNano,
  });
  const ofNetwork = fc.record({
    type: fc.constant('network' as const),
    action: fc.constantFrom(...ACTIONS.network),
    containerId: id,
    signal: fc.constant(undefined),
    timeNano,
  });
  fc.assert(
    fc.property(fc.oneof(ofContainer, kill, ofNetwork), (event: EngineEvent) => {
      const line = printEvent(event);
      assert.ok(line.endsWith('}\n'));
      assert.deepEqual({ ...parseEvent(line.trimEnd()) }, { ...event });
    }),
  );
});

test('Any answer of an engine is reduced without an exception', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (answer) => {
      for (const kind of ['info', 'network', 'list', 'inspection'] as const)
        reduceAnswer(kind, answer, METADATA);
    }),
  );
  const hostile = {
    Config: { Env: [1, null, 'DNS_A=1'], Labels: [1], Healthcheck: 7 },
    State: null,
  };
  assert.deepEqual(reduceInspection(hostile, METADATA), {
    State: {},
    Config: { Env: ['DNS_A=1'], Labels: {}, Healthcheck: { Test: [] } },
  });
});
