import assert from 'node:assert/strict';
import { get, type IncomingMessage } from 'node:http';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { delegateStore } from '../../../src/store/delegate.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';

let server: RunningHttp;
const value = Buffer.from('x');

before(async () => {
  const store = createMemoryStore({ history: { changes: 2000, octets: 1e8 } });
  server = await startHttp({ store });
});
after(() => server.stop());

interface Event {
  readonly action?: string;
  readonly errorCode?: number;
  readonly cause?: string;
  readonly node?: { key: string; value?: string; dir?: boolean; modifiedIndex: number };
  readonly prevNode?: { value?: string; dir?: boolean };
}

async function wait(path: string): Promise<{ status: number; event: Event }> {
  const { status, json } = await send(server.url, { path: `/v2/keys${path}` }, 20_000);
  return { status, event: json as Event };
}

/** Resolves with the reply's head as soon as it arrives. */
function head(url: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { agent: false }, resolve).on('error', reject);
  });
}

async function revision(): Promise<number> {
  return (await server.store.get('/')).revision;
}

test('A wait ends with the next change of its key and with no other', async () => {
  const response = await head(`${server.url}/v2/keys/n/a?wait=true`);
  assert.equal(response.headers['x-etcd-index'], String(await revision()));
  await server.store.put('/n/other', value);
  await server.store.put('/n/a/below', value);
  await server.store.put('/n/a', value);
  const [line] = await lines(response);
  assert.deepEqual(JSON.parse(line ?? ''), {
    action: 'set',
    node: {
      key: '/n/a',
      value: 'x',
      modifiedIndex: await revision(),
      createdIndex: await revision(),
    },
  });
});

test('A recursive wait gets every change below its key except hidden ones', async () => {
  const from = (await revision()) + 1;
  await server.store.put('/r/_hidden/x', value);
  await server.store.put('/r2/x', value);
  await server.store.put('/r/deep/er', value);
  const { event } = await wait(`/r?wait=true&recursive=true&waitIndex=${from}`);
  assert.equal(event.node?.key, '/r/deep/er');
});

test('A wait for a future index waits for it', async () => {
  const now = await revision();
  const waiting = wait(`/future?wait=true&waitIndex=${now + 2}`);
  await server.store.put('/future', value);
  await server.store.put('/future', Buffer.from('second'));
  assert.equal((await waiting).event.node?.value, 'second');
});

test('Waits from index to index miss no change', async () => {
  const from = (await revision()) + 1;
  const writes = (async () => {
    for (let n = 0; n < 50; n++) await server.store.put(`/follow/${n % 7}`, Buffer.from(String(n)));
  })();
  const seen: (string | undefined)[] = [];
  for (let index = from; seen.length < 50; ) {
    const { event } = await wait(`/follow?wait=true&recursive=true&waitIndex=${index}`);
    seen.push(event.node?.value);
    index = (event.node?.modifiedIndex ?? 0) + 1;
  }
  await writes;
  assert.deepEqual(
    seen,
    Array.from({ length: 50 }, (_, n) => String(n)),
  );
});

test('A wait for a compacted index gets etcd’s error 401', async () => {
  await server.store.put('/old', value);
  const old = await revision();
  for (let n = 0; n < 2100; n++) await server.store.put('/filler', value);
  const { status, event } = await wait(`/old?wait=true&waitIndex=${old}`);
  assert.deepEqual([status, event.errorCode], [400, 401]);
});

test('A deleted directory is one event, including for a wait inside it', async () => {
  for (const key of ['/dir/a', '/dir/b/c', '/dir/b/d']) await server.store.put(key, value);
  await server.store.deleteTree('/dir/');
  const at = await revision();
  for (const path of ['/dir', '/dir/a', '/dir/b/c', '/?recursive=true', '/dir?recursive=true']) {
    const query = path.includes('?') ? `${path}&` : `${path}?`;
    const { event } = await wait(`${query}wait=true&waitIndex=${at}`);
    assert.equal(event.action, 'delete', path);
    const { key, dir, modifiedIndex } = event.node ?? {};
    // A client that waits below the directory gets the directory's event.
    assert.ok(dir === true ? '/dir/b'.startsWith(key ?? '-') : key === '/dir/a', path);
    assert.equal(modifiedIndex, at);
  }
});

test('A directory that a client deletes is one event for waits on, above and below it', async () => {
  for (const keys of [['/gone/x'], ['/gone/a/x', '/gone/a/y']]) {
    for (const key of keys) await server.store.put(key, value);
    const from = (await revision()) + 1;
    const paths = ['/gone?', `${keys[0]}?`, '/gone?recursive=true&', '/?recursive=true&'];
    const waits = paths.map((path) => wait(`${path}wait=true&waitIndex=${from}`));
    await send(server.url, { method: 'DELETE', path: '/v2/keys/gone?recursive=true' });
    const again = paths.map((path) => wait(`${path}wait=true&waitIndex=${from}`));
    for (const { event } of await Promise.all([...waits, ...again])) {
      assert.deepEqual([event.action, event.node?.key, event.node?.dir], ['delete', '/gone', true]);
    }
  }
  await server.store.put('/leaf/x', value);
  const from = (await revision()) + 1;
  await send(server.url, { method: 'DELETE', path: '/v2/keys/leaf/x' });
  const { event } = await wait(`/leaf?recursive=true&wait=true&waitIndex=${from}`);
  assert.deepEqual([event.node?.key, event.node?.dir], ['/leaf/x', undefined]);
});

test('A deleted key stays a deletion after the end of its lease, and a key that ran out is an expiry', async () => {
  const from = (await revision()) + 1;
  await server.store.put('/ended/early', value, { ttlSeconds: 1 });
  await server.store.put('/ended/late', value, { ttlSeconds: 1 });
  await server.store.delete('/ended/early');
  const late = await wait(`/ended/late?wait=true&waitIndex=${from + 2}`);
  const early = await wait(`/ended/early?wait=true&waitIndex=${from + 2}`);
  assert.deepEqual([late.event.action, early.event.action], ['expire', 'delete']);
});

test('A follower gets an error that makes it list again when one index has more changes than one event can hold', async () => {
  const store = createMemoryStore();
  const first = '/many/a/1';
  const second = '/many/b/1';
  for (const key of [first, second, '/many/c/1']) await store.put(key, value);
  const batch = {
    revision: 4,
    changes: [first, second].map((key) => {
      return { kind: 'delete' as const, key, modRevision: 4, previous: undefined };
    }),
  };
  const leaseRanOut = delegateStore(store, {
    async *watch() {
      yield batch;
    },
  });
  const other = await startHttp({ store: leaseRanOut });
  const ask = async (query: string) =>
    (await send(other.url, { path: `/v2/keys/many?wait=true&recursive=true${query}` }))
      .json as Event;
  const followed = await ask('&waitIndex=4');
  assert.equal(followed.errorCode, 401);
  assert.match(followed.cause ?? '', /changed 2 keys at once/);
  assert.equal((await ask('')).node?.key, first);
  await other.stop();
});

/** The first events of a stream at and below /st while the changes are made. */
async function streamed(count: number, change: () => Promise<unknown>): Promise<string[]> {
  const response = await head(`${server.url}/v2/keys/st?wait=true&recursive=true&stream=true`);
  const seen: string[] = [];
  const reading = (async () => {
    for await (const line of createInterface({ input: response })) {
      const { action, node } = JSON.parse(line) as Event;
      seen.push(`${action} ${node?.key}${node?.dir ? '/' : ''}`);
      if (seen.length === count) break;
    }
  })();
  await server.store.put('/st/a', value);
  await server.store.put('/st/b', value);
  await change();
  await reading;
  response.destroy();
  return seen;
}

test('A stream has every change on its own line', async () => {
  const seen = await streamed(4, () => server.store.deleteTree('/st/'));
  assert.deepEqual(seen, ['set /st/a', 'set /st/b', 'delete /st/a', 'delete /st/b']);
});

test('A stream has one line for a directory that a client deletes', async () => {
  const seen = await streamed(4, async () => {
    await send(server.url, { method: 'DELETE', path: '/v2/keys/st?recursive=true' });
    await server.store.put('/st/c', value);
  });
  assert.deepEqual(seen, ['set /st/a', 'set /st/b', 'delete /st/', 'set /st/c']);
});

async function lines(response: IncomingMessage): Promise<string[]> {
  const found: string[] = [];
  for await (const line of createInterface({ input: response })) found.push(line);
  return found;
}
