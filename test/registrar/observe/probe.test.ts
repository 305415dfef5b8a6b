import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { describe, it } from 'node:test';
import type { Check } from '../../../src/registrar/describe/description.ts';
import { probe } from '../../../src/registrar/observe/probe.ts';

const TIMES = { intervalMs: 1000, timeoutMs: 2000 };
const TCP: Check = { kind: 'tcp', ...TIMES };
const HTTP: Check = { kind: 'http', path: '/health', method: 'GET', ...TIMES };
const never = new AbortController().signal;

async function withHttp(
  listener: RequestListener,
  use: (port: number) => Promise<void>,
): Promise<void> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    await use((server.address() as AddressInfo).port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

describe('probes', () => {
  for (const [status, passes] of [
    [200, true],
    [204, true],
    [302, false],
    [404, false],
    [500, false],
  ] as const) {
    it(`An HTTP probe with the status ${status} ${passes ? 'passes' : 'fails'}`, () =>
      withHttp(
        ({ url, method }, response) => {
          response.writeHead(url === '/health' && method === 'GET' ? status : 599).end('x');
        },
        async (port) => {
          assert.equal(await probe({ check: HTTP, host: '127.0.0.1', port }, never), passes);
        },
      ));
  }

  it('An HTTP probe without an answer fails in time, and one with an endless body passes', () =>
    withHttp(
      (request, response) => {
        if (request.url === '/health') response.writeHead(200).write('x');
      },
      async (port) => {
        const target = { host: '127.0.0.1', port };
        assert.equal(await probe({ check: HTTP, ...target }, never), true);
        const silent: Check = { ...HTTP, path: '/silent', timeoutMs: 100 };
        assert.equal(await probe({ check: silent, ...target }, never), false);
      },
    ));

  it('A TCP probe passes when it connects', async () => {
    const server = createTcpServer((socket) => socket.end()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    assert.equal(await probe({ check: TCP, host: '127.0.0.1', port }, never), true);
    server.close();
    await once(server, 'close');
    assert.equal(await probe({ check: TCP, host: '127.0.0.1', port }, never), false);
    assert.equal(await probe({ check: HTTP, host: '127.0.0.1', port }, never), false);
    assert.equal(await probe({ check: TCP, host: '127.0.0.1', port }, AbortSignal.abort()), false);
  });

  for (const host of [
    ...['169.254.169.254', '169.254.170.2', 'fe80::1', '::ffff:169.254.169.254'],
    ...['64:ff9b::a9fe:a9fe', 'fd00:ec2::254', '168.63.129.16', '100.100.100.200', '192.0.0.192'],
    ...['fd20:ce::254', '2002:a9fe:a9fe::1', '::169.254.169.254'],
  ]) {
    it(`A probe sends nothing to ${host}`, async () => {
      const beganMs = performance.now();
      for (const check of [TCP, HTTP, { ...HTTP, kind: 'https' } as const])
        assert.equal(await probe({ check, host, port: 80 }, never), false);
      assert.ok(performance.now() - beganMs < TCP.timeoutMs, 'it was waited for');
    });
  }
});
