import assert from 'node:assert/strict';
import dgram from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import net from 'node:net';
import { type TestContext, test } from 'node:test';
import { createPortableListener } from '../../src/dataplane/listeners/portableListener.ts';
import type { Listen } from '../../src/dataplane/listeners/udpListener.ts';
import type { Respond } from '../../src/dns/message.ts';
import {
  describeListenFailure,
  type ListenFailure,
  type ListenOutcome,
  listenAll,
} from '../../src/server/listening/listen.ts';
import { findPortHolder } from '../../src/server/listening/portHolder.ts';
import { TcpListener } from '../../src/server/tcp/tcp.ts';
import { FramedClient, messageWithId } from '../support/framedClient.ts';

const echo: Respond = (packet, _client, send) => send(Uint8Array.from(packet));
const linux = existsSync('/proc/net/udp');

function listenersFor(t: TestContext) {
  const udp = createPortableListener({ respond: echo });
  const tcp = new TcpListener({ respond: echo, limits: { closeMs: 100 } });
  t.after(() => Promise.all([udp.close(), tcp.close()]));
  return { udp, tcp };
}

function endpointsOf(outcome: ListenOutcome) {
  assert.equal(outcome.kind, 'listening');
  return outcome.endpoints;
}

/** The port is free again: a server can listen on it. */
async function assertFree(address: string, port: number): Promise<void> {
  const socket = dgram.createSocket('udp4').bind(port, address);
  await once(socket, 'listening');
  socket.close();
  const server = net.createServer().listen(port, address);
  await once(server, 'listening');
  server.close();
}

test('listenAll listens on each endpoint over UDP and TCP on the same port', async (t) => {
  const listeners = listenersFor(t);
  const asked = [
    { address: '127.0.0.1', port: 0 },
    { address: '127.0.0.2', port: 0 },
  ];
  const endpoints = endpointsOf(await listenAll(asked, listeners));
  assert.deepEqual(
    endpoints.map(({ address }) => address),
    ['127.0.0.1', '127.0.0.2'],
  );
  for (const { address, port } of endpoints) {
    const client = await FramedClient.connect(port, { address });
    client.send(messageWithId(1));
    await client.untilReplies(1);
    client.socket.destroy();
    const socket = dgram.createSocket('udp4');
    socket.send(messageWithId(2), port, address);
    await once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
    socket.close();
  }
});

test('listenAll does not choose a port that is in use for TCP', async (t) => {
  const listeners = listenersFor(t);
  let refusals = 3;
  const refused: number[] = [];
  const listen: Listen = async (address, port) => {
    if (refusals === 0) return listeners.tcp.listen(address, port);
    refusals -= 1;
    refused.push(port);
    throw Object.assign(new Error('taken'), { code: 'EADDRINUSE' });
  };
  const outcome = await listenAll([{ address: '127.0.0.1', port: 0 }], {
    udp: listeners.udp,
    tcp: { listen },
  });
  assert.equal(endpointsOf(outcome).length, 1);
  assert.equal(refused.length, 3);
});

for (const transport of ['udp', 'tcp'] as const) {
  test(`listenAll names the holder of a port that is in use for ${transport}`, async (t) => {
    const holders = listenersFor(t);
    const held = await holders[transport].listen('127.0.0.1', 0);
    const free = await holders.udp.listen('127.0.0.3', 0);
    await free.close();

    const asked = [{ address: '127.0.0.3', port: free.port }, held];
    const outcome = await listenAll(asked, listenersFor(t));
    assert.equal(outcome.kind, 'taken');
    assert.deepEqual(
      { transport: outcome.transport, address: outcome.address, port: outcome.port },
      { transport, address: '127.0.0.1', port: held.port },
    );
    if (linux) assert.equal(outcome.holder?.pid, process.pid);
    await assertFree('127.0.0.3', free.port);
  });
}

test('findPortHolder finds a process that listens on a wildcard address', {
  skip: !linux && 'optional: Linux only',
}, async (t) => {
  const holders = listenersFor(t);
  const held = await holders.udp.listen('0.0.0.0', 0);
  const outcome = await listenAll([{ address: '127.0.0.1', port: held.port }], listenersFor(t));
  assert.equal(outcome.kind, 'taken');
  assert.equal(outcome.holder?.pid, process.pid);
});

test('findPortHolder does not name a process that has the port on another address only', {
  skip: !linux && 'optional: Linux only',
}, async (t) => {
  const holders = listenersFor(t);
  const held = await holders.udp.listen('127.0.0.2', 0);
  assert.equal((await findPortHolder('udp', '127.0.0.2', held.port))?.pid, process.pid);
  assert.equal(await findPortHolder('udp', '127.0.0.1', held.port), undefined);
  assert.equal(await findPortHolder('tcp', '127.0.0.2', held.port), undefined);
});

test('listenAll gives `foreign` for an address that the machine does not have', async (t) => {
  const outcome = await listenAll([{ address: '192.0.2.1', port: 0 }], listenersFor(t));
  assert.deepEqual(outcome, { kind: 'foreign', transport: 'udp', address: '192.0.2.1', port: 0 });
});

test('listenAll gives a value for every other error of the system', async (t) => {
  const refusing = (code: string) => ({
    listen: () => Promise.reject(Object.assign(new Error(`bind ${code}`), { code })),
  });
  const { udp } = listenersFor(t);
  const asked = [{ address: '127.0.0.1', port: 0 }];
  const forbidden = await listenAll(asked, { udp, tcp: refusing('EACCES') });
  assert.equal(forbidden.kind, 'forbidden');
  const failed = await listenAll(asked, { udp, tcp: refusing('EMFILE') });
  assert.equal(failed.kind, 'failed');
  assert.equal(failed.reason, 'bind EMFILE');
});

const LINES: readonly [ListenFailure, RegExp][] = [
  [
    {
      kind: 'taken',
      transport: 'udp',
      address: '127.0.0.1',
      port: 53,
      holder: { pid: 812, command: 'dnsmasq' },
    },
    /^127\.0\.0\.1:53\/udp is in use by dnsmasq \(pid 812\)/,
  ],
  [
    { kind: 'taken', transport: 'tcp', address: '::1', port: 53, holder: undefined },
    /^\[::1\]:53\/tcp is in use;/,
  ],
  [{ kind: 'forbidden', transport: 'udp', address: '0.0.0.0', port: 53 }, /0\.0\.0\.0:53.*root/],
  [{ kind: 'foreign', transport: 'udp', address: '192.0.2.1', port: 53 }, /no such address/],
  [
    { kind: 'failed', transport: 'tcp', address: '::', port: 53, reason: 'listen EMFILE' },
    /\[::\]:53\/tcp: listen EMFILE/,
  ],
];

for (const [failure, line] of LINES) {
  test(`The failure ${failure.kind} on ${failure.address} is described in one line`, () => {
    const text = describeListenFailure(failure);
    assert.match(text, line);
    assert.ok(!text.includes('\n'));
  });
}
