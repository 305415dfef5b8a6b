/** What a carrier does with the octets, ends and resets of the connections that it carries. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { startProxyProcess } from '../../support/proxyProcess.ts';
import {
  ask,
  type CarrierName,
  connectTo,
  contract,
  openProxy,
  type ProxyScene,
  setOf,
  startBackend,
  type TestBackend,
} from '../../support/proxyScene.ts';
import { until } from '../../support/until.ts';

const MEBIOCTET = 1 << 20;

/** A proxy with one backend. */
async function pair(
  t: TestContext,
  carrierName: CarrierName,
  serve?: (socket: Socket) => void,
): Promise<ProxyScene & { readonly backend: TestBackend }> {
  const backend = await startBackend(t, 'one', serve === undefined ? {} : { serve });
  const scene = await openProxy(t, { carrierName, destination: { backends: setOf(backend.as) } });
  return { ...scene, backend };
}

/** The backend's side of the only connection. */
async function backendSide(backend: TestBackend): Promise<Socket> {
  await until('the backend has the connection', () => backend.sockets.size === 1);
  const [socket] = backend.sockets;
  assert.ok(socket !== undefined);
  return socket;
}

const silent = (): void => {};

contract('Octets pass both ways', async (t, carrierName) => {
  const { at, plane } = await pair(t, carrierName);
  const client = await connectTo(at);
  assert.equal(await client.exchange('a\n', 6), 'one a\n');
  assert.equal(await client.exchange('second', 6), 'second');
  await until('all are counted', () => plane.counters().octets.toClients === 12);
  assert.deepEqual(plane.counters().octets, { toBackends: 8, toClients: 12 });
  client.socket.destroy();
});

contract(
  'A client that ends its half still gets everything that the backend sends',
  async (t, carrierName) => {
    const serve = (socket: Socket): void => {
      let text = '';
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('end', async () => {
        socket.write(`got ${text}`);
        await sleep(50);
        socket.end(Buffer.alloc(4 * MEBIOCTET, 'x'));
      });
    };
    const { at, plane } = await pair(t, carrierName, serve);
    const reply = await ask(at, 'question');
    assert.equal(reply.slice(0, 13), 'got questionx');
    assert.equal(reply.length, 'got question'.length + 4 * MEBIOCTET);
    await until('the connection is over', () => plane.counters().connections.open === 0);
  },
);

contract(
  'A backend that ends its half still gets everything that the client sends',
  async (t, carrierName) => {
    const received: Buffer[] = [];
    const serve = (socket: Socket): void => {
      socket.end('bye');
      socket.on('data', (chunk) => received.push(chunk));
    };
    const { at, backend } = await pair(t, carrierName, serve);
    const client = await connectTo(at);
    assert.equal(await client.all().then(() => client.text), 'bye');
    const late = await connectTo(at);
    await until('its half has ended', () => late.hasEnded);
    late.socket.end(Buffer.alloc(MEBIOCTET, 'y'));
    await until('all have arrived', () => Buffer.concat(received).length === MEBIOCTET);
    await until('both are closed', () => backend.sockets.size === 0);
  },
);

contract("A client's RST is passed on as a RST", async (t, carrierName) => {
  const { at, backend, plane } = await pair(t, carrierName, silent);
  const client = await connectTo(at);
  const side = await backendSide(backend);
  const failed = once(side, 'error');
  side.resume();
  client.socket.resetAndDestroy();
  const [error] = await failed;
  assert.equal(error.code, 'ECONNRESET');
  await until('the connection is over', () => plane.counters().connections.open === 0);
});

contract("A backend's RST is passed on as a RST", async (t, carrierName) => {
  const { at, backend, plane } = await pair(t, carrierName, silent);
  const client = await connectTo(at);
  (await backendSide(backend)).resetAndDestroy();
  assert.equal(await client.closed(), 'ECONNRESET');
  await until('the connection is over', () => plane.counters().connections.open === 0);
});

contract(
  'A RST that follows the end of the same half is passed on within seconds',
  async (t, carrierName) => {
    const { at, backend, plane } = await pair(t, carrierName, silent);
    const client = await connectTo(at);
    const side = await backendSide(backend);
    const ended = once(side, 'end');
    side.resume();
    client.socket.end();
    await ended;
    client.socket.resetAndDestroy();
    // The backend has nothing to send and reads nothing more, so only the proxy can notice.
    await until('the connection is over', () => plane.counters().connections.open === 0, 20_000);
    side.destroy();
  },
);

contract('A RST is passed on while the other side does not read', async (t, carrierName) => {
  const { at, backend, plane } = await pair(t, carrierName, (socket) => {
    socket.write(Buffer.alloc(32 * MEBIOCTET));
  });
  const client = await connectTo(at);
  client.socket.pause();
  const side = await backendSide(backend);
  await until('the proxy is full', async () => {
    const before = plane.counters().octets.toClients;
    await sleep(100);
    return before > 0 && plane.counters().octets.toClients === before;
  });
  const failed = once(side, 'error');
  client.socket.resetAndDestroy();
  const [error] = await failed;
  assert.match(error.code, /ECONNRESET|EPIPE/);
  await until('the connection is over', () => plane.counters().connections.open === 0);
});

contract(
  'Many megabytes arrive unchanged on one connection, both ways at once',
  async (t, carrierName) => {
    const { at } = await pair(t, carrierName, (socket) => socket.pipe(socket));
    await assertReturned(at, 64 * MEBIOCTET);
  },
);

contract('Many megabytes arrive unchanged on 64 connections at once', async (t, carrierName) => {
  const { at, plane } = await pair(t, carrierName, (socket) => socket.pipe(socket));
  await Promise.all(Array.from({ length: 64 }, () => assertReturned(at, 2 * MEBIOCTET)));
  const octets = 128 * MEBIOCTET;
  await until('all are counted', () => plane.counters().octets.toClients >= octets);
  assert.deepEqual(plane.counters().octets, { toBackends: octets, toClients: octets });
});

/** Sends random octets to a backend that returns them, and compares the hashes. */
async function assertReturned(at: ProxyScene['at'], octets: number): Promise<void> {
  const { socket } = await connectTo(at);
  const [sent, received] = [createHash('sha256'), createHash('sha256')];
  socket.removeAllListeners('data');
  socket.on('data', (chunk) => received.update(chunk));
  const block = randomBytes(MEBIOCTET);
  for (let left = octets; left > 0; left -= block.length) {
    block.writeUInt32LE(left, 0);
    const part = Buffer.from(block);
    sent.update(part);
    if (!socket.write(part)) await once(socket, 'drain');
  }
  socket.end();
  await once(socket, 'end');
  assert.equal(received.digest('hex'), sent.digest('hex'));
}

contract('What a client sends before its backend accepts is not lost', async (t, carrierName) => {
  const { at } = await pair(t, carrierName);
  const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(at, `early ${i}`)));
  assert.deepEqual(
    replies,
    Array.from({ length: 50 }, (_, i) => `one early ${i}`),
  );
});

contract(
  'The kernel probes both sides of an idle connection after a minute',
  async (t, carrierName) => {
    const { at, backend, plane } = await pair(t, carrierName);
    const client = await connectTo(at);
    const side = await backendSide(backend);
    await until('it is open', () => plane.counters().connections.open === 1);
    const timers = await keepaliveTimers([
      [at.port, Number(client.socket.localPort)],
      [Number(side.remotePort), backend.port],
    ]);
    assert.equal(timers.length, 2);
    for (const seconds of timers) assert.ok(seconds > 30 && seconds <= 60, `${seconds} s`);
    client.socket.destroy();
  },
);

/** The seconds left of the keepalive timers of established connections with these local and remote ports. */
async function keepaliveTimers(
  connections: readonly (readonly [local: number, remote: number])[],
): Promise<readonly number[]> {
  const rows = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  const timers = new Map<string, number>(); // the kernel repeats rows while other tests connect
  for (const row of rows) {
    const [, local = '', remote = '', state, , timer = ''] = row.trim().split(/\s+/);
    const [kind, jiffies = ''] = timer.split(':');
    const isOurs = connections.some(([l, r]) => l === portOf(local) && r === portOf(remote));
    // State 1: established; timer 2: keepalive. USER_HZ is 100 everywhere.
    if (isOurs && state === '01' && kind === '02')
      timers.set(`${local} ${remote}`, Number.parseInt(jiffies, 16) / 100);
  }
  return [...timers.values()];
}

function portOf(end: string): number {
  return Number.parseInt(end.split(':')[1] ?? '', 16);
}

contract(
  '10,000 connections that were opened and reset leave no descriptor',
  async (t, carrierName) => {
    const { at, plane, backend } = await pair(t, carrierName);
    await ask(at, 'warm up');
    await until('it is over', () => plane.counters().connections.open === 0);
    const before = await descriptors();
    for (let round = 0; round < 200; round++) {
      const clients = await Promise.all(Array.from({ length: 50 }, () => connectTo(at)));
      clients.forEach(({ socket }, i) => {
        if (i % 4 === 1) socket.write('some');
        // Node does not close a socket that is reset during its shutdown.
        if (i % 4 === 2) socket.end('all', () => socket.resetAndDestroy());
        else if (i % 4 === 3) setImmediate(() => socket.resetAndDestroy());
        else socket.resetAndDestroy();
      });
    }
    await until(
      'no connection is left',
      () => {
        const { open, connecting } = plane.counters().connections;
        return open + connecting === 0 && backend.sockets.size === 0;
      },
      30_000,
    );
    await until('no descriptor is left', async () => (await descriptors()) <= before, 20_000);
  },
);

contract(
  'Connections that the proxy cuts in any state leave no descriptor',
  async (t, carrierName) => {
    const { at, plane, backend, lead } = await pair(t, carrierName, (socket) => {
      socket.on('data', () => {});
      socket.write(Buffer.alloc(MEBIOCTET));
    });
    const first = await connectTo(at);
    await first.exchange('x', MEBIOCTET);
    first.socket.resetAndDestroy();
    await until('the first one is over', () => plane.counters().connections.open === 0);
    const before = await descriptors();
    const clients = await Promise.all(Array.from({ length: 60 }, () => connectTo(at)));
    clients.forEach(({ socket }, i) => {
      if (i % 3 === 0) socket.pause();
      if (i % 2 === 0) socket.end('x');
    });
    await until('all are open', () => backend.sockets.size === 60);
    lead({ backends: setOf(), drainSeconds: 0 });
    await until('no connection is left', () => plane.counters().connections.open === 0, 20_000);
    // Node does not notice a RST on a socket that has read the end.
    for (const socket of [...backend.sockets, ...clients.map((client) => client.socket)])
      socket.destroy();
    await until('no descriptor is left', async () => (await descriptors()) <= before, 20_000);
  },
);

async function descriptors(): Promise<number> {
  return (await readdir('/proc/self/fd')).length;
}

contract(
  'A client that stops reading costs the proxy less than 256 KiB',
  async (t, carrierName) => {
    const backend = await startBackend(t, 'flood', {
      serve: (socket) => {
        const chunk = Buffer.alloc(64 * 1024);
        const flood = (): void => {
          while (!socket.destroyed && socket.write(chunk));
        };
        socket.on('drain', flood);
        flood();
      },
    });
    const proxy = await startProxyProcess(t, carrierName, backend);
    const stall = async (count: number): Promise<void> => {
      const clients = await Promise.all(Array.from({ length: count }, () => connectTo(proxy)));
      for (const { socket } of clients) socket.pause();
      t.after(() => clients.forEach(({ socket }) => void socket.destroy()));
      let last = -1;
      await until(
        'the proxy is full',
        async () => {
          const { octets } = await proxy.measure();
          const isFull = octets > 0 && octets === last;
          last = octets;
          await sleep(200);
          return isFull;
        },
        30_000,
      );
    };
    await stall(8);
    const before = await proxy.measure();
    const count = 64;
    await stall(count);
    await until('each client costs less than 256 KiB', async () => {
      const after = await proxy.measure();
      const each = (after.residentOctets - before.residentOctets) / count;
      t.diagnostic(`${Math.round(each / 1024)} KiB for each client`);
      await sleep(500); // Node gives memory back to the system some time after a collection
      return each < 256 * 1024;
    });
  },
);
