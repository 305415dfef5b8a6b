/** The contract of both UDP listeners, portable and with workers, over loopback with a scripted `Respond`. */
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import { after, before, suite, type TestContext, test } from 'node:test';
import { createPortableListener } from '../../../src/dataplane/listeners/portableListener.ts';
import type {
  Bound,
  UdpListener,
  UdpListenerOptions,
} from '../../../src/dataplane/listeners/udpListener.ts';
import { SocketMaker } from '../../../src/dataplane/sockets/socket.ts';
import type { DnsClient, Respond } from '../../../src/dns/message.ts';
import { cannotForge, forgePacket } from '../../support/forgedPacket.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { openUdpClient } from '../../support/udpClient.ts';
import { until } from '../../support/until.ts';
import {
  compiledEntry,
  libcHere,
  NO_WORKERS,
  workerListener,
} from '../../support/workerListeners.ts';

type Create = (options: UdpListenerOptions) => UdpListener;

const echo: Respond = (packet, _client, send) => send(Uint8Array.from(packet));

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === '::1');

/** Where a socket on a wildcard address receives a packet to 127.0.0.7. Node's sockets only know the network. */
const RECEIVED_AT = { portable: '127.0.0.1', workers: '127.0.0.7' } as const;

suite('on Node’s own sockets', () => contract(createPortableListener, RECEIVED_AT.portable));

suite('with worker threads', { skip: NO_WORKERS }, () => {
  let dir = '';
  let entry: URL;
  before(async () => {
    dir = await newTempDir();
    entry = await compiledEntry(dir, '../../src/dataplane/listeners/workerMain.ts');
  });
  after(() => removeDir(dir));
  contract((options) => workerListener({ ...options, entry }), RECEIVED_AT.workers);
});

function contract(create: Create, receivedAt: string): void {
  async function serve(
    t: TestContext,
    respond: Respond,
    addresses: readonly string[] = ['127.0.0.1'],
  ) {
    const listener = create({ respond });
    t.after(() => listener.close());
    const bound: Bound[] = [];
    for (const address of addresses)
      bound.push(await listener.listen(address, bound[0]?.port ?? 0));
    return { listener, bound, port: bound[0]?.port as number };
  }

  /** Keeps each reply until the test sends it. */
  function owing(): { readonly sends: (() => void)[]; readonly respond: Respond } {
    const sends: (() => void)[] = [];
    const respond: Respond = (packet, _client, send) => {
      const reply = Uint8Array.from(packet);
      sends.push(() => send(reply));
    };
    return { sends, respond };
  }

  test('A UDP listener replies to the source of a packet', async (t) => {
    const seen: DnsClient[] = [];
    const { listener, port } = await serve(t, (packet, client, send) => {
      seen.push(client);
      echo(packet, client, send);
    });
    const client = await openUdpClient(t);
    assert.equal((await client.ask(port)).reply.toString(), 'a question');
    const { port: clientPort } = client;
    const expected = { transport: 'udp', address: '127.0.0.1', port: clientPort } as const;
    assert.deepEqual(seen, [{ ...expected, localAddress: '127.0.0.1', localPort: port }]);
    await until('it is counted', () => listener.counters().replies === 1);
    assert.equal(listener.counters().queries, 1);
  });

  test('A UDP listener replies from the address to which the query was sent', async (t) => {
    const { port } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
    const { ask } = await openUdpClient(t);
    assert.equal((await ask(port, '127.0.0.1')).from, '127.0.0.1');
    assert.equal((await ask(port, '127.0.0.2')).from, '127.0.0.2');
  });

  test('A UDP listener has separate sockets for IPv6', {
    skip: !hasIpv6 && 'optional: no IPv6 here',
  }, async (t) => {
    const seen: string[] = [];
    const { port } = await serve(
      t,
      (packet, client, send) => {
        seen.push(client.address);
        echo(packet, client, send);
      },
      ['::', '0.0.0.0'],
    );
    await (await openUdpClient(t, '::1')).ask(port);
    await (await openUdpClient(t, '127.0.0.1')).ask(port);
    assert.deepEqual(seen, ['::1', '127.0.0.1']);
  });

  test('A UDP listener says at which address a packet arrived', async (t) => {
    const seen: (string | undefined)[] = [];
    const respond: Respond = (packet, client, send) => {
      seen.push(client.localAddress);
      echo(packet, client, send);
    };
    const bound = await serve(t, respond, ['127.0.0.1', '127.0.0.2']);
    const anywhere = await serve(t, respond, ['0.0.0.0']);
    const { ask } = await openUdpClient(t);
    await ask(bound.port, '127.0.0.1');
    await ask(bound.port, '127.0.0.2');
    await ask(anywhere.port, '127.0.0.7');
    assert.deepEqual(seen, ['127.0.0.1', '127.0.0.2', receivedAt]);
    if (!hasIpv6) return;
    const onIpv6 = await serve(t, respond, ['::']);
    await (await openUdpClient(t, '::1')).ask(onIpv6.port);
    assert.equal(seen.at(-1), '::1');
  });

  test('A UDP listener survives a packet from source port 0', {
    skip: cannotForge(),
  }, async (t) => {
    const { listener, port } = await serve(t, echo);
    forgePacket({ address: '127.0.0.1', port: 0 }, { address: '127.0.0.1', port }, 'no way back');
    await until('it arrived', () => listener.counters().sourcePortZero === 1);
    await (await openUdpClient(t)).ask(port);
    assert.equal(listener.counters().queries, 1);
  });

  test('A packet from one of the listener’s own addresses starts no loop', {
    skip: cannotForge(),
  }, async (t) => {
    const { listener, port } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
    forgePacket({ address: '127.0.0.2', port }, { address: '127.0.0.1', port }, 'ping');
    await until('it arrived', () => listener.counters().ownAddress === 1);
    assert.equal(listener.counters().replies, 0);
    assert.equal(listener.counters().queries, 0);
  });

  test('A UDP listener answers a client with the same port number as its own', async (t) => {
    const { port } = await serve(t, echo);
    const client = await openUdpClient(t, '127.0.0.9', port);
    assert.equal((await client.ask(port, '127.0.0.1')).from, '127.0.0.1');
  });

  test('A UDP listener counts a reply that the kernel refuses', async (t) => {
    const tooLong = Buffer.alloc(65_530);
    const { listener, port } = await serve(t, (packet, client, send) =>
      packet.length === 1 ? send(tooLong) : echo(packet, client, send),
    );
    const { ask, socket } = await openUdpClient(t);
    socket.send('x', port, '127.0.0.1');
    await until('EMSGSIZE is counted', () => listener.counters().sendErrors === 1);
    await ask(port);
  });

  test('A UDP listener sends late replies to their clients', async (t) => {
    const { sends, respond } = owing();
    const { port } = await serve(t, respond);
    const clients = await Promise.all([1, 2, 3].map(() => openUdpClient(t)));
    const answers: Promise<{ reply: Buffer }>[] = [];
    for (const [i, client] of clients.entries()) {
      answers.push(client.ask(port, '127.0.0.1', `question ${i}`));
      await until('it is asked', () => sends.length === i + 1);
    }
    for (const send of sends.reverse()) send();
    const replies = (await Promise.all(answers)).map(({ reply }) => reply.toString());
    assert.deepEqual(replies, ['question 0', 'question 1', 'question 2']);
  });

  test('A UDP listener accepts packets of any length', async (t) => {
    const lengths: number[] = [];
    const { port } = await serve(t, (packet, _client, send) => {
      lengths.push(packet.length);
      send(Uint8Array.of(packet[packet.length - 1] ?? 0));
    });
    const { ask } = await openUdpClient(t);
    for (const length of [0, 1, 2, 3, 511, 1232, 2047, 2048]) {
      const { reply } = await ask(port, '127.0.0.1', Buffer.alloc(length, length));
      assert.equal(reply[0], length === 0 ? 0 : length & 0xff);
    }
    assert.deepEqual(lengths, [0, 1, 2, 3, 511, 1232, 2047, 2048]);
    await ask(port, '127.0.0.1', Buffer.alloc(60_000));
    assert.ok((lengths.at(-1) ?? 0) >= 2048);
  });

  test('A stopped UDP listener sends its pending replies and accepts no more packets', async (t) => {
    const { sends, respond } = owing();
    const { listener, port } = await serve(t, respond);
    const { socket, ask } = await openUdpClient(t);
    const answered = ask(port);
    await until('it is asked', () => sends.length === 1);
    await listener.stop();
    socket.send('too late', port, '127.0.0.1');
    sends[0]?.();
    assert.equal((await answered).reply.toString(), 'a question');
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(sends.length, 1);
  });

  test('A UDP listener drops a reply after close', async (t) => {
    const { sends, respond } = owing();
    const { listener, port } = await serve(t, respond);
    const { socket } = await openUdpClient(t);
    socket.send('late', port, '127.0.0.1');
    await until('it is asked', () => sends.length === 1);
    await listener.close();
    sends[0]?.();
    assert.equal(listener.counters().replies, 0);
  });

  test('A UDP listener rejects with the system’s code when the port is in use', async (t) => {
    const { port } = await serve(t, echo);
    const second = create({ respond: echo });
    t.after(() => second.close());
    await assert.rejects(second.listen('127.0.0.1', port), { code: 'EADDRINUSE' });
    await assert.rejects(second.listen('0.0.0.0', port), { code: 'EADDRINUSE' });
    await assert.rejects(second.listen('192.0.2.77', 0), { code: 'EADDRNOTAVAIL' });
  });

  test('A UDP listener frees its port when it closes', async (t) => {
    const { listener, port } = await serve(t, echo);
    await listener.close();
    const second = create({ respond: echo });
    t.after(() => second.close());
    await second.listen('127.0.0.1', port);
    await (await openUdpClient(t)).ask(port);
  });

  test('A UDP listener can give up one of its addresses', async (t) => {
    const { listener, bound, port } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
    const { ask } = await openUdpClient(t);
    await ask(port, '127.0.0.1');
    await bound[0]?.close();
    await ask(port, '127.0.0.2');
    const second = create({ respond: echo });
    t.after(() => second.close());
    await second.listen('127.0.0.1', port);
    await ask(port, '127.0.0.1');
    await listener.close();
    await bound[0]?.close();
  });

  test('A UDP listener serves an inherited socket', { skip: NO_WORKERS }, async (t) => {
    const [made] = new SocketMaker(libcHere()).open({ address: '127.0.0.1', port: 0 }, 1);
    assert.ok(made !== undefined);
    const listener = create({ respond: echo });
    t.after(() => listener.close());
    const bound = await listener.listen('127.0.0.1', 0, made.fd);
    assert.equal(bound.port, made.port);
    const { ask } = await openUdpClient(t);
    for (let i = 0; i < 5; i++) await ask(made.port);
  });
}
