/**
 * The limits of one client: it gets its share, and it can never keep other clients from checking the server's health.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { connect, type Socket } from 'node:net';
import { test } from 'node:test';
import { shareOf } from '../../../src/server/http/exchange/client.ts';
import { Permits } from '../../../src/server/http/exchange/permits.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;
/** Only a client with the token is trusted. */
const STRICT = { token: 'secret', trustedUsers: new Set<number>() };
const TOKEN = { authorization: 'Bearer secret' };

async function openSockets(server: RunningHttp, count: number): Promise<Socket[]> {
  const sockets = Array.from({ length: count }, () => {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    return socket;
  });
  await Promise.all(sockets.map((socket) => once(socket, 'connect')));
  return sockets;
}

async function whileOpen(sockets: readonly Socket[], body: () => Promise<void>): Promise<void> {
  try {
    await body();
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

const untrusted = (share: string) => ({ share, isTrusted: async () => false });
const trusted = (share: string) => ({ share, isTrusted: async () => true });

test('One client can hold its share of the permits, untrusted clients three quarters, and a trusted client all', async () => {
  const permits = new Permits(8, 2);
  const taken = [await permits.acquire(untrusted('a')), await permits.acquire(untrusted('a'))];
  assert.equal(await permits.acquire(untrusted('a')), undefined, 'a has its share');
  for (const share of ['b', 'b', 'c', 'c']) assert.ok(await permits.acquire(untrusted(share)));
  assert.equal(await permits.acquire(untrusted('d')), undefined, 'untrusted clients have six');
  assert.ok(await permits.acquire(trusted('a')));
  assert.ok(await permits.acquire(trusted('a')));
  assert.equal(await permits.acquire(trusted('a')), undefined, 'all are taken');
  for (const release of taken) release?.();
  for (const release of taken) release?.();
  assert.ok(await permits.acquire(untrusted('a')));
  assert.ok(await permits.acquire(untrusted('d')));
  assert.equal(await permits.acquire(untrusted('d')), undefined, 'a second release frees nothing');
});

test('A request that waits for a permit gets the next free one in order, or fails in time', async () => {
  const permits = new Permits(8, 1);
  const release = await permits.acquire(untrusted('a'));
  const [second, third] = [
    permits.acquire(untrusted('a'), 5_000),
    permits.acquire(untrusted('a'), 50),
  ];
  assert.ok(await permits.acquire(untrusted('b'), 5_000), 'another share does not wait');
  assert.equal(await third, undefined);
  release?.();
  const releaseSecond = await second;
  assert.ok(releaseSecond);
  assert.equal(await permits.acquire(untrusted('a')), undefined);
  releaseSecond();
  assert.ok(await permits.acquire(untrusted('a')));
});

test('Addresses of one IPv6 network count as one client', () => {
  assert.equal(shareOf('127.0.0.1'), shareOf('127.1.2.3'));
  assert.equal(shareOf('127.0.0.1'), shareOf('::1'));
  assert.equal(shareOf('2001:db8::1'), shareOf('2001:db8::ffff:1'));
  assert.notEqual(shareOf('2001:db8::1'), shareOf('2001:db8:0:1::1'));
  assert.notEqual(shareOf('10.0.0.1'), shareOf('10.0.0.2'));
});

test('A client that uses up its share leaves the other clients theirs', async () => {
  const server = await startHttp({ ...STRICT, limits: { maxWaitingPerClient: 3 } });
  const wait = '/v2/keys/w?wait=true';
  const open = async (path: string) => {
    const one = get(`${server.url}${path}`, { agent: false });
    one.on('error', () => undefined);
    await once(one, 'response');
    return one;
  };
  try {
    const own = await Promise.all([
      open(wait),
      open(wait),
      open('/v1/store/watch?prefix=/&from=1'),
    ]);
    const refused = await send(server.url, { path: wait });
    assert.equal(refused.status, 503);
    const watch = await send(server.url, { path: '/v1/store/watch?prefix=/&from=1' });
    assert.equal(watch.status, 503);
    assert.match(watch.body, /too many of this address/);
    const told = send(server.url, { path: `${wait}&waitIndex=1`, headers: TOKEN });
    await server.store.put('/w', Buffer.from('x'));
    assert.equal((await told).status, 200, 'who has the token is not of the crowd');
    own[0]?.destroy();
    await until('a place is free', async () => {
      const again = await send(server.url, { path: `${wait}&waitIndex=1` });
      return again.status === 200;
    });
    for (const one of own) one.destroy();
  } finally {
    await server.stop();
  }
});

test('Snapshots that a client does not read hold permits even if the kernel has buffered them', async () => {
  const limits = { maxLongRepliesPerClient: 2, slowReaderMs: 60_000 };
  const server = await startHttp({ ...STRICT, limits });
  const all = '/v1/store/snapshot?prefix=/';
  const long = [all, '/v1/store/entry?key=/large/1', '/v2/keys/large/1'];
  try {
    await server.store.put('/small/1', Buffer.from('x'));
    for (const [count, what] of [
      [16, 'held up by their reader'],
      [1, 'taken by the kernel'],
    ] as const) {
      await server.store.deleteTree('/large/');
      for (let n = 0; n < count; n++) {
        await server.store.put(`/large/${n}`, Buffer.alloc(count === 1 ? MIB / 8 : MIB, 'x'));
      }
      await server.store.put('/large/1', Buffer.alloc(MIB, 'x'));
      const unread = [0, 1].map(() =>
        get(`${server.url}${count === 1 ? long[1] : all}`, { agent: false }),
      );
      for (const each of unread) each.on('error', () => undefined);
      await Promise.all(unread.map((each) => once(each, 'response')));
      for (const path of long) {
        assert.equal((await send(server.url, { path })).status, 503, `${path}, ${what}`);
      }
      assert.equal((await send(server.url, { path: '/v1/store/entry?key=/small/1' })).status, 200);
      assert.equal((await send(server.url, { path: all, headers: TOKEN })).status, 200);
      for (const each of unread) each.destroy();
      await until(
        'a place is free',
        async () => (await send(server.url, { path: all })).status === 200,
      );
    }
  } finally {
    await server.stop();
  }
});

test('Concurrent short snapshots of one client wait for each other and all succeed', async () => {
  const server = await startHttp({ ...STRICT, limits: { maxLongRepliesPerClient: 1 } });
  try {
    await server.store.put('/small/1', Buffer.from('x'));
    const path = '/v1/store/snapshot?prefix=/';
    const replies = Array.from({ length: 20 }, () => send(server.url, { path }));
    for (const { status } of await Promise.all(replies)) assert.equal(status, 200);
  } finally {
    await server.stop();
  }
});

test('A connection with several requests for long replies holds one permit', async () => {
  const server = await startHttp({ ...STRICT, limits: { maxLongRepliesPerClient: 1 } });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    await server.store.put('/large/1', Buffer.alloc(MIB, 'x'));
    for (let n = 0; n < 5; n++) {
      const outgoing = get(`${server.url}/v1/store/snapshot?prefix=/`, { agent });
      const [response] = await once(outgoing, 'response');
      assert.equal(response.statusCode, 200);
      response.resume();
      await once(response, 'end');
    }
    const other = await send(server.url, { path: '/v1/store/entry?key=/large/1' });
    assert.equal(other.status, 503, 'the connection has it still');
    agent.destroy();
    await until('a place is free', async () => {
      return (await send(server.url, { path: '/v1/store/entry?key=/large/1' })).status === 200;
    });
  } finally {
    agent.destroy();
    await server.stop();
  }
});

test('Connections beyond an address’s share get an error, except for health checks and with the token', async () => {
  const limits = { maxConnectionsPerClient: 5 };
  const server = await startHttp({ ...STRICT, limits });
  const ask = (path: string, headers = {}) => send(server.url, { path, headers });
  try {
    await whileOpen(await openSockets(server, 5), async () => {
      const refused = await ask('/v2/keys/');
      assert.equal(refused.status, 503);
      assert.equal((refused.json as { errorCode: number }).errorCode, 300);
      assert.match(refused.body, /too many open connections/);
      assert.equal(refused.headers.connection, 'close');
      for (const path of ['/livez', '/readyz', '/healthz', '/health', '/version']) {
        assert.equal((await ask(path)).status, 200, path);
      }
      assert.equal((await ask('/v2/keys/', TOKEN)).status, 200);
      const put = { method: 'PUT', path: '/v2/keys/a', body: 'value=1', headers: TOKEN };
      assert.equal((await send(server.url, put)).status, 201);
    });
    await until('there is room', async () => (await ask('/v2/keys/')).status === 200);
  } finally {
    await server.stop();
  }
});

test('An idle connection is closed for a new one of the same client', async () => {
  const server = await startHttp({ ...STRICT, limits: { maxConnectionsPerClient: 2 } });
  try {
    const [idle, silent] = await openSockets(server, 2);
    assert.ok(idle !== undefined && silent !== undefined);
    await whileOpen([idle, silent], async () => {
      idle.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n');
      await once(idle, 'data');
      const closed = once(idle, 'close');
      await until('the next has its place', async () => {
        return (await send(server.url, { path: '/v2/keys/' })).status === 200;
      });
      await closed;
      assert.ok(!silent.destroyed);
    });
  } finally {
    await server.stop();
  }
});

test('/livez answers during any number of silent connections, which are closed soon', {
  timeout: 60_000,
}, async () => {
  const limits = { maxConnections: 20, maxSurplus: 10 };
  const server = await startHttp({ ...STRICT, limits });
  const silent: Socket[] = [];
  try {
    for (let round = 0; round < 10; round++) {
      silent.push(...(await openSockets(server, 60)));
      const startMs = performance.now();
      assert.equal((await send(server.url, { path: '/livez' })).status, 200);
      assert.ok(performance.now() - startMs < 1_000);
    }
    const open = () => silent.filter((socket) => !socket.destroyed).length;
    for (const socket of silent) socket.resume();
    await until('the crowd is sent away', () => open() <= 30);
  } finally {
    for (const socket of silent) socket.destroy();
    await server.stop();
  }
});

test('A connection with too many requests at once is closed', async () => {
  const server = await startHttp({ ...STRICT, limits: { maxPipelined: 8 } });
  const sockets = await openSockets(server, 2);
  const [many, few] = sockets;
  assert.ok(many !== undefined && few !== undefined);
  const request = 'GET /v2/keys/w?wait=true HTTP/1.1\r\nHost: localhost\r\n\r\n';
  try {
    await whileOpen(sockets, async () => {
      const closed = once(many, 'close');
      many.resume();
      many.write(request.repeat(9));
      await closed;
      let replies = '';
      few.on('data', (data) => {
        replies += data.toString('latin1');
      });
      few.write('GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(8));
      await until('all are answered', () => replies.split('HTTP/1.1 200').length === 9);
    });
  } finally {
    await server.stop();
  }
});
