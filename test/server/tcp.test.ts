/** RFC 7766 and RFC 9210 over real loopback connections, with a scripted `Respond`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DnsClient, Respond } from '../../src/dns/message.ts';
import { FramedClient, framed, idOf, messageWithId } from '../support/framedClient.ts';
import { serveTcp } from '../support/tcpServer.ts';
import { until } from '../support/until.ts';

const echo: Respond = (packet, _client, send) => send(packet);
const silent: Respond = () => {};

/** Answers the queries of one batch last to first, as soon as there are `size` of them. */
function inReverse(size: number): Respond {
  const waiting: (() => void)[] = [];
  return (packet, _client, send) => {
    const reply = Uint8Array.from(packet);
    waiting.push(() => send(reply));
    if (waiting.length < size) return;
    const batch = waiting.splice(0).reverse();
    setTimeout(() => {
      for (const answer of batch) answer();
    }, 1);
  };
}

function after(delayMs: number): Respond {
  return (packet, _client, send) => {
    const reply = Uint8Array.from(packet);
    setTimeout(() => send(reply), delayMs);
  };
}

test('The TCP listener answers a query that arrives octet by octet', async (t) => {
  const { connect } = await serveTcp(t, echo);
  const client = await connect();
  for (const octet of framed(messageWithId(1, 40), messageWithId(2, 40))) {
    client.socket.write(Uint8Array.of(octet));
    await new Promise(setImmediate);
  }
  await client.untilReplies(2);
  assert.deepEqual(client.replies, [messageWithId(1, 40), messageWithId(2, 40)]);
});

test('The TCP listener answers 1,000 pipelined queries out of order', async (t) => {
  const { connect, listener } = await serveTcp(t, inReverse(50));
  const client = await connect();
  const ids = Array.from({ length: 1000 }, (_, index) => index);
  client.send(...ids.map((id) => messageWithId(id, 30)));
  await client.untilReplies(1000);
  const order = client.replies.map(idOf);
  assert.deepEqual(order.slice(0, 3), [49, 48, 47]);
  assert.deepEqual(
    order.toSorted((a, b) => a - b),
    ids,
  );
  assert.equal(listener.counters().queries, 1000);
  assert.equal(listener.counters().replies, 1000);
});

test('A client that half-closes its connection gets its answers and then the end', async (t) => {
  const { connect, listener } = await serveTcp(t, after(100));
  const client = await connect({ ignoreFin: true });
  client.socket.end(framed(messageWithId(1), messageWithId(2), messageWithId(3)));
  await client.untilHungUp();
  assert.deepEqual(client.replies.map(idOf), [1, 2, 3]);
  await until('the connection is gone', () => listener.counters().open === 0);
});

test('A half-closed client gets its answers in spite of a truncated last message', async (t) => {
  const { connect } = await serveTcp(t, after(400), { messageMs: 100 });
  const client = await connect({ ignoreFin: true });
  client.socket.end(
    Buffer.concat([framed(messageWithId(1)), framed(messageWithId(2)).subarray(0, 5)]),
  );
  await client.untilHungUp();
  assert.deepEqual(client.replies.map(idOf), [1]);
});

test('The TCP listener receives and sends messages of 65,535 octets', async (t) => {
  const { connect } = await serveTcp(t, echo);
  const client = await connect();
  const large = Buffer.alloc(65_535, 0x5a);
  client.send(large, messageWithId(9), large);
  await client.untilReplies(3);
  assert.deepEqual(client.replies, [large, messageWithId(9), large]);
});

test('The TCP listener passes the client’s address and transport to `respond`', async (t) => {
  const seen: DnsClient[] = [];
  const { connect } = await serveTcp(t, (packet, client, send) => {
    seen.push(client);
    send(packet);
  });
  const client = await connect({ localAddress: '127.0.0.7' });
  client.send(messageWithId(1));
  await client.untilReplies(1);
  assert.deepEqual(seen, [
    {
      transport: 'tcp',
      address: '127.0.0.7',
      port: client.socket.localPort,
      localAddress: client.socket.remoteAddress,
      localPort: client.socket.remotePort,
    },
  ]);
});

test('The TCP listener sends a repeated reply once', async (t) => {
  const { connect } = await serveTcp(t, (packet, _client, send) => {
    send(packet);
    send(packet);
  });
  const client = await connect();
  client.send(messageWithId(1));
  client.send(messageWithId(2));
  await client.untilReplies(2);
  assert.deepEqual(client.replies.map(idOf), [1, 2]);
});

for (const length of [0, 1, 11]) {
  test(`A message of ${length} octets closes the connection`, async (t) => {
    const { connect, listener } = await serveTcp(t, echo);
    const client = await connect({ ignoreFin: true });
    client.send(Buffer.alloc(length));
    await client.untilHungUp();
    assert.equal(listener.counters().malformed, 1);
    await until('it is gone', () => listener.counters().open === 0);
  });
}

test('The TCP listener closes an idle connection even if the client ignores the FIN', async (t) => {
  const { connect, listener } = await serveTcp(t, echo, { idleMs: 200 });
  const client = await connect({ ignoreFin: true });
  client.send(messageWithId(1));
  await client.untilReplies(1);
  assert.equal(client.hungUp, false);
  await client.untilHungUp();
  await until('the connection is gone', () => listener.counters().open === 0);
  assert.equal(listener.counters().idle, 1);
  await until('the kernel refuses more', () => {
    client.send(messageWithId(2));
    return client.socket.destroyed;
  });
  assert.equal(listener.counters().queries, 1);
});

test('A client that keeps sending queries is not idle', async (t) => {
  const { connect, listener } = await serveTcp(t, echo, { idleMs: 1_000 });
  const client = await connect();
  for (let id = 1; id <= 15; id += 1) {
    client.send(messageWithId(id));
    await client.untilReplies(id);
    await sleep(100);
  }
  assert.equal(client.hungUp, false);
  assert.equal(listener.counters().idle, 0);
});

test('The TCP listener closes the connection of a client that sends a query too slowly', async (t) => {
  const { connect, listener } = await serveTcp(t, echo, { messageMs: 300, idleMs: 60_000 });
  const client = await connect();
  const message = framed(messageWithId(1, 500));
  let sent = 0;
  const drip = setInterval(() => client.socket.write(message.subarray(sent, ++sent)), 20);
  t.after(() => clearInterval(drip));
  await client.untilHungUp();
  assert.ok(sent < message.length, 'it was cut before its end');
  assert.equal(listener.counters().slow, 1);
  assert.equal(listener.counters().queries, 0);
});

test('The TCP listener cuts the connection of a client whose replies break off', async (t) => {
  let isClosed = false;
  const { connect, listener } = await serveTcp(t, silent, {}, '127.0.0.1', undefined, (message) => {
    const replies = [Uint8Array.from(message), 'broken'] as const;
    let at = 0;
    const close = (): void => {
      isClosed = true;
    };
    return { next: () => replies[at++], close };
  });
  const client = await connect();
  client.send(messageWithId(1));
  await client.untilHungUp();
  await until('the replies are closed', () => isClosed);
  assert.equal(listener.counters().failed, 1);
});

test('The TCP listener does not report a client’s reset as an error', async (t) => {
  const { connect, listener, errors } = await serveTcp(t, after(50));
  for (let round = 0; round < 20; round += 1) {
    const client = await connect();
    client.send(messageWithId(1), messageWithId(2));
    await until('the queries have arrived', () => listener.counters().queries === 2 * (round + 1));
    client.socket.resetAndDestroy();
  }
  await until('all are gone', () => listener.counters().open === 0);
  const client = await connect();
  client.send(messageWithId(3));
  await client.untilReplies(1);
  assert.deepEqual(errors, []);
});

test('Queries without a reply do not use up the connection’s limit', async (t) => {
  const respond: Respond = (packet, _client, send) => {
    if (idOf(packet) !== 0) send(packet);
  };
  const { connect, listener } = await serveTcp(t, respond, { outstandingQueries: 4, queryMs: 200 });
  const client = await connect();
  const unanswerable = Array.from({ length: 10 }, () => messageWithId(0));
  client.send(...unanswerable, messageWithId(1));
  await client.untilReplies(1);
  assert.deepEqual(client.replies.map(idOf), [1]);
  await until('all are given up', () => listener.counters().unanswered === 10);
});

test('A half-closed connection without pending answers is closed', async (t) => {
  const { connect } = await serveTcp(t, silent, { queryMs: 200 });
  const client = await connect({ ignoreFin: true });
  client.socket.end(framed(messageWithId(1)));
  await client.untilHungUp(5_000);
});

test('The TCP listener drops a late reply to an abandoned query', async (t) => {
  const { connect, listener } = await serveTcp(t, after(400), { queryMs: 100 });
  const client = await connect();
  client.send(messageWithId(1));
  await until('it is given up', () => listener.counters().unanswered === 1);
  await sleep(500);
  assert.deepEqual(client.replies, []);
  assert.equal(client.hungUp, false);
});

test('A closing TCP listener answers pending queries and accepts no new connections', async (t) => {
  const { connect, listener, port } = await serveTcp(t, after(300));
  const clients = await Promise.all([connect(), connect(), connect()]);
  for (const client of clients) client.send(messageWithId(1), messageWithId(2));
  await until('all have asked', () => listener.counters().queries === 6);
  const closed = listener.close();
  await closed;
  for (const client of clients) {
    await client.untilHungUp();
    assert.deepEqual(client.replies.map(idOf), [1, 2]);
  }
  assert.equal(listener.counters().open, 0);
  await assert.rejects(FramedClient.connect(port), { code: 'ECONNREFUSED' });
});

test('A closing TCP listener answers queries that the client has already written', async (t) => {
  const { connect, listener } = await serveTcp(t, echo);
  const client = await connect();
  client.send(messageWithId(1));
  await client.untilReplies(1);
  client.send(...Array.from({ length: 500 }, (_, id) => messageWithId(id)));
  await new Promise(setImmediate); // the octets are in the kernel, unread
  await listener.close();
  await client.untilHungUp();
  assert.equal(client.replies.length, 501);
});

test('A closing TCP listener answers queries that wait behind the limit of pending queries', async (t) => {
  const { connect, listener } = await serveTcp(t, after(50), { outstandingQueries: 1 });
  const client = await connect();
  for (let id = 0; id < 5; id += 1) {
    client.send(messageWithId(id)); // each in a chunk of its own that the connection has not read yet
    await sleep(5);
  }
  await until('it works on the first', () => listener.counters().queries >= 1);
  await listener.close();
  await client.untilHungUp();
  assert.deepEqual(client.replies.map(idOf), [0, 1, 2, 3, 4]);
});

test('A closing TCP listener serves a client whose connection only the kernel has accepted', async (t) => {
  const { port, listener } = await serveTcp(t, echo);
  const query = framed(messageWithId(5)).toString('hex');
  const script = `const socket = require('node:net').connect(${port}, '127.0.0.1');
    socket.end(Buffer.from('${query}', 'hex'), () => process.exit(0));`;
  const { status } = spawnSync(process.execPath, ['-e', script]); // meanwhile this process's event loop does not run
  assert.equal(status, 0);
  assert.equal(listener.counters().accepted, 0);
  await listener.close();
  assert.equal(listener.counters().queries, 1);
});

test('A closing TCP listener does not wait for a client that ignores it', async (t) => {
  const { connect, listener } = await serveTcp(t, silent, { closeMs: 200, queryMs: 60_000 });
  const deaf = await connect({ ignoreFin: true });
  const owed = await connect();
  owed.send(messageWithId(1));
  await until('it has asked', () => listener.counters().queries === 1);
  const startedMs = performance.now();
  await listener.close();
  assert.ok(performance.now() - startedMs < 2_000);
  await Promise.all([deaf.untilHungUp(), owed.untilHungUp()]);
});
