/** Misses on the main thread: their order, and how long other work waits. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { MainChannel, newChannelMemory } from '../../../src/dataplane/listeners/controlChannel.ts';
import {
  newRingMemory,
  type RingKind,
  RingWriter,
} from '../../../src/dataplane/listeners/handover.ts';
import { MissScheduler } from '../../../src/dataplane/listeners/missScheduler.ts';
import type { Batch } from '../../../src/dataplane/sockets/batch.ts';
import { Envelope } from '../../../src/dataplane/sockets/layout.ts';
import { PacketSource } from '../../support/checkedPackets.ts';
import { until } from '../../support/until.ts';

const WORKERS = 2;

const KIND_DESCRIPTOR: Readonly<Record<RingKind, number>> = { pending: 0, slow: 10, wildcard: 20 };

/** A packet's descriptor stands for its worker and ring: 1 and 2 are pending, 11 and 12 slow, 21 and 22 wildcards. */
function setUp(answer: (fd: number) => void) {
  const ringMemory = newRingMemory(WORKERS);
  const channel = new MainChannel(newChannelMemory(WORKERS));
  const put = (thread: number, kind: RingKind, count: number): void => {
    const source = new PacketSource(thread + KIND_DESCRIPTOR[kind]);
    const writer = new RingWriter(ringMemory, thread, kind);
    for (let i = 0; i < count; i++) {
      source.fill(i);
      writer.put(source as unknown as Batch, 0);
    }
  };
  const misses = new MissScheduler({
    ringMemory,
    workers: WORKERS,
    channel,
    answer: ({ envelope }) => answer(envelope[Envelope.FD] as number),
  });
  return { channel, put, misses };
}

test('Pending questions are answered first but not exclusively, and no worker is preferred', () => {
  const order: number[] = [];
  const { put, misses } = setUp((fd) => order.push(fd));
  put(1, 'slow', 100);
  put(2, 'slow', 100);
  put(1, 'pending', 100);
  put(2, 'pending', 100);
  misses.drain(10_000);
  assert.equal(order.length, 400);
  const firstHalf = order.slice(0, 160);
  const share = (fd: number) => firstHalf.filter((one) => one === fd).length;
  assert.equal(share(1) + share(2), 140);
  assert.equal(share(11) + share(12), 20);
  assert.ok(Math.abs(share(1) - share(2)) <= 20, `${share(1)} and ${share(2)}`);
});

test('A flood of misses leaves the main thread time for other work', async () => {
  let answered = 0;
  const { put, misses } = setUp(() => {
    const untilMs = performance.now() + 0.5;
    while (performance.now() < untilMs);
    answered++;
    put(1, 'slow', 2); // always more than it can answer
  });
  put(1, 'slow', 100);
  misses.run();
  let ticks = 0;
  for (; ticks < 20; ticks++) await sleep(1);
  assert.ok(answered > 20, `${answered} answered`);
  assert.ok(answered < 20 * 40, `${answered} answered between 20 ticks`);
  misses.close();
});

test('Workers wake only a sleeping main thread, and it never sleeps while a packet waits', async () => {
  let answered = 0;
  const { channel, put, misses } = setUp(() => answered++);
  put(1, 'pending', 3);
  assert.ok(channel.markAwake(), 'asleep at first');
  assert.ok(!channel.markAwake(), 'the first call is enough');
  misses.run();
  // On a busy machine the three may take more than one time slice.
  await until('they are answered and the thread sleeps', () => channel.markAwake());
  assert.equal(answered, 3);
  put(2, 'slow', 1);
  misses.run();
  await until('it is answered', () => answered === 4);
  misses.close();
});

test('The main thread answers a wildcard query when no other miss waits', () => {
  const order: number[] = [];
  const { put, misses } = setUp((fd) => order.push(fd));
  put(1, 'wildcard', 10);
  put(1, 'slow', 20);
  put(2, 'pending', 20);
  misses.drain(10_000);
  assert.equal(order.length, 50);
  assert.deepEqual(new Set(order.slice(40)), new Set([21]));
});

test('A flood of wildcard queries leaves half of the main thread to other misses, which do not wait for it', async () => {
  let wildcards = 0;
  const waits: number[] = [];
  let askedAtMs = 0;
  const { put, misses, channel } = setUp((fd) => {
    if (fd < 20) {
      waits.push(performance.now() - askedAtMs);
      return;
    }
    wildcards++;
    const untilMs = performance.now() + 2;
    while (performance.now() < untilMs);
    put(1, 'wildcard', 2); // always more than it can answer
  });
  put(1, 'wildcard', 32);
  misses.run();
  const startedMs = performance.now();
  while (performance.now() - startedMs < 400) {
    await sleep(5);
    askedAtMs = performance.now();
    put(1, 'pending', 1);
    if (channel.markAwake()) misses.run();
    else await until('it is answered', () => waits.length > 0);
  }
  const elapsedMs = performance.now() - startedMs;
  misses.close();
  assert.ok(wildcards > 5, `${wildcards} wildcards`);
  assert.ok(wildcards * 2 < elapsedMs * 0.7, `${wildcards} wildcards of 2 ms in ${elapsedMs} ms`);
});

test('The main thread answers a wildcard query now and then while other misses always wait', () => {
  let wildcards = 0;
  let others = 0;
  const { put, misses } = setUp((fd) => {
    if (fd > 20) wildcards++;
    else if (++others < 1_000) put(1, 'slow', 1);
  });
  put(1, 'slow', 1);
  put(1, 'wildcard', 5);
  misses.drain(5_000);
  assert.equal(wildcards, 5);
  assert.equal(others, 1_000);
});

for (const kind of ['slow', 'wildcard'] as const)
  test(`The workers' ${kind} misses take turns while pending questions always wait`, () => {
    const [flooding, waiting] = [1, 2].map((thread) => thread + KIND_DESCRIPTOR[kind]);
    const turns: number[] = [];
    const { put, misses } = setUp((fd) => {
      if (fd === flooding || fd === waiting) turns.push(fd);
      if (turns.length < 8) put(1, fd === flooding ? kind : 'pending', 1);
    });
    put(1, 'pending', 100);
    put(1, kind, 10);
    put(2, kind, 4);
    misses.drain(10_000);
    const alternating = [flooding, waiting, flooding, waiting, flooding, waiting];
    assert.deepEqual(turns.slice(0, 6), alternating);
  });
