/** The packets of a socket in overload, against a fake kernel: deferred replies, their order, and which are dropped. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BATCH_PACKETS } from '../../src/dataplane/sockets/batch.ts';
import { Intake, MOST_BATCHES } from '../../src/dataplane/sockets/intake.ts';
import {
  Cmsg,
  IP_PKTINFO,
  PKTINFO4_SPACE,
  SOL_IP,
  Sockaddr,
  writeSockaddr,
} from '../../src/dataplane/sockets/layout.ts';
import { COUNTER_SLOTS, dropSlot, Single } from '../../src/dataplane/table/counters.ts';
import { type Datagram, FakeKernel } from '../support/fakeKernel.ts';

/** An intake that defers the replies to packets that begin with `?`. Each reply is its packet. */
function setUp(packetInfo = false) {
  const kernel = new FakeKernel();
  const counters = new Float64Array(COUNTER_SLOTS);
  const address = packetInfo ? '0.0.0.0' : '127.0.0.1';
  const socket = { fd: 7, address, port: 53, family: 4, packetInfo, blocking: true } as const;
  const intake = new Intake(kernel, socket, 1232, counters);
  const read = (): number => {
    const received = intake.receive(0);
    const batch = intake.current;
    for (let i = batch.first; i < batch.first + received; i++) {
      const length = batch.length(i);
      if (batch.octets[batch.packetAt(i)] === 0x3f) batch.defer(i, length);
      else batch.reply(i, length);
    }
    batch.send(counters);
    return received;
  };
  const taken = (): string[] => {
    const texts = kernel.sent.map(({ octets }) => Buffer.from(octets).toString());
    kernel.sent.length = 0;
    return texts;
  };
  const arrive = (...texts: readonly string[]): void => {
    kernel.arriving.push(...texts.map((text) => datagram(text, packetInfo)));
  };
  return { kernel, counters, intake, read, taken, arrive };
}

function datagram(text: string, packetInfo: boolean): Datagram {
  const room = new ArrayBuffer(Sockaddr.ROOM);
  const from = { address: '192.0.2.1', port: 1000 };
  const octets = writeSockaddr(new DataView(room), from, () => 0);
  const control = new Uint8Array(packetInfo ? PKTINFO4_SPACE : 0);
  if (packetInfo) {
    const view = new DataView(control.buffer);
    view.setUint32(Cmsg.OCTETS, Cmsg.DATA + 12, true);
    view.setInt32(Cmsg.LEVEL, SOL_IP, true);
    view.setInt32(Cmsg.TYPE, IP_PKTINFO, true);
  }
  return { name: new Uint8Array(room, 0, octets), control, octets: Buffer.from(text) };
}

function numbered(count: number, from = 0): string[] {
  return Array.from({ length: count }, (_, i) => `?${from + i}`);
}

for (const packetInfo of [false, true]) {
  const where = packetInfo ? 'a wildcard address' : 'one address';
  test(`Deferred replies on ${where} go after the others, in their own order`, () => {
    const { intake, read, taken, arrive, counters } = setUp(packetInfo);
    for (let time = 0; time < 3; time++) {
      arrive('?1', 'a', '?2', 'b');
      read();
      assert.deepEqual(taken(), ['a', 'b']);
      arrive('c', '?3');
      read();
      assert.deepEqual(taken(), ['c']);
      assert.equal(intake.sendDeferred(2), 2);
      assert.deepEqual(taken(), ['?1', '?2']);
      assert.equal(intake.sendDeferred(2), 1);
      assert.deepEqual(taken(), ['?3']);
      assert.equal(intake.hasDeferred, false);
      assert.equal(intake.sendDeferred(2), 0);
    }
    assert.equal(counters[Single.sent], 18);
  });
}

test('Deferred replies of many batches are all sent, and their batches are used again', () => {
  const { intake, read, taken, arrive, counters } = setUp();
  const count = BATCH_PACKETS * (MOST_BATCHES - 1) + 7;
  for (let time = 0; time < 2; time++) {
    arrive(...numbered(count));
    while (read() > 0);
    assert.deepEqual(taken(), []);
    while (intake.sendDeferred(16) > 0);
    assert.deepEqual(taken(), numbered(count));
  }
  assert.equal(counters[dropSlot('overload')], 0);
});

test('A full queue of batches drops its oldest replies and counts them', () => {
  const { intake, read, taken, arrive, counters } = setUp();
  const batches = MOST_BATCHES + 3;
  arrive(...numbered(BATCH_PACKETS * batches));
  while (read() > 0);
  arrive('known');
  read();
  assert.deepEqual(taken(), ['known']);
  while (intake.sendDeferred(BATCH_PACKETS) > 0);
  const left = taken();
  const dropped = BATCH_PACKETS * batches - left.length;
  assert.deepEqual(left, numbered(left.length, dropped));
  assert.equal(counters[dropSlot('overload')], dropped);
  assert.ok(left.length >= BATCH_PACKETS * MOST_BATCHES);
});

test('An intake says whether a read was full, also when deferred replies take a part of its batch', () => {
  const { intake, read, arrive } = setUp();
  arrive(...numbered(BATCH_PACKETS - 1));
  read();
  assert.equal(intake.wasFull, false);
  arrive('a', 'b');
  assert.equal(read(), 1);
  assert.deepEqual([intake.wasFull, intake.wasShort], [true, true]);
  assert.equal(read(), 1);
  assert.equal(intake.wasFull, false);
});
