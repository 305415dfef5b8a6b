/** The rings between workers and the main thread: order, overwriting, and no torn packets with two threads. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import {
  Miss,
  newRingMemory,
  RING_PACKETS,
  type RingKind,
  RingReader,
  RingWriter,
} from '../../../src/dataplane/listeners/handover.ts';
import type { Batch } from '../../../src/dataplane/sockets/batch.ts';
import { Envelope } from '../../../src/dataplane/sockets/layout.ts';
import { checkedNumber, PacketSource } from '../../support/checkedPackets.ts';
import type { WriterStart, WriterSums } from '../../support/ringWriterThread.ts';
import { newTempDir, removeDir } from '../../support/tempDir.ts';
import { compiledEntry } from '../../support/workerListeners.ts';

function ring(memory = newRingMemory(2), kind: RingKind = 'pending') {
  const source = new PacketSource(5);
  const writer = new RingWriter(memory, 2, kind);
  const put = (number: number): boolean => {
    source.fill(number);
    return writer.put(source as unknown as Batch, 0);
  };
  return { memory, put, reader: new RingReader(memory, 2, kind) };
}

/** The numbers of all packets that wait. */
function takeAll(reader: RingReader): number[] {
  const miss = new Miss();
  const numbers: number[] = [];
  while (reader.take(miss)) numbers.push(checkedNumber(miss.words));
  return numbers;
}

function range(from: number, to: number): number[] {
  return Array.from({ length: to - from }, (_, i) => from + i);
}

test('A ring gives packets back unchanged', () => {
  const { put, reader } = ring();
  assert.ok(reader.isEmpty());
  for (const number of [7, 8, 9]) assert.ok(put(number));
  assert.ok(!reader.isEmpty());
  const miss = new Miss();
  assert.ok(reader.take(miss));
  assert.equal(miss.envelope[Envelope.FD], 5);
  assert.equal(miss.packet.length, miss.envelope[Envelope.LENGTH]);
  assert.equal(new DataView(miss.packet.buffer, miss.packet.byteOffset).getInt32(0, true), 7);
  assert.deepEqual(takeAll(reader), [8, 9]);
  assert.ok(reader.isEmpty());
});

for (const kind of ['pending', 'slow'] as const) {
  test(`A full ring of ${kind} packets drops its oldest one and reports it`, () => {
    const memory = newRingMemory(3);
    const { put, reader } = ring(memory, kind);
    const count = RING_PACKETS[kind] + 100;
    const results = range(0, count).map(put);
    assert.equal(results.filter((whole) => !whole).length, 100);
    assert.deepEqual(takeAll(reader), range(100, count));
    assert.ok(put(1000));
    assert.deepEqual(takeAll(reader), [1000]);
    // Its neighbours in memory are unchanged.
    for (const [thread, other] of [
      [1, 'slow'],
      [2, kind === 'pending' ? 'slow' : 'pending'],
      [3, 'pending'],
    ] as const)
      assert.ok(new RingReader(memory, thread, other).isEmpty());
  });
}

test('Each kind of miss has a ring of its own in each thread', () => {
  const memory = newRingMemory(2);
  const { put } = ring(memory);
  put(1);
  const others = [
    new RingReader(memory, 1, 'pending'),
    new RingReader(memory, 1, 'slow'),
    new RingReader(memory, 2, 'slow'),
  ];
  assert.ok(others.every((reader) => reader.isEmpty()));
});

test('A new writer continues a ring whose writer died, even in the middle of a write', () => {
  const { memory, put, reader } = ring();
  put(1);
  put(2);
  // As if the first writer had marked the next slot BUSY and then died.
  const busy = new PacketSource(5);
  busy.fill(3);
  const dying = new RingWriter(memory, 2, 'pending');
  const source = Object.assign(Object.create(busy), {
    length: () => {
      throw new Error('dies');
    },
  });
  assert.throws(() => dying.put(source as Batch, 0), /dies/);
  const successor = ring(memory);
  assert.equal(successor.put(4), false);
  reader.releaseBusySlots();
  assert.ok(successor.put(5));
  assert.deepEqual(takeAll(reader), [1, 2, 5]);
});

/** Packets that the reader must take during the flood. At least as many must be overwritten. */
const ENOUGH = 30_000;

test('A ring under a flood tears no packet, and every packet is taken or counted', async (t) => {
  const dir = await newTempDir();
  t.after(() => removeDir(dir));
  const entry = await compiledEntry(dir, './ringWriterThread.ts');
  const ringMemory = newRingMemory(1);
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const workerData: WriterStart = { ringMemory, thread: 1, stop };
  const worker = new Worker(entry, { workerData });
  t.after(() => worker.terminate());
  const ended = once(worker, 'message');
  const reader = new RingReader(ringMemory, 1, 'slow');
  const miss = new Miss();
  const seen = new Set<number>();
  const enoughMs = performance.now() + 3_000;
  const deadlineMs = performance.now() + 60_000;
  // On a busy machine the writer starts late.
  while (performance.now() < enoughMs || (seen.size < ENOUGH && performance.now() < deadlineMs)) {
    // The reader is slow for a while, so the writer overtakes it; then it is as fast as it can be, and catches up.
    for (let i = 0; i < 2_000 && reader.take(miss); i++) {
      const number = checkedNumber(miss.words);
      assert.ok(!seen.has(number), `packet ${number} came twice`);
      seen.add(number);
    }
    await sleep(Math.floor(performance.now() / 500) % 2);
  }
  Atomics.store(stop, 0, 1);
  const [{ put, dropped }] = (await ended) as [WriterSums];
  for (const number of takeAll(reader)) {
    assert.ok(!seen.has(number));
    seen.add(number);
  }
  assert.equal(seen.size + dropped, put);
  assert.ok(seen.size > 10_000 && dropped > 10_000, `${seen.size} taken, ${dropped} dropped`);
});
