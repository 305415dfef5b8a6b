/**
 * The keys API where the comparison with etcd cannot show it: soradns's own limits, and stores with keys that v2 cannot
 * have.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { delegateStore } from '../../../src/store/delegate.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { StoreError } from '../../../src/store/store.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { type Sent, send } from '../../support/httpRequest.ts';

let server: RunningHttp;

before(async () => {
  server = await startHttp();
});
after(() => server.stop());

interface Reply {
  readonly action?: string;
  readonly errorCode?: number;
  readonly cause?: string;
  readonly index?: number;
  readonly node?: Node;
}

interface Node {
  readonly key?: string;
  readonly value?: string;
  readonly dir?: boolean;
  readonly nodes?: readonly Node[];
  readonly modifiedIndex?: number;
  readonly createdIndex?: number;
}

async function ask(method: string, path: string, body?: string, headers?: Record<string, string>) {
  const sent = { method, path: `/v2/keys${path}`, ...(body === undefined ? {} : { body }) };
  const received = await send(server.url, { ...sent, ...(headers ? { headers } : {}) });
  return { ...received, reply: (received.json ?? {}) as Reply };
}

test('The curl line of the SkyDNS article puts its service at the right key', async () => {
  const value = '{"host":"service1.example.com","port":8080}';
  const key = '/skydns/local/skydns/east/production/rails/1';
  const { status, reply } = await ask('PUT', key, `value=${value}`);
  assert.equal(status, 201);
  assert.deepEqual(reply.node?.value, value);
  const { entry } = await server.store.get(key);
  assert.equal(Buffer.from(entry?.value ?? []).toString(), value);
  assert.equal(entry?.lease, undefined);
});

test('A client like registrator gets a key with a TTL, and its indices are revisions', async () => {
  const { reply } = await ask(
    'PUT',
    '/skydns/local/web/1',
    'ttl=60&value=%7B%22host%22%3A%2210.0.0.1%22%7D',
  );
  const { entry, revision } = await server.store.get('/skydns/local/web/1');
  assert.equal(entry?.lease?.ttlSeconds, 60);
  assert.equal(reply.node?.modifiedIndex, entry?.modRevision);
  assert.equal(reply.node?.createdIndex, entry?.createRevision);
  assert.equal((await ask('GET', '/skydns/local/web/1')).headers['x-etcd-index'], String(revision));
});

test('A refresh with an empty value keeps the value, and one with a value is refused', async () => {
  await ask('PUT', '/fresh', 'value=x&ttl=50');
  const refreshed = await ask('PUT', '/fresh', 'refresh=true&value=&ttl=60');
  assert.deepEqual([refreshed.status, refreshed.reply.node?.value], [200, 'x']);
  const refused = await ask('PUT', '/fresh', 'refresh=true&value=y&ttl=60');
  assert.deepEqual([refused.status, refused.reply.errorCode], [400, 211]);
});

test('A put on a directory has no nodes in its reply if the client wants none', async () => {
  await ask('PUT', '/plain', 'dir=true');
  const { reply } = await ask('PUT', '/plain?noValueOnSuccess=true', 'dir=true&prevExist=true');
  assert.deepEqual([reply.action, reply.node], ['update', undefined]);
});

test('A TTL of 0 is the shortest TTL', async () => {
  await ask('PUT', '/brief', 'value=x&ttl=0');
  assert.equal((await server.store.get('/brief')).entry?.lease?.ttlSeconds, 1);
});

test('A key with a value and child keys is listed as a directory with a value', async () => {
  await server.store.put('/both', Buffer.from('own'));
  await server.store.put('/both/below', Buffer.from('deeper'));
  const { reply } = await ask('GET', '/both');
  assert.equal(reply.node?.dir, true);
  assert.equal(reply.node?.value, 'own');
  assert.deepEqual(
    reply.node?.nodes?.map(({ key }) => key),
    ['/both/below'],
  );
  const listed = (await ask('GET', '/')).reply.node?.nodes?.find(({ key }) => key === '/both');
  assert.deepEqual([listed?.dir, listed?.value, listed?.nodes], [true, 'own', undefined]);
  assert.equal((await ask('PUT', '/both/next', 'value=1')).status, 201);
  assert.equal(
    (await ask('PUT', '/both', 'value=new&prevValue=own')).reply.action,
    'compareAndSwap',
  );
  assert.equal((await ask('DELETE', '/both')).status, 200);
  assert.equal((await server.store.get('/both')).entry, undefined);
  assert.equal((await ask('GET', '/both/below')).reply.node?.value, 'deeper');
  await server.store.put('/both', Buffer.from('own'));
  assert.equal((await ask('DELETE', '/both?recursive=true')).status, 200);
  assert.equal((await ask('GET', '/both')).status, 404);
});

test('Sibling keys that sort before and after the slash are listed in the right order', async () => {
  for (const key of ['/s/a', '/s/a-b', '/s/a.b/c', '/s/b/c', '/s/B']) {
    await server.store.put(key, Buffer.from('x'));
  }
  const { reply } = await ask('GET', '/s?recursive=true');
  const keys = reply.node?.nodes?.map(({ key }) => key);
  assert.deepEqual(keys, ['/s/B', '/s/a', '/s/a-b', '/s/a.b', '/s/b']);
});

test('An empty directory is a marker that is removed with the directory', async () => {
  await ask('PUT', '/made', 'dir=true');
  assert.deepEqual((await server.store.get('/made/')).entry?.value.length, 0);
  assert.equal((await ask('DELETE', '/made?dir=true')).status, 200);
  assert.equal((await server.store.get('/made/')).entry, undefined);
});

test('A value that is not UTF-8 is shown with replacement characters', async () => {
  await server.store.put('/octets', Buffer.from([0x61, 0xff, 0xef, 0xbb, 0xbf, 0x62]));
  assert.equal((await ask('GET', '/octets')).reply.node?.value, 'a\ufffd\ufeffb');
});

test('__proto__ and constructor are ordinary key names', async () => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const { status } = await ask('PUT', `/own/${name}`, 'value=1');
    assert.equal(status, 201);
    assert.equal((await ask('GET', `/own/${name}`)).reply.node?.value, '1');
  }
  const nodes = (await ask('GET', '/own')).reply.node?.nodes ?? [];
  assert.deepEqual(
    nodes.map(({ key }) => key),
    ['/own/constructor', '/own/toString'],
  );
  assert.equal((await ask('GET', '/own?__proto__=1&constructor=2')).status, 200);
});

test('In-order keys ascend with many concurrent writers', async () => {
  const writers = Array.from({ length: 20 }, () => ask('POST', '/inorder', 'value=x'));
  const keys = (await Promise.all(writers)).map(({ reply }) => reply.node?.key ?? '');
  assert.equal(new Set(keys).size, 20);
  const next = (await ask('POST', '/inorder', 'value=x')).reply.node?.key ?? '';
  assert.ok(keys.every((key) => key < next));
});

test('Exactly one of many concurrent compare-and-swaps succeeds', async () => {
  const store = createMemoryStore();
  // Slow reads: every writer has read the same entry before the first one writes.
  const slow = delegateStore(store, {
    get: async (key) => {
      const seen = await store.get(key);
      await sleep(200);
      return seen;
    },
  });
  const other = await startHttp({ store: slow });
  try {
    const key = '/v2/keys/race';
    const contests: ((n: number) => Sent)[] = [
      (n) => ({ method: 'PUT', path: key, body: `value=${n}&prevValue=free` }),
      (n) => ({ method: 'PUT', path: key, body: `value=${n}&prevExist=false` }),
    ];
    for (const contest of contests) {
      if (contest === contests[0]) await store.put('/race', Buffer.from('free'));
      else await store.delete('/race');
      const tries = Array.from({ length: 10 }, (_, n) => send(other.url, contest(n)));
      const wins = (await Promise.all(tries)).filter(({ status }) => status < 300);
      assert.equal(wins.length, 1, String(contest(0).body));
    }
  } finally {
    await other.stop();
  }
});

test('A compare-and-delete deletes only the compared value although another client writes meanwhile', async () => {
  const store = createMemoryStore();
  await store.put('/lock', Buffer.from('mine'));
  let reads = 0;
  const busy = delegateStore(store, {
    get: async (key) => {
      const seen = await store.get(key);
      // The second read provides the compared entry; the first one finds the key.
      if (++reads === 2) await store.put('/lock', Buffer.from('theirs'));
      return seen;
    },
  });
  const other = await startHttp({ store: busy });
  try {
    const lost = await send(other.url, { method: 'DELETE', path: '/v2/keys/lock?prevValue=mine' });
    assert.equal(lost.status, 412);
    assert.equal((lost.json as Reply).cause, '[mine != theirs]');
    assert.ok((await store.get('/lock')).entry !== undefined);
  } finally {
    await other.stop();
  }
});

test('An impossible key gets an etcd error', async () => {
  const cases: [path: string, cause: RegExp][] = [
    [`/${'k'.repeat(1100)}`, /longer than 1024 octets/],
    [`/${'%e3%81%82'.repeat(400)}`, /longer than 1024 octets/],
    ['/a'.repeat(200), /more than 136 components/],
    ['/nul%00', /NUL/],
    ['/bad%ff', /UTF-8/],
  ];
  for (const [path, cause] of cases) {
    const { status, reply } = await ask('PUT', path, 'value=1');
    assert.deepEqual([status, reply.errorCode, reply.index], [400, 209, 0]);
    assert.match(reply.cause ?? '', cause);
  }
});

test('A path that leaves /v2/keys by .. is not a key', async () => {
  assert.equal((await ask('PUT', '/../../../etc/passwd', 'value=1')).status, 404);
  assert.equal((await ask('PUT', '/%2e%2e/%2e%2e/x', 'value=1')).status, 404);
  assert.equal((await ask('PUT', '/a/./b//../c/', 'value=1')).reply.node?.key, '/a/c');
});

test('A body that is not a form is refused and does not become an empty value', async () => {
  for (const type of ['application/json', 'multipart/form-data; boundary=x', 'text/plain']) {
    const { status, reply } = await ask('PUT', '/form', '{"value":1}', { 'content-type': type });
    assert.deepEqual([status, reply.errorCode], [400, 210], type);
  }
  const charset = 'application/x-www-form-urlencoded; charset=utf-8';
  assert.equal((await ask('PUT', '/form', 'value=1', { 'content-type': charset })).status, 201);
});

test('A failing store results in an etcd error', async () => {
  const codes = { unavailable: [503, 300], denied: [500, 300], invalid: [400, 209] } as const;
  for (const [code, [status, errorCode]] of Object.entries(codes)) {
    const fail = async (): Promise<never> => {
      throw new StoreError(code as keyof typeof codes, 'as the test wants');
    };
    const store = createMemoryStore();
    const broken = delegateStore(store, { get: fail, put: fail });
    const other = await startHttp({ store: broken });
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const { json, ...reply } = await send(other.url, { method, path: '/v2/keys/a?value=1' });
      assert.equal(reply.status, status, `${code} ${method}`);
      assert.equal((json as Reply).errorCode, errorCode);
    }
    await other.stop();
  }
});
