/** Requests that a client of HTTP/1.1 sends without waiting for the replies. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { after, before, type TestContext, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import dnsPacket from 'dns-packet';
import { type Certificates, makeCertificates } from '../support/certificates.ts';
import { connectTls, DOH_PATH, startSecureScene } from '../support/secureServer.ts';
import { until } from '../support/until.ts';

let certificates: Certificates;
before(() => {
  certificates = makeCertificates();
});
after(() => certificates?.remove());

/** As many as HTTP/2 allows. */
const UNDER_WAY = 100;

function queryNumber(i: number): Buffer {
  const name = `n${String(i).padStart(4, '0')}.example.org`;
  return dnsPacket.encode({ type: 'query', questions: [{ type: 'A', name }] });
}

function get(i: number): string {
  const dns = queryNumber(i).toString('base64url');
  return `GET ${DOH_PATH}?dns=${dns} HTTP/1.1\r\nhost: x\r\n\r\n`;
}

function postHead(i: number): string {
  const length = queryNumber(i).length;
  return (
    `POST ${DOH_PATH} HTTP/1.1\r\nhost: x\r\ncontent-type: application/dns-message\r\n` +
    `content-length: ${length}\r\n\r\n`
  );
}

/** A server that keeps the queries until the test answers them, and the octets that a client received. */
async function heldScene(t: TestContext, over: 'tls' | 'plain') {
  const held: (() => void)[] = [];
  const scene = await startSecureScene(t, {
    certificates,
    respond: (packet, _client, send) => {
      const reply = Uint8Array.from(packet);
      reply[2] = 0x80;
      held.push(() => send(reply));
    },
  });
  const socket =
    over === 'tls'
      ? await connectTls(t, scene.ports.doh, certificates, { ALPNProtocols: ['http/1.1'] })
      : connect(scene.ports.plain, '127.0.0.1');
  t.after(() => socket.destroy());
  socket.on('error', () => {});
  let received = '';
  socket.on('data', (chunk: Buffer) => {
    received += chunk.toString('latin1');
  });
  const numbers = () => [...received.matchAll(/n(\d{4})/g)].map(([, number]) => Number(number));
  return { ...scene, held, socket, numbers, received: () => received };
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

for (const over of ['plain', 'tls'] as const)
  test(`No more than ${UNDER_WAY} pipelined requests are under way, and their replies come in order (${over})`, async (t) => {
    const { held, socket, numbers } = await heldScene(t, over);
    const count = 3_000;
    socket.write(
      upTo(count - 1)
        .map(get)
        .join('') + postHead(count - 1),
    );
    let most = 0;
    await until('all but the last are answered', () => {
      most = Math.max(most, held.length);
      // The newest first.
      for (const answer of held.splice(0).reverse()) answer();
      return numbers().length === count - 1;
    });
    socket.write(queryNumber(count - 1));
    await until('the last is asked', () => held.length === 1);
    held[0]?.();
    await until('it is answered', () => numbers().length === count);
    assert.deepEqual(numbers(), upTo(count));
    assert.equal(most, UNDER_WAY);
  });

test('A client with pipelined requests that wait is not read further', async (t) => {
  const { held, socket } = await heldScene(t, 'plain');
  const octets = 16 << 20;
  socket.write(get(0).repeat(octets / get(0).length));
  await until('the first are asked', () => held.length === UNDER_WAY);
  await sleep(200);
  assert.equal(held.length, UNDER_WAY);
  assert.ok(socket.writableLength > 0, 'the kernel has taken everything');
});

test('The pipelined requests of a client that has gone away are not all asked', async (t) => {
  const { held, socket, plain } = await heldScene(t, 'plain');
  socket.write(upTo(500).map(get).join(''));
  await until('the first are asked', () => held.length === UNDER_WAY);
  socket.destroy();
  for (const answer of held) answer(); // a server that does not read notices when it writes
  await until('the server has noticed', () => plain.counters().open === 0);
  assert.ok(held.length <= 2 * UNDER_WAY, `${held.length}`);
});

test('A listener that closes answers the pipelined requests that it has, and says so with the last one', async (t) => {
  const { held, socket, numbers, received, plain } = await heldScene(t, 'plain');
  socket.write(upTo(200).map(get).join(''));
  await until('the first are asked', () => held.length === UNDER_WAY);
  const closed = plain.close();
  await sleep(50); // it lets what has arrived be read first
  const ended = once(socket, 'end');
  await until('all are answered', () => {
    for (const answer of held.splice(0).reverse()) answer();
    return numbers().length === 200;
  });
  await Promise.all([ended, closed]);
  assert.deepEqual(numbers(), upTo(200));
  const [, lastHead = ''] = received().split('connection: close');
  assert.equal([...received().matchAll(/connection: close/gi)].length, 1);
  assert.match(lastHead, /n0199/);
});
