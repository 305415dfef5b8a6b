/**
 * Which of several sockets with one address receive packets and connections: the kernel's part in a takeover.
 */
import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import dgram from 'node:dgram';
import { once } from 'node:events';
import type { Server } from 'node:net';
import net from 'node:net';
import { afterEach, describe, it } from 'node:test';
import { hasSuccessor } from '../../src/app/takeover.ts';
import { SocketMaker } from '../../src/dataplane/sockets/socket.ts';
import { type Libc, loadLibc } from '../../src/kernel/libc.ts';
import { freePort } from '../support/freePort.ts';
import { until } from '../support/until.ts';

const found = loadLibc();
const skip = found.kind === 'missing' && `optional: ${found.reason}`;
const CLIENTS = 60;
const ANY = { address: '127.0.0.1', port: 0 };

function maker(): SocketMaker {
  return new SocketMaker((found as { libc: Libc }).libc);
}

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const clean of cleanup.splice(0)) await clean();
});

/** Reads a descriptor through Node, and counts its packets. */
async function counting(fd: number): Promise<{ count: number }> {
  const socket = dgram.createSocket('udp4');
  const received = { count: 0 };
  socket.on('message', () => received.count++);
  const isBound = once(socket, 'listening');
  socket.bind({ fd });
  await isBound;
  cleanup.push(() => socket.close());
  return received;
}

/** One packet each from many ports. */
async function sendTo(port: number): Promise<void> {
  const clients = Array.from({ length: CLIENTS }, () => dgram.createSocket('udp4'));
  const send = (client: Socket) =>
    new Promise<void>((resolve) => client.send('x', port, '127.0.0.1', () => resolve()));
  await Promise.all(clients.map(send));
  for (const client of clients) client.close();
}

async function accepting(fd: number): Promise<{ count: number; server: Server }> {
  const received = { count: 0, server: net.createServer() };
  received.server.on('connection', (socket) => {
    received.count++;
    socket.end();
  });
  received.server.listen({ fd });
  await once(received.server, 'listening');
  cleanup.push(() => received.server.close());
  return received;
}

async function connectTo(port: number): Promise<void> {
  const one = async (): Promise<void> => {
    const socket = net.connect(port, '127.0.0.1').resume();
    await once(socket, 'close');
  };
  await Promise.all(Array.from({ length: CLIENTS }, one));
}

describe('takeover of an address', { skip }, () => {
  it('An address is not shared with a server without --takeover, over UDP or TCP', async () => {
    // Another process may use the TCP port that the kernel chooses for UDP.
    const [udp] = maker().open({ ...ANY, port: await freePort() }, 1);
    assert.ok(udp !== undefined);
    const address = { address: udp.address, port: udp.port };
    const { libc } = found as { libc: Libc };
    cleanup.push(() => libc.close(udp.fd));
    assert.throws(() => maker().open(address, 1), { code: 'EADDRINUSE' });
    const tcp = maker().openStream(address);
    cleanup.push(() => libc.close(tcp));
    assert.throws(() => maker().openStream(address), { code: 'EADDRINUSE' });
    const [joined] = maker().open(address, 1, true);
    assert.ok(joined !== undefined);
    libc.close(joined.fd);
    libc.close(maker().openStream(address, true));
  });

  it('All UDP packets to an address go to the successor at once', async () => {
    const old = maker().open(ANY, 2);
    const { port } = old[0] ?? assert.fail();
    const next = maker().open({ ...ANY, port }, 2, true);
    const before = await Promise.all(old.map(({ fd }) => counting(fd)));
    const after = await Promise.all(next.map(({ fd }) => counting(fd)));
    const sum = (received: readonly { count: number }[]) =>
      received.reduce((n, { count }) => n + count, 0);
    await sendTo(port);
    await until('all came', () => sum(before) + sum(after) === CLIENTS);
    assert.ok(sum(before) > 0, 'the old ones still get some');
    const had = sum(before);
    for (const socket of old) maker().divertPackets(socket);
    await sendTo(port);
    await until('all came', () => sum(before) + sum(after) === 2 * CLIENTS);
    assert.equal(sum(before), had);
  });

  it('New TCP connections to an address go to the successor, and stay if there is none', async () => {
    const first = maker().openStream(ANY);
    const before = await accepting(first);
    const { port } = before.server.address() as net.AddressInfo;
    maker().divertConnections(first);
    await connectTo(port);
    assert.equal(before.count, CLIENTS);
    const after = await accepting(maker().openStream({ ...ANY, port }, true));
    maker().divertConnections(first);
    await connectTo(port);
    assert.deepEqual([before.count, after.count], [CLIENTS, CLIENTS]);
    before.server.close();
    await once(before.server, 'close');
    await connectTo(port);
    assert.equal(after.count, 2 * CLIENTS);
  });

  it('An address on which only this process listens has no successor', async () => {
    const own = await accepting(maker().openStream(ANY));
    const { port } = own.server.address() as net.AddressInfo;
    assert.equal(await hasSuccessor([{ ...ANY, port }]), false);
    assert.equal(await hasSuccessor([]), false);
  });
});
