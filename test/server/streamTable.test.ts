/** Answers from the table over real TCP connections, beside the slow path's. */

import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PLAIN_POLICY } from '../../src/dataplane/sockets/clientPolicy.ts';
import { Single } from '../../src/dataplane/table/counters.ts';
import type { Respond } from '../../src/dns/message.ts';
import type { TcpLimits } from '../../src/server/tcp/connectionTable.ts';
import { StreamTable } from '../../src/server/tcp/streamTable.ts';
import { FastZone } from '../support/fastZone.ts';
import { FramedClient, idOf } from '../support/framedClient.ts';
import { rawPacket, rawQuestion } from '../support/packets.ts';
import { serveTcp } from '../support/tcpServer.ts';
import { until } from '../support/until.ts';

const IN_TABLE = 'in.skydns.local';
const TRUNCATED = 'many.skydns.local';
const UNKNOWN = 'other.example.com';

function question(id: number, name: string): Buffer {
  return rawPacket({ id, flags: 0x0100, body: [rawQuestion(name)] });
}

/** A listener with a table; `asked` has the ids of the questions that the slow path gets, which sends them back. */
async function setUp(t: TestContext, limits: Partial<TcpLimits> = {}, address = '127.0.0.1') {
  const zone = new FastZone();
  zone.put('local/skydns/in', { host: '10.0.0.1' });
  for (let i = 0; i < 100; i++) zone.put(`local/skydns/many/${i}`, { host: `10.0.1.${i}` });
  zone.setFreshness('synced');
  for (const name of [IN_TABLE, TRUNCATED, 'missing.skydns.local']) zone.publish(question(0, name));
  const asked: number[] = [];
  const respond: Respond = (packet, _client, send) => {
    asked.push(idOf(Buffer.from(packet)));
    send(Uint8Array.from(packet));
  };
  const table = new StreamTable(zone.table.handle, () => zone.nowMs);
  const served = await serveTcp(t, respond, limits, address, table);
  return { ...served, zone, table, asked };
}

function sum(table: StreamTable, slot: number): number {
  return table.blocks.reduce((all, { block }) => all + (block[slot] as number), 0);
}

test('Over TCP the table gives the replies of the slow path', async (t) => {
  const { connect, zone, asked, listener, table } = await setUp(t);
  const client = await connect();
  const packets = [
    question(1, IN_TABLE),
    question(2, 'random.skydns.local'),
    question(3, IN_TABLE.toUpperCase()),
  ];
  client.send(...packets);
  await client.untilReplies(3);
  assert.deepEqual(
    client.replies,
    packets.map((packet) => zone.slow(packet, 'tcp')),
  );
  assert.deepEqual(asked, []);
  assert.equal(listener.counters().queries, 3);
  assert.equal(listener.counters().replies, 3);
  assert.equal(sum(table, Single.received), 3);
  assert.equal(sum(table, Single.sent), 3);
  const octets = (of: readonly Buffer[]): number => of.reduce((all, { length }) => all + length, 0);
  assert.equal(sum(table, Single.receivedOctets), octets(packets));
  assert.equal(sum(table, Single.sentOctets), octets(client.replies));
});

test('The slow path answers what the table cannot answer whole, in the order of the questions', async (t) => {
  const { connect, asked } = await setUp(t);
  const client = await connect();
  const names = [IN_TABLE, TRUNCATED, IN_TABLE, UNKNOWN, IN_TABLE, IN_TABLE];
  const count = 60;
  client.send(
    ...Array.from({ length: count }, (_, id) => question(id, names[id % names.length] as string)),
  );
  await client.untilReplies(count);
  const ids = Array.from({ length: count }, (_, id) => id);
  assert.deepEqual(client.replies.map(idOf), ids);
  assert.deepEqual(
    asked,
    ids.filter((id) => id % 6 === 1 || id % 6 === 3),
  );
  assert.ok(client.replies.every((reply) => (reply.readUInt16BE(2) & 0x0200) === 0));
});

test('Questions in any pieces are answered from the table', async (t) => {
  const { connect, listener } = await setUp(t);
  const client = await connect();
  const count = 100;
  const length = Buffer.alloc(2);
  const stream = Buffer.concat(
    Array.from({ length: count }, (_, id) => {
      const packet = question(id, IN_TABLE);
      length.writeUInt16BE(packet.length);
      return Buffer.concat([length, packet]);
    }),
  );
  for (let at = 0; at < stream.length; at += 97) {
    client.socket.write(stream.subarray(at, at + 97));
    await new Promise(setImmediate);
  }
  await client.untilReplies(count);
  assert.deepEqual(
    client.replies.map(idOf),
    Array.from({ length: count }, (_, id) => id),
  );
  assert.equal(listener.counters().replies, count);
});

test('RA is set for clients that may recurse, and IPv6 clients are counted as such', async (t) => {
  const { connect, table } = await setUp(t, {}, '::1');
  const hasRa = async (): Promise<boolean> => {
    const client = await connect({ address: '::1' });
    client.send(question(1, IN_TABLE));
    await client.untilReplies(1);
    return ((client.replies[0]?.readUInt16BE(2) ?? 0) & 0x80) !== 0;
  };
  assert.equal(await hasRa(), false);
  table.setPolicy({ ...PLAIN_POLICY, recursionRanges: [{ address: '::1', prefixLength: 128 }] });
  assert.equal(await hasRa(), true);
  const six = table.blocks.find(({ family }) => family === 6);
  assert.equal(six?.block[Single.sent], 2);
});

test('A client that reads no answers from the table stops being served', async (t) => {
  const { port, listener, table, asked } = await setUp(t, {
    unreadOctets: 100_000,
    idleMs: 60_000,
  });
  const client = await FramedClient.connect(port, { paused: true });
  t.after(() => client.socket.destroy());
  const many = Array.from({ length: 1000 }, (_, id) => question(id, IN_TABLE));
  // More than the buffers of both kernels hold.
  const rounds = 200;
  for (let round = 0; round < rounds; round++) client.send(...many);
  let replies = -1;
  await until('it takes no more questions', async () => {
    const before = replies;
    await sleep(200);
    replies = listener.counters().replies;
    return replies > 0 && replies === before;
  });
  assert.ok(replies < many.length * rounds, `${replies} replies`);
  let octets = 0;
  client.socket.on('data', (chunk: Buffer) => {
    octets += chunk.length;
  });
  await until('it takes all questions', () => listener.counters().replies === many.length * rounds);
  // The slow path gets the questions that lie in two chunks, and sends them back.
  const ofTable = sum(table, Single.sentOctets) + 2 * sum(table, Single.sent);
  const ofSlowPath = asked.length * (2 + question(0, IN_TABLE).length);
  await until('all replies have come', () => octets === ofTable + ofSlowPath);
  assert.equal(listener.counters().overrun, 0);
});

test('A connection that asks what the table holds leaves time to other connections', async (t) => {
  const { connect, asked, listener } = await setUp(t);
  const busy = await connect();
  const other = await connect();
  const count = 50_000;
  busy.send(...Array.from({ length: count }, () => question(0, IN_TABLE)));
  other.send(question(7, UNKNOWN));
  await until('the other one is served', () => asked.includes(7));
  const before = listener.counters().queries;
  assert.ok(before < count, `${before} questions came first`);
});

test('A long name below a stored wildcard gets the slow path’s reply if the table’s would be too long', () => {
  const zone = new FastZone();
  for (let i = 0; i < 15; i++)
    zone.put(`local/skydns/w/*/${i}`, { host: '10.0.0.1', port: 1000 + i });
  zone.setFreshness('synced');
  const srv = (id: number, name: string): Buffer =>
    rawPacket({ id, flags: 0x0100, body: [rawQuestion(name, 33)] });
  zone.publish(srv(0, 'a.w.skydns.local'));
  const table = new StreamTable(zone.table.handle, () => zone.nowMs);
  const client = { transport: 'tcp', address: '127.0.0.1', port: 1 } as const;
  const offer = { idleMs: 1_000, isEncrypted: false };
  const answerTo = (name: string): Uint8Array | undefined =>
    table.answerMessage(srv(1, name), client, offer);
  assert.deepEqual(
    answerTo('ab.w.skydns.local'),
    zone.slow(srv(1, 'ab.w.skydns.local'), 'tcp'),
    'a short name',
  );
  const long = `${Array(3).fill('x'.repeat(63)).join('.')}.${'y'.repeat(40)}.w.skydns.local`;
  assert.ok((zone.slow(srv(1, long), 'tcp')?.length ?? 0) > 4_000);
  assert.equal(answerTo(long), undefined);
});
