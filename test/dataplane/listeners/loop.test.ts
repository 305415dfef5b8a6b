/** The worker's loop on a fake kernel: failed reads, assignments, and packets to hand over. */

import assert from 'node:assert/strict';
import os from 'node:os';
import { type TestContext, test } from 'node:test';
import { MessageChannel, type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import {
  MainChannel,
  newChannelMemory,
  WorkerChannel,
  type WorkerReport,
} from '../../../src/dataplane/listeners/controlChannel.ts';
import {
  Miss,
  newRingMemory,
  RingReader,
  RingWriter,
} from '../../../src/dataplane/listeners/handover.ts';
import { WorkerLoop } from '../../../src/dataplane/listeners/loop.ts';
import { type FastPath, Outcome } from '../../../src/dataplane/reply/fastPath.ts';
import { BATCH_PACKETS } from '../../../src/dataplane/sockets/batch.ts';
import { PLAIN_POLICY } from '../../../src/dataplane/sockets/clientPolicy.ts';
import { Sockaddr, writeSockaddr } from '../../../src/dataplane/sockets/layout.ts';
import { RECEIVE_TIMEOUT_MS, type UdpSocket } from '../../../src/dataplane/sockets/socket.ts';
import { COUNTER_SLOTS, dropSlot, Single, Slot } from '../../../src/dataplane/table/counters.ts';
import { type Datagram, FakeKernel } from '../../support/fakeKernel.ts';

const { errno } = os.constants;

const SOCKET: UdpSocket = {
  ...{ fd: 7, address: '127.0.0.1', port: 53, family: 4 },
  ...{ packetInfo: false, blocking: true },
};

function packet(text: string, port: number): Datagram {
  const room = new ArrayBuffer(Sockaddr.ROOM);
  const octets = writeSockaddr(new DataView(room), { address: '192.0.2.1', port }, () => 0);
  const name = new Uint8Array(room, 0, octets);
  return { name, control: new Uint8Array(0), octets: Buffer.from(text) };
}

/** A worker on this thread. Each step is one read of its only socket. The worker stops after the last step. */
function setUp(t: TestContext) {
  const kernel = new FakeKernel();
  const channelMemory = newChannelMemory(1);
  const ringMemory = newRingMemory(1);
  const channel = new MainChannel(channelMemory);
  const { port1: main, port2: port } = new MessageChannel();
  t.after(() => main.close());
  let generation = 0;
  const order = (stop: boolean): void => {
    generation++;
    main.postMessage({ generation, sockets: [SOCKET], policy: PLAIN_POLICY, stop });
    channel.announce(generation);
  };
  const batches: string[] = [];
  const fastPath: FastPath = {
    replyOctets: 4,
    setPolicy: () => {},
    needsClient: false,
    setClient: () => {},
    beginBatch: () => batches.push('begin'),
    endBatch: () => batches.push('end'),
    answer: (octets, at) => (octets[at] === 0x6f ? Outcome.SLOW : 4),
  };
  const counters = new Float64Array(COUNTER_SLOTS);
  const loop = new WorkerLoop({
    libc: kernel,
    channel: new WorkerChannel(channelMemory, 1, port),
    paths: {
      4: { fastPath, counters },
      6: { fastPath, counters: new Float64Array(COUNTER_SLOTS) },
    },
    rings: {
      pending: new RingWriter(ringMemory, 1, 'pending'),
      slow: new RingWriter(ringMemory, 1, 'slow'),
      wildcard: new RingWriter(ringMemory, 1, 'wildcard'),
    },
  });
  const run = (): void => {
    kernel.receiveSteps.push(() => {
      order(true);
      return undefined;
    });
    order(false);
    loop.run();
  };
  const reports = () => reportsTo(main);
  return { kernel, counters, batches, run, reports, ringMemory };
}

/** The worker's reports, without its acknowledgements. */
function reportsTo(main: MessagePort): WorkerReport[] {
  const reports: WorkerReport[] = [];
  for (;;) {
    const received = receiveMessageOnPort(main);
    if (received === undefined) return reports.filter(({ kind }) => kind !== 'acknowledged');
    reports.push(received.message as WorkerReport);
  }
}

test('A worker does not report an interrupted or empty read', (t) => {
  const { kernel, run, reports, counters } = setUp(t);
  kernel.receiveSteps.push(
    () => ({ errno: errno.EINTR }),
    () => ({ errno: errno.EAGAIN }),
  );
  kernel.arriving.push(packet('word', 4000));
  run();
  assert.equal(kernel.sent.length, 1);
  assert.deepEqual(reports(), []);
  assert.equal(counters[Single.received], 1);
});

test('After a wait without a packet a worker waits longer, until one comes', (t) => {
  const { kernel, run } = setUp(t);
  const longWaits = () =>
    kernel.pollTimeoutsMs.filter((timeoutMs) => timeoutMs > RECEIVE_TIMEOUT_MS);
  const arrives = () => void kernel.arriving.push(packet('word', 4000));
  /** The next packet arrives in the wait of that number. Before it, a worker may read any number of times. */
  const arrivesInWait = (number: number) => {
    let left = 10_000;
    const step = () => {
      if (longWaits().length >= number || left-- === 0) return arrives();
      kernel.receiveSteps.unshift(step);
      return { errno: errno.EAGAIN };
    };
    return step;
  };
  kernel.receiveSteps.push(arrives, arrivesInWait(1), arrives, arrives, arrivesInWait(2));
  run();
  assert.equal(longWaits().length, 2);
  assert.equal(kernel.sent.length, 5);
});

test('A worker reports a failed read and continues to read', (t) => {
  const { kernel, run, reports } = setUp(t);
  kernel.receiveSteps.push(() => ({ errno: errno.ENOMEM }));
  kernel.arriving.push(packet('word', 4000));
  run();
  assert.deepEqual(reports(), [{ kind: 'readError', errno: errno.ENOMEM }]);
  assert.equal(kernel.sent.length, 1);
});

test('A worker ends when its socket is closed', (t) => {
  const { kernel, run } = setUp(t);
  kernel.receiveSteps.push(() => ({ errno: errno.EBADF }));
  assert.throws(run, { code: 'EBADF' });
});

test('A worker holds the table for one batch and never waits for a packet meanwhile', (t) => {
  const { kernel, run, batches, counters } = setUp(t);
  kernel.receiveSteps.push(() => undefined);
  kernel.arriving.push(...[1, 2, 3].map((i) => packet('word', 4000 + i)));
  run();
  assert.deepEqual(batches, ['begin', 'end']);
  assert.equal(counters[Slot.batch + 2], 1);
  const latencies = counters.subarray(Slot.latency, Single.received);
  assert.equal(
    latencies.reduce((sum, bucket) => sum + bucket, 0),
    3,
  );
});

test('A worker hands over packets from the server’s own addresses and packets that the table cannot answer', (t) => {
  const { kernel, run, counters, reports, ringMemory } = setUp(t);
  kernel.arriving.push(
    packet('word', SOCKET.port),
    packet('other', 4000),
    packet('word', 0),
    packet('word', 4001),
  );
  run();
  assert.equal(kernel.sent.length, 1);
  assert.equal(counters[dropSlot('sourcePortZero')], 1);
  assert.equal(counters[Single.handedOver], 2);
  assert.deepEqual(reports(), [{ kind: 'handedOver' }]);
  const reader = new RingReader(ringMemory, 1, 'slow');
  const miss = new Miss();
  const texts: string[] = [];
  while (reader.take(miss)) texts.push(Buffer.from(miss.packet).toString());
  assert.deepEqual(texts, ['word', 'other']);
});

/** The fake path's reply to it is a name error, by its fourth octet. */
const MISSING = 'misc';

test('After a full read a worker answers for existing names first', (t) => {
  const { kernel, run, counters } = setUp(t);
  const words = Array.from({ length: 3 * BATCH_PACKETS }, (_, i) =>
    i % 8 === 5 ? 'word' : MISSING,
  );
  // The last read finds nothing; then the deferred replies are sent.
  kernel.receiveSteps.push(...words.slice(0, 60).map(() => () => undefined));
  kernel.arriving.push(...words.map((word, i) => packet(word, 4000 + i)));
  run();
  const sent = kernel.sent.map(({ octets }) => Buffer.from(octets).toString());
  const known = words.filter((word) => word === 'word');
  const before = sent.lastIndexOf('word') + 1;
  // 16 deferred replies go after each read.
  assert.ok(before <= known.length + 2 * 16, `the last of them was sent as number ${before}`);
  assert.equal(sent.length, words.length);
  for (const word of ['word', MISSING]) {
    const ports = kernel.sent.filter((_, i) => sent[i] === word).map(({ name }) => portOf(name));
    assert.deepEqual(
      ports,
      ports.toSorted((a, b) => a - b),
    );
  }
  assert.equal(counters[Single.sent], words.length);
});

test('A worker answers in the order of the packets while its reads are not full', (t) => {
  const { kernel, run } = setUp(t);
  kernel.receiveSteps.push(() => undefined);
  const words = ['word', MISSING, 'word', MISSING];
  kernel.arriving.push(...words.map((word, i) => packet(word, 4000 + i)));
  run();
  assert.deepEqual(
    kernel.sent.map(({ octets }) => Buffer.from(octets).toString()),
    words,
  );
});

test('A worker that stops sends its deferred replies', (t) => {
  const { kernel, run } = setUp(t);
  kernel.receiveSteps.push(() => undefined);
  kernel.arriving.push(
    ...Array.from({ length: BATCH_PACKETS }, (_, i) => packet(MISSING, 4000 + i)),
  );
  run();
  assert.equal(kernel.sent.length, BATCH_PACKETS);
});

function portOf(name: Uint8Array): number {
  return ((name[Sockaddr.PORT] as number) << 8) | (name[Sockaddr.PORT + 1] as number);
}
