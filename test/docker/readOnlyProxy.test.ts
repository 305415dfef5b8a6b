/** What passes to an engine and what does not, judged by what arrives there. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { request } from 'node:http';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test from 'node:test';
import { connectEngine } from '../../src/docker/dockerode.ts';
import type { Engine } from '../../src/docker/engine.ts';
import { mayPass, startReadOnlyProxy } from '../../src/docker/readOnlyProxy.ts';
import { type FakeDocker, startFakeDocker } from '../support/fakeDocker.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';
import { until } from '../support/until.ts';

interface Bench {
  readonly fake: FakeDocker;
  /** Behind the proxy. */
  readonly engine: Engine;
  readonly path: string;
}

async function withProxy(body: (bench: Bench) => Promise<void>): Promise<void> {
  const [fake, folder] = [await startFakeDocker(), await newTempDir()];
  const path = join(folder, 'docker.sock');
  const proxy = await startReadOnlyProxy(fake.endpoint, path);
  const engine = connectEngine({ kind: 'unix', path });
  try {
    await body({ fake, engine, path });
  } finally {
    engine.close();
    await proxy.close();
    await fake.close();
    await removeDir(folder);
  }
}

function ask(socketPath: string, method: string, path: string, body = ''): Promise<number> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-length': Buffer.byteLength(body) };
    const asked = request({ socketPath, method, path, headers, agent: false }, (answer) => {
      answer.resume();
      answer.on('end', () => resolve(answer.statusCode ?? 0));
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

test('all that the registrar asks passes', () =>
  withProxy(async ({ fake, engine }) => {
    const id = fake.run({ name: 'web' });
    await engine.ping();
    assert.equal((await engine.info()).id, fake.engineId);
    assert.equal((await engine.defaultBridge())?.gateway, '172.17.0.1');
    assert.equal((await engine.list())[0]?.id, id);
    assert.equal((await engine.inspect(id))?.Name, '/web');
    assert.equal(await engine.inspect('0123'), undefined);
    assert.ok(fake.requests.find(({ path }) => path === '/containers/json')?.query.has('filters'));
  }));

test('events come as they happen, and end when the listener leaves or the engine dies', () =>
  withProxy(async ({ fake, engine }) => {
    const leave = new AbortController();
    const stream = engine.events(undefined, leave.signal);
    await stream.opened;
    const id = fake.run();
    for await (const event of stream) {
      if (event.action === 'start') {
        assert.equal(event.containerId, id);
        break;
      }
    }
    leave.abort();
    await until('the engine has no listener left', () => fake.openStreams === 0);
    const second = engine.events(undefined, new AbortController().signal);
    await second.opened;
    await fake.kill();
    await assert.rejects(async () => {
      for await (const _ of second);
    });
  }));

test('nothing else arrives at the engine', () =>
  withProxy(async ({ fake, path }) => {
    const id = fake.run();
    const refused = [
      ['POST', `/containers/${id}/kill`],
      ['POST', '/containers/json'],
      ['POST', '/v1.44/containers/create'],
      ['DELETE', `/containers/${id}`],
      ['PUT', `/containers/${id}/archive`],
      ['PATCH', '/info'],
      ['GET', `/containers/${id}/archive?path=/etc/shadow`],
      ['GET', `/containers/${id}/logs`],
      ['GET', `/containers/${id}/attach/ws`],
      ['GET', `/containers/${id}/json/../export`],
      ['GET', '/containers/../images/json'],
      ['GET', '/containers/%2e%2e/json'],
      ['GET', '/images/json'],
      ['GET', '/secrets'],
      ['GET', '/networks'],
      ['GET', '//info'],
      ['GET', '/info/'],
      ['GET', '/v1.44/v1.44/info'],
      ['GET', 'http://docker/containers/create'],
    ] as const;
    for (const [method, target] of refused) {
      assert.equal(await ask(path, method, target, '{}'), 403, `${method} ${target}`);
    }
    assert.deepEqual(fake.requests, []);
    assert.equal(await ask(path, 'GET', '/v1.44/info', '{"Image":"x"}'), 404);
    assert.equal(fake.requests.length, 1);
  }));

test('an empty request is not taken for an allowed one', () => {
  assert.equal(mayPass(undefined, undefined), false);
  assert.equal(mayPass('GET', ''), false);
  assert.equal(mayPass('get', '/info'), false);
});

test('an engine that is not there is told from one that refuses', () =>
  withProxy(async ({ fake, path }) => {
    await fake.kill();
    assert.equal(await ask(path, 'GET', '/info'), 502);
  }));

test('what a killed one left is taken over, and what is no socket is left alone', async () => {
  const [fake, folder] = [await startFakeDocker(), await newTempDir()];
  try {
    const path = join(folder, 'docker.sock');
    const stale = createServer().listen(path);
    await once(stale, 'listening');
    const proxy = await startReadOnlyProxy(fake.endpoint, path);
    assert.equal(await ask(path, 'GET', '/info'), 200);
    await proxy.close();
    assert.ok(!existsSync(path));
    stale.close();
    await assert.rejects(startReadOnlyProxy(fake.endpoint, folder), /EADDRINUSE/);
  } finally {
    await fake.close();
    await removeDir(folder);
  }
});
