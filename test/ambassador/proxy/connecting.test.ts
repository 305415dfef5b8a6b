/** Which backend gets a connection, and what happens when a backend does not take it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import net from 'node:net';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { SocketAddress } from '../../../src/dns/address.ts';
import {
  ask,
  backend,
  connectTo,
  contract,
  openProxy,
  setOf,
  startBackend,
  UNKNOWN,
} from '../../support/proxyScene.ts';
import { until } from '../../support/until.ts';

/** An address and port that refuse connections. */
async function refusing(t: TestContext): Promise<SocketAddress> {
  const gone = await startBackend(t, 'gone', { address: '127.0.0.9' });
  await gone.close();
  return { address: gone.address, port: gone.port };
}

/** An address and port that do not answer: a stopped process whose queue of connections is full. */
async function silentBackend(t: TestContext): Promise<SocketAddress> {
  const program =
    "const s = require('net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => console.log(s.address().port))";
  const child = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  const [text] = await once(child.stdout, 'data');
  child.kill('SIGSTOP');
  const at = { address: '127.0.0.1', port: Number(text) };
  const sockets = Array.from({ length: 8 }, () => net.connect({ host: at.address, port: at.port }));
  for (const socket of sockets) socket.on('error', () => {});
  t.after(() => sockets.forEach((socket) => void socket.destroy()));
  await until('the queue is full', async () => {
    await sleep(100);
    return sockets.filter(({ connecting }) => connecting).length >= 4;
  });
  return at;
}

contract('No connection fails while one of two backends refuses', async (t, carrierName) => {
  const good = await startBackend(t, 'good');
  const bad = await refusing(t);
  const { at, plane, events } = await openProxy(t, {
    carrierName,
    destination: { backends: setOf(good.as, backend(bad)) },
  });
  for (let round = 0; round < 20; round++) {
    const replies = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(at, `${i}\n`)));
    assert.deepEqual(
      replies,
      Array.from({ length: 50 }, (_, i) => `good ${i}\n`),
    );
  }
  const { refused } = plane.counters().connectFailures;
  assert.ok(refused > 300 && refused < 700, `${refused} of 1000 were tried there first`);
  assert.deepEqual(events, []);
  const [route] = plane.status()[0]?.routes ?? [];
  assert.deepEqual(route?.states.map(({ state }) => state).sort(), ['ok', 'unreachable']);
});

contract(
  'A backend that does not accept within the timeout is left for the next one',
  async (t, carrierName) => {
    const late = await silentBackend(t);
    const good = await startBackend(t, 'good');
    const { at, plane } = await openProxy(t, {
      carrierName,
      connectTimeoutSeconds: 0.2,
      destination: { backends: setOf(backend(late), backend(good, { priority: 1 })) },
    });
    assert.equal(await ask(at, 'x'), 'good x');
    assert.equal(plane.counters().connectFailures.timeout, 1);
  },
);

contract(
  'A connection that no backend takes is reset, and one event a minute says so',
  async (t, carrierName) => {
    const bad = await refusing(t);
    const { at, plane, events } = await openProxy(t, {
      carrierName,
      destination: { backends: setOf(backend(bad)) },
    });
    for (let i = 0; i < 3; i++) await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    assert.deepEqual(events, [
      {
        kind: 'unreachable',
        route: 'route',
        tried: [`127.0.0.9:${bad.port} refused`],
        times: 1,
      },
    ]);
    assert.equal(plane.counters().refused.unreachable, 3);
  },
);

contract('At most five backends are tried for a connection', async (t, carrierName) => {
  const bad = await Promise.all(Array.from({ length: 7 }, () => refusing(t)));
  const { at, plane } = await openProxy(t, {
    carrierName,
    destination: { backends: setOf(...bad.map((each) => backend(each))) },
  });
  await assert.rejects(ask(at, 'x'), /ECONNRESET/);
  assert.equal(plane.counters().connectFailures.refused, 5);
});

contract(
  'A route without a backend resets connections, with one event for each change',
  async (t, carrierName) => {
    const good = await startBackend(t, 'good');
    const reason = 'redis.skydns.local. does not exist';
    const { at, plane, events, lead } = await openProxy(t, {
      carrierName,
      destination: { backends: { kind: 'known', backends: [], reason } },
    });
    for (let i = 0; i < 3; i++) await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    lead({ backends: setOf(good.as) });
    assert.equal(await ask(at, 'x'), 'good x');
    lead({ backends: setOf() });
    await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    assert.deepEqual(events, [
      { kind: 'unserved', route: 'route', reason },
      { kind: 'served', route: 'route' },
      { kind: 'unserved', route: 'route', reason: undefined },
    ]);
    assert.equal(plane.counters().refused.noBackend, 4);
  },
);

contract('A connection waits until the backends are known', async (t, carrierName) => {
  const good = await startBackend(t, 'good');
  const { at, plane, events, lead } = await openProxy(t, {
    carrierName,
    connectTimeoutSeconds: 20,
    destination: { backends: UNKNOWN },
  });
  const reply = ask(at, 'x');
  await until('it waits', () => plane.counters().connections.waiting === 1);
  assert.equal(plane.status()[0]?.routes[0]?.waiting, 1);
  lead({ backends: setOf(good.as) });
  assert.equal(await reply, 'good x');
  assert.deepEqual(events, []);
});

contract(
  'A connection is reset if the backends stay unknown until the timeout',
  async (t, carrierName) => {
    const { at, plane } = await openProxy(t, {
      carrierName,
      connectTimeoutSeconds: 0.2,
      destination: { backends: UNKNOWN },
    });
    await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    assert.equal(plane.counters().refused.unknown, 1);
  },
);

contract(
  'An attempt at a backend that leaves meanwhile is given up for another backend',
  async (t, carrierName) => {
    const late = await silentBackend(t);
    const good = await startBackend(t, 'good');
    const { at, plane, lead } = await openProxy(t, {
      carrierName,
      connectTimeoutSeconds: 60,
      destination: { backends: setOf(backend(late)) },
    });
    const reply = ask(at, 'x');
    await until('it is being connected', () => plane.counters().connections.connecting === 1);
    lead({ backends: setOf(good.as) });
    assert.equal(await reply, 'good x');
  },
);

contract(
  'None of 1,000 connections fails while the backends change ten times a second',
  async (t, carrierName) => {
    let number = 0;
    const start = () =>
      startBackend(t, `b${number++}`, { address: `127.0.1.${1 + (number % 200)}` });
    const alive = [await start(), await start(), await start()];
    const { at, plane, lead } = await openProxy(t, { carrierName });
    const publish = () => lead({ backends: setOf(...alive.map((each) => each.as)) });
    publish();
    let changes = 0;
    const churn = setInterval(async () => {
      alive.push(await start());
      const old = alive.shift();
      publish();
      changes += 1;
      // A container gets time to end after it was withdrawn.
      await until('it serves nobody', () => old?.sockets.size === 0);
      await sleep(200);
      await old?.close();
    }, 100);
    t.after(() => clearInterval(churn));
    let done = 0;
    const seen = new Set<string>();
    const worker = async (): Promise<void> => {
      while (done < 1_000 || changes < 20) {
        const reply = await ask(at, 'x\n');
        assert.match(reply, /^b\d+ x\n$/);
        seen.add(reply);
        done += 1;
        await sleep(5);
      }
    };
    await Promise.all(Array.from({ length: 10 }, worker));
    clearInterval(churn);
    t.diagnostic(`${done} connections, ${changes} changes, ${seen.size} backends`);
    assert.ok(seen.size > 10);
    const { refused, drained } = plane.counters();
    assert.equal(
      Object.values(refused).reduce((sum, each) => sum + each, 0),
      0,
    );
    assert.equal(drained, 0);
  },
);

contract('Each source address has a destination of its own', async (t, carrierName) => {
  const [one, two] = [await startBackend(t, 'one'), await startBackend(t, 'two')];
  const bySource = new Map([
    ['127.0.0.2', { label: 'a', backends: setOf(one.as), isStatic: false }],
    ['127.0.0.3', { label: 'b', backends: setOf(two.as), isStatic: false }],
  ]);
  const { at, plane } = await openProxy(t, {
    carrierName,
    destinationOf: (source) => bySource.get(source),
  });
  assert.equal(await ask(at, 'x', { localAddress: '127.0.0.2' }), 'one x');
  assert.equal(await ask(at, 'x', { localAddress: '127.0.0.3' }), 'two x');
  await assert.rejects(ask(at, 'x', { localAddress: '127.0.0.4' }), /ECONNRESET/);
  assert.equal(plane.counters().refused.noRoute, 1);
});

contract('With balance by source, a source keeps its backend', async (t, carrierName) => {
  const backends = await Promise.all(['a', 'b', 'c', 'd'].map((name) => startBackend(t, name)));
  const { at, lead } = await openProxy(t, {
    carrierName,
    balance: 'source',
    destination: { backends: setOf(...backends.map((each) => each.as)) },
  });
  const sources = Array.from({ length: 12 }, (_, i) => `127.0.2.${i + 1}`);
  const ofAll = () => Promise.all(sources.map((localAddress) => ask(at, 'x', { localAddress })));
  const first = await ofAll();
  assert.deepEqual(await ofAll(), first);
  assert.ok(new Set(first).size > 1);
  const [gone, ...others] = backends;
  lead({ backends: setOf(...others.map((each) => each.as)) });
  const then = await ofAll();
  for (const [i, reply] of first.entries())
    if (reply !== `${gone?.name} x`) assert.equal(then[i], reply);
});

contract(
  'A backend that asks for it gets a PROXY header with the addresses of the client',
  async (t, carrierName) => {
    const received: Buffer[] = [];
    const plain = await startBackend(t, 'sink', {
      serve: (socket) => {
        socket.on('data', (chunk) => received.push(chunk));
        socket.on('end', () => socket.end('done'));
      },
    });
    const { at, lead } = await openProxy(t, {
      carrierName,
      destination: { backends: setOf({ ...plain.as, proxyProtocol: true }) },
    });
    const client = await connectTo(at, { localAddress: '127.0.0.5' });
    const { localPort } = client.socket;
    client.socket.end('hello');
    assert.equal(await client.all(), 'done');
    const octets = Buffer.concat(received);
    assert.equal(octets.subarray(0, 12).toString('hex'), '0d0a0d0a000d0a515549540a');
    assert.deepEqual([...octets.subarray(12, 24)], [0x21, 0x11, 0, 12, 127, 0, 0, 5, 127, 0, 0, 1]);
    assert.equal(octets.readUInt16BE(24), localPort);
    assert.equal(octets.readUInt16BE(26), at.port);
    assert.equal(octets.subarray(28).toString(), 'hello');

    received.length = 0;
    lead({ backends: setOf(plain.as) });
    assert.equal(await ask(at, 'bare'), 'done');
    assert.equal(Buffer.concat(received).toString(), 'bare');
  },
);

contract(
  'The proxy begins every connection with a PROXY header if the option says so',
  async (t, carrierName) => {
    const received: Buffer[] = [];
    const serve = (socket: net.Socket): void => {
      socket.on('data', (chunk) => received.push(chunk));
      socket.on('end', () => socket.end('done'));
    };
    const all = await startBackend(t, 'sink', { serve });
    const { at, lead } = await openProxy(t, {
      carrierName,
      proxyProtocol: true,
      destination: { backends: setOf(all.as) },
    });
    assert.equal(await ask(at, 'x'), 'done');
    assert.equal(Buffer.concat(received).length, 29);
    received.length = 0;
    lead({ backends: setOf({ ...all.as, proxyProtocol: false }) });
    assert.equal(await ask(at, 'x'), 'done');
    assert.equal(Buffer.concat(received).length, 1);
  },
);
