/** Which requests the proxy passes on: the tests check the requests that arrive at the engine. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, statSync } from 'node:fs';
import { type IncomingMessage, request } from 'node:http';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { asContainerId } from '../../../src/registrar/engine/containerId.ts';
import { connectEngine } from '../../../src/registrar/engine/dockerode.ts';
import type { Engine } from '../../../src/registrar/engine/engine.ts';
import { type ProxyPeer, ProxyPermits } from '../../../src/registrar/engine/proxyPermits.ts';
import {
  allowedRequest,
  type ReadOnlyProxyOptions,
  startReadOnlyProxy,
} from '../../../src/registrar/engine/readOnlyProxy.ts';
import { readableMetadata } from '../../../src/registrar/engine/reducedAnswers.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { type FakeDocker, startFakeDocker } from '../../support/fakeDocker.ts';
import { startSocketProxy } from '../../support/socketProxy.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { until } from '../../support/until.ts';

interface Fixture {
  readonly fake: FakeDocker;
  /** A client that connects through the proxy. */
  readonly engine: Engine;
  readonly path: string;
  /** The process that makes the next connections. */
  peer: ProxyPeer;
}

const OWN: ProxyPeer = { uid: 1000, pid: 1 };
const METADATA = readableMetadata(['DNS_', 'dns.'], ['org.example.ip']);

async function withProxy(
  body: (fixture: Fixture) => Promise<void>,
  options: Partial<ReadOnlyProxyOptions> = {},
): Promise<void> {
  const [fake, folder] = [await startFakeDocker(), await newTempDir()];
  const path = join(folder, 'docker.sock');
  const engine = connectEngine({ kind: 'unix', path });
  const fixture = { fake, engine, path, peer: OWN };
  const peers = new WeakMap<Socket, ProxyPeer>();
  const peerOf = (socket: Socket): ProxyPeer => {
    const peer = peers.get(socket) ?? fixture.peer;
    peers.set(socket, peer);
    return peer;
  };
  const setup = { endpoint: fake.endpoint, path, metadata: METADATA, peerOf };
  const proxy = await startReadOnlyProxy({ ...setup, ...options });
  try {
    await body(fixture);
  } finally {
    engine.close();
    await proxy.close();
    await fake.close();
    await removeDir(folder);
  }
}

/** Returns the body of the answer to a GET request. */
function text(socketPath: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request({ socketPath, path, agent: false }, (answer) => {
      const pieces: Buffer[] = [];
      answer.on('data', (piece: Buffer) => pieces.push(piece));
      answer.on('end', () => resolve(Buffer.concat(pieces).toString()));
    });
    asked.on('error', reject);
    asked.end();
  });
}

/** The events that the proxy passes on until it passes on a `start`. */
async function listenTo(socketPath: string, act: () => Promise<void>): Promise<string> {
  const asked = request({ socketPath, path: '/events', agent: false });
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  let received = '';
  answer.setEncoding('utf8').on('data', (piece: string) => {
    received += piece;
  });
  answer.on('error', () => {});
  await act();
  await until('the start arrives', () => received.includes('start'));
  asked.destroy();
  return received;
}

function ask(socketPath: string, method: string, path: string, body = ''): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': Buffer.byteLength(body) };
    const asked = request({ socketPath, method, path, headers, agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** A client that follows the events: the status of its answer, and whether its stream is still open. */
async function listen(
  socketPath: string,
): Promise<{ status: number; isOpen: () => boolean; end: () => void }> {
  const asked = request({ socketPath, path: '/events', agent: false }).on('error', () => {});
  asked.end();
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  let isOpen = true;
  answer.on('close', () => {
    isOpen = false;
  });
  answer.on('error', () => {});
  answer.resume();
  return { status: answer.statusCode ?? 0, isOpen: () => isOpen, end: () => asked.destroy() };
}

test('The proxy passes on every request of the registrar', () =>
  withProxy(async ({ fake, engine }) => {
    const id = fake.run({ name: 'web' });
    await engine.ping();
    assert.equal((await engine.info()).id, fake.engineId);
    assert.equal((await engine.defaultBridge())?.gateway, '172.17.0.1');
    fake.networks.set('0123abcd', { Id: '0123abcd', Driver: 'macvlan' });
    assert.equal(await engine.networkDriver('0123abcd'), 'macvlan');
    assert.equal(await engine.networkDriver('4567'), undefined);
    assert.equal((await engine.list())[0]?.id, id);
    assert.equal((await engine.inspect(asContainerId(id)))?.Name, '/web');
    assert.equal(await engine.inspect(asContainerId('0123')), undefined);
  }));

test('The proxy passes on only the parameters that the registrar sends', () =>
  withProxy(async ({ fake, engine, path }) => {
    const id = fake.run();
    for (const target of [`/containers/${id}/json?size=1`, '/containers/json?all=1&size=1&limit=9'])
      assert.equal(await ask(path, 'GET', target), 200);
    assert.deepEqual(
      fake.requests.map(({ query }) => query.toString()),
      ['', ''],
    );
    const stream = engine.events('1795370708543808495', new AbortController().signal);
    await stream.opened;
    const own = fake.requests[2]?.query;
    assert.deepEqual([...(own?.keys() ?? [])].sort(), ['filters', 'since']);
    const long = `filters=${'x'.repeat(5000)}&since=now&until=soon&x=1`;
    const other = request({ socketPath: path, path: `/events?${long}`, agent: false });
    other.end();
    await once(other, 'response');
    assert.equal(fake.requests[3]?.query.toString(), '');
    other.destroy();
  }));

test('The proxy removes other variables, labels, commands and check outputs of containers', () =>
  withProxy(async ({ fake, path }) => {
    const id = fake.run({
      name: 'web',
      env: { DNS_NAME: 'web.skydns.local', SERVICE_NAME: 'web', PASSWORD: 's3cret' },
      labels: {
        'dns.weight': '7',
        DNS_PORT: '80',
        'org.example.ip': '192.0.2.7',
        'com.docker.compose.service': 'web',
        'traefik.auth': 's3cret',
      },
      health: 'healthy',
    });
    const list = await text(path, '/containers/json');
    const inspected = await text(path, `/containers/${id}/json`);
    for (const answer of [list, inspected]) assert.ok(!/s3cret|traefik/.test(answer), answer);
    const { Config, State } = JSON.parse(inspected);
    assert.deepEqual(Config.Env, ['DNS_NAME=web.skydns.local', 'SERVICE_NAME=web']);
    assert.deepEqual(Object.keys(Config.Labels).sort(), [
      ...['DNS_PORT', 'com.docker.compose.service', 'dns.weight', 'org.example.ip'],
    ]);
    assert.deepEqual(State.Health, {
      Status: 'healthy',
      Log: [{ Start: '2026-01-01T00:00:00Z', ExitCode: 0 }],
    });
    fake.faults.status = () => 404;
    assert.match(await text(path, `/containers/${id}/json`), /a fault/);
  }));

test('The proxy removes labels and proxy settings of the engine and the containers of its network', () =>
  withProxy(async ({ fake, path }) => {
    fake.info = {
      DockerRootDir: '/var/lib/docker',
      KernelVersion: '6.1.0-28-amd64',
      SystemTime: '2026-11-28T12:00:00.123456789+01:00',
      Labels: ['s3cret=1'],
      HttpProxy: 'http://s3cret:3128',
      RegistryConfig: { Mirrors: ['https://s3cret/'] },
      Swarm: { NodeAddr: '10.0.0.7', RemoteManagers: [{ Addr: 's3cret:2377' }] },
      Containers: 7,
    };
    fake.bridge = {
      Id: 'b1',
      Name: 'bridge',
      Driver: 'bridge',
      IPAM: { Driver: 'default', Config: [{ Subnet: '172.17.0.0/16', Gateway: '172.17.0.1' }] },
      Containers: { c0ffee: { Name: 's3cret', IPv4Address: '172.17.0.9/16' } },
      Options: { 'com.docker.network.bridge.name': 'docker0', other: 's3cret' },
      Labels: { 's3cret.label': '1' },
    };
    assert.deepEqual(JSON.parse(await text(path, '/info')), {
      ID: fake.engineId,
      Name: 'fakehost',
      DockerRootDir: '/var/lib/docker',
      KernelVersion: '6.1.0-28-amd64',
      SystemTime: '2026-11-28T12:00:00.123456789+01:00',
      Swarm: { NodeAddr: '10.0.0.7' },
    });
    assert.deepEqual(JSON.parse(await text(path, '/networks/bridge')), {
      Id: 'b1',
      Driver: 'bridge',
      IPAM: { Config: [{ Gateway: '172.17.0.1' }] },
      Options: { 'com.docker.network.bridge.name': 'docker0' },
    });
  }));

test('The proxy reduces the answer to a versioned path like that to an unversioned one', () => {
  for (const path of ['/info', '/networks/bridge', '/containers/json', '/containers/c0ffee/json']) {
    const kind = allowedRequest('GET', path)?.kind;
    assert.ok(kind !== undefined && kind !== 'plain', path);
    assert.equal(allowedRequest('GET', `/v1.44${path}`)?.kind, kind, path);
  }
});

test('The proxy reports an answer that is not JSON or does not end as an error', () =>
  withProxy(async ({ fake, path }) => {
    fake.run();
    fake.faults.truncate = () => true;
    await assert.rejects(ask(path, 'GET', '/containers/json'));
    fake.faults.truncate = undefined;
    assert.equal(await ask(path, 'GET', '/containers/json'), 200);
  }));

test('The proxy passes on events at once and ends the stream when its client leaves or the engine dies', () =>
  withProxy(async ({ fake, engine, path }) => {
    const leave = new AbortController();
    const stream = engine.events(undefined, leave.signal);
    await stream.opened;
    const id = fake.run();
    for await (const event of stream) {
      if (event.action === 'start') {
        assert.equal(event.containerId, id);
        break;
      }
    }
    leave.abort();
    await until('the engine has no listener left', () => fake.openStreams === 0);
    fake.faults.ignoreFilters = true;
    const unfiltered = await listenTo(path, async () => {
      fake.run({ name: 'x', labels: { token: 's3cret' } });
    });
    assert.match(unfiltered, /"start"/);
    assert.ok(!/s3cret|"create"/.test(unfiltered), unfiltered);
    fake.faults.ignoreFilters = undefined;
    const second = engine.events(undefined, new AbortController().signal);
    await second.opened;
    await fake.kill();
    await assert.rejects(async () => {
      for await (const _ of second);
    });
  }));

test('The proxy refuses every request that the registrar does not send', () =>
  withProxy(async ({ fake, path }) => {
    const id = fake.run();
    const refused = [
      ['POST', `/containers/${id}/kill`],
      ['POST', '/containers/json'],
      ['POST', '/v1.44/containers/create'],
      ['DELETE', `/containers/${id}`],
      ['PUT', `/containers/${id}/archive`],
      ['PATCH', '/info'],
      ['GET', `/containers/${id}/archive?path=/etc/shadow`],
      ['GET', `/containers/${id}/logs`],
      ['GET', `/containers/${id}/attach/ws`],
      ['GET', `/containers/${id}/json/../export`],
      ['GET', '/containers/../images/json'],
      ['GET', '/containers/%2e%2e/json'],
      ['GET', '/images/json'],
      ['GET', '/secrets'],
      ['GET', '/networks'],
      ['GET', '//info'],
      ['GET', '/info/'],
      ['GET', '/v1.44/v1.44/info'],
      ['GET', 'http://docker/containers/create'],
    ] as const;
    for (const [method, target] of refused) {
      assert.equal(await ask(path, method, target, '{}'), 403, `${method} ${target}`);
    }
    assert.deepEqual(fake.requests, []);
    assert.equal(await ask(path, 'GET', '/v1.44/info', '{"Image":"x"}'), 404);
    assert.equal(fake.requests.length, 1);
  }));

test('A client that uses all its permits leaves some to others', () =>
  withProxy(async (fixture) => {
    const { path } = fixture;
    fixture.peer = { uid: 1000, pid: 66 };
    const greedy = [];
    for (let i = 0; i < 64; i++) greedy.push(await listen(path));
    assert.equal(greedy.filter(({ status }) => status === 200).length, 4);
    assert.equal(greedy.filter(({ status }) => status === 429).length, 60);
    const idle = Array.from({ length: 100 }, () => connect(path).on('error', () => {}));
    await until('those above the bound are refused', () => idle.some(({ closed }) => closed));
    await sleep(200);
    fixture.peer = { uid: 1000, pid: 1 };
    for (let i = 0; i < 3; i++) {
      const own = await listen(path);
      assert.equal(own.status, 200);
      assert.equal(await ask(path, 'GET', '/info'), 200);
      assert.equal(greedy.filter(({ isOpen }) => isOpen()).length, 3, 'it gave one place only');
      own.end();
      await until('its place is free', () => fixture.fake.openStreams === 3);
      greedy.push(await listen(path));
      fixture.peer = { uid: 1000, pid: 66 };
      greedy.push(await listen(path));
      fixture.peer = { uid: 1000, pid: 1 };
      greedy.splice(-2, 1)[0]?.end();
      await until('the greedy one has three again', () => fixture.fake.openStreams === 3);
    }
    for (const socket of idle) socket.destroy();
    for (const { end } of greedy) end();
  }));

test('The proxy’s permits are shared between users first and then between their processes', () => {
  const evicted: string[] = [];
  const places = new ProxyPermits(4);
  const take = (uid: number, pid: number): boolean =>
    places.acquire({ uid, pid }, () => evicted.push(`${uid}/${pid}`)) !== undefined;
  for (const pid of [1, 2, 3, 4]) assert.ok(take(1000, pid));
  assert.ok(!take(1000, 5), 'as many as every other process of its user');
  assert.ok(take(0, 9));
  assert.ok(take(0, 9));
  assert.ok(!take(0, 9), 'as many as the other user');
  assert.deepEqual(evicted, ['1000/4', '1000/3']);
  assert.ok(take(0, 10), 'a process with none takes from one with two');
  assert.deepEqual(evicted.slice(2), ['0/9']);
});

test('The proxy ends an idle event stream after a time and not earlier', () =>
  withProxy(
    async ({ fake, path }) => {
      const beganMs = performance.now();
      const stream = await listen(path);
      const id = fake.run();
      for (let i = 0; i < 6; i++) {
        await sleep(100);
        fake.rename(id, `web${i}`);
      }
      assert.ok(stream.isOpen());
      await until('it ends', () => !stream.isOpen());
      assert.ok(performance.now() - beganMs >= 900);
    },
    { idleMs: 300 },
  ));

test('The proxy’s socket is open to every user with access to its folder, or to a group', async () => {
  await withProxy(async ({ path }) => assert.equal(statSync(path).mode & 0o777, 0o666));
  const groupId = process.getgid?.() ?? 0;
  await withProxy(
    async ({ path }) => {
      assert.equal(statSync(path).mode & 0o777, 0o660);
      assert.equal(statSync(path).gid, groupId);
      assert.equal(await ask(path, 'GET', '/info'), 200);
    },
    { groupId },
  );
});

test('The proxy does not treat an empty request as an allowed one', () => {
  assert.equal(allowedRequest(undefined, undefined), undefined);
  assert.equal(allowedRequest('GET', ''), undefined);
  assert.equal(allowedRequest('get', '/info'), undefined);
});

test('The proxy distinguishes a missing engine from one that refuses', () =>
  withProxy(async ({ fake, path }) => {
    await fake.kill();
    assert.equal(await ask(path, 'GET', '/info'), 502);
  }));

test('The proxy checks an engine’s certificate against its host and not against the Host header', async () => {
  const certificates = makeCertificates();
  const [fake, folder] = [await startFakeDocker(), await newTempDir()];
  const pem = (name: string): Buffer => certificates.pem(`${name}.pem`);
  const client = { cert: `${pem('client')}`, key: `${pem('client-key')}` };
  const tls = { ca: `${pem('ca')}`, client };
  /** What a client of the proxy gets if the engine at this host shows that certificate. */
  const statusWith = async (certificate: string, host: string): Promise<number> => {
    const shown = { ca: pem('ca'), cert: pem(certificate), key: pem(`${certificate}-key`) };
    const engine = await startSocketProxy(fake.socket, shown);
    const path = join(folder, 'docker.sock');
    const endpoint = { kind: 'tcp', host, port: engine.port, tls } as const;
    const setup = { endpoint, path, metadata: METADATA, peerOf: () => OWN };
    const proxy = await startReadOnlyProxy(setup);
    try {
      return await ask(path, 'GET', '/info', '');
    } finally {
      await proxy.close();
      await engine.close();
    }
  };
  try {
    for (const [certificate, host, status] of [
      ['server', '127.0.0.1', 200],
      ['server', 'localhost', 200],
      ['docker', '127.0.0.1', 502],
      ['docker', 'localhost', 502],
    ] as const)
      assert.equal(await statusWith(certificate, host), status, `${certificate} at ${host}`);
  } finally {
    await fake.close();
    await removeDir(folder);
    certificates.remove();
  }
});

test('The proxy replaces the socket of a killed proxy and leaves other files alone', async () => {
  const [fake, folder] = [await startFakeDocker(), await newTempDir()];
  try {
    const path = join(folder, 'docker.sock');
    const stale = createServer().listen(path);
    await once(stale, 'listening');
    const setup = { endpoint: fake.endpoint, metadata: METADATA, peerOf: () => OWN };
    const proxy = await startReadOnlyProxy({ ...setup, path });
    assert.equal(await ask(path, 'GET', '/info'), 200);
    await proxy.close();
    assert.ok(!existsSync(path));
    stale.close();
    await assert.rejects(startReadOnlyProxy({ ...setup, path: folder }), /EADDRINUSE/);
  } finally {
    await fake.close();
    await removeDir(folder);
  }
});
