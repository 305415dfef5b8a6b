/** What `soradns ambassador` takes from ambassadord, and what it follows: stores, keys, Unix sockets, signals. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { readAll, serveName, startAmbassador } from '../support/ambassadorProcess.ts';
import { callCli, spawnCli } from '../support/cli.ts';
import { startEtcd } from '../support/etcd.ts';
import { freePort } from '../support/freePort.ts';
import { startTestServer, WITH_TOKEN } from '../support/server.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

/** The distinct replies of so many connections, sorted. */
async function replies(port: number, count = 24): Promise<string> {
  const seen = new Set<string>();
  for (let i = 0; i < count; i++) seen.add(await readAll(port).catch(({ code }) => code));
  return [...seen].sort().join();
}

function isRefused(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(false));
    socket.once('error', ({ code }: NodeJS.ErrnoException) => resolve(code === 'ECONNREFUSED'));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

/** An address of this host that a store may lead to: loopback is reserved for the operator's own routes. */
function ownAddress(): string | undefined {
  const found = Object.values(networkInterfaces()).flatMap((list = []) => list);
  return found.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

test("ambassador takes ambassadord's words and variables: BACKEND, PORT, BACKEND_<n>, --links and --omnimode", async (context) => {
  const [a, b] = [await serveName(context, 'a'), await serveName(context, 'b')];
  const [main, other] = [await freePort(), await freePort()];
  const env = {
    BACKEND: `127.0.0.1:${a},127.0.0.1:${b}`,
    PORT: `${main}`,
    [`BACKEND_${other}`]: `127.0.0.1:${b}`,
  };
  await startAmbassador(context, ['--links', '--omnimode', '--listen', '127.0.0.1'], env);
  assert.equal(await replies(main), 'a,b');
  assert.equal(await replies(other, 4), 'b');
});

test('ambassador follows the keys of an etcd in the forms of nsproxy and of ambassadord, and a bad value costs only itself', async (context) => {
  const address = ownAddress();
  if (address === undefined) return context.skip('this host has only loopback addresses');
  const etcd = await startEtcd();
  context.after(() => etcd.stop());
  const put = (key: string, value: string) => etcd.etcdctl(['put', `/services/redis${key}`, value]);
  const serve = (name: string) => serveName(context, name, address);
  const [a, b, c, d] = await Promise.all(['a', 'b', 'c', 'd'].map(serve));
  await put('/1', JSON.stringify({ host: address, port: a }));
  await put('/2', `${address}:${b}, ${address}:${c}`);
  await put('/3', 'neither form');
  await put('/4', '{"host":[],"port":"x"}');
  await put('/5', '{"host":"127.0.0.1","port":1}'); // a store may not lead to loopback addresses
  await put('other/1', `${address}:${d}`);
  const port = await freePort();
  const route = `127.0.0.1:${port}=etcd://${etcd.endpoint}/services/redis`;
  const ambassador = await startAmbassador(context, [route]);
  const leadsTo = (expected: string): Promise<void> =>
    until(`it leads to ${expected}`, async () => (await replies(port)) === expected, 20_000);
  await leadsTo('a,b,c');
  await put('/1', JSON.stringify({ host: address, port: d }));
  await leadsTo('b,c,d');
  await etcd.etcdctl(['del', '/services/redis/2']);
  await etcd.etcdctl(['del', '/services/redis/9']);
  await leadsTo('d');
  await etcd.etcdctl(['del', '--prefix', '/services/redis/']);
  await leadsTo('ECONNRESET');
  // ambassadord also reads a list in the key itself.
  await put('', `${address}:${a},${address}:${b}`);
  await leadsTo('a,b');
  const lines = ambassador.lines().map((line) => JSON.stringify(line));
  assert.ok(lines.length < 20, lines.join('\n'));
});

test('A dynamic route keeps its backends while its store is lost, says so, and follows the store when it is back', async (context) => {
  const address = ownAddress();
  if (address === undefined) return context.skip('this host has only loopback addresses');
  const etcd = await startEtcd();
  context.after(() => etcd.stop());
  const key = '/skydns/local/skydns/redis/1';
  const put = async (name: string) => {
    const port = await serveName(context, name, address);
    await etcd.etcdctl(['put', key, JSON.stringify({ host: address, port })]);
  };
  await put('a');
  const [port, http] = [await freePort(), await freePort()];
  const store = ['--store', `etcd://${etcd.endpoint}`, '--http', `127.0.0.1:${http}`];
  await startAmbassador(context, [`127.0.0.1:${port}=redis.skydns.local`, ...store]);
  const leadsTo = (expected: string): Promise<void> =>
    until(`it leads to ${expected}`, async () => (await replies(port, 6)) === expected, 20_000);
  const readiness = async (): Promise<string> => {
    const response = await fetch(`http://127.0.0.1:${http}/readyz`);
    return `${response.status} ${await response.text()}`;
  };
  await leadsTo('a');
  assert.match(await readiness(), /^200 /);
  await etcd.kill();
  await until(
    'it says that the store is lost',
    async () => /^503 .*store: /s.test(await readiness()),
    20_000,
  );
  assert.equal(await replies(port), 'a');
  await etcd.restart();
  await put('b');
  await leadsTo('b');
  await until('it is ready', async () => (await readiness()).startsWith('200 '), 20_000);
});

test('ambassador listens on a Unix socket, and removes it at the end', async (context) => {
  const folder = await newTempDir();
  context.after(() => removeDir(folder));
  const path = join(folder, 'redis.sock');
  const backend = await serveName(context, 'a');
  const ambassador = await startAmbassador(context, [`${path}=127.0.0.1:${backend}`]);
  assert.equal(await readAll({ path }), 'a');
  const { code, stderr } = await spawnCli(['ambassador', `${path}=127.0.0.1:1`]);
  assert.equal(code, 4, stderr);
  assert.match(stderr, /redis\.sock is in use/);
  assert.equal(await ambassador.end('SIGTERM'), 0);
  await assert.rejects(readAll({ path }), { code: 'ENOENT' });
});

test('After SIGTERM an ambassador accepts nothing, and its open connections go on until they end', async (context) => {
  const backend = createServer((socket) => void socket.on('error', () => {}).pipe(socket));
  context.after(() => backend.close());
  backend.listen(0, '127.0.0.1');
  await once(backend, 'listening');
  const [port, to] = [await freePort(), (backend.address() as { port: number }).port];
  const ambassador = await startAmbassador(context, [`127.0.0.1:${port}=127.0.0.1:${to}`]);
  const client = connect(port, '127.0.0.1').setEncoding('utf8');
  const echo = async (text: string): Promise<string> => {
    client.write(text);
    const [reply] = await once(client, 'data');
    return reply;
  };
  assert.equal(await echo('before'), 'before');
  const ended = ambassador.end('SIGTERM');
  await until('new connections are refused', () => isRefused(port));
  assert.equal(await echo('after'), 'after');
  client.end();
  assert.equal(await ended, 0);
});

test('A name of another domain, and a service that the store does not have, leave the other routes alone', async (context) => {
  const server = await startTestServer({});
  context.after(() => server.close());
  const store = `http://${server.http?.address}:${server.http?.port}`;
  const [unknown, known, http] = [await freePort(), await freePort(), await freePort()];
  const backend = await serveName(context, 'a');
  await startAmbassador(context, [
    `127.0.0.1:${unknown}=redis.skydns.local`,
    `127.0.0.1:${known}=127.0.0.1:${backend}`,
    ...['--store', store, '--http', `127.0.0.1:${http}`],
  ]);
  assert.equal(await readAll(known), 'a');
  await assert.rejects(readAll(unknown), { code: 'ECONNRESET' });
  const url = ['--url', `http://127.0.0.1:${http}`];
  const status = await callCli(['ambassador', 'status', ...url]);
  assert.equal(status.code, 3);
  assert.match(status.stdout, /redis\.skydns\.local\. does not exist/);
  const readyz = () => fetch(`http://127.0.0.1:${http}/readyz`);
  assert.equal((await readyz()).status, 503);
  const key = `${store}/v2/keys/skydns/local/skydns/redis`;
  const value = JSON.stringify({ host: '192.0.2.1', port: 6379 });
  const body = new URLSearchParams({ value });
  assert.ok((await fetch(key, { method: 'PUT', headers: WITH_TOKEN, body })).ok);
  await until('the ambassador is ready', async () => (await readyz()).status === 200);
});
