/** Rare network events on the dgram listener; `udpListener.test.ts` has what it shares with the worker listener. */
import assert from 'node:assert/strict';
import type { Socket } from 'node:dgram';
import dgram from 'node:dgram';
import { type TestContext, test } from 'node:test';
import { createPortableListener } from '../../../src/dataplane/listeners/portableListener.ts';
import type { Bound, UdpListenerOptions } from '../../../src/dataplane/listeners/udpListener.ts';
import type { Respond } from '../../../src/dns/message.ts';
import { openUdpClient } from '../../support/udpClient.ts';
import { until } from '../../support/until.ts';

const echo: Respond = (packet, _client, send) => send(Uint8Array.from(packet));

/** A listener, and the dgram sockets that it has made, to provoke what a real network seldom does. */
async function serve(
  t: TestContext,
  respond: Respond,
  addresses: readonly string[] = ['127.0.0.1'],
  onError?: UdpListenerOptions['onError'],
) {
  const made = t.mock.method(dgram, 'createSocket');
  const listener = createPortableListener(
    onError === undefined ? { respond } : { respond, onError },
  );
  t.after(() => listener.close());
  const bound: Bound[] = [];
  for (const address of addresses) bound.push(await listener.listen(address, bound[0]?.port ?? 0));
  const sockets = made.mock.calls.map((call) => call.result as Socket);
  made.mock.restore();
  return { listener, bound, sockets, port: bound[0]?.port as number };
}

/** Emits a packet as if it had come from that address. */
function inject(socket: Socket | undefined, address: string, port: number): void {
  const family = address.includes(':') ? 'IPv6' : 'IPv4';
  socket?.emit('message', Buffer.from('forged'), { address, port, family, size: 6 });
}

test('The portable listener treats an IPv4-mapped client as an IPv4 client and answers it', async (t) => {
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

test('The portable listener drops packets from source port 0 unread', async (t) => {
  const { listener, port, sockets } = await serve(t, echo);
  inject(sockets[0], '127.0.0.1', 0);
  assert.equal(listener.counters().sourcePortZero, 1);
  assert.equal(listener.counters().queries, 0);
  await (await openUdpClient(t)).ask(port);
});

test('The portable listener drops packets whose source is one of its own addresses', async (t) => {
  const { listener, port, sockets } = await serve(t, echo, ['127.0.0.1', '127.0.0.2']);
  inject(sockets[0], '127.0.0.1', port);
  inject(sockets[0], '127.0.0.2', port);
  inject(sockets[1], '::ffff:127.0.0.1', port);
  assert.equal(listener.counters().ownAddress, 3);
  assert.equal(listener.counters().queries, 0);
});

for (const code of ['EPERM', 'ENOBUFS', 'ENETUNREACH']) {
  test(`The portable listener counts ${code} on sending`, async (t) => {
    const { listener, port, sockets } = await serve(t, echo);
    const refusal = Object.assign(new Error(code), { code });
    const stub = t.mock.method(sockets[0] as Socket, 'send', (...args: unknown[]) => {
      process.nextTick(args.at(-1) as (error: Error) => void, refusal);
    });
    inject(sockets[0], '192.0.2.1', 5353);
    await until('it is counted', () => listener.counters().sendErrors === 1);
    stub.mock.restore();
    await (await openUdpClient(t)).ask(port);
    await until('the next one is sent', () => listener.counters().replies === 1);
  });
}

test('The portable listener counts a send that throws', async (t) => {
  const { listener, sockets } = await serve(t, echo);
  inject(sockets[0], '127.0.0.1', 70_000); // dgram itself throws ERR_SOCKET_BAD_PORT
  assert.equal(listener.counters().sendErrors, 1);
});

test('The portable listener drops packets while too many replies wait for the kernel', async (t) => {
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
  await (await openUdpClient(t)).ask(port);
});

test('The portable listener reports a socket error and continues', async (t) => {
  const errors: Error[] = [];
  const { listener, port, sockets } = await serve(t, echo, ['127.0.0.1'], (error) =>
    errors.push(error),
  );
  const broken = new Error('recvmsg ENOMEM');
  sockets[0]?.emit('error', broken);
  assert.deepEqual(errors, [broken]);
  assert.equal(listener.counters().socketErrors, 1);
  await (await openUdpClient(t)).ask(port);
});
