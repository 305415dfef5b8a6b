/** Slow clients, large requests, many clients and broken connections: they cost bounded memory and time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, request } from 'node:http';
import { connect, Server, type Socket } from 'node:net';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HttpListener } from '../../../src/server/http/listener.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;

test('A body of 2 MB gets 413 with an etcd error, with and without Content-Length', async () => {
  const server = await startHttp();
  try {
    const body = `value=${'x'.repeat(2 * MIB)}`;
    const declared = await send(server.url, { method: 'PUT', path: '/v2/keys/a', body });
    assert.equal(declared.status, 413);
    assert.equal((declared.json as { errorCode: number }).errorCode, 210);
    const chunked = await sendChunks(server.port, 4);
    assert.match(chunked.reply, /^HTTP\/1.1 413 /);
    assert.equal((await send(server.url, { path: '/livez' })).status, 200);
    const fits = `value=${'x'.repeat(900 * 1024)}`;
    assert.equal(
      (await send(server.url, { method: 'PUT', path: '/v2/keys/a', body: fits })).status,
      201,
    );
  } finally {
    await server.stop();
  }
});

test('The server closes the connection of a client that sends 200 MB early and never buffers the body', {
  timeout: 60_000,
}, async () => {
  const server = await startHttp();
  try {
    const before = process.memoryUsage().rss;
    const { sentMib } = await sendChunks(server.port, 200);
    assert.ok(process.memoryUsage().rss - before < 100 * MIB);
    assert.ok(sentMib <= 200);
    assert.equal((await send(server.url, { path: '/livez' })).status, 200);
  } finally {
    await server.stop();
  }
});

/** Sends a chunked PUT of this many MiB until the reply or the end. Resolves when the connection is closed. */
async function sendChunks(port: number, mib: number): Promise<{ reply: string; sentMib: number }> {
  const socket = connect(port, '127.0.0.1');
  let reply = '';
  let sentMib = 0;
  socket.on('data', (data) => {
    reply += data.toString('latin1');
  });
  socket.on('error', () => undefined);
  const closed = new Promise((resolve) => socket.once('close', resolve));
  const type = 'Content-Type: application/x-www-form-urlencoded';
  socket.write(
    `PUT /v2/keys/a HTTP/1.1\r\nHost: localhost\r\n${type}\r\nTransfer-Encoding: chunked\r\n\r\n`,
  );
  const chunk = Buffer.from(`${MIB.toString(16)}\r\n${'x'.repeat(MIB)}\r\n`);
  for (; sentMib < mib && !socket.destroyed; sentMib++) {
    if (!socket.write(chunk)) await Promise.race([once(socket, 'drain').catch(() => 0), closed]);
  }
  socket.end();
  await closed;
  return { reply, sentMib };
}

test('"Expect: 100-continue" with a too large body gets 413 before the body', async () => {
  const server = await startHttp();
  try {
    const reply = await raw(
      server.port,
      `PUT /v2/keys/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: ${200 * MIB}\r\n\r\n`,
    );
    assert.match(reply, /^HTTP\/1.1 413 /);
    const small = await raw(
      server.port,
      'PUT /v2/keys/a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nConnection: close\r\nContent-Length: 7\r\n\r\nvalue=1',
    );
    assert.match(small, /^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 201 /);
  } finally {
    await server.stop();
  }
});

/** Sends octets and returns everything received until the connection is closed. */
async function raw(port: number, octets: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let reply = '';
  socket.on('data', (data) => {
    reply += data.toString('latin1');
  });
  socket.on('error', () => undefined);
  socket.write(octets);
  await new Promise((resolve) => socket.once('close', resolve));
  return reply;
}

test('Headers over 16 KB get 431, garbage gets 400, and the server continues', async () => {
  const server = await startHttp();
  try {
    const large = `GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`;
    assert.match(await raw(server.port, large), /^HTTP\/1.1 431 /);
    for (const garbage of ['\x16\x03\x01\x02\0\x01\0', 'GET\r\n\r\n', 'GET / HTTP/9.9\r\n\r\n']) {
      assert.match(await raw(server.port, garbage), /^HTTP\/1.1 400 /);
    }
    assert.match(await raw(server.port, 'GET /livez HTTP/1.1\r\n\r\n'), /^HTTP\/1.1 400 /);
    const absolute =
      'GET http://evil.example/livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n';
    assert.match(await raw(server.port, absolute), /^HTTP\/1.1 404 /);
    assert.match(await raw(server.port, 'GET /livez HTTP/1.0\r\n\r\n'), /^HTTP\/1.1 200 /);
  } finally {
    await server.stop();
  }
});

test('The server closes the connection of a client that sends nothing, half a head or half a body', {
  timeout: 30_000,
}, async () => {
  const server = await startHttp({ limits: { requestTimeoutMs: 500 } });
  const half = 'PUT /v2/keys/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nvalue=';
  try {
    const starts = ['', 'GET /livez HTTP/1.1\r\nHo', half];
    const sockets = starts.map((start) => drip(server.port, start));
    await Promise.all(sockets.map((socket) => new Promise((done) => socket.once('close', done))));
    assert.equal((await send(server.url, { path: '/livez' })).status, 200);
  } finally {
    await server.stop();
  }
});

/** Sends the start, then one octet every 50 ms until the connection is closed. */
function drip(port: number, start: string): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.resume();
  socket.write(start);
  const timer = setInterval(() => start !== '' && socket.write('x'), 50);
  socket.once('close', () => clearInterval(timer));
  return socket;
}

test('The server closes the connection of a client that does not read the reply', {
  timeout: 30_000,
}, async () => {
  const server = await startHttp({ limits: { slowReaderMs: 300 } });
  const socket = connect(server.port, '127.0.0.1');
  try {
    const value = Buffer.alloc(MIB, 'x');
    for (let n = 0; n < 24; n++) await server.store.put(`/large/${n}`, value);
    socket.on('error', () => undefined);
    socket.pause();
    socket.write('GET /v2/keys/large?recursive=true HTTP/1.1\r\nHost: localhost\r\n\r\n');
    // The kernel buffers some MB; then the reply makes no progress for longer than the limit.
    await sleep(1500);
    let received = 0;
    socket.on('data', (data) => {
      received += data.length;
    });
    socket.resume();
    await new Promise((resolve) => socket.once('close', resolve));
    assert.ok(received < 24 * MIB, `${received}`);
  } finally {
    socket.destroy();
    await server.stop();
  }
});

test('Waiting requests beyond the permits get 503, and permits become free again', async () => {
  const server = await startHttp({ limits: { maxWaiting: 50 } });
  try {
    const path = `${server.url}/v2/keys/w?wait=true`;
    const waiting = Array.from({ length: 50 }, () => get(path, { agent: false }));
    for (const one of waiting) one.on('error', () => undefined);
    await Promise.all(waiting.map((one) => once(one, 'response')));
    const one = { path: '/v2/keys/w?wait=true' };
    assert.equal((await send(server.url, one)).status, 503);
    assert.equal((await send(server.url, { path: '/v1/store/watch?prefix=/&from=1' })).status, 503);
    for (const each of waiting.slice(0, 10)) each.destroy();
    await until('a permit is free', async () => {
      const late = await send(server.url, one, 1500).catch(() => undefined);
      return late === undefined;
    });
  } finally {
    await server.stop();
  }
});

test('Long listings beyond their permits get 503, short ones do not, and permits become free again', async () => {
  const server = await startHttp({ limits: { maxLongListings: 2 } });
  const [url, list] = [server.url, '/v2/keys/large?recursive=true'];
  try {
    await server.store.put('/small/1', Buffer.from('x'));
    const value = Buffer.alloc(MIB, 'x');
    for (let n = 0; n < 16; n++) await server.store.put(`/large/${n}`, value);
    const unread = [0, 1].map(() => get(`${url}${list}`, { agent: false }));
    for (const one of unread) one.on('error', () => undefined);
    await Promise.all(unread.map((one) => once(one, 'response')));
    for (const path of [list, '/v2/keys/large', '/v2/keys?recursive=true']) {
      const { status, json } = await send(url, { path });
      assert.deepEqual([status, (json as { errorCode: number }).errorCode], [503, 300], path);
    }
    for (const path of ['/v2/keys/small', '/v2/keys/large/1', '/v2/keys']) {
      assert.equal((await send(url, { path })).status, 200, path);
    }
    assert.equal((await send(url, { path: '/v2/keys/absent' })).status, 404);
    unread[0]?.destroy();
    const isFree = async () => (await send(url, { path: list })).status === 200;
    await until('a permit is free', isFree);
    assert.ok(await isFree(), 'a permit that was used is free again');
  } finally {
    await server.stop();
  }
});

test('All of 300 waiting requests get the change', { timeout: 30_000 }, async () => {
  const server = await startHttp();
  try {
    const path = '/v2/keys/w?wait=true&waitIndex=1';
    const waiting = Array.from({ length: 300 }, () => send(server.url, { path }, 20_000));
    await sleep(300);
    await server.store.put('/w', Buffer.from('x'));
    for (const { status, json } of await Promise.all(waiting)) {
      assert.equal(status, 200);
      assert.equal((json as { action: string }).action, 'set');
    }
  } finally {
    await server.stop();
  }
});

test('A client that reads slowly but steadily gets a whole large listing', {
  timeout: 30_000,
}, async () => {
  const server = await startHttp({ limits: { slowReaderMs: 400 } });
  try {
    const value = Buffer.alloc(MIB, 'x');
    for (let n = 0; n < 12; n++) await server.store.put(`/large/${n}`, value);
    const outgoing = get(`${server.url}/v2/keys/large?recursive=true`, { agent: false });
    const [response] = await once(outgoing, 'response');
    let last = '';
    let octets = 0;
    for await (const chunk of response) {
      octets += chunk.length;
      last = chunk.toString();
      // The whole takes longer than the limit, but no single pause does.
      await sleep(3);
    }
    assert.ok(octets > 12 * MIB);
    assert.ok(last.endsWith('}\n'));
  } finally {
    await server.stop();
  }
});

test('close ends waiting requests, streams and idle connections soon', async () => {
  const server = await startHttp();
  const poll = send(server.url, { path: '/v2/keys/a?wait=true' }).catch((error) => error);
  const stream = get(`${server.url}/v1/store/watch?prefix=/&from=1`, { agent: false });
  stream.on('error', () => undefined);
  const [response] = await once(stream, 'response');
  response.resume();
  const idle = connect(server.port, '127.0.0.1');
  const upload = request(`${server.url}/v2/keys/a`, { method: 'PUT', agent: false });
  upload.on('error', () => undefined);
  upload.write('value=');
  await once(idle, 'connect');
  const startMs = performance.now();
  await server.stop();
  assert.ok(performance.now() - startMs < 5000);
  await poll;
  await assert.rejects(send(server.url, { path: '/livez' }));
});

test('The server reports a failure to accept connections and continues', async (t) => {
  const listening = t.mock.method(Server.prototype, 'listen');
  const told: Error[] = [];
  const server = await startHttp({ onListenerError: (error) => told.push(error) });
  try {
    const failure = Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' });
    const http = listening.mock.calls[0]?.this as Server | undefined;
    http?.emit('error', failure);
    assert.deepEqual(told, [failure]);
    assert.equal((await send(server.url, { path: '/livez' })).status, 200);
  } finally {
    await server.stop();
  }
});

test('listen rejects with the system’s code when the port is in use', async () => {
  const server = await startHttp();
  const store = createMemoryStore();
  const second = new HttpListener({ store, readiness: () => [], version: '0' });
  try {
    await assert.rejects(second.listen('127.0.0.1', server.port), { code: 'EADDRINUSE' });
    await second.close();
  } finally {
    await store.close();
    await server.stop();
  }
});

test('The log hook gets every request once', async () => {
  const lines: string[] = [];
  const server = await startHttp({
    onRequest: ({ method, path, status, client }) =>
      lines.push(`${method} ${path} ${status} ${client}`),
  });
  try {
    await send(server.url, { path: '/v2/keys/a?recursive=true' });
    await send(server.url, { method: 'PUT', path: '/v2/keys/a', body: 'value=1' });
    await until('both are logged', () => lines.length === 2);
    assert.deepEqual(lines, ['GET /v2/keys/a 404 127.0.0.1', 'PUT /v2/keys/a 201 127.0.0.1']);
  } finally {
    await server.stop();
  }
});
