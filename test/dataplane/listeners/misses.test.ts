/** What workers hand over, in turns of the main thread: which comes first, and that nothing else has to wait long. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lane, newRingMemory, RingWriter } from '../../../src/dataplane/listeners/handover.ts';
import { Misses } from '../../../src/dataplane/listeners/misses.ts';
import { LinkBoard, newLinkMemory } from '../../../src/dataplane/listeners/signals.ts';
import type { Batch } from '../../../src/dataplane/sockets/batch.ts';
import { Envelope } from '../../../src/dataplane/sockets/layout.ts';
import { PacketSource } from '../../support/checkedPackets.ts';
import { until } from '../../support/until.ts';

const WORKERS = 2;

const LANE_DESCRIPTOR: Readonly<Record<Lane, number>> = { known: 0, other: 10, wildcard: 20 };

/** Packets carry their worker and lane as descriptor: 1 and 2 are known names, 11 and 12 others, 21 and 22 wildcards. */
function setUp(answer: (fd: number) => void) {
  const ringMemory = newRingMemory(WORKERS);
  const board = new LinkBoard(newLinkMemory(WORKERS));
  const put = (thread: number, lane: Lane, count: number): void => {
    const source = new PacketSource(thread + LANE_DESCRIPTOR[lane]);
    const writer = new RingWriter(ringMemory, thread, lane);
    for (let i = 0; i < count; i++) {
      source.fill(i);
      writer.put(source as unknown as Batch, 0);
    }
  };
  const misses = new Misses({
    ringMemory,
    workers: WORKERS,
    board,
    answer: ({ envelope }) => answer(envelope[Envelope.FD] as number),
  });
  return { board, put, misses };
}

test('names that are known come first, but not for ever; no worker before the other', () => {
  const order: number[] = [];
  const { put, misses } = setUp((fd) => order.push(fd));
  put(1, 'other', 100);
  put(2, 'other', 100);
  put(1, 'known', 100);
  put(2, 'known', 100);
  misses.finish(10_000);
  assert.equal(order.length, 400);
  const firstHalf = order.slice(0, 160);
  const share = (fd: number) => firstHalf.filter((one) => one === fd).length;
  assert.equal(share(1) + share(2), 140);
  assert.equal(share(11) + share(12), 20);
  assert.ok(Math.abs(share(1) - share(2)) <= 20, `${share(1)} and ${share(2)}`);
});

test('a flood leaves the main thread time for other things', async () => {
  let answered = 0;
  const { put, misses } = setUp(() => {
    const untilMs = performance.now() + 0.5;
    while (performance.now() < untilMs);
    answered++;
    put(1, 'other', 2); // more than can be answered, always
  });
  put(1, 'other', 100);
  misses.turn();
  let ticks = 0;
  for (; ticks < 20; ticks++) await sleep(1);
  assert.ok(answered > 20, `${answered} answered`);
  assert.ok(answered < 20 * 40, `${answered} answered between 20 ticks`);
  misses.close();
});

test('workers call only a thread that sleeps, and it never sleeps over a packet', async () => {
  let answered = 0;
  const { board, put, misses } = setUp(() => answered++);
  put(1, 'known', 3);
  assert.ok(board.wake(), 'asleep at first');
  assert.ok(!board.wake(), 'the first call is enough');
  misses.turn();
  // On a busy machine the three may take more than one turn.
  await until('they are answered and the thread sleeps', () => board.wake());
  assert.equal(answered, 3);
  put(2, 'other', 1);
  misses.turn();
  await until('it is answered', () => answered === 4);
  misses.close();
});

test('a question by wildcard comes when nothing else waits', () => {
  const order: number[] = [];
  const { put, misses } = setUp((fd) => order.push(fd));
  put(1, 'wildcard', 10);
  put(1, 'other', 20);
  put(2, 'known', 20);
  misses.finish(10_000);
  assert.equal(order.length, 50);
  assert.deepEqual(new Set(order.slice(40)), new Set([21]));
});

test('a flood of wildcards leaves half of the thread to others, and none of them waits for it', async () => {
  let wildcards = 0;
  const waits: number[] = [];
  let askedAtMs = 0;
  const { put, misses, board } = setUp((fd) => {
    if (fd < 20) {
      waits.push(performance.now() - askedAtMs);
      return;
    }
    wildcards++;
    const untilMs = performance.now() + 2;
    while (performance.now() < untilMs);
    put(1, 'wildcard', 2); // always more than can be answered
  });
  put(1, 'wildcard', 32);
  misses.turn();
  const startedMs = performance.now();
  while (performance.now() - startedMs < 400) {
    await sleep(5);
    askedAtMs = performance.now();
    put(1, 'known', 1);
    if (board.wake()) misses.turn();
    else await until('it is answered', () => waits.length > 0);
  }
  const elapsedMs = performance.now() - startedMs;
  misses.close();
  assert.ok(wildcards > 5, `${wildcards} wildcards`);
  assert.ok(wildcards * 2 < elapsedMs * 0.7, `${wildcards} wildcards of 2 ms in ${elapsedMs} ms`);
});

test('where others always wait a wildcard still comes now and then', () => {
  let wildcards = 0;
  let others = 0;
  const { put, misses } = setUp((fd) => {
    if (fd > 20) wildcards++;
    else if (++others < 1_000) put(1, 'other', 1);
  });
  put(1, 'other', 1);
  put(1, 'wildcard', 5);
  misses.finish(5_000);
  assert.equal(wildcards, 5);
  assert.equal(others, 1_000);
});
