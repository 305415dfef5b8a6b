/** Worker threads on batched sockets, with a table that packets script: start, death and stop of workers. */

import assert from 'node:assert/strict';
import { after, before, suite, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import type { UdpListener } from '../../../src/dataplane/listeners/udpListener.ts';
import type { WorkerListenerOptions } from '../../../src/dataplane/listeners/workerListener.ts';
import { BATCH_PACKETS } from '../../../src/dataplane/sockets/batch.ts';
import { PLAIN_POLICY } from '../../../src/dataplane/sockets/clientPolicy.ts';
import { Single } from '../../../src/dataplane/table/counters.ts';
import type { Respond } from '../../../src/dns/message.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { openUdpClient, type UdpClient } from '../../support/udpClient.ts';
import { until } from '../../support/until.ts';
import { compiledEntry, NO_WORKERS, workerListener } from '../../support/workerListeners.ts';

/** Memory that looks like a table to the workers. */
const table = { memory: new SharedArrayBuffer(8), maxUdpOctets: 1232 };
const unasked: Respond = () => assert.fail('no packet may be handed over');

suite('worker threads', { skip: NO_WORKERS }, () => {
  let dir = '';
  let entry: URL;
  before(async () => {
    dir = await newTempDir();
    entry = await compiledEntry(dir, './scriptedWorker.ts');
  });
  after(() => removeDir(dir));

  async function serve(
    t: TestContext,
    options: Partial<WorkerListenerOptions> = {},
    address = '127.0.0.1',
  ) {
    const listener = workerListener({ respond: unasked, entry, table, ...options });
    t.after(() => listener.close());
    const bound = await listener.listen(address, 0);
    return { listener, bound, port: bound.port };
  }

  test('A worker answers from the table without the main thread', async (t) => {
    const { listener, port } = await serve(t);
    const { reply } = await (await openUdpClient(t)).ask(port, '127.0.0.1', 'word');
    assert.equal(reply.toString(), '\0ord');
    await until('it is counted', () => sum(listener, Single.sent) === 1);
    assert.equal(sum(listener, Single.received), 1);
    assert.equal(sum(listener, Single.receivedOctets), 4);
    assert.equal(sum(listener, Single.handedOver), 0);
  });

  test('The main thread answers misses, and packets that deserve no reply get none', async (t) => {
    const asked: string[] = [];
    const { listener, port } = await serve(t, {
      respond: (packet, _client, send) => {
        asked.push(Buffer.from(packet).toString());
        send(Uint8Array.from(packet).reverse());
      },
    });
    const client = await openUdpClient(t);
    client.socket.send('drop', port, '127.0.0.1');
    assert.equal((await client.ask(port, '127.0.0.1', 'pending')).reply.toString(), 'gnidnep');
    assert.equal((await client.ask(port, '127.0.0.1', 'slow')).reply.toString(), 'wols');
    assert.deepEqual(asked, ['pending', 'slow']);
    assert.equal(sum(listener, Single.handedOver), 2);
    assert.equal(listener.counters().queries, 3);
    await until('both are counted', () => listener.counters().replies === 2);
  });

  test('Clients are distributed among the workers', async (t) => {
    const { listener, port } = await serve(t, { workers: 3 });
    const clients = await openClients(t, 40);
    await Promise.all(clients.map(({ ask }) => ask(port)));
    const busy = () => listener.blocks.filter(({ block }) => (block[Single.sent] ?? 0) > 0);
    await until('each has answered some', () => busy().length === 3);
  });

  test('Replies have RA for clients that may recurse, as soon as the configuration allows it', async (t) => {
    const { listener, port } = await serve(t);
    const client = await openUdpClient(t, '127.0.0.5');
    const hasRa = async () => (await client.ask(port, '127.0.0.1')).reply[0] === 1;
    assert.ok(!(await hasRa()));
    listener.setPolicy({
      ...PLAIN_POLICY,
      recursionRanges: [{ address: '127.0.0.4', prefixLength: 31 }],
    });
    await until('RA is set', hasRa);
    const stranger = await openUdpClient(t, '127.0.0.6');
    assert.equal((await stranger.ask(port, '127.0.0.1')).reply[0], 0);
    listener.setPolicy(PLAIN_POLICY);
    await until('RA is no longer set', async () => !(await hasRa()));
  });

  test('A reply on a wildcard address leaves from the address to which its query was sent', async (t) => {
    const { port } = await serve(t, { respond: echo }, '0.0.0.0');
    const { ask } = await openUdpClient(t);
    for (const server of ['127.0.0.1', '127.0.0.2', '127.8.9.10']) {
      assert.equal((await ask(port, server, 'word')).from, server);
      assert.equal((await ask(port, server, 'slow')).from, server);
    }
  });

  for (const word of ['die', 'exit']) {
    test(`A worker that dies (${word}) under load loses one batch`, async (t) => {
      const errors: Error[] = [];
      const gone: number[] = [];
      const { listener, port } = await serve(t, {
        onError: (error) => errors.push(error),
        onWorkerGone: (thread) => gone.push(thread),
      });
      const clients = await openClients(t, 16);
      await Promise.all(clients.map(({ ask }) => ask(port)));
      const replies = countReplies(clients);
      const deaths = 4;
      let questions = 0;
      for (let round = 0; round < 100; round++) {
        for (const { socket } of clients) socket.send('query', port, '127.0.0.1');
        questions += clients.length;
        if (round % 25 === 10) clients[round % 16]?.socket.send(word, port, '127.0.0.1');
        await sleep(5);
      }
      await until('all deaths are reported', () => gone.length === deaths);
      assert.match(errors[0]?.message ?? '', /^UDP worker [12] died: .*; it is replaced$/);
      // The other packets waited in the kernel for the next worker, whose start may have been delayed.
      const least = questions - deaths * (BATCH_PACKETS - 1);
      await until('all others are answered', () => replies() >= least);
      const answered = replies();
      await Promise.all(clients.map(({ ask }) => ask(port)));
      assert.ok(replies() >= answered + clients.length);
      assert.equal(listener.counters().socketErrors, 0);
    });
  }

  test('A worker that always fails to start is restarted less and less often', async (t) => {
    let deaths = 0;
    const dying = pathToFileURL(`${dir}/none.js`);
    const { listener } = await serve(t, { workers: 1, entry: dying, onError: () => deaths++ });
    await until('it has died some times', () => deaths >= 4);
    await sleep(500);
    assert.ok(deaths <= 6, `${deaths} deaths`);
    const startedMs = performance.now();
    await listener.close();
    assert.ok(performance.now() - startedMs < 5_000);
  });

  test('A closing listener answers the packets that have arrived', async (t) => {
    const { listener, port } = await serve(t, { respond: echo });
    const clients = await openClients(t, 4);
    await Promise.all(clients.map(({ ask }) => ask(port)));
    const replies = countReplies(clients);
    const burst = 100;
    await Promise.all(
      Array.from({ length: burst }, (_, i) => (i % 2 === 0 ? 'word' : 'slow')).flatMap((word) =>
        clients.map((client) => sent(client, word, port)),
      ),
    );
    await listener.stop();
    await until('all are answered', () => replies() === burst * clients.length);
    const { queries } = listener.counters();
    clients[0]?.socket.send('late', port, '127.0.0.1');
    await sleep(150);
    assert.equal(listener.counters().queries, queries);
  });

  test('A listener that gives up an address answers the packets that have arrived there', async (t) => {
    const { bound, port } = await serve(t, { respond: echo });
    const client = await openUdpClient(t);
    await client.ask(port);
    const replies = countReplies([client]);
    const burst = 50;
    await Promise.all(Array.from({ length: burst }, () => sent(client, 'slow', port)));
    // Meanwhile the workers continue, and hand over packets that the blocked main thread cannot take.
    for (const endMs = performance.now() + 200; performance.now() < endMs; );
    await bound.close();
    await until('all are answered', () => replies() === burst);
  });

  test('A listener that never listened can be closed', async () => {
    await workerListener({ respond: unasked, entry }).close();
  });

  test('A listener with workers closes without waiting for a timeout', async (t) => {
    const { listener, port } = await serve(t);
    await (await openUdpClient(t)).ask(port);
    const startedMs = performance.now();
    await listener.close();
    // A thread that does not end by itself is ended after 1.5 s.
    assert.ok(performance.now() - startedMs < 1_400, `${performance.now() - startedMs} ms`);
  });
});

const echo: Respond = (packet, _client, send) => send(Uint8Array.from(packet));

function openClients(t: TestContext, count: number): Promise<UdpClient[]> {
  return Promise.all(Array.from({ length: count }, () => openUdpClient(t)));
}

function countReplies(clients: readonly UdpClient[]): () => number {
  let replies = 0;
  for (const { socket } of clients) socket.on('message', () => replies++);
  return () => replies;
}

/** Resolves when the kernel has accepted the packet. */
function sent({ socket }: UdpClient, word: string, port: number): Promise<unknown> {
  return new Promise((resolve) => socket.send(word, port, '127.0.0.1', resolve));
}

function sum(listener: UdpListener, slot: number): number {
  return listener.blocks.reduce((total, { block }) => total + (block[slot] ?? 0), 0);
}
