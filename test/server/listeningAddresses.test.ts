import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import test from 'node:test';
import { printSocketAddress } from '../../src/dns/address.ts';
import { listeningAddresses } from '../../src/server/listening/listeningAddresses.ts';
import { freePort } from '../support/freePort.ts';

type Transport = 'udp' | 'tcp';
type Place = readonly [address: string, ...transports: Transport[]];

/** What `listeningAddresses` finds while this process listens at the places, all on one port. */
async function foundAt(places: readonly Place[], port: number): Promise<readonly string[]> {
  const opening = places.flatMap(([address, ...transports]) =>
    transports.map((transport) => listen(transport, address, port)),
  );
  const closing = await Promise.all(opening);
  try {
    return listeningAddresses(String(process.pid)).map(printSocketAddress).sort();
  } finally {
    for (const close of closing) close();
  }
}

async function listen(transport: Transport, address: string, port: number): Promise<() => void> {
  if (transport === 'tcp') {
    const server = createServer().listen({ port, host: address, ipv6Only: true });
    await once(server, 'listening');
    return () => server.close();
  }
  const type = address.includes(':') ? 'udp6' : 'udp4';
  const socket = createSocket({ type, ipv6Only: type === 'udp6' }).bind(port, address);
  await once(socket, 'listening');
  return () => socket.close();
}

test('A process listens at the addresses that it has both a UDP and a TCP socket at', async () => {
  const port = await freePort();
  const places: readonly Place[] = [
    ['127.0.0.1', 'udp', 'tcp'],
    ['127.0.0.2', 'udp'],
    ['127.0.0.3', 'tcp'],
    ['127.0.0.4', 'tcp', 'udp'],
    ['::1', 'udp', 'tcp'],
  ];
  const expected = [`127.0.0.1:${port}`, `127.0.0.4:${port}`, `[::1]:${port}`];
  assert.deepEqual(await foundAt(places, port), expected);
});

test('A socket of one family makes no address of the other family a server', async () => {
  const port = await freePort();
  const places: readonly Place[] = [
    ['127.0.0.1', 'udp'],
    ['::1', 'tcp'],
  ];
  assert.deepEqual(await foundAt(places, port), []);
});

test('A wildcard address becomes loopback', async () => {
  const port = await freePort();
  const places: readonly Place[] = [
    ['0.0.0.0', 'udp', 'tcp'],
    ['::', 'udp', 'tcp'],
  ];
  assert.deepEqual(await foundAt(places, port), [`127.0.0.1:${port}`, `[::1]:${port}`]);
});

test('A connection at the address of a UDP socket makes it no server', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  const client = connect(address.port, '127.0.0.1');
  await once(client, 'connect');
  try {
    const { localPort = 0 } = client;
    assert.deepEqual(await foundAt([['127.0.0.1', 'udp']], localPort), []);
  } finally {
    client.destroy();
    server.close();
  }
});
