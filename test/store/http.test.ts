import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Lease } from '../../src/service/change.ts';
import { delegateStore } from '../../src/store/delegate.ts';
import { createMemoryStore } from '../../src/store/embedded/memoryStore.ts';
import { HttpStore } from '../../src/store/http/httpStore.ts';
import { Mirror } from '../../src/store/mirror.ts';
import { type LeaseStore, type Store, StoreError } from '../../src/store/store.ts';
import { startHttp } from '../support/http.ts';
import { CheckedReplica, contentOf } from '../support/replica.ts';
import { until } from '../support/until.ts';
import { storeContract } from './contract.ts';

const history = { changes: 4000, octets: 1e8 };
let behind: LeaseStore | undefined;

storeContract(
  'http://',
  async () => {
    behind = createMemoryStore({ history });
    const server = await startHttp({ store: behind, token: 'secret' });
    const store = new HttpStore({ url: server.url, token: 'secret' });
    return {
      store,
      close: async () => {
        await store.close();
        await server.stop();
      },
    };
  },
  {
    async canCompact() {
      assert.ok(behind !== undefined);
      for (let i = 0; i <= history.changes; i++) await behind.put('/filler', new Uint8Array(0));
    },
  },
);

describe('unusable servers', () => {
  const calls: Record<string, (store: Store) => Promise<unknown>> = {
    get: (store) => store.get('/a'),
    put: (store) => store.put('/a', new Uint8Array(0)),
    delete: (store) => store.delete('/a'),
    deleteTree: (store) => store.deleteTree('/a/'),
    snapshot: (store) => drain(store.snapshot('/')),
    watch: (store) => drain(store.watch('/', 1, new AbortController().signal)),
  };
  const limits = { callTimeoutMs: 300, silenceTimeoutMs: 300 };

  async function allFail(url: string, code: StoreError['code'], token?: string): Promise<void> {
    const store = new HttpStore({ url, token, ...limits });
    try {
      for (const [name, call] of Object.entries(calls)) {
        await assert.rejects(call(store), isStoreError(code), `${name} at ${url}`);
      }
    } finally {
      await store.close();
    }
  }

  it('The http store reports an address without a server as unavailable', () =>
    allFail('http://127.0.0.1:1', 'unavailable'));

  it('The http store reports a server that never answers as unavailable', () =>
    withTcp(
      () => undefined,
      (url) => allFail(url, 'unavailable'),
    ));

  const replies = {
    'closes at once': '',
    'speaks another protocol': 'SSH-2.0-x\r\n',
    'is another web server': 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello',
    'does not have the path': 'HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n',
    'sends JSON of another kind': 'HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}\n',
    'sends fields of other types':
      'HTTP/1.1 200 OK\r\n\r\n{"revision":1,"done":true,"entries":7,"changes":[{"kind":"x"}],"entry":[]}\n',
    'breaks off': 'HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"revision":1,',
  };
  for (const [what, reply] of Object.entries(replies)) {
    it(`The http store reports a server that ${what} as unavailable`, () =>
      withTcp(
        (socket) => socket.once('data', () => socket.end(reply)),
        (url) => allFail(url, 'unavailable'),
      ));
  }

  it('The http store detects a server that stops in the middle of a watch', async () => {
    const head = 'HTTP/1.1 200 OK\r\n\r\n{}\n{"revision":3,"changes":[]}\n';
    await withTcp(
      (socket) => socket.once('data', () => socket.write(head)),
      (url) => allFail(url, 'unavailable'),
    );
  });

  it('The http store can read with a wrong token and cannot write', async () => {
    const server = await startHttp({ token: 'right' });
    const store = new HttpStore({ url: server.url, token: 'wrong' });
    try {
      await assert.rejects(store.put('/a', new Uint8Array(0)), isStoreError('denied'));
      await assert.rejects(store.deleteTree('/'), isStoreError('denied'));
      assert.equal((await store.get('/a')).revision, 0);
    } finally {
      await store.close();
      await server.stop();
    }
  });
});

it('The http store names its deadline in the error of a call without a reply', () =>
  withTcp(
    () => undefined,
    async (url) => {
      const store = new HttpStore({ url, callTimeoutMs: 100 });
      await assert.rejects(store.get('/a'), /127.0.0.1:\d+: no answer within 100 ms/);
      await store.close();
    },
  ));

it('An http watch continues with only keepalives and ends when the server stops', async () => {
  const server = await startHttp({ limits: { heartbeatMs: 50 } });
  const store = new HttpStore({ url: server.url, silenceTimeoutMs: 400 });
  try {
    const { signal } = new AbortController();
    const watch = drain(store.watch('/', 1, signal));
    const ended = assert.rejects(watch, isStoreError('unavailable'));
    const outcome = await Promise.race([ended, sleep(1200, 'alive')]);
    assert.equal(outcome, 'alive');
    await server.stop();
    await ended;
  } finally {
    await store.close();
  }
});

it('A watch brings nothing from a server that lives but has no watch of its own store', async () => {
  const cut = new AbortController();
  const memory = createMemoryStore();
  const cutOff = delegateStore(memory, {
    async *watch(...args) {
      await once(cut.signal, 'abort');
      await memory.close();
      yield* memory.watch(...args);
    },
  });
  const server = await startHttp({ store: cutOff, limits: { heartbeatMs: 10 } });
  const store = new HttpStore({ url: server.url });
  try {
    const next = store.watch('/', 1, new AbortController().signal)[Symbol.asyncIterator]().next();
    assert.equal(await Promise.race([next, sleep(300, 'nothing')]), 'nothing');
    cut.abort();
    await assert.rejects(Promise.resolve(next), isStoreError('unavailable'));
  } finally {
    await store.close();
    await server.stop();
  }
});

it('The http store finds out that a lease is renewed directly in the server’s store', async () => {
  const memory = createMemoryStore();
  const lease = { id: 'host', ttlSeconds: 2, expiresAtMs: performance.now() + 2000 };
  // An etcd store changes a lease's expiry in place when the lease is renewed.
  const leased = delegateStore(memory, {
    get: async (key) => {
      const { entry, revision } = await memory.get(key);
      return { entry: entry && { ...entry, lease }, revision };
    },
  });
  const server = await startHttp({ store: leased });
  const store = new HttpStore({ url: server.url });
  try {
    await store.put('/a', new Uint8Array(0));
    const { entry } = await store.get('/a');
    const firstEnd = entry?.lease?.expiresAtMs ?? 0;
    lease.expiresAtMs += 60_000;
    await until('the new end is known', () => (entry?.lease?.expiresAtMs ?? 0) > firstEnd + 50_000);
  } finally {
    await store.close();
    await server.stop();
  }
});

it('The server refuses an invalid key or prefix even if its store accepts it', async () => {
  const calls: string[] = [];
  const lenient = delegateStore(createMemoryStore(), {
    deleteTree: async (prefix) => {
      calls.push(prefix);
      return { deleted: 0, revision: 0 };
    },
    async *watch(prefix) {
      calls.push(prefix);
      yield { revision: 1, changes: [] };
    },
  });
  const server = await startHttp({ store: lenient });
  const post = (call: string, body: object) =>
    fetch(`${server.url}/v1/store/${call}`, { method: 'POST', body: JSON.stringify(body) });
  try {
    for (const prefix of ['', '!', '/a', 'a/']) {
      assert.equal((await post('deleteTree', { prefix })).status, 400);
      const query = new URLSearchParams({ prefix, from: '1' });
      assert.equal((await fetch(`${server.url}/v1/store/watch?${query}`)).status, 400);
      assert.equal((await fetch(`${server.url}/v1/store/snapshot?${query}`)).status, 400);
    }
    assert.equal((await fetch(`${server.url}/v1/store/watch?prefix=/a/&from=-5`)).status, 400);
    assert.equal((await post('delete', { key: '!' })).status, 400);
    assert.deepEqual(calls, []);
  } finally {
    await server.stop();
  }
});

it('The http store refuses a key that no URL can name', async () => {
  const store = new HttpStore({ url: 'http://127.0.0.1:1' });
  await assert.rejects(store.get('/\ud800'), isStoreError('invalid'));
  await assert.rejects(drain(store.snapshot('/\ud800/')), isStoreError('invalid'));
  await store.close();
});

it('The http store learns of a renewal after the last seen keys of the lease have left it', async () => {
  const memory = createMemoryStore();
  const leaseNamed = (id: string) => ({ id, ttlSeconds: 2, expiresAtMs: performance.now() + 2000 });
  const lease = leaseNamed('host');
  const leases = new Map(['/stays', '/goes', '/moves'].map((key) => [key, lease]));
  const leased = delegateStore(memory, {
    get: async (key) => {
      const { entry, revision } = await memory.get(key);
      return { entry: entry && { ...entry, lease: leases.get(key) }, revision };
    },
  });
  const server = await startHttp({ store: leased });
  const store = new HttpStore({ url: server.url });
  try {
    for (const key of leases.keys()) await memory.put(key, new Uint8Array(0));
    const { entry } = await store.get('/stays');
    for (const key of ['/goes', '/moves']) await store.get(key);
    await memory.delete('/goes');
    leases.set('/moves', leaseNamed('other'));
    lease.expiresAtMs += 60_000;
    const isRenewed = () => (entry?.lease?.expiresAtMs ?? 0) > lease.expiresAtMs - 10_000;
    await until('the new end is known', isRenewed);
  } finally {
    await store.close();
    await server.stop();
  }
});

it('The http store reports the expiry of a lease as unknown until the server can state it', async () => {
  const memory = createMemoryStore();
  let lease: Lease = { id: '7', ttlSeconds: undefined, expiresAtMs: undefined };
  const leased = delegateStore(memory, {
    get: async (key) => {
      const { entry, revision } = await memory.get(key);
      return { entry: entry && { ...entry, lease }, revision };
    },
  });
  const server = await startHttp({ store: leased });
  const store = new HttpStore({ url: server.url });
  try {
    await store.put('/a', new Uint8Array(0));
    const seen = (await store.get('/a')).entry?.lease;
    assert.deepEqual([seen?.id, seen?.ttlSeconds, seen?.expiresAtMs], ['7', undefined, undefined]);
    const response = await fetch(`${server.url}/v2/keys/a`);
    assert.doesNotMatch(await response.text(), /ttl|expiration/);
    assert.equal(response.status, 200);
    lease = { id: '7', ttlSeconds: 60, expiresAtMs: performance.now() + 60_000 };
    await until('it is known', () => seen?.expiresAtMs !== undefined);
    assert.equal(seen?.ttlSeconds, 60);
  } finally {
    await store.close();
    await server.stop();
  }
});

it('The http store notices another server at the same address', async () => {
  const first = await startHttp({ store: createMemoryStore() });
  const store = new HttpStore({ url: first.url });
  const replica = new CheckedReplica();
  const mirror = new Mirror({ store, prefix: '/', replica });
  let second: Awaited<ReturnType<typeof startHttp>> | undefined;
  try {
    for (const key of ['/a', '/b']) await store.put(key, Buffer.from('old'));
    mirror.start();
    await until('all is there', () => replica.entries.size === 2);
    const behind = createMemoryStore();
    for (const key of ['/a', '/c', '/d', '/e']) await behind.put(key, Buffer.from('new'));
    await first.stop();
    second = await startHttp({ store: behind, port: first.port });
    await until('it was listed', () => mirror.counters().resyncs === 1);
    assert.deepEqual(replica.content(), await contentOf(behind, '/'));
  } finally {
    mirror.close();
    await store.close();
    await second?.stop();
  }
});

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of items);
}

function isStoreError(code: StoreError['code']): (error: unknown) => boolean {
  return (error) => error instanceof StoreError && error.code === code;
}

/** Runs `use` with the address of a server that handles each connection with the given function. */
async function withTcp(
  serve: (socket: Socket) => void,
  use: (url: string) => Promise<void>,
): Promise<void> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    serve(socket);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  try {
    await use(`http://127.0.0.1:${port}`);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}
