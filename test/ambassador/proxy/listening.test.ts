/** Where the proxy listens, and why it cannot. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, linkSync, lstatSync, renameSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import {
  describeListenRefusal,
  type ListenRefusal,
} from '../../../src/ambassador/proxy/opening.ts';
import type { OpenOutcome } from '../../../src/ambassador/proxy/proxyPlane.ts';
import type { ListenAddress } from '../../../src/ambassador/route.ts';
import { SocketMaker } from '../../../src/dataplane/sockets/socket.ts';
import { loadLibc } from '../../../src/kernel/libc.ts';
import { freePort } from '../../support/freePort.ts';
import {
  ask,
  connectTo,
  contract,
  openProxy,
  type SceneOptions,
  setOf,
  startBackend,
} from '../../support/proxyScene.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { until } from '../../support/until.ts';

const UNIX = { address: '', port: 0 };

function port(address: string | undefined, number: number): ListenAddress {
  return { kind: 'port', address, port: number, protocol: 'tcp' };
}

async function served(t: TestContext, options: SceneOptions) {
  const one = await startBackend(t, 'one');
  const scene = await openProxy(t, { ...options, destination: { backends: setOf(one.as) } });
  return { ...scene, one };
}

async function tempDir(t: TestContext): Promise<string> {
  const dir = await newTempDir();
  t.after(() => removeDir(dir));
  return dir;
}

function refused(outcome: OpenOutcome): ListenRefusal {
  assert.notEqual(outcome.kind, 'opened');
  return outcome as ListenRefusal;
}

contract('A port without an address takes connections of both families', async (t, carrierName) => {
  const number = await freePort();
  const { listener } = await served(t, { carrierName, listen: port(undefined, number) });
  assert.equal(await ask({ address: '127.0.0.1', port: number }, 'x'), 'one x');
  assert.equal(await ask({ address: '127.3.2.1', port: number }, 'x'), 'one x');
  const hasIpv6 = Object.values(networkInterfaces())
    .flat()
    .some((one) => one?.address === '::1');
  if (!hasIpv6) return t.diagnostic('this host has no IPv6');
  assert.equal(listener.addresses.length, 2);
  assert.equal(await ask({ address: '::1', port: number }, 'x'), 'one x');
});

contract('A taken port is refused with its holder', async (t, carrierName) => {
  const { plane, at, listener } = await served(t, { carrierName });
  const again = refused(
    await plane.open(
      listener.listen.kind === 'unix' ? listener.listen : port(at.address, at.port),
      () => undefined,
    ),
  );
  assert.equal(again.kind, 'taken');
  const holder = new RegExp(`127.0.0.1:${at.port} is in use by .+ \\(pid ${process.pid}\\)$`);
  assert.match(describeListenRefusal(again), holder);
  const everywhere = refused(await plane.open(port(undefined, at.port), () => undefined));
  assert.equal(everywhere.kind, 'taken');
  assert.match(describeListenRefusal(everywhere), new RegExp(`^${at.port} is in use by`));
  assert.equal(await ask(at, 'x'), 'one x');
});

contract('An address that this host does not have is refused', async (t, carrierName) => {
  const { plane } = await served(t, { carrierName });
  const outcome = refused(await plane.open(port('192.0.2.1', 6379), () => undefined));
  assert.equal(
    describeListenRefusal(outcome),
    'cannot listen on 192.0.2.1:6379; this host has no such address',
  );
});

contract('A closed listener frees its port', async (t, carrierName) => {
  const { plane, listener, at } = await served(t, { carrierName });
  await listener.close(0);
  const again = await plane.open(port(at.address, at.port), () => undefined);
  assert.equal(again.kind, 'opened');
});

contract(
  'A Unix socket takes connections, and its path is removed at the end',
  async (t, carrierName) => {
    const path = join(await tempDir(t), 'redis.sock');
    const { listener } = await served(t, { carrierName, listen: { kind: 'unix', path } });
    assert.equal(await ask(UNIX, 'x', { path }), 'one x');
    assert.equal(lstatSync(path).mode & 0o777, 0o666);
    const client = await connectTo(UNIX, { path });
    assert.equal(await client.exchange('a', 5), 'one a');
    await listener.close(0);
    await client.all();
    assert.equal(existsSync(path), false);
  },
);

contract(
  'A client of a Unix socket is cut when its connection is reset',
  async (t, carrierName) => {
    const path = join(await tempDir(t), 'redis.sock');
    const { one, plane } = await served(t, { carrierName, listen: { kind: 'unix', path } });
    const client = await connectTo(UNIX, { path });
    assert.equal(await client.exchange('a', 5), 'one a');
    for (const socket of one.sockets) socket.resetAndDestroy();
    await client.all(); // a Unix socket has no RST
    await until('it is over', () => plane.counters().connections.open === 0);
    const next = await connectTo(UNIX, { path });
    assert.equal(await next.exchange('a', 5), 'one a');
    next.socket.destroy();
    await until('it is over too', () => plane.counters().connections.open === 0);
  },
);

contract('A socket file that no process listens on is replaced', async (t, carrierName) => {
  const path = join(await tempDir(t), 'redis.sock');
  await leaveStaleSocket(path);
  await served(t, { carrierName, listen: { kind: 'unix', path } });
  assert.equal(await ask(UNIX, 'x', { path }), 'one x');
});

/** Leaves a socket file behind, as a process does that is killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen(`${path}.now`, resolve));
  // libuv removes the name that it bound, and this one stays.
  linkSync(`${path}.now`, path);
  await new Promise((resolve) => server.close(resolve));
  assert.ok(lstatSync(path).isSocket());
}

contract('The path of another file is refused, and the file stays', async (t, carrierName) => {
  const path = join(await tempDir(t), 'notes.txt');
  writeFileSync(path, 'keep me');
  const { plane } = await served(t, { carrierName });
  const outcome = refused(await plane.open({ kind: 'unix', path }, () => undefined));
  assert.equal(outcome.kind, 'occupied');
  assert.equal(existsSync(path), true);
});

contract('The path of a socket that a process listens on is refused', async (t, carrierName) => {
  const path = join(await tempDir(t), 'redis.sock');
  const { plane } = await served(t, { carrierName, listen: { kind: 'unix', path } });
  const outcome = refused(await plane.open({ kind: 'unix', path }, () => undefined));
  assert.equal(outcome.kind, 'taken');
  assert.equal(await ask(UNIX, 'x', { path }), 'one x');
});

contract(
  "A Unix socket's path that another program has replaced is left alone",
  async (t, carrierName) => {
    const path = join(await tempDir(t), 'redis.sock');
    const { listener } = await served(t, { carrierName, listen: { kind: 'unix', path } });
    writeFileSync(`${path}.new`, 'of another program');
    renameSync(`${path}.new`, path);
    await listener.close(0);
    assert.equal(lstatSync(path).isFile(), true);
  },
);

contract('A bound descriptor is taken over', async (t, carrierName) => {
  const loaded = loadLibc();
  if (loaded.kind === 'missing') return t.skip(loaded.reason);
  const number = await freePort();
  const at = { address: '127.0.0.1', port: number };
  const fd = new SocketMaker(loaded.libc).openStream(at);
  const { plane, one } = await served(t, { carrierName });
  const destination = { label: 'taken over', backends: setOf(one.as), isStatic: false };
  const inherited = [{ ...at, transport: 'tcp', fd }] as const;
  const outcome = await plane.open(port('127.0.0.1', number), () => destination, inherited);
  assert.ok(outcome.kind === 'opened');
  assert.deepEqual(outcome.listener.addresses, [at]);
  assert.equal(await ask(at, 'x'), 'one x');
  await outcome.listener.close(0);
  await assert.rejects(connectTo(at), /ECONNREFUSED/);
});

const SUPPORT = new URL('../../support/', import.meta.url);
/** Its clock comes to the time at which the listener lists the addresses of the host, when no descriptor is left. */
const EXHAUSTED = `
import { openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeClock } from '${SUPPORT}fakeClock.ts';
import { openProxy, setOf } from '${SUPPORT}proxyScene.ts';
const [clock, port] = [new FakeClock(), Number(process.argv[1])];
const listen = { kind: 'port', address: undefined, port, protocol: 'udp' };
const { listener } = await openProxy({ after() {} }, { clock, listen, destination: { backends: setOf() } });
const before = listener.addresses.length;
let isOut = false;
while (!isOut) try { openSync('/dev/null', 'r'); } catch { isOut = true; }
await clock.advance(5_000);
await sleep(100);
process.stdout.write('still at ' + (before === listener.addresses.length && before > 0), () => process.exit());
`;

test('A UDP listener on all addresses stays on them while the process has no descriptor left', async () => {
  const command = 'ulimit -n 200 && exec "$0" --import tsx --input-type module --eval "$1" "$2"';
  const args = ['-c', command, process.execPath, EXHAUSTED, `${await freePort()}`];
  const child = spawnSync('sh', args, { encoding: 'utf8', timeout: 60_000 });
  assert.equal(child.stdout, 'still at true', child.stderr);
});
