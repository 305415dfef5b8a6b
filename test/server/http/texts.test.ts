/** Texts for many clients are created once, and unread output is bounded for all clients together. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, type IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ChangeTexts, TextCache } from '../../../src/server/http/api/changeTexts.ts';
import { Outbox } from '../../../src/server/http/exchange/outbox.ts';
import type { Change, Entry } from '../../../src/service/change.ts';
import { startHttp } from '../../support/http.ts';
import { send } from '../../support/httpRequest.ts';
import { until } from '../../support/until.ts';

const MIB = 1024 * 1024;

function put(key: string, octets: number): Change {
  const entry: Entry = {
    key,
    value: Buffer.alloc(octets, 'x'),
    createRevision: 1,
    modRevision: 1,
    lease: undefined,
  };
  return { kind: 'put', entry, previous: undefined };
}

test('A text is encoded once for all concurrent readers and not kept for long', async () => {
  let made = 0;
  const texts = new TextCache<Buffer>((text) => text.length);
  const change = put('/a', 10);
  const of = () => texts.of(change, () => Buffer.from(`${++made}`));
  assert.equal(of(), of());
  assert.equal(made, 1);
  await sleep(1_100);
  assert.equal(of().toString(), '2', 'what a lease has left is part of it');
});

test('Cached texts are limited in size', () => {
  const texts = new TextCache<Buffer>((text) => text.length);
  const changes = Array.from({ length: 20 }, (_, n) => put(`/${n}`, 1));
  let made = 0;
  const make = () => {
    made++;
    return Buffer.alloc(MIB);
  };
  for (const change of changes) texts.of(change, make);
  for (const change of changes.slice(-8)) texts.of(change, make);
  assert.equal(made, 20, 'the last eight are there');
  texts.of(changes[0] as Change, make);
  assert.equal(made, 21);
});

test('All streams share the Buffers of a batch, and all prefixes share those of a large change', () => {
  const texts = new ChangeTexts();
  const small = { revision: 1, changes: [put('/a/1', 10), put('/a/2', 10)] };
  assert.equal([...texts.linesOf(small)][0]?.[0], [...texts.linesOf(small)][0]?.[0]);
  const change = put('/a/large', MIB);
  const [one = []] = texts.linesOf({ revision: 2, changes: [change] });
  const [other = []] = texts.linesOf({ revision: 2, changes: [put('/a/1', 10), change] });
  const large = (line: readonly Buffer[]) => line.find(({ length }) => length > MIB);
  assert.ok(large(one) !== undefined);
  assert.equal(large(one), large(other));
  const lines = [
    ...texts.linesOf({ revision: 3, changes: Array.from({ length: 9 }, () => change) }),
  ];
  assert.ok(lines.length >= 4);
  const parsed = lines.map((line) => JSON.parse(Buffer.concat(line).toString()));
  assert.equal(
    parsed.reduce((sum, { changes }) => sum + changes.length, 0),
    9,
  );
  assert.deepEqual(
    parsed.map(({ more }) => more),
    [...lines.slice(1).map(() => true), false],
  );
});

test('A Buffer that many streams wait for counts once, and the connection that waits longest is closed', () => {
  const cut: string[] = [];
  const outbox = new Outbox(100);
  const add = (name: string, ...buffers: Buffer[]) => outbox.add(buffers, () => cut.push(name));
  const shared = Buffer.from(new ArrayBuffer(60));
  const remove = [add('a', shared), add('b', shared.subarray(0, 30)), add('c', shared)];
  assert.equal(outbox.size, 60);
  add('d', Buffer.from(new ArrayBuffer(30)));
  assert.deepEqual(cut, []);
  add('e', Buffer.from(new ArrayBuffer(20)));
  assert.deepEqual(cut, ['a', 'b', 'c'], 'until what they share is free');
  assert.equal(outbox.size, 50);
  for (const each of remove) each();
  assert.equal(outbox.size, 50);
  add('f', Buffer.from(new ArrayBuffer(200)));
  assert.deepEqual(cut.slice(3), ['d', 'e', 'f'], 'also itself');
  assert.equal(outbox.size, 0);
});

async function openStreams(url: string, paths: readonly string[]): Promise<IncomingMessage[]> {
  return Promise.all(
    paths.map(async (path) => {
      const outgoing = get(`${url}${path}`, { agent: false });
      outgoing.on('error', () => undefined);
      const [response] = (await once(outgoing, 'response')) as [IncomingMessage];
      response.on('error', () => undefined);
      response.pause();
      return response;
    }),
  );
}

const WATCHES = [
  '/v2/keys/a?wait=true&recursive=true&stream=true',
  '/v1/store/watch?prefix=/a/&from=1',
  '/v1/store/watch?prefix=/&from=1',
];

test('A PUT of 1 MB is fast with 300 streams whose clients do not read, and all of them get it', {
  timeout: 120_000,
}, async () => {
  const server = await startHttp();
  try {
    const paths = Array.from({ length: 300 }, (_, n) => WATCHES[n % WATCHES.length] ?? '');
    const streams = await openStreams(server.url, paths);
    const startMs = performance.now();
    const body = `value=${'x'.repeat(1_000_000)}`;
    const { status } = await send(server.url, { method: 'PUT', path: '/v2/keys/a/1', body });
    assert.equal(status, 201);
    assert.ok(performance.now() - startMs < 5_000, `${performance.now() - startMs} ms`);
    let received = 0;
    for (const stream of streams) {
      let octets = 0;
      stream.on('data', (chunk: Buffer) => {
        octets += chunk.length;
        if (octets < 1_000_000) return;
        received++;
        stream.destroy();
      });
      stream.resume();
    }
    await until('all get the change', () => received === streams.length, 60_000);
  } finally {
    await server.stop();
  }
});

test('The server closes streams whose clients do not read when too much output waits, and other streams continue', {
  timeout: 60_000,
}, async () => {
  const server = await startHttp({ limits: { maxUnreadOctets: 4 * MIB, slowReaderMs: 60_000 } });
  try {
    const own = Array.from({ length: 10 }, (_, n) => `/v1/store/watch?prefix=/a/${n}/&from=1`);
    const unread = await openStreams(server.url, own);
    const [reader] = await openStreams(server.url, ['/v1/store/watch?prefix=/r/&from=1']);
    assert.ok(reader !== undefined);
    let received = '';
    reader.on('data', (chunk: Buffer) => {
      received += chunk.toString('latin1');
    });
    reader.resume();
    // The kernel buffers some megabytes for each.
    for (let round = 0; round < 12; round++) {
      for (let n = 0; n < unread.length; n++) {
        await server.store.put(`/a/${n}/x`, Buffer.alloc(MIB, round));
      }
    }
    await sleep(1_000);
    for (const stream of unread) stream.resume();
    const closed = () => unread.filter(({ closed }) => closed).length;
    await until('most of them are closed', () => closed() >= unread.length / 2);
    await server.store.put('/r/1', Buffer.from('x'));
    await until('the reader gets the change', () => received.includes('/r/1'));
    assert.ok(!reader.destroyed);
    reader.destroy();
  } finally {
    await server.stop();
  }
});
