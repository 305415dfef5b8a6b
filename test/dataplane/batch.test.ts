/** A batch against a fake kernel that reads its headers, takes some replies, and refuses others. */
import assert from 'node:assert/strict';
import os from 'node:os';
import { test } from 'node:test';
import { BATCH_PACKETS, Batch, PACKET_OCTETS } from '../../src/dataplane/sockets/batch.ts';
import {
  Cmsg,
  IP_PKTINFO,
  IPV6_PKTINFO,
  PKTINFO4_SPACE,
  PKTINFO6_INDEX,
  PKTINFO6_SPACE,
  SOL_IP,
  SOL_IPV6,
  Sockaddr,
  writeSockaddr,
} from '../../src/dataplane/sockets/layout.ts';
import type { UdpSocket } from '../../src/dataplane/sockets/socket.ts';
import {
  COUNTER_SLOTS,
  type CounterBlock,
  type DropReason,
  dropSlot,
  Single,
} from '../../src/dataplane/table/counters.ts';
import { type Datagram, FakeKernel } from '../support/fakeKernel.ts';

const { errno } = os.constants;
const NO_CONTROL: Uint8Array = new Uint8Array(0);

function socket(family: 4 | 6, packetInfo: boolean): UdpSocket {
  return {
    fd: 7,
    address: family === 4 ? '0.0.0.0' : '::',
    port: 53,
    family,
    packetInfo,
    blocking: true,
  };
}

function datagram(text: string, from: string, port: number, control = NO_CONTROL): Datagram {
  const room = new ArrayBuffer(Sockaddr.ROOM);
  const octets = writeSockaddr(new DataView(room), { address: from, port }, () => 0);
  return { name: new Uint8Array(room, 0, octets), control, octets: Buffer.from(text) };
}

function numbered(count: number): Datagram[] {
  return Array.from({ length: count }, (_, i) =>
    datagram(`question ${i}`, `192.0.2.${i}`, 1000 + i),
  );
}

/** Receives packets, and overwrites each with a reply that has its first two words reversed. */
function turnRound(
  batch: Batch,
  counters: CounterBlock,
  skip: (i: number) => boolean = () => false,
) {
  const received = batch.receive(0);
  for (let i = 0; i < received; i++) {
    if (skip(i)) continue;
    const buffer = Buffer.from(batch.octets.buffer, batch.packetAt(i), PACKET_OCTETS);
    const reply = buffer.toString('utf8', 0, batch.length(i)).split(' ').reverse().join(' ');
    batch.reply(i, buffer.write(reply));
  }
  return batch.send(counters);
}

function textsOf(sent: readonly Datagram[]): string[] {
  return sent.map(({ octets }) => Buffer.from(octets).toString());
}

function setUp(family: 4 | 6 = 4, packetInfo = false) {
  const kernel = new FakeKernel();
  const counters = new Float64Array(COUNTER_SLOTS);
  return { kernel, counters, batch: new Batch(kernel, socket(family, packetInfo), 1232) };
}

test('Each reply of a batch goes to the source of its packet, even in later batches', () => {
  const { kernel, counters, batch } = setUp();
  for (const size of [1, BATCH_PACKETS, 3]) {
    const packets = numbered(size);
    kernel.arriving.push(...packets);
    assert.equal(turnRound(batch, counters), size);
    assert.deepEqual(
      textsOf(kernel.sent),
      packets.map((_, i) => `${i} question`),
    );
    assert.deepEqual(
      kernel.sent.map(({ name }) => name),
      packets.map(({ name }) => name),
    );
    kernel.sent.length = 0;
  }
  assert.equal(kernel.sendCalls, 3);
  assert.equal(counters[Single.sent], 1 + BATCH_PACKETS + 3);
});

test('A batch receives a long packet whole after a short reply', () => {
  const { kernel, counters, batch } = setUp();
  for (const text of ['a b', `${'long '.repeat(300)}packet`, 'c d']) {
    kernel.sent.length = 0;
    kernel.arriving.push(datagram(text, '192.0.2.1', 1));
    turnRound(batch, counters);
    assert.deepEqual(textsOf(kernel.sent), [text.split(' ').reverse().join(' ')]);
  }
});

test('Packets beyond the size of a batch wait for the next batch', () => {
  const { kernel, counters, batch } = setUp();
  kernel.arriving.push(...numbered(BATCH_PACKETS + 5));
  turnRound(batch, counters);
  turnRound(batch, counters);
  assert.equal(kernel.sent.length, BATCH_PACKETS + 5);
  assert.equal(batch.receive(0), -1);
  assert.equal(kernel.errno(), errno.EAGAIN);
});

test('A batch sends nothing for packets without a reply', () => {
  const { kernel, counters, batch } = setUp();
  for (const skip of [(i: number) => i % 3 === 0, (i: number) => i > 20, () => true]) {
    kernel.sent.length = 0;
    const packets = numbered(40);
    kernel.arriving.push(...packets);
    turnRound(batch, counters, skip);
    const replied = packets.filter((_, i) => !skip(i));
    assert.deepEqual(
      kernel.sent.map(({ name }) => name),
      replied.map(({ name }) => name),
    );
    assert.deepEqual(
      textsOf(kernel.sent),
      packets.flatMap((_, i) => (skip(i) ? [] : [`${i} question`])),
    );
  }
});

test('A batch sends the replies again that the kernel did not accept at once', () => {
  const { kernel, counters, batch } = setUp();
  kernel.arriving.push(...numbered(20));
  kernel.sendSteps.push({ takes: 7 }, { errno: errno.EINTR }, { takes: 1 });
  turnRound(batch, counters, (i) => i === 2);
  assert.equal(kernel.sent.length, 19);
  assert.equal(new Set(textsOf(kernel.sent)).size, 19);
  assert.equal(kernel.sendCalls, 4);
  assert.equal(counters[Single.sent], 19);
  const octets = kernel.sent.reduce((sum, { octets: { length } }) => sum + length, 0);
  assert.equal(counters[Single.sentOctets], octets);
});

const REFUSALS: readonly [string, number, DropReason][] = [
  ['EAGAIN', errno.EAGAIN, 'noRoom'],
  ['ENOBUFS', errno.ENOBUFS, 'noRoom'],
  ['ENOMEM', errno.ENOMEM, 'noRoom'],
  ['EPERM', errno.EPERM, 'forbidden'],
  ['EACCES', errno.EACCES, 'forbidden'],
  ['ENETUNREACH', errno.ENETUNREACH, 'unreachable'],
  ['EHOSTUNREACH', errno.EHOSTUNREACH, 'unreachable'],
  ['ENETDOWN', errno.ENETDOWN, 'unreachable'],
  ['EADDRNOTAVAIL', errno.EADDRNOTAVAIL, 'unreachable'],
  ['EINVAL', errno.EINVAL, 'unreachable'],
  ['EMSGSIZE', errno.EMSGSIZE, 'tooLong'],
  ['ECONNREFUSED', errno.ECONNREFUSED, 'otherSendError'],
];

for (const [name, number, reason] of REFUSALS) {
  test(`A batch loses one reply to ${name} and counts it as ${reason}`, () => {
    const { kernel, counters, batch } = setUp();
    kernel.arriving.push(...numbered(5));
    kernel.sendSteps.push({ takes: 2 }, { errno: number });
    turnRound(batch, counters);
    assert.deepEqual(
      textsOf(kernel.sent),
      [0, 1, 3, 4].map((i) => `${i} question`),
    );
    assert.equal(counters[dropSlot(reason)], 1);
    assert.equal(counters[Single.sent], 4);
  });
}

test('A batch truncates a packet that is too long and keeps the other packets intact', () => {
  const { kernel, counters, batch } = setUp();
  kernel.arriving.push(
    datagram('first one', '192.0.2.1', 1),
    datagram('x'.repeat(60_000), '192.0.2.2', 2),
    datagram('last one', '192.0.2.3', 3),
  );
  turnRound(batch, counters);
  assert.deepEqual(textsOf(kernel.sent), ['one first', 'x'.repeat(PACKET_OCTETS), 'one last']);
});

test('A reply leaves from the IPv4 address to which its query was sent, by any interface', () => {
  const { kernel, counters, batch } = setUp(4, true);
  const info = control(
    SOL_IP,
    IP_PKTINFO,
    PKTINFO4_SPACE,
    [3, 0, 0, 0, 127, 0, 0, 7, 127, 0, 0, 7],
  );
  for (const sent of [info, NO_CONTROL, info]) {
    kernel.arriving.push(datagram('to 7', '192.0.2.1', 1, sent));
    turnRound(batch, counters);
  }
  const expected = info.slice();
  expected.fill(0, Cmsg.DATA, Cmsg.DATA + 4);
  assert.deepEqual(
    kernel.sent.map((one) => one.control),
    [expected, NO_CONTROL, expected],
  );
});

test('A reply keeps the interface of its query only for link-local IPv6 addresses', () => {
  const { kernel, counters, batch } = setUp(6, true);
  const infoOf = (...start: readonly number[]): Uint8Array => {
    const address = [...start, ...new Array<number>(16 - start.length).fill(1)];
    return control(SOL_IPV6, IPV6_PKTINFO, PKTINFO6_SPACE, [...address, 9, 0, 0, 0]);
  };
  const infos = [infoOf(0x20, 1), infoOf(0xfe, 0x80), infoOf(0xfe, 0xbf), infoOf(0xfe, 0xc0)];
  for (const info of infos) kernel.arriving.push(datagram('q q', '2001:db8::1', 1, info));
  turnRound(batch, counters);
  const indexes = kernel.sent.map((one) => one.control[PKTINFO6_INDEX]);
  assert.deepEqual(indexes, [0, 9, 9, 0]);
  assert.deepEqual(
    kernel.sent[3]?.control.slice(0, PKTINFO6_INDEX),
    infos[3]?.slice(0, PKTINFO6_INDEX),
  );
});

test('A batch does not send back control messages of other kinds', () => {
  const { kernel, counters, batch } = setUp(4, true);
  kernel.arriving.push(
    datagram('a b', '192.0.2.1', 1, control(1, 29, 32, [1])),
    datagram('c d', '192.0.2.1', 1, NO_CONTROL),
  );
  turnRound(batch, counters);
  assert.deepEqual(
    kernel.sent.map((one) => one.control.length),
    [0, 0],
  );
});

function control(level: number, type: number, space: number, data: readonly number[]): Uint8Array {
  const octets = new Uint8Array(space);
  const view = new DataView(octets.buffer);
  view.setUint32(Cmsg.OCTETS, Cmsg.DATA + data.length, true);
  view.setInt32(Cmsg.LEVEL, level, true);
  view.setInt32(Cmsg.TYPE, type, true);
  octets.set(data, Cmsg.DATA);
  return octets;
}
