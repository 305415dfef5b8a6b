/** UDP through the proxy: which backend gets a datagram, and where the reply comes from. */
import assert from 'node:assert/strict';
import dgram, { type Socket } from 'node:dgram';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MAX_FLOWS } from '../../../src/ambassador/proxy/flows.ts';
import type { Backend, ListenAddress } from '../../../src/ambassador/route.ts';
import { SocketMaker } from '../../../src/dataplane/sockets/socket.ts';
import type { SocketAddress } from '../../../src/dns/address.ts';
import { loadLibc } from '../../../src/kernel/libc.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { freePort } from '../../support/freePort.ts';
import { backend, openProxy, type SceneOptions, setOf, UNKNOWN } from '../../support/proxyScene.ts';
import { until } from '../../support/until.ts';

const UDP: ListenAddress = { kind: 'port', address: '127.0.0.1', port: 0, protocol: 'udp' };

interface UdpBackend {
  readonly as: Backend;
  readonly received: string[];
  /** The ports that the proxy has sent from. */
  readonly ports: Set<number>;
  close(): Promise<void>;
}

/** Answers each datagram with its name and the datagram. */
async function startUdpBackend(
  t: TestContext,
  name: string,
  address = '127.0.0.1',
): Promise<UdpBackend> {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  const received: string[] = [];
  const ports = new Set<number>();
  socket.on('message', (message, peer) => {
    received.push(`${message}`);
    ports.add(peer.port);
    socket.send(`${name} ${message}`, peer.port, peer.address);
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  let isClosed = false;
  const close = async (): Promise<void> => {
    if (isClosed) return;
    isClosed = true;
    await new Promise<void>((resolve) => socket.close(resolve));
  };
  t.after(close);
  return { as: backend({ address, port: socket.address().port }), received, ports, close };
}

interface UdpClient {
  readonly socket: Socket;
  readonly replies: string[];
  send(text: string): void;
  /** Sends until a reply to the text comes, at most that long, and returns the reply. */
  ask(text: string, timeoutMs?: number): Promise<string>;
}

async function startUdpClient(
  t: TestContext,
  to: SocketAddress,
  address?: string,
): Promise<UdpClient> {
  const socket = dgram.createSocket(to.address.includes(':') ? 'udp6' : 'udp4');
  const replies: string[] = [];
  socket.on('message', (message, peer) => {
    // A resolver and other connected programs ignore a reply from elsewhere.
    if (peer.address === to.address && peer.port === to.port) replies.push(`${message}`);
  });
  socket.bind(0, address);
  await once(socket, 'listening');
  t.after(() => void socket.close());
  const send = (text: string): void => socket.send(text, to.port, to.address);
  return {
    socket,
    replies,
    send,
    ask: async (text, timeoutMs = 10_000) => {
      send(text);
      const find = (): string | undefined => replies.find((reply) => reply.endsWith(` ${text}`));
      await until(`a reply to ${text}`, () => find() !== undefined, timeoutMs);
      return find() ?? '';
    },
  };
}

const serveUdp = (t: TestContext, options: SceneOptions = {}) =>
  openProxy(t, { listen: UDP, ...options });

test('A UDP client keeps its backend, and each client address and port has a flow of its own', async (t) => {
  const [a, b] = [await startUdpBackend(t, 'a'), await startUdpBackend(t, 'b')];
  const { at, plane } = await serveUdp(t, { destination: { backends: setOf(a.as, b.as) } });
  const clients = await Promise.all(Array.from({ length: 20 }, () => startUdpClient(t, at)));
  const first = await Promise.all(clients.map((client) => client.ask('1')));
  const second = await Promise.all(clients.map((client) => client.ask('2')));
  assert.deepEqual(
    second.map((reply) => reply[0]),
    first.map((reply) => reply[0]),
  );
  assert.equal(new Set(first).size, 2);
  assert.equal(plane.counters().flows, 20);
  assert.equal(a.ports.size + b.ports.size, 20);
  const [route] = plane.status()[0]?.routes ?? [];
  assert.equal(
    route?.states.reduce((sum, { connections }) => sum + connections, 0),
    20,
  );
  const { datagrams, datagramOctets } = plane.counters();
  assert.deepEqual(datagrams, { toBackends: 40, toClients: 40 });
  assert.deepEqual(datagramOctets, { toBackends: 40, toClients: 120 });
});

test('The flow of a backend that leaves goes on at another one with the next datagram', async (t) => {
  const [a, b] = [await startUdpBackend(t, 'a'), await startUdpBackend(t, 'b')];
  const { at, lead } = await serveUdp(t, { destination: { backends: setOf(a.as, b.as) } });
  const client = await startUdpClient(t, at);
  const [name] = await client.ask('1');
  const [stays, other] = name === 'a' ? [b, 'b'] : [a, 'a'];
  lead({ backends: setOf(stays.as) });
  assert.equal(await client.ask('2'), `${other} 2`);
});

test('The flow of a backend that stays is not moved when another one comes or goes', async (t) => {
  const [a, b] = [await startUdpBackend(t, 'a'), await startUdpBackend(t, 'b')];
  const { at, lead } = await serveUdp(t, { destination: { backends: setOf(a.as) } });
  const client = await startUdpClient(t, at);
  await client.ask('1');
  lead({ backends: setOf(b.as, a.as) });
  assert.equal(await client.ask('2'), 'a 2');
  lead({ backends: setOf(a.as) });
  assert.equal(await client.ask('3'), 'a 3');
  assert.equal(a.ports.size, 1);
});

test('A UDP route that loses its last backend refuses datagrams, and serves the same socket when one comes', async (t) => {
  const [a, b] = [await startUdpBackend(t, 'a'), await startUdpBackend(t, 'b')];
  for (const address of ['127.0.0.1', '0.0.0.0']) {
    const { at, plane, events, lead } = await openProxy(t, {
      listen: { ...UDP, address, port: await freePort() },
      destination: { backends: setOf(a.as) },
    });
    const client = dgram.createSocket('udp4');
    t.after(() => void client.close());
    client.connect(at.port, '127.0.0.1');
    await once(client, 'connect');
    let seen: string | undefined;
    client.on('message', (message) => {
      seen = `${message}`;
    });
    client.on('error', ({ code }: NodeJS.ErrnoException) => {
      seen = code;
    });
    const sees = (expected: string): Promise<void> =>
      until(`the client sees ${expected}`, () => {
        client.send('x', () => {}); // an error that an earlier datagram caused comes as its event
        return seen === expected;
      });
    await sees('a x');
    for (const [backend, name] of [
      [b, 'b'],
      [a, 'a'],
    ] as const) {
      lead({ backends: setOf() });
      lead({ backends: setOf() });
      await sees('ECONNREFUSED');
      assert.equal(plane.counters().flows, 0);
      lead({ backends: setOf(backend.as) });
      await sees(`${name} x`);
    }
    assert.deepEqual(
      events.map(({ kind }) => kind),
      ['unserved', 'served', 'unserved', 'served'],
    );
  }
});

test('Datagrams are dropped while the backends are unknown or no route takes them', async (t) => {
  const { at, plane, lead } = await serveUdp(t, { destination: { backends: UNKNOWN } });
  const client = await startUdpClient(t, at);
  client.send('1');
  await until('it is dropped', () => plane.counters().datagramsDropped.unknown === 1);
  const a = await startUdpBackend(t, 'a');
  lead({ backends: setOf(a.as) });
  assert.equal(await client.ask('2'), 'a 2');

  const strict = await serveUdp(t, { destinationOf: () => undefined });
  const stranger = await startUdpClient(t, strict.at);
  stranger.send('1');
  await until('it is dropped too', () => strict.plane.counters().datagramsDropped.noRoute === 1);
});

test('A closed listener forgets its flows and frees its port', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const { at, plane, listener } = await serveUdp(t, { destination: { backends: setOf(a.as) } });
  const before = (await readdir('/proc/self/fd')).length;
  const client = await startUdpClient(t, at);
  await client.ask('1');
  await listener.close(0);
  assert.equal(plane.counters().flows, 0);
  await until(
    'its sockets are closed',
    async () => (await readdir('/proc/self/fd')).length <= before,
  );
  const again = await plane.open({ ...UDP, port: at.port }, () => undefined);
  assert.equal(again.kind, 'opened');
});

test('A datagram that a backend refuses goes to another backend', async (t) => {
  const gone = await startUdpBackend(t, 'gone', '127.0.0.9');
  await gone.close();
  const good = await startUdpBackend(t, 'good');
  const { at, plane } = await serveUdp(t, {
    destination: { backends: setOf(gone.as, { ...good.as, priority: 1 }) },
  });
  const client = await startUdpClient(t, at);
  // Sent once: the proxy itself sends it to the other backend.
  assert.equal(await client.ask('1'), 'good 1');
  assert.equal(plane.counters().connectFailures.refused, 1);
  assert.equal(await client.ask('2'), 'good 2');
  assert.equal(plane.counters().connectFailures.refused, 1);
});

test('A backend that ends in the middle of a flow is left for another one', async (t) => {
  const [a, b] = [await startUdpBackend(t, 'a'), await startUdpBackend(t, 'b')];
  const { at } = await serveUdp(t, {
    destination: { backends: setOf(a.as, { ...b.as, priority: 1 }) },
  });
  const client = await startUdpClient(t, at);
  assert.equal(await client.ask('1'), 'a 1');
  await a.close();
  assert.equal(await client.ask('2'), 'b 2');
});

test('A datagram that every backend refuses is dropped, and a backend that returns is found again', async (t) => {
  const gone = await startUdpBackend(t, 'gone');
  await gone.close();
  const { at, plane, events } = await serveUdp(t, { destination: { backends: setOf(gone.as) } });
  const client = await startUdpClient(t, at);
  for (let i = 1; i <= 3; i++) {
    client.send('x');
    await until('it is dropped', () => plane.counters().datagramsDropped.unreachable === i);
  }
  assert.deepEqual(events, [
    {
      kind: 'unreachable',
      route: 'route',
      tried: [`127.0.0.1:${gone.as.port} refused`],
      times: 1,
    },
  ]);
  const back = dgram.createSocket('udp4');
  back.on('message', (message, { port, address }) => back.send(`back ${message}`, port, address));
  back.bind(gone.as.port, '127.0.0.1');
  await once(back, 'listening');
  t.after(() => void back.close());
  assert.equal(await client.ask('y'), 'back y');
});

test('A flow without traffic is forgotten after the idle time, and one with traffic stays', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const clock = new FakeClock();
  const { at, plane } = await serveUdp(t, { clock, destination: { backends: setOf(a.as) } });
  const [busy, silent] = [await startUdpClient(t, at), await startUdpClient(t, at)];
  await busy.ask('1');
  await silent.ask('1');
  await clock.advance(40_000);
  await busy.ask('2');
  await clock.advance(30_000);
  assert.equal(plane.counters().flows, 1);
  await clock.advance(31_000);
  assert.equal(plane.counters().flows, 0);
  assert.equal(await silent.ask('3'), 'a 3');
  assert.equal(plane.counters().flows, 1);
});

test('A route with too many flows forgets the one without traffic for the longest time', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const { at, plane } = await serveUdp(t, { destination: { backends: setOf(a.as) } });
  const [first, second] = [await startUdpClient(t, at), await startUdpClient(t, at)];
  await first.ask('1');
  await second.ask('1');
  await first.ask('2');
  const flood = dgram.createSocket('udp4');
  t.after(() => void flood.close());
  const sockets: Socket[] = [];
  t.after(() => sockets.forEach((socket) => void socket.close()));
  const flows = (): number => plane.counters().flows;
  while (flows() < MAX_FLOWS) {
    // No more than have room: the proxy takes them only when this loop waits.
    const wanted = Math.min(MAX_FLOWS, flows() + 100);
    for (let left = wanted - flows(); left > 0; left--) {
      const socket = dgram.createSocket('udp4');
      sockets.push(socket);
      socket.send('x', at.port, at.address);
    }
    await until('they have arrived', () => flows() >= wanted, 2_000).catch(() => {});
    assert.ok(sockets.length < 3 * MAX_FLOWS, 'too many datagrams were lost');
  }
  assert.equal(plane.counters().flowsEvicted, 0);
  const portsBefore = a.ports.size;
  const third = await startUdpClient(t, at);
  await third.ask('1');
  assert.equal(plane.counters().flowsEvicted, 1);
  assert.equal(plane.counters().flows, MAX_FLOWS);
  await first.ask('3'); // its flow is still there
  await until('all have arrived', () => a.ports.size > portsBefore);
  assert.equal(plane.counters().flowsEvicted, 1);
  await second.ask('2');
  assert.equal(plane.counters().flowsEvicted, 2);
});

test('A UDP reply leaves from the address that the client sent to, on every address of the host', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const port = await freePort();
  const { listener } = await serveUdp(t, {
    listen: { ...UDP, address: undefined, port },
    destination: { backends: setOf(a.as) },
  });
  const addresses = Object.values(networkInterfaces())
    .flatMap((each) => each ?? [])
    .filter((each) => each.family === 'IPv4' || each.scopeid === 0)
    .map(({ address }) => address);
  assert.ok(addresses.length > 1);
  for (const address of addresses) {
    const client = await startUdpClient(t, { address, port });
    assert.equal(await client.ask(address), `a ${address}`);
  }
  assert.ok(listener.addresses.length >= addresses.length);
});

test('A UDP client gets replies again when the address that it sends to has gone and come back', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const clock = new FakeClock();
  const port = await freePort();
  let local = ['127.0.0.1', '127.0.0.9'];
  await serveUdp(t, {
    clock,
    listLocal: () => local,
    listen: { ...UDP, address: undefined, port },
    destination: { backends: setOf(a.as) },
  });
  const client = await startUdpClient(t, { address: '127.0.0.1', port });
  assert.equal(await client.ask('1'), 'a 1');
  local = ['127.0.0.9'];
  await clock.advance(5_000);
  local = ['127.0.0.1', '127.0.0.9'];
  await clock.advance(5_000);
  assert.equal(await client.ask('2'), 'a 2');
});

test('A UDP listener on all addresses follows the addresses of the host', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const clock = new FakeClock();
  const port = await freePort();
  let local = ['127.0.0.1'];
  const { at, plane, listener } = await serveUdp(t, {
    clock,
    listLocal: () => local,
    listen: { ...UDP, address: undefined, port },
    destination: { backends: setOf(a.as) },
  });
  const client = await startUdpClient(t, at);
  assert.equal(await client.ask('1'), 'a 1');
  // The last one is not an address of this host.
  local = ['127.0.0.2', '192.0.2.7'];
  await clock.advance(5_000);
  const next = await startUdpClient(t, { address: '127.0.0.2', port });
  assert.equal(await next.ask('2'), 'a 2');
  client.send('3');
  await sleep(100);
  assert.deepEqual(client.replies, ['a 1']);
  await listener.close(0);
  local = ['127.0.0.3'];
  await clock.advance(10_000);
  assert.equal(plane.counters().flows, 0);
  const free = dgram.createSocket('udp4').bind(port, '127.0.0.3');
  await once(free, 'listening');
  free.close();
});

test('A taken UDP port is refused with its holder, and nothing stays open', async (t) => {
  const { plane } = await serveUdp(t);
  const holder = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(holder, 'listening');
  t.after(() => void holder.close());
  const { port } = holder.address();
  const before = (await readdir('/proc/self/fd')).length;
  for (const address of ['127.0.0.1', undefined]) {
    const outcome = await plane.open({ ...UDP, address, port }, () => undefined);
    assert.ok(outcome.kind === 'taken');
    assert.equal(outcome.holder?.pid, process.pid);
  }
  assert.ok((await readdir('/proc/self/fd')).length <= before);
});

test('A datagram that a listener of the proxy seems to have sent is dropped', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const { at, plane } = await serveUdp(t, { destination: { backends: setOf(a.as) } });
  const other = await plane.open(UDP, () => undefined);
  assert.ok(other.kind === 'opened');
  const [from] = other.listener.addresses;
  assert.ok(from !== undefined);
  await other.listener.close(0);
  // The port is free, and the proxy opens its listener again through the same socket.
  const loaded = loadLibc();
  if (loaded.kind === 'missing') return t.skip(loaded.reason);
  const [socket] = new SocketMaker(loaded.libc).open(from, 1);
  assert.ok(socket !== undefined);
  const inherited = [{ ...from, transport: 'udp', fd: socket.fd }] as const;
  const adopted = await plane.open({ ...UDP, port: from.port }, () => undefined, inherited);
  assert.ok(adopted.kind === 'opened');
  const [shared] = new SocketMaker(loaded.libc).open(from, 1, true);
  assert.ok(shared !== undefined);
  const forged = dgram.createSocket('udp4');
  await new Promise<void>((resolve) => forged.bind({ fd: shared.fd }, resolve));
  t.after(() => void forged.close());
  forged.send('forged', at.port, at.address);
  await until('it is dropped', () => plane.counters().datagramsDropped.source === 1);
  assert.deepEqual(a.received, []);
});

test('A UDP backend at a forbidden address gets no datagram', async (t) => {
  const a = await startUdpBackend(t, 'a');
  const { at, plane, events } = await serveUdp(t, {
    addressPolicy: () => 'loopback',
    destination: { backends: setOf(a.as) },
  });
  const client = await startUdpClient(t, at);
  client.send('1');
  await until('it is dropped', () => plane.counters().datagramsDropped.forbidden === 1);
  assert.deepEqual(a.received, []);
  assert.deepEqual(
    events.map(({ kind }) => kind),
    ['forbidden'],
  );
});

test('A bound UDP descriptor is taken over', async (t) => {
  const loaded = loadLibc();
  if (loaded.kind === 'missing') return t.skip(loaded.reason);
  const a = await startUdpBackend(t, 'a');
  const [socket] = new SocketMaker(loaded.libc).open({ address: '127.0.0.1', port: 0 }, 1);
  assert.ok(socket !== undefined);
  const { fd, address, port } = socket;
  const { plane } = await serveUdp(t);
  const destination = { label: 'taken over', backends: setOf(a.as), isStatic: false };
  const inherited = [{ address, port, transport: 'udp', fd }] as const;
  const outcome = await plane.open({ ...UDP, port }, () => destination, inherited);
  assert.ok(outcome.kind === 'opened');
  const client = await startUdpClient(t, { address, port });
  assert.equal(await client.ask('1'), 'a 1');
});

test('UDP passes between address families', async (t) => {
  const hasIpv6 = Object.values(networkInterfaces())
    .flat()
    .some((one) => one?.address === '::1');
  if (!hasIpv6) return t.skip('this host has no IPv6');
  const six = await startUdpBackend(t, 'six', '::1');
  const { at } = await serveUdp(t, { destination: { backends: setOf(six.as) } });
  const client = await startUdpClient(t, at);
  assert.equal(await client.ask('1'), 'six 1');
});
