/** What becomes of a connection's requests when it ends, and of a connection whose client wants it to end. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { test } from 'node:test';
import type { HttpLogLine } from '../../../src/server/http/listener.ts';
import { startHttp } from '../../support/http.ts';
import { until } from '../../support/until.ts';

test('requests that queue behind another are over when their connection is', async () => {
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
  test(`${path} with "Connection: close" ends with its reply, however long that is`, async () => {
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
