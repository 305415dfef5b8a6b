/** The engine client on a fake daemon: which requests it makes, and how it reports each failure. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:net';
import test from 'node:test';
import { asContainerId } from '../../../src/registrar/engine/containerId.ts';
import { connectEngine, type EngineTimes } from '../../../src/registrar/engine/dockerode.ts';
import {
  type Engine,
  EngineError,
  type EngineEvent,
} from '../../../src/registrar/engine/engine.ts';
import { makeCertificates } from '../../support/certificates.ts';
import { type FakeDocker, startFakeDocker } from '../../support/fakeDocker.ts';
import { startSocketProxy } from '../../support/socketProxy.ts';
import { until } from '../../support/until.ts';

const SLOW = 30_000;

async function withFake(
  body: (fake: FakeDocker, engine: Engine) => Promise<void>,
  times: EngineTimes = { callTimeoutMs: SLOW, pingEveryMs: SLOW },
): Promise<void> {
  const fake = await startFakeDocker();
  const engine = connectEngine(fake.endpoint, times);
  try {
    await body(fake, engine);
  } finally {
    engine.close();
    await fake.close();
  }
}

/** Reads the events in the background. `ended` has the error, or `undefined` after a silent end. */
async function follow(
  engine: Engine,
  since?: string,
): Promise<{ seen: EngineEvent[]; ended: Promise<unknown>; stop: () => void }> {
  const abort = new AbortController();
  const stream = engine.events(since, abort.signal);
  const seen: EngineEvent[] = [];
  const read = async (): Promise<void> => {
    for await (const event of stream) seen.push(event);
  };
  const ended = read().catch((error: unknown) => error);
  await stream.opened;
  return { seen, ended, stop: () => abort.abort() };
}

const actions = (events: readonly EngineEvent[]): string[] => events.map(({ action }) => action);

function failsWith(code: EngineError['code'], message: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof EngineError, String(error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    return true;
  };
}

test('The engine client makes only GET requests of unversioned paths', () =>
  withFake(async (fake, engine) => {
    const id = fake.run({ name: 'web', publish: ['8080:80'] });
    const { stop } = await follow(engine, '1795370708543808495');
    await engine.ping();
    assert.deepEqual(await engine.info(), {
      id: fake.engineId,
      isOwnId: true,
      name: 'fakehost',
      nodeAddress: undefined,
      rootDir: undefined,
      timeNano: undefined,
      kernel: undefined,
      platform: { kind: 'docker', version: undefined, firewall: undefined },
    });
    assert.deepEqual(
      (await engine.list()).map((listed) => listed.id),
      [id],
    );
    assert.equal((await engine.inspect(asContainerId(id)))?.Name, '/web');
    stop();
    const paths = ['/events', '/_ping', '/info', '/containers/json', `/containers/${id}/json`];
    assert.deepEqual(
      fake.requests.map(({ path }) => path),
      paths,
    );
    assert.ok(fake.requests.every(({ method }) => method === 'GET'));
    const query = fake.requests[0]?.query;
    assert.equal(query?.get('since'), '1795370708.543808495');
    assert.deepEqual(JSON.parse(query?.get('filters') ?? ''), {
      type: ['container', 'network'],
      event: [
        ...['start', 'die', 'died', 'kill', 'pause', 'unpause', 'health_status', 'exec_died'],
        ...['rename', 'destroy', 'connect', 'disconnect'],
      ],
    });
  }));

test('No environment variable redirects the engine client or ends its event stream early', () => {
  const hostile = {
    DOCKER_HOST: 'tcp://[',
    DOCKER_CERT_PATH: '/nowhere',
    DOCKER_TLS_VERIFY: '1',
    DOCKER_CLIENT_TIMEOUT: '1',
  };
  const before = { ...process.env };
  Object.assign(process.env, hostile);
  return withFake(async (_fake, engine) => {
    await engine.ping();
    assert.equal(process.env.DOCKER_HOST, hostile.DOCKER_HOST);
  }).finally(() => {
    for (const name of Object.keys(hostile)) delete process.env[name];
    Object.assign(process.env, before);
  });
});

test('The events of a container arrive in order, even if the daemon sends single octets, repeats events or ignores filters', async () => {
  const faults = [
    {},
    { eventPieceOctets: 1 },
    { ignoreFilters: true },
    { eventPieceOctets: 7, ignoreFilters: true, duplicateEvents: true },
  ];
  for (const fault of faults) {
    await withFake(async (fake, engine) => {
      Object.assign(fake.faults, fault);
      const { seen, stop, ended } = await follow(engine);
      const id = fake.run({ name: 'wéb', labels: { text: '日本語 🐳 "q"', signal: '9' } });
      fake.connect(id, 'extra');
      fake.rename(id, 'other');
      fake.setHealth(id, 'healthy');
      fake.pause(id);
      fake.unpause(id);
      fake.disconnect(id, 'extra');
      fake.stop(id);
      fake.remove(id);
      await until('the container is gone', () => actions(seen).includes('destroy'));
      const expected = [
        ...['connect', 'start', 'connect', 'rename', 'health_status: healthy', 'pause', 'unpause'],
        ...['disconnect', 'disconnect', 'kill', 'die', 'disconnect', 'destroy'],
      ];
      const times = fault.duplicateEvents === true ? 2 : 1;
      const doubled = expected.flatMap((action) => Array<string>(times).fill(action));
      await until('all copies are there', () => seen.length === doubled.length);
      assert.deepEqual(actions(seen), doubled);
      assert.ok(seen.every(({ containerId }) => containerId === id));
      assert.ok(seen.every(({ timeNano }) => /^\d{19}$/.test(timeNano)));
      stop();
      assert.equal(await ended, undefined);
      await until('the daemon is rid of the stream', () => fake.openStreams === 0);
    });
  }
});

test('The parameter since replays the events that the daemon has kept', () =>
  withFake(async (fake, engine) => {
    const first = await follow(engine);
    fake.run();
    await until('it started', () => first.seen.length === 2);
    first.stop();
    fake.run();
    const second = await follow(engine, first.seen[1]?.timeNano);
    await until('the rest came', () => second.seen.length === 3);
    assert.deepEqual(second.seen[0], first.seen[1]);
  }));

test('A cut event stream gives the complete events and then ends as unreachable', async () => {
  for (const octets of [1, 100, 900, 1500]) {
    await withFake(async (fake, engine) => {
      fake.faults.cutEventsAfterOctets = octets;
      const { seen, ended } = await follow(engine);
      for (let i = 0; i < 5; i++) fake.run({ name: `c${i}` });
      assert.ok(failsWith('unreachable', /event stream/)(await ended));
      const started = [...fake.containers.keys()].flatMap((id) => [id, id]);
      assert.deepEqual(
        seen.map(({ containerId }) => containerId),
        started.slice(0, seen.length),
      );
      assert.ok(seen.length < started.length);
    });
  }
});

test('When the daemon is killed, the event stream ends and calls fail, and the engine client reaches a new daemon again', () =>
  withFake(async (fake, engine) => {
    const { ended } = await follow(engine);
    await fake.kill();
    assert.ok(failsWith('unreachable', /event stream/)(await ended));
    await assert.rejects(engine.list(), failsWith('unreachable', /^unix:.*list: .*ENOENT/));
    const stream = engine.events(undefined, new AbortController().signal);
    await assert.rejects(stream.opened, failsWith('unreachable', /events: .*ENOENT/));
    await assert.rejects(
      async () => {
        for await (const _ of stream);
      },
      failsWith('unreachable', /events/),
    );
    await fake.listen();
    fake.run();
    assert.equal((await engine.list()).length, 1);
    const again = await follow(engine);
    fake.run();
    await until('events come again', () => again.seen.length === 2);
  }));

test('The engine client detects a hung daemon by its silence on another connection', () =>
  withFake(
    async (fake, engine) => {
      const { ended } = await follow(engine);
      fake.faults.hang = () => true;
      assert.ok(failsWith('unreachable', /ping: no answer within 100 ms/)(await ended));
      await until('the daemon is rid of the stream', () => fake.openStreams === 0);
    },
    { callTimeoutMs: 100, pingEveryMs: 20 },
  ));

test('An idle event stream stays open while pings are answered or refused by a proxy', () =>
  withFake(
    async (fake, engine) => {
      fake.faults.status = (path) => (path === '/_ping' ? 403 : undefined);
      const { seen } = await follow(engine);
      const pings = (): number => fake.requests.filter(({ path }) => path === '/_ping').length;
      await until('many pings were sent', () => pings() > 20);
      fake.run();
      await until('events still come', () => seen.length === 2);
    },
    { callTimeoutMs: SLOW, pingEveryMs: 5 },
  ));

test('Every engine call has a deadline, even in the middle of a response', () =>
  withFake(
    async (fake, engine) => {
      const id = fake.run();
      const calls = [
        () => engine.ping(),
        () => engine.info(),
        () => engine.list(),
        () => engine.inspect(asContainerId(id)),
        () => engine.events(undefined, new AbortController().signal).opened,
      ];
      fake.faults.hang = () => true;
      for (const call of calls) {
        await assert.rejects(call(), failsWith('unreachable', /no answer within 100 ms/));
      }
      fake.faults.hang = undefined;
      fake.faults.truncate = () => true;
      for (const call of calls.slice(0, -1)) {
        await assert.rejects(call(), failsWith('unreachable', /no answer within|aborted/));
      }
      fake.faults.truncate = undefined;
      assert.equal((await engine.list()).length, 1);
    },
    { callTimeoutMs: 100, pingEveryMs: SLOW },
  ));

test('The engine client distinguishes refusals, failures and missing containers', () =>
  withFake(async (fake, engine) => {
    const id = fake.run();
    const rows: readonly (readonly [number, EngineError['code'], RegExp])[] = [
      [401, 'denied', /allow this request in the proxy/],
      [403, 'denied', /allow this request in the proxy/],
      [400, 'failed', /400/],
      [500, 'failed', /500.*a fault/],
      [502, 'unreachable', /502/],
      [503, 'unreachable', /503/],
      [504, 'unreachable', /504/],
    ];
    for (const [status, code, message] of rows) {
      fake.faults.status = () => status;
      const opened = engine.events(undefined, new AbortController().signal).opened;
      for (const call of [
        engine.list(),
        engine.inspect(asContainerId(id)),
        engine.ping(),
        opened,
      ]) {
        await assert.rejects(call, failsWith(code, message));
      }
    }
    fake.faults.status = undefined;
    assert.equal(await engine.inspect(asContainerId('0'.repeat(64))), undefined);
    assert.equal(await engine.inspect(asContainerId('../../info')), undefined);
    assert.equal(fake.requests.at(-1)?.path, '/containers/..%2F..%2Finfo/json');
  }));

test('The engine client refuses a response that is not Docker’s', async () => {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    socket.on('data', () => {
      socket.end(
        'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 15\r\n\r\n<html>hi</html>',
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  const engine = connectEngine({ kind: 'tcp', host: '127.0.0.1', port, tls: undefined });
  try {
    for (const call of [engine.info(), engine.list(), engine.inspect(asContainerId('a'))]) {
      await assert.rejects(call, failsWith('failed', /not a Docker engine's/));
    }
  } finally {
    engine.close();
    server.close();
  }
});

test('The engine client reports a missing socket as unreachable', async () => {
  const engine = connectEngine({ kind: 'unix', path: '/nowhere/docker.sock' });
  await assert.rejects(engine.ping(), failsWith('unreachable', /^unix:\/\/\/nowhere.*ENOENT/));
  engine.close();
});

test('The engine client ends the event stream with an error when its reader does not read', () =>
  withFake(
    async (fake, engine) => {
      const stream = engine.events(undefined, new AbortController().signal);
      await stream.opened;
      for (let i = 0; i < 100; i++) fake.run();
      await until('the daemon is rid of the stream', () => fake.openStreams === 0);
      await assert.rejects(
        async () => {
          for await (const _ of stream) assert.fail('dropped events came');
        },
        failsWith('unreachable', /more than 50 events are waiting/),
      );
    },
    { callTimeoutMs: SLOW, pingEveryMs: SLOW, maxQueuedEvents: 50 },
  ));

test('Leaving the loop and closing the engine end the event stream', () =>
  withFake(async (fake, engine) => {
    fake.run();
    const stream = engine.events('1', new AbortController().signal);
    for await (const event of stream) {
      assert.equal(event.action, 'connect');
      break;
    }
    await until('the daemon is rid of it', () => fake.openStreams === 0);
    const { ended } = await follow(engine);
    engine.close();
    assert.equal(await ended, undefined);
    await until('the daemon is rid of that too', () => fake.openStreams === 0);
    const late = engine.events(undefined, AbortSignal.abort());
    await late.opened;
    for await (const _ of late) assert.fail('an event after the end');
  }));

test('The fingerprint changes with ports, networks, restarts, names and health and with nothing else', () =>
  withFake(async (fake, engine) => {
    const id = fake.run({ publish: ['8080:80'], health: 'starting' });
    const fingerprint = async (): Promise<string> => {
      const listed = (await engine.list()).find((entry) => entry.id === id);
      assert.ok(listed);
      return listed.fingerprint;
    };
    const changes: readonly (() => void)[] = [
      () => fake.setHealth(id, 'healthy'),
      () => fake.setHealth(id, 'unhealthy'),
      () => fake.connect(id, 'extra'),
      () => fake.disconnect(id, 'extra'),
      () => fake.rename(id, 'other'),
      () => fake.pause(id),
      () => fake.unpause(id),
      () => [fake.die(id), fake.start(id)],
    ];
    const seen = [await fingerprint()];
    for (const change of changes) {
      change();
      const next = await fingerprint();
      assert.notEqual(next, seen.at(-1), String(change));
      assert.equal(await fingerprint(), next);
      seen.push(next);
    }
  }));

test('The list has running, paused and restarting containers and no others', () =>
  withFake(async (fake, engine) => {
    const states = ['running', 'paused', 'restarting', 'created', 'exited'] as const;
    for (const state of states) {
      const container = fake.containers.get(fake.run());
      if (container !== undefined) container.state = state;
    }
    for (const ignoreFilters of [false, true]) {
      fake.faults.ignoreFilters = ignoreFilters;
      const listed = (await engine.list()).map(({ state }) => state);
      assert.deepEqual(listed.sort(), ['paused', 'restarting', 'running']);
    }
  }));

test('An engine that refuses a filter is followed without filters', async () => {
  for (const filtersStatus of [400, 422, 500, 501]) {
    await withFake(async (fake, engine) => {
      fake.faults.filtersStatus = filtersStatus;
      const { seen, stop } = await follow(engine, '1795370708543808495');
      const id = fake.run();
      assert.equal((await engine.list())[0]?.id, id);
      await until('the events arrive', () => actions(seen).includes('start'));
      assert.ok(!actions(seen).includes('create'), 'events without meaning pass the parser');
      const queries = fake.requests.filter(({ path }) => path === '/events');
      assert.deepEqual(
        queries.map(({ query }) => [query.has('filters'), query.get('since')]),
        [
          [true, '1795370708.543808495'],
          [false, '1795370708.543808495'],
        ],
      );
      stop();
    });
  }
});

test('The engine client requests refused events once more, and then reports the refusal', () =>
  withFake(async (fake, engine) => {
    fake.faults.status = (path) => (path === '/events' ? 500 : undefined);
    await assert.rejects(follow(engine), failsWith('failed', /events: .*a fault/));
    assert.equal(fake.requests.length, 2);
    fake.faults.status = () => 403;
    await assert.rejects(follow(engine), failsWith('denied', /allow this request in the proxy/));
    fake.faults.status = () => 503;
    await assert.rejects(follow(engine), failsWith('unreachable', /events/));
    assert.equal(fake.requests.length, 4);
  }));

test('The driver of a network is read by its id, and an answer without a driver is an error', () =>
  withFake(async (fake, engine) => {
    fake.networks.set('n1', { Id: 'n1', Driver: 'overlay' });
    fake.networks.set('n2', { Id: 'n2' });
    fake.networks.set('a%2Fb', { Id: 'a/b', Driver: 'bridge' });
    assert.equal(await engine.networkDriver('n1'), 'overlay');
    assert.equal(await engine.networkDriver('a/b'), 'bridge');
    assert.equal(await engine.networkDriver('n3'), undefined);
    await assert.rejects(engine.networkDriver('n2'), failsWith('failed', /network: the answer is/));
    fake.faults.status = () => 403;
    await assert.rejects(engine.networkDriver('n1'), failsWith('denied', /network/));
  }));

test('Only the events request has a filter, so that no other request can be refused for its parameters', () =>
  withFake(async (fake, engine) => {
    const id = fake.run();
    await engine.list();
    await engine.info();
    await engine.inspect(asContainerId(id));
    await engine.defaultBridge();
    await engine.networkDriver('0123');
    await engine.ping();
    for (const { path, query } of fake.requests) assert.equal(query.toString(), '', path);
  }));

test('A thousand containers are listed and inspected, eight at a time', () =>
  withFake(async (fake, engine) => {
    for (let i = 0; i < 1000; i++) fake.run({ publish: [`${10_000 + i}:80`] });
    const ids = (await engine.list()).map(({ id }) => id);
    const names = new Set<string | undefined>();
    const work = async (): Promise<void> => {
      for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
        names.add((await engine.inspect(asContainerId(id)))?.Name);
      }
    };
    await Promise.all(Array.from({ length: 8 }, work));
    assert.equal(names.size, 1000);
  }));

test('Over TLS the engine client verifies the engine’s certificate and presents its own', async () => {
  const certificates = makeCertificates();
  const fake = await startFakeDocker();
  const pem = (name: string): string => certificates.pem(name).toString();
  const proxy = await startSocketProxy(fake.socket, {
    ca: certificates.pem('ca.pem'),
    cert: certificates.pem('server.pem'),
    key: certificates.pem('server-key.pem'),
  });
  const client = { cert: pem('client.pem'), key: pem('client-key.pem') };
  const connect = (host: string, ca: string, own: typeof client | undefined): Engine =>
    connectEngine({ kind: 'tcp', host, port: proxy.port, tls: { ca, client: own } });
  const engines = {
    good: connect('127.0.0.1', pem('ca.pem'), client),
    stranger: connect('127.0.0.1', pem('stranger.pem'), client),
    bare: connect('127.0.0.1', pem('ca.pem'), undefined),
  };
  try {
    fake.run();
    assert.equal((await engines.good.list()).length, 1);
    assert.match(engines.good.label, /^tcp:\/\/127\.0\.0\.1:\d+ \(TLS\)$/);
    const { seen } = await follow(engines.good);
    fake.run();
    await until('events come', () => seen.length === 2);
    await assert.rejects(engines.stranger.list(), failsWith('unreachable', /certificate/));
    await assert.rejects(engines.bare.list(), failsWith('unreachable', /list/));
  } finally {
    for (const engine of Object.values(engines)) engine.close();
    await proxy.close();
    await fake.close();
    certificates.remove();
  }
});
