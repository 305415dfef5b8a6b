/** `soradns ambassador`: its words, the environment, its failures, and the reports of a running one. */
import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test from 'node:test';
import { readAll, serveName, startAmbassador } from '../support/ambassadorProcess.ts';
import { callCli, spawnCli } from '../support/cli.ts';
import { freePort } from '../support/freePort.ts';

function call(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  return callCli(['ambassador', ...args], { env });
}

const MISUSES: Readonly<Record<string, readonly [args: readonly string[], line: RegExp]>> = {
  'no routes': [
    [],
    /no routes, neither as words nor in the environment \(soradns ambassador 6379=/,
  ],
  'a backend without a port': [['80=10.0.0.1'], /80=10\.0\.0\.1 has no port: write ADDRESS:PORT/],
  'a service without a port to listen on': [
    ['redis.skydns.local'],
    /redis\.skydns\.local does not say on which port to listen: write PORT= before it/,
  ],
  'two routes for one port': [
    ['80=10.0.0.1:80', '80=10.0.0.2:80'],
    /80=10\.0\.0\.1:80 and 80=10\.0\.0\.2:80 both listen on 80/,
  ],
  'a route to itself': [
    ['7070=127.0.0.1:7070'],
    /7070=127\.0\.0\.1:7070 leads back to this ambassador/,
  ],
  'a wrong option': [
    ['80=10.0.0.1:80', '--drain', '-2'],
    /--drain: "-2" is not whole seconds from -1 to 604800; for example --drain 30/,
  ],
  'a wrong --listen': [['80=10.0.0.1:80', '--listen', 'x'], /--listen: "x" is not an IP address/],
};

for (const [what, [args, line]] of Object.entries(MISUSES)) {
  test(`ambassador exits with 2 for ${what}`, async () => {
    const { code, stderr } = await call(args);
    assert.equal(code, 2);
    assert.match(stderr, line);
  });
}

test('ambassador carries connections to the backend of its argument', async (context) => {
  const [port, backend] = [await freePort(), await serveName(context, 'a')];
  await startAmbassador(context, [`127.0.0.1:${port}=127.0.0.1:${backend}`]);
  assert.equal(await readAll(port), 'a');
});

test("ambassador takes the host and port of svendowideit/ambassador's command line", async (context) => {
  const backend = await serveName(context, 'a');
  // The port is that of the backend, so the ambassador listens on another address.
  await startAmbassador(context, ['127.0.0.1', String(backend), '--listen', '127.0.0.2']);
  const text = await new Promise<string>((resolve) => {
    connect(backend, '127.0.0.2').setEncoding('utf8').once('data', resolve);
  });
  assert.equal(text.trim(), 'a');
});

test("ambassador carries connections for every variable of Docker's links", async (context) => {
  const ports = [await freePort(), await freePort()];
  const env: Record<string, string> = {};
  for (const [i, port] of ports.entries())
    env[`RABBIT${i}_PORT_${port}_TCP`] = `tcp://127.0.0.1:${await serveName(context, `${i}`)}`;
  await startAmbassador(context, ['--listen', '127.0.0.1'], env);
  assert.deepEqual(await Promise.all(ports.map((port) => readAll(port))), ['0', '1']);
});

test('ambassador exits with 4 and names the holder of a port that is taken', async (context) => {
  const port = await serveName(context, 'other');
  const { code, stderr } = await spawnCli(['ambassador', `127.0.0.1:${port}=127.0.0.1:1`]);
  assert.equal(code, 4);
  assert.match(stderr, new RegExp(`127\\.0\\.0\\.1:${port} is in use`));
});

test('ambassador status and explain report the routes of a running ambassador', async (context) => {
  const [port, http, backend] = [await freePort(), await freePort(), await serveName(context, 'a')];
  const route = `127.0.0.1:${port}=127.0.0.1:${backend}`;
  await startAmbassador(context, [route, '--http', `127.0.0.1:${http}`]);
  const url = ['--url', `http://127.0.0.1:${http}`];
  const status = await call(['status', ...url]);
  assert.equal(status.code, 0, status.stderr);
  assert.match(status.stdout, /^plane {3}proxy \((splice|net)\)\n/);
  const row = `127.0.0.1:${port}  127.0.0.1:${backend}  127.0.0.1:${backend}  ok     0`;
  assert.ok(status.stdout.includes(row), status.stdout);
  const explained = await call(['explain', `127.0.0.1:${port}`, ...url]);
  assert.match(explained.stdout, /leads to 127\.0\.0\.1:[0-9]+\n {2}asked for by 127/);
  const missing = await call(['explain', '9.9.9.9:9', ...url]);
  assert.equal(missing.code, 3);
  const json = await call(['status', '--json', ...url]);
  assert.equal(JSON.parse(json.stdout).routes[0].state, 'ok');
});

test('ambassador status exits with 3 while a route has no backend, and /readyz says which', async (context) => {
  const [port, http] = [await freePort(), await freePort()];
  await startAmbassador(context, [
    `127.0.0.1:${port}=nothing.skydns.local`,
    ...['--http', `127.0.0.1:${http}`, '--nameservers', `127.0.0.1:${await freePort()}`],
  ]);
  const status = await call(['status', '--url', `http://127.0.0.1:${http}`]);
  assert.equal(status.code, 3);
  assert.match(status.stdout, /not ready: route 127\.0\.0\.1:[0-9]+=nothing\.skydns\.local: /);
  const ready = await fetch(`http://127.0.0.1:${http}/readyz`);
  assert.equal(ready.status, 503);
  assert.match(await ready.text(), /nothing\.skydns\.local/);
});

test('ambassador ends with 0 after SIGTERM, and its sockets are free', async (context) => {
  const [port, backend] = [await freePort(), await serveName(context, 'a')];
  const ambassador = await startAmbassador(context, [`127.0.0.1:${port}=127.0.0.1:${backend}`]);
  assert.equal(await ambassador.end('SIGTERM'), 0);
  await assert.rejects(readAll(port));
});
