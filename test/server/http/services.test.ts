/** The state of services over HTTP: JSON, streams of events, and what slow, many and vanishing clients cost. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ServiceSource } from '../../../src/server/http/api/serviceApi.ts';
import type { ListedInstance, ServiceState } from '../../../src/service/instances.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';
import { clientEnv, startTestServer, WITH_TOKEN } from '../../support/server.ts';
import { until } from '../../support/until.ts';

const instance = (n: number, more: Partial<ListedInstance> = {}): ListedInstance => {
  const facts = { addr: `10.0.0.${n % 256}:1`, proto: 'tcp' as const, index: n };
  return { id: `${n}.db.skydns.local.`, ...facts, priority: 10, weight: 100, tags: [], ...more };
};

function stateOf(instances: readonly ListedInstance[], more: Partial<ServiceState> = {}) {
  const [leader] = instances;
  const rule = leader && ('oldest' as const);
  return { exists: instances.length > 0, instances, isWhole: true, leader, rule, ...more };
}

/** A source that a test changes. */
class FakeSource implements ServiceSource {
  state: ServiceState | undefined = stateOf([instance(1), instance(2)]);
  stale = false;
  readonly listeners = new Set<(state: ServiceState) => void>();

  serves(name: readonly string[]): boolean {
    return name.at(-1) === 'local';
  }
  isStale(): boolean {
    return this.stale;
  }
  read(): ServiceState | undefined {
    return this.state;
  }
  follow(_name: unknown, onState: (state: ServiceState) => void): { close(): void } {
    this.listeners.add(onState);
    if (this.state !== undefined) onState(this.state);
    return { close: () => void this.listeners.delete(onState) };
  }
  change(state: ServiceState): void {
    this.state = state;
    for (const listener of [...this.listeners]) listener(state);
  }
}

type Options = NonNullable<Parameters<typeof startHttp>[0]>;

async function serving(
  body: (server: RunningHttp, source: FakeSource) => Promise<void>,
  options: Options = {},
): Promise<void> {
  const source = new FakeSource();
  const server = await startHttp({ services: source, ...options });
  try {
    await body(server, source);
  } finally {
    await server.stop();
  }
}

interface EventReader {
  readonly response: IncomingMessage;
  /** The events so far as `kind id`. */
  events(): readonly string[];
  text(): string;
  readonly ended: Promise<unknown>;
  close(): void;
}

async function readEvents(url: string, path: string): Promise<EventReader> {
  const headers = { Accept: 'text/event-stream' };
  const request = get(`${url}/v1/services/${path}`, { agent: false, headers });
  request.on('error', () => {});
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  let text = '';
  response.setEncoding('utf8').on('data', (piece: string) => {
    text += piece;
  });
  response.on('error', () => {});
  return {
    response,
    text: () => text,
    events: () =>
      [...text.matchAll(/^event: (\w+)\ndata: (.+)\n\n/gm)].map(([, kind, data = '']) => {
        const event = JSON.parse(data);
        assert.equal(event.kind, kind);
        return `${kind} ${event.instance?.id ?? '-'}`;
      }),
    ended: new Promise((resolve) => response.once('close', resolve)),
    close: () => request.destroy(),
  };
}

const DB = 'db.skydns.local';
const get200 = async (url: string, path: string) => {
  const { status, json } = await send(url, { path: `/v1/services/${path}` });
  assert.equal(status, 200);
  return json;
};

test('GET of instances is a JSON array, and GET of the leader is the leading instance with its rule', () =>
  serving(async ({ url }) => {
    assert.deepEqual(await get200(url, `${DB}/instances`), [instance(1), instance(2)]);
    assert.deepEqual(await get200(url, `${DB}/leader`), { ...instance(1), rule: 'oldest' });
    assert.deepEqual(await get200(url, 'D%42.skydns.local./leader'), {
      ...instance(1),
      rule: 'oldest',
    });
  }));

test('A service that does not exist, or has no leader, gets 404 with a reason', () =>
  serving(async ({ url }, source) => {
    const errorOf = async (path: string) => {
      const { status, json } = await send(url, { path: `/v1/services/${path}` });
      const { code, message } = (json as { error: { code: string; message: string } }).error;
      return [status, code, message];
    };
    source.state = stateOf([instance(1)], { leader: undefined, rule: undefined });
    const none = 'db.skydns.local. has no leader';
    assert.deepEqual(await errorOf(`${DB}/leader`), [404, 'not_found', none]);
    source.state = stateOf([]);
    const absent = 'db.skydns.local. does not exist';
    assert.deepEqual(await errorOf(`${DB}/leader`), [404, 'not_found', absent]);
    assert.deepEqual(await errorOf(`${DB}/instances`), [404, 'not_found', absent]);
    const outside = 'db.example.com. is in none of the served domains';
    assert.deepEqual(await errorOf('db.example.com/leader'), [404, 'not_found', outside]);
    source.state = undefined;
    const [status, code] = await errorOf(`${DB}/instances`);
    assert.deepEqual([status, code], [503, 'unavailable']);
  }));

test('A wildcard, the root, a broken escape and a name that is too long get 400', () =>
  serving(async ({ url }) => {
    const long = `${'a'.repeat(64)}.local`;
    for (const name of ['*.local', 'any.local', '.', '%zz', '%ff', long, 'a'.repeat(5_000)]) {
      const { status } = await send(url, { path: `/v1/services/${name}/instances` });
      assert.equal(status, 400, name);
    }
  }));

test('Other paths get 404, and other methods 405 or the refusal of a write', () =>
  serving(async ({ url }) => {
    for (const path of ['/v1/services', '/v1/services/a.local', '/v1/services/a/b/leader'])
      assert.equal((await send(url, { path })).status, 404, path);
    const put = { method: 'PUT', path: `/v1/services/${DB}/leader` };
    assert.equal((await send(url, put)).status, 405);
    const head = await send(url, { method: 'HEAD', path: `/v1/services/${DB}/leader` });
    assert.deepEqual([head.status, head.body], [200, '']);
  }));

test('Data from the last contact, and a part of the instances, are marked by a Warning', () =>
  serving(async ({ url }, source) => {
    const warningOf = async () =>
      (await send(url, { path: `/v1/services/${DB}/instances` })).headers.warning;
    assert.equal(await warningOf(), undefined);
    source.stale = true;
    assert.equal(await warningOf(), '110 soradns "Response is Stale"');
    source.state = stateOf([instance(1)], { isWhole: false });
    assert.match(String(await warningOf()), /110 .*, 199 soradns "Only some of the instances"/);
  }));

test('A stream of instances begins with the state and has every change', () =>
  serving(async ({ url }, source) => {
    const reader = await readEvents(url, `${DB}/instances`);
    assert.equal(reader.response.headers['content-type'], 'text/event-stream');
    const initial = ['up 1', 'up 2', 'leader 1', 'current'];
    const print = () => reader.events().map((text) => text.replace(/\.db\.skydns.*| -/, ''));
    await until('the state has come', () => print().length === initial.length);
    assert.deepEqual(print(), initial);
    source.change(stateOf([instance(2, { weight: 1 }), instance(3)]));
    await until('the change has come', () => print().length === 8);
    assert.deepEqual(print().slice(4), ['down 1', 'update 2', 'up 3', 'leader 2']);
    const service = '"service":"db.skydns.local."';
    assert.ok(reader.text().includes(`event: current\ndata: {${service},"kind":"current"}\n\n`));
    reader.close();
    await until('nothing follows', () => source.listeners.size === 0);
  }));

test('A stream of the leader has only the leader, and nothing for other changes', () =>
  serving(async ({ url }, source) => {
    const reader = await readEvents(url, `${DB}/leader`);
    await until('the leader has come', () => reader.events().length === 2);
    const before = reader.text();
    source.change(stateOf([instance(1), instance(3)]));
    source.change(stateOf([instance(1)], { leader: undefined, rule: undefined }));
    await until('the change has come', () => reader.events().length === 3);
    const added = reader.text().slice(before.length);
    assert.equal(
      added,
      'event: leader\ndata: {"service":"db.skydns.local.","kind":"leader","instance":null}\n\n',
    );
    assert.deepEqual(reader.events(), ['leader 1.db.skydns.local.', 'current -', 'leader -']);
    reader.close();
  }));

test('A client that comes later gets the whole state, not the change that others got', () =>
  serving(async ({ url }, source) => {
    const early = await readEvents(url, `${DB}/instances`);
    await until('the state has come', () => early.events().length === 4);
    source.change(stateOf([instance(1), instance(2), instance(3)]));
    await until('the change has come', () => early.events().length === 5);
    const late = await readEvents(url, `${DB}/instances`);
    await until('the state has come', () => late.events().length === 5);
    assert.deepEqual(
      late.events().map((text) => text.split('.')[0]),
      ['up 1', 'up 2', 'up 3', 'leader 1', 'current -'],
    );
    for (const reader of [early, late]) reader.close();
  }));

test('A stream of a name that does not exist yet waits for its first instance', () =>
  serving(async ({ url }, source) => {
    source.state = stateOf([]);
    const reader = await readEvents(url, `${DB}/instances`);
    await until('the state has come', () => reader.events().length === 1);
    source.change(stateOf([instance(1)]));
    await until('the instance has come', () => reader.events().length === 3);
    assert.deepEqual(
      reader.events().map((text) => text.split(' ')[0]),
      ['current', 'up', 'leader'],
    );
    reader.close();
  }));

test('A silent stream has signs of life', () =>
  serving(
    async ({ url }) => {
      const reader = await readEvents(url, `${DB}/leader`);
      await until('three signs have come', () => reader.text().split('\n:\n').length > 3);
      reader.close();
    },
    { limits: { heartbeatMs: 20 } },
  ));

test('Streams end with the server', async () => {
  const source = new FakeSource();
  const server = await startHttp({ services: source });
  const reader = await readEvents(server.url, `${DB}/instances`);
  await until('the state has come', () => reader.events().length === 4);
  const startMs = performance.now();
  await server.stop();
  await reader.ended;
  assert.ok(performance.now() - startMs < 900, 'the server waited for the stream');
  assert.equal(source.listeners.size, 0);
});

test('Streams beyond the permits get 503, and permits become free again', () =>
  serving(
    async ({ url }, source) => {
      const readers = await Promise.all(
        Array.from({ length: 20 }, () => readEvents(url, `${DB}/leader`)),
      );
      for (const { response } of readers) assert.equal(response.statusCode, 200);
      const refused = await readEvents(url, `${DB}/leader`);
      assert.equal(refused.response.statusCode, 503);
      for (const reader of readers) reader.close();
      await until('the streams have ended', () => source.listeners.size === 0);
      const again = await readEvents(url, `${DB}/leader`);
      assert.equal(again.response.statusCode, 200);
      again.close();
    },
    { limits: { maxWaiting: 20 } },
  ));

/** About 200 KiB of events. */
const large = (round: number): ServiceState =>
  stateOf(
    Array.from({ length: 1_000 }, (_, n) =>
      instance(n + 1, { weight: round, tags: ['x'.repeat(60)] }),
    ),
  );

test(
  'A client that does not read its stream costs no queue, and its connection is closed',
  {
    timeout: 60_000,
  },
  () =>
    serving(
      async ({ port }, source) => {
        source.state = large(0);
        const socket = connect(port, '127.0.0.1');
        socket.on('error', () => {});
        socket.pause();
        socket.write(
          `GET /v1/services/${DB}/instances HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`,
        );
        await until('it is followed', () => source.listeners.size === 1);
        const before = process.memoryUsage().rss;
        // The kernel buffers some MB.
        for (let round = 1; source.listeners.size > 0; round++) {
          assert.ok(round < 2_000, 'the connection was not closed');
          source.change(large(round));
          await sleep(10);
        }
        assert.ok(process.memoryUsage().rss - before < 200 * 1024 * 1024);
        socket.destroy();
      },
      { limits: { slowReaderMs: 500 } },
    ),
);

test(
  'A client that reads slowly gets several changes as one, and the last one',
  {
    timeout: 60_000,
  },
  () =>
    serving(
      async ({ port }, source) => {
        source.state = large(0);
        const socket = connect(port, '127.0.0.1');
        let text = '';
        socket.setEncoding('utf8').on('data', (piece: string) => {
          // The end of the text is enough.
          text = (text + piece).slice(-1_000_000);
        });
        socket.pause();
        socket.write(
          `GET /v1/services/${DB}/instances HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n`,
        );
        await until('it is followed', () => source.listeners.size === 1);
        for (let round = 1; round <= 200; round++) {
          source.change(large(round));
          await sleep(1);
        }
        assert.ok(socket.bytesRead < 200 * 100_000);
        socket.resume();
        await until('the last change has come', () => text.includes('"weight":200'), 20_000);
        assert.ok(socket.bytesRead < 200 * 100_000, `${socket.bytesRead}`);
        socket.destroy();
      },
      { limits: { slowReaderMs: 30_000 } },
    ),
);

test('A server streams the changes of its store, and names the chosen leader', async () => {
  const server = await startTestServer({});
  const url = clientEnv(server).SORADNS_STORE ?? '';
  const write = async (key: string, value: object | undefined) => {
    const method = value === undefined ? 'DELETE' : 'PUT';
    const body = value && new URLSearchParams({ value: JSON.stringify(value) });
    const init = { method, headers: WITH_TOKEN, ...(body && { body }) };
    assert.ok((await fetch(`${url}/v2/keys${key}`, init)).ok);
  };
  try {
    await write('/skydns/local/skydns/db/1', { host: '10.0.0.1', port: 1, leader: 'manual' });
    await write('/skydns/local/skydns/db/2', { host: '10.0.0.2', port: 1, leader: 'manual' });
    const reader = await readEvents(url, `${DB}/instances`);
    await until('the state has come', () => reader.events().includes('current -'));
    await write('/skydns-leader/local/skydns/db', { instance: '2.db.skydns.local' });
    await until('it leads', () => reader.events().includes('leader 2.db.skydns.local.'));
    assert.equal(((await get200(url, `${DB}/leader`)) as { rule: string }).rule, 'manual');
    await write('/skydns/local/skydns/db/2', undefined);
    await until('it is gone', () => reader.events().includes('leader -'));
    assert.deepEqual(reader.events().slice(-2), ['down 2.db.skydns.local.', 'leader -']);
    const closing = server.close();
    await reader.ended;
    await closing;
  } finally {
    await server.close();
  }
});
