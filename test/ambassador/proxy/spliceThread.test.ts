/** The thread that moves octets: what it does without the proxy's thread, and what happens when it fails. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readlinkSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { Socket } from 'node:net';
import test from 'node:test';
import { fileURLToPath } from 'node:url';
import { KernelSockets } from '../../../src/ambassador/proxy/carry/kernelSockets.ts';
import { openSpliceCarrier } from '../../../src/ambassador/proxy/carry/spliceCarrier.ts';
import { loadStreamCalls } from '../../../src/kernel/streamCalls.ts';
import { systemClock } from '../../../src/timing/clock.ts';
import {
  ask,
  backend,
  blockThread,
  connectTo,
  ON_LOOPBACK,
  openProxy,
  setOf,
  startBackend,
  UNKNOWN,
} from '../../support/proxyScene.ts';
import { until } from '../../support/until.ts';

const loaded = loadStreamCalls();
const skip = loaded.kind === 'missing' ? loaded.reason : false;

const ECHO =
  "const s = require('net').createServer((c) => c.pipe(c)).listen(0, '127.0.0.1', () => console.log(s.address().port))";
const CLIENT =
  "const c = require('net').connect(process.argv[1], '127.0.0.1', () => c.end('hello')); c.on('data', (d) => process.stdout.write(d)); c.on('error', (e) => console.log(e.code))";

test('A client of a known source address is served while the thread of the proxy is busy', {
  skip,
}, async (t) => {
  const echo = spawn(process.execPath, ['-e', ECHO], { stdio: ['ignore', 'pipe', 'inherit'] });
  t.after(() => echo.kill());
  const [text] = await once(echo.stdout, 'data');
  const to = backend({ address: '127.0.0.1', port: Number(text) });
  const { at, plane } = await openProxy(t, {
    carrierName: 'splice',
    destination: { backends: setOf(to) },
  });
  assert.equal(await ask(at, 'first'), 'first');
  await until('it is over', () => plane.counters().connections.open === 0);
  // This thread only waits for the process meanwhile.
  const client = spawnSync(process.execPath, ['-e', CLIENT, `${at.port}`], { timeout: 30_000 });
  assert.equal(`${client.stdout}`, 'hello');
  await until('the proxy has heard of it', () => plane.counters().accepted === 2);
  await until('it is over too', () => plane.counters().connections.open === 0);
});

/** A backend in a process of its own, whose kernel keeps two connections that it has not accepted and no third one. */
const QUEUE_OF_TWO = ECHO.replace("0, '127.0.0.1',", "{ port: 0, host: '127.0.0.1', backlog: 1 },");

test('A client keeps its attempt when the one that had its descriptor before is taken back too late', {
  skip,
}, async (t) => {
  assert.ok(loaded.kind === 'calls');
  const left = spawn(process.execPath, ['-e', QUEUE_OF_TWO], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.after(() => left.kill('SIGKILL'));
  const [text] = await once(left.stdout, 'data');
  const stays = await startBackend(t, 'stays');
  const { at, lead, plane } = await openProxy(t, {
    carrierName: 'splice',
    destination: { backends: setOf(backend({ address: '127.0.0.1', port: Number(text) })) },
  });
  assert.equal(await ask(at, 'plan'), 'plan');
  await until('it is over', () => plane.counters().connections.open === 0);
  left.kill('SIGSTOP');
  const sockets = new KernelSockets(loaded.libc, loaded.calls);
  const waits = sockets.connect({ address: '127.0.0.1', port: Number(text) });
  t.after(() => sockets.close(waits));
  // Until the next `await` the proxy hears of no client, and its thread does not hear that the plan has ended.
  lead({ backends: setOf(stays.as) });
  const first = sockets.connect(at);
  blockThread(100); // the kernel connects it to the backend that has left
  sockets.reset(first);
  blockThread(100); // the thread closes its descriptor
  const second = sockets.connect(at);
  blockThread(100); // the second one gets that descriptor, and its attempt stays open
  const client = new Socket({ fd: second });
  t.after(() => client.destroy());
  client.write('hello');
  const [reply] = await once(client, 'data', { signal: AbortSignal.timeout(10_000) });
  assert.equal(`${reply}`, 'stays hello');
  assert.equal(plane.counters().accepted, 3);
});

test('Clients that are served without asking never exceed the limit of connections', {
  skip,
}, async (t) => {
  const limit = 2 * 64 + 20;
  const one = await startBackend(t, 'one');
  const { at, plane } = await openProxy(t, {
    carrierName: 'splice',
    maxConnections: limit,
    destination: { backends: setOf(one.as) },
  });
  for (let round = 0; round < 3; round++) {
    await ask(at, 'plan');
    await until('it is over', () => one.sockets.size === 0);
    const clients = await Promise.all(Array.from({ length: 2 * limit }, () => connectTo(at)));
    await until('the others wait', () => {
      const { held, open } = plane.counters().connections;
      return held === limit && open === limit;
    });
    await until('their backend has the others', () => one.sockets.size === limit);
    for (const { socket } of clients) socket.resetAndDestroy();
    await until('all are over', () => {
      const { held, connecting, open } = plane.counters().connections;
      return held + connecting + open + one.sockets.size === 0;
    });
  }
});

/** A carrier whose first thread fails at that moment. */
function failsAt(moment: 'closed' | 'unlisten' | 'unlistened' | 'end') {
  const entry = new URL(`../../support/fallibleSpliceThread.ts?${moment}`, import.meta.url);
  const opened = openSpliceCarrier(systemClock, entry);
  assert.ok(opened.kind === 'carrier');
  return opened.carrier;
}

test('A thread that fails closes its connections, and the next one serves the same listeners', {
  skip,
}, async (t) => {
  const one = await startBackend(t, 'one');
  const { at, plane, events } = await openProxy(t, {
    carrier: failsAt('closed'),
    destination: { backends: setOf(one.as) },
  });
  const stays = await connectTo(at);
  assert.equal(await stays.exchange('a', 5), 'one a');
  const descriptors = async (): Promise<number> => (await readdir('/proc/self/fd')).length;
  const before = await descriptors();
  assert.equal(await ask(at, 'b'), 'one b'); // its end is the report
  assert.equal(await stays.closed(), 'ECONNRESET');
  assert.equal(await ask(at, 'c'), 'one c');
  assert.ok(events.some(({ kind }) => kind === 'acceptFailed'));
  await until('all are over', () => plane.counters().connections.open === 0);
  assert.equal(await ask(at, 'd'), 'one d');
  await until('no descriptor is left', async () => (await descriptors()) <= before);
});

test('A thread that fails before a backend has accepted a client is not held against the backend', {
  skip,
}, async (t) => {
  const one = await startBackend(t, 'one');
  const { at, plane, lead } = await openProxy(t, {
    carrier: failsAt('closed'),
    destination: { backends: setOf(one.as) },
  });
  const ends = await connectTo(at);
  assert.equal(await ends.exchange('a', 5), 'one a');
  lead({ backends: UNKNOWN });
  const waits = await connectTo(at);
  await until('it waits', () => plane.counters().connections.waiting === 1);
  ends.socket.end();
  await until('the thread has failed', () => plane.counters().acceptFailures === 1);
  lead({ backends: setOf(one.as) });
  assert.equal(await waits.closed(), 'ECONNRESET');
  await until('all are over', () => plane.counters().connections.open === 0);
  const { connections, connectFailures } = plane.counters();
  assert.deepEqual([connections.connecting, connections.waiting], [0, 0]);
  assert.deepEqual(new Set(Object.values(connectFailures)), new Set([0]));
});

test('A thread that has few descriptors or none leaves none behind', { skip }, () => {
  const path = fileURLToPath(new URL('../../support/exhaustedThread.ts', import.meta.url));
  const command = 'ulimit -n 256 && exec "$0" --import tsx "$1" 0 1 2 16 17';
  const args = ['-c', command, process.execPath, path];
  const child = spawnSync('sh', args, { encoding: 'utf8', timeout: 60_000 });
  const ends = ['Error: epoll_create1: EMFILE 0', 'ended 0', 'ended 0', 'ended 0', 'ended 0'];
  assert.deepEqual(child.stdout.trim().split('\n'), ends, child.stderr);
});

for (const moment of ['unlisten', 'unlistened'] as const)
  test(`A listener is closed even if the thread fails at ${moment}, and no other descriptor is`, {
    skip,
  }, async (t) => {
    const one = await startBackend(t, 'one');
    const carrier = failsAt(moment);
    const free = openSync('/dev/null', 'r');
    closeSync(free); // the next descriptor, and so the listener's
    const { at, listener, plane } = await openProxy(t, {
      carrier,
      destination: { backends: setOf(one.as) },
    });
    assert.match(readlinkSync(`/proc/self/fd/${free}`), /^socket:/);
    assert.equal(await ask(at, 'a'), 'one a');
    await listener.close(0);
    await assert.rejects(ask(at, 'b'), /ECONNREFUSED/);
    const files = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'));
    assert.ok(files.includes(free), 'a file has the descriptor of the listener now');
    const next = await plane.open(ON_LOOPBACK, () => ({
      label: 'next',
      backends: setOf(one.as),
      isStatic: false,
    }));
    assert.ok(next.kind === 'opened');
    assert.equal(await ask(next.listener.addresses[0] ?? at, 'c'), 'one c');
    await plane.close(0);
    for (const fd of files) closeSync(fd); // throws if another has closed it
  });

test('A carrier can be closed although its thread fails while it ends', { skip }, async () => {
  const carrier = failsAt('end');
  const at = { kind: 'port', address: '127.0.0.1', port: 0 } as const;
  const socket = await carrier.listen(
    at,
    () => {},
    () => {},
  );
  await socket.close();
  await carrier.close();
});
