/** Requests on a connection that ends, and connections whose client requests a close. */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { HttpLogLine } from '../../../src/server/http/listener.ts';
import { startHttp } from '../../support/http.ts';
import { until } from '../../support/until.ts';

test('Requests queued behind another end with their connection', async () => {
  const over: HttpLogLine[] = [];
  const server = await startHttp({ onRequest: (line) => over.push(line) });
  try {
    const socket = connect(server.port, '127.0.0.1');
    const request = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`;
    const queued = 10;
    socket.write(request('/v2/keys/w?wait=true') + request('/livez').repeat(queued));
    await until('it waits', async () => server.store !== undefined && socket.bytesWritten > 0);
    socket.resetAndDestroy();
    await until('all are over', async () => over.length === 1 + queued);
    const paths = over.map(({ path }) => path).sort();
    assert.deepEqual(paths, [...Array<string>(queued).fill('/livez'), '/v2/keys/w']);
  } finally {
    await server.stop();
  }
});

for (const path of ['/v2/keys/long', '/v2/keys/dir', '/v1/store/snapshot?prefix=/']) {
  test(`${path} with "Connection: close" ends after its whole reply`, async () => {
    const server = await startHttp();
    try {
      await server.store.put('/long', Buffer.alloc(400_000, 'x'));
      for (let n = 0; n < 300; n++) await server.store.put(`/dir/${n}`, Buffer.alloc(1_000, 'x'));
      const socket = connect({ port: server.port, host: '127.0.0.1', allowHalfOpen: true });
      let text = '';
      socket.setEncoding('latin1').on('data', (chunk: string) => {
        text += chunk;
      });
      const began = performance.now();
      socket.write(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`);
      await once(socket, 'end');
      socket.end();
      assert.ok(performance.now() - began < 5_000);
      assert.match(text, /^HTTP\/1\.1 200 /);
      assert.ok(text.length > 300_000);
    } finally {
      await server.stop();
    }
  });
}

test('The server parses only a few of a thousand pipelined requests at a time', async () => {
  const server = await startHttp();
  let made = 0;
  const count = () => void made++;
  subscribe('http.server.request.start', count);
  try {
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write('GET /v2/keys/none HTTP/1.1\r\nHost: localhost\r\n\r\n'.repeat(1_000));
    await once(socket, 'close');
    assert.ok(made > 0 && made < 50, `${made}`);
  } finally {
    unsubscribe('http.server.request.start', count);
    await server.stop();
  }
});

test('The server receives a body whole, in any chunks', async () => {
  const server = await startHttp();
  try {
    const value = 'a\r\n\r\nb'.repeat(20_000);
    const body = `value=${encodeURIComponent(value)}`;
    const head =
      'PUT /v2/keys/long HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n' +
      `Content-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\n\r\n`;
    for (const pieceOctets of [1_000, 70_000, head.length + body.length]) {
      const socket = connect(server.port, '127.0.0.1');
      socket.resume();
      const text = head + body;
      for (let at = 0; at < text.length; at += pieceOctets) {
        socket.write(text.slice(at, at + pieceOctets));
      }
      await once(socket, 'close');
      const { entry } = await server.store.get('/long');
      assert.equal(entry && Buffer.from(entry.value).toString(), value);
      await server.store.delete('/long');
    }
  } finally {
    await server.stop();
  }
});
