/** The dgram listener over loopback, with a scripted `Respond`. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import dgram, { type Socket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { type TestContext, test } from 'node:test';
import type { Bound } from '../../src/dataplane/listener.ts';
import { createUdpListener, type UdpListenerOptions } from '../../src/dataplane/portable.ts';
import type { Client, Respond } from '../../src/dns/respond.ts';
import { until } from '../support/until.ts';

const echo: Respond = (packet, _client, send) => send(Uint8Array.from(packet));

interface Sent {
  readonly reply: Buffer;
  readonly from: string;
}

/** A listener, and the dgram sockets that it has made, to provoke what a real network seldom does. */
async function serve(
  t: TestContext,
  respond: Respond,
  addresses: readonly string[] = ['127.0.0.1'],
  onError?: UdpListenerOptions['onError'],
) {
  const made = t.mock.method(dgram, 'createSocket');
  const listener = createUdpListener(onError === undefined ? { respond } : { respond, onError });
  t.after(() => listener.close());
  const bound: Bound[] = [];
  for (const address of addresses) bound.push(await listener.listen(address, bound[0]?.port ?? 0));
  const sockets = made.mock.calls.map((call) => call.result as Socket);
  made.mock.restore();
  return { listener, bound, sockets, port: bound[0]?.port as number };
}

async function openClient(t: TestContext, address = '127.0.0.1') {
  const socket = dgram.createSocket(address.includes(':') ? 'udp6' : 'udp4');
  t.after(() => socket.close());
  socket.bind(0, address);
  await once(socket, 'listening');
  const ask = async (port: number, server = address, text = 'a question'): Promise<Sent> => {
    const answered = once(socket, 'message', { signal: AbortSignal.timeout(10_000) });
    socket.send(text, port, server);
    const [reply, peer] = await answered;
    return { reply, from: peer.address };
  };
  return { socket, ask };
}

/** As if a packet had come from there. */
function inject(socket: Socket | undefined, address: string, port: number): void {
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  socket?.emit('message', Buffer.from('forged'), { address, port, family, size: 6 });
}

const hasIpv6 = Object.values(networkInterfaces())
  .flat()
  .some((one) => one?.address === '::1');

test('a packet is answered to where it came from', async (t) => {
  const seen: Client[] = [];
  const { listener, port } = await serve(t, (packet, client, send) => {
    seen.push(client);
    echo(packet, client, send);
  });
  const { ask, socket } = await openClient(t);
  assert.equal((await ask(port)).reply.toString(), 'a question');
  assert.deepEqual(seen, [{ transport: 'udp', address: '127.0.0.1', port: socket.address().port }]);
  await until('it is counted', () => listener.counters().replies === 1);
  assert.equal(listener.counters().queries, 1);
});

test('each bound address answers for itself', async (t) => {
  const { port } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
  const { ask } = await openClient(t);
  assert.equal((await ask(port, '127.0.0.1')).from, '127.0.0.1');
  assert.equal((await ask(port, '127.0.0.2')).from, '127.0.0.2');
});

test('IPv6 has sockets of its own', { skip: !hasIpv6 && 'optional: no IPv6 here' }, async (t) => {
  const seen: string[] = [];
  const { port } = await serve(
    t,
    (packet, client, send) => {
      seen.push(client.address);
      echo(packet, client, send);
    },
    ['::', '0.0.0.0'],
  );
  await (await openClient(t, '::1')).ask(port);
  await (await openClient(t, '127.0.0.1')).ask(port);
  assert.deepEqual(seen, ['::1', '127.0.0.1']);
});

test('an IPv4-mapped client is an IPv4 client, and is answered where it is', async (t) => {
  const seen: string[] = [];
  const { sockets } = await serve(t, (packet, client, send) => {
    seen.push(client.address);
    send(packet);
  });
  const sent = t.mock.method(sockets[0] as Socket, 'send', () => {});
  inject(sockets[0], '::ffff:192.0.2.7', 1234);
  assert.deepEqual(seen, ['192.0.2.7']);
  assert.deepEqual(sent.mock.calls[0]?.arguments.slice(1, 3), [1234, '::ffff:192.0.2.7']);
});

test('source port 0 is dropped before anybody looks at it', async (t) => {
  const { listener, port, sockets } = await serve(t, echo);
  inject(sockets[0], '127.0.0.1', 0);
  assert.equal(listener.counters().sourcePortZero, 1);
  assert.equal(listener.counters().queries, 0);
  await (await openClient(t)).ask(port);
});

const canForge =
  process.getuid?.() === 0 && spawnSync('python3', ['-c', 'import socket']).status === 0;

test('source port 0 on the wire is survived', {
  skip: !canForge && 'optional: needs root and python3',
}, async (t) => {
  const { listener, port } = await serve(t, echo);
  const script = `
import socket, struct, sys
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
s.sendto(struct.pack("!HHHH", 0, int(sys.argv[1]), 20, 0) + bytes(12), ("127.0.0.1", 0))`;
  const forged = spawnSync('python3', ['-c', script, String(port)], { encoding: 'utf8' });
  if (forged.status !== 0) return t.skip(`no raw socket: ${forged.stderr.trim()}`);
  await until('it arrived', () => listener.counters().sourcePortZero === 1);
  await (await openClient(t)).ask(port);
  assert.equal(listener.counters().queries, 1);
});

test('packets that pretend to be from our own listeners are dropped', async (t) => {
  const { listener, port, sockets } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
  inject(sockets[0], '127.0.0.1', port);
  inject(sockets[0], '127.0.0.2', port);
  inject(sockets[1], '::ffff:127.0.0.1', port);
  assert.equal(listener.counters().ownAddress, 3);
  assert.equal(listener.counters().queries, 0);
});

test('a loop between two of our sockets is not begun', async (t) => {
  const { listener, port, sockets } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
  sockets[0]?.send('ping', port, '127.0.0.2');
  await until('it arrived', () => listener.counters().ownAddress === 1);
  assert.equal(listener.counters().replies, 0);
});

test('a reply that the kernel refuses is counted', async (t) => {
  const tooLong = Buffer.alloc(65_530);
  const { listener, port } = await serve(t, (packet, client, send) =>
    packet.length === 1 ? send(tooLong) : echo(packet, client, send),
  );
  const { ask, socket } = await openClient(t);
  socket.send('x', port, '127.0.0.1');
  await until('EMSGSIZE is counted', () => listener.counters().sendErrors === 1);
  await ask(port);
});

for (const code of ['EPERM', 'ENOBUFS', 'ENETUNREACH']) {
  test(`${code} on sending is counted`, async (t) => {
    const { listener, port, sockets } = await serve(t, echo);
    const refusal = Object.assign(new Error(code), { code });
    const stub = t.mock.method(sockets[0] as Socket, 'send', (...args: unknown[]) => {
      process.nextTick(args.at(-1) as (error: Error) => void, refusal);
    });
    inject(sockets[0], '192.0.2.1', 5353);
    await until('it is counted', () => listener.counters().sendErrors === 1);
    stub.mock.restore();
    await (await openClient(t)).ask(port);
    await until('the next one is sent', () => listener.counters().replies === 1);
  });
}

test('a send that throws is counted', async (t) => {
  const { listener, sockets } = await serve(t, echo);
  inject(sockets[0], '127.0.0.1', 70_000); // dgram itself throws ERR_SOCKET_BAD_PORT
  assert.equal(listener.counters().sendErrors, 1);
});

test('a listener that has stopped sends what it owes and takes nothing more', async (t) => {
  const sends: (() => void)[] = [];
  const { listener, port } = await serve(t, (packet, _client, send) => {
    const reply = Uint8Array.from(packet);
    sends.push(() => send(reply));
  });
  const { socket, ask } = await openClient(t);
  const answered = ask(port);
  await until('it is asked', () => sends.length === 1);
  listener.stop();
  socket.send('too late', port, '127.0.0.1');
  sends[0]?.();
  assert.equal((await answered).reply.toString(), 'a question');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(sends.length, 1);
});

test('a reply after close is dropped', async (t) => {
  const sends: (() => void)[] = [];
  const { listener, port } = await serve(t, (packet, _client, send) => {
    const reply = Uint8Array.from(packet);
    sends.push(() => send(reply));
  });
  const { socket } = await openClient(t);
  socket.send('late', port, '127.0.0.1');
  await until('it is asked', () => sends.length === 1);
  await listener.close();
  sends[0]?.();
  assert.equal(listener.counters().replies, 0);
});

test('while too many replies wait for the kernel, packets are shed', async (t) => {
  const { listener, port, sockets } = await serve(t, echo);
  const waiting: ((error: Error | null) => void)[] = [];
  const stub = t.mock.method(sockets[0] as Socket, 'send', (...args: unknown[]) => {
    waiting.push(args.at(-1) as (error: Error | null) => void);
  });
  for (let packet = 0; packet < 3000; packet += 1) inject(sockets[0], '192.0.2.1', 5353);
  assert.ok(waiting.length <= 1024, `${waiting.length} wait`);
  assert.equal(listener.counters().queries, waiting.length);
  assert.equal(listener.counters().shed, 3000 - waiting.length);
  stub.mock.restore();
  for (const sent of waiting) sent(null);
  await (await openClient(t)).ask(port);
});

test('an error of the socket is told and survived', async (t) => {
  const errors: Error[] = [];
  const { listener, port, sockets } = await serve(t, echo, ['127.0.0.1'], (error) =>
    errors.push(error),
  );
  const broken = new Error('recvmsg ENOMEM');
  sockets[0]?.emit('error', broken);
  assert.deepEqual(errors, [broken]);
  assert.equal(listener.counters().socketErrors, 1);
  await (await openClient(t)).ask(port);
});

test('a taken port rejects with its code', async (t) => {
  const { port } = await serve(t, echo);
  const second = createUdpListener({ respond: echo });
  await assert.rejects(second.listen('127.0.0.1', port), { code: 'EADDRINUSE' });
  await second.close();
});

test('one address can be given up alone', async (t) => {
  const { listener, bound, port } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
  await bound[0]?.close();
  const { ask } = await openClient(t);
  await ask(port, '127.0.0.2');
  await listener.close();
  await bound[0]?.close();
});
