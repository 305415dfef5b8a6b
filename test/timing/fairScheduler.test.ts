import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FairScheduler } from '../../src/timing/fairScheduler.ts';

/** A task of `steps` steps that logs its name at each step. */
function task(name: string, steps: number, log: string[]) {
  let left = steps;
  return {
    step() {
      log.push(name);
      left -= 1;
      return left > 0;
    },
  };
}

const schedulerOf = (steps: number) => new FairScheduler({ steps, sliceMs: 1_000, nowMs: () => 0 });

const loopTurn = () => new Promise<void>((resolve) => setImmediate(resolve));

test('A task with many steps alternates with tasks that have few steps', async () => {
  const log: string[] = [];
  const scheduler = schedulerOf(100);
  scheduler.add(task('a', 4, log));
  scheduler.add(task('b', 2, log));
  scheduler.add(task('c', 1, log));
  assert.deepEqual(log, []);
  await loopTurn();
  assert.equal(log.join(''), 'abcabaa');
});

test('The scheduler returns to the event loop after the steps of one slice', async () => {
  const log: string[] = [];
  const scheduler = schedulerOf(3);
  scheduler.add(task('a', 5, log));
  scheduler.add(task('b', 3, log));
  await loopTurn();
  assert.equal(log.join(''), 'aba');
  await loopTurn();
  assert.equal(log.join(''), 'ababab');
  await loopTurn();
  assert.equal(log.join(''), 'abababaa');
});

test('The scheduler never calls a task again after its removal', async () => {
  const log: string[] = [];
  const scheduler = schedulerOf(2);
  const gone = task('a', 5, log);
  scheduler.add(gone);
  scheduler.add(task('b', 2, log));
  await loopTurn();
  scheduler.remove(gone);
  await loopTurn();
  await loopTurn();
  assert.equal(log.join(''), 'abb');
});

test('A task that was added twice runs once', async () => {
  const log: string[] = [];
  const scheduler = schedulerOf(10);
  const once = task('a', 1, log);
  scheduler.add(once);
  scheduler.add(once);
  await loopTurn();
  assert.deepEqual(log, ['a']);
});

test('A slice ends when its time is over, and the scheduler then pauses for as long as the slice took', async () => {
  let nowMs = 0;
  const taken: number[] = [];
  const slow = {
    step() {
      taken.push(nowMs);
      nowMs += 4;
      return taken.length < 6;
    },
  };
  const startedMs = performance.now();
  const scheduler = new FairScheduler({ steps: 100, sliceMs: 5, nowMs: () => nowMs });
  scheduler.add(slow);
  await loopTurn();
  assert.deepEqual(taken, [0, 4], 'the second step ends the slice');
  await loopTurn();
  assert.deepEqual(taken, [0, 4], 'the scheduler pauses');
  while (taken.length < 6) await loopTurn();
  // Two slices of 8 ms came before the last one.
  assert.ok(performance.now() - startedMs >= 15);
});

test('The scheduler pauses also if a task adds itself again within its step', async () => {
  let nowMs = 0;
  const taken: number[] = [];
  const scheduler = new FairScheduler({ steps: 100, sliceMs: 5, nowMs: () => nowMs });
  const slow = {
    step() {
      taken.push(nowMs);
      nowMs += 8;
      if (taken.length < 3) scheduler.add(slow);
      return false;
    },
  };
  scheduler.add(slow);
  await loopTurn();
  await loopTurn();
  assert.deepEqual(taken, [0]);
  while (taken.length < 3) await loopTurn();
});

test('The scheduler starts the next slice without a pause after a slice that kept to its time', async () => {
  const log: string[] = [];
  let nowMs = 0;
  const scheduler = new FairScheduler({ steps: 2, sliceMs: 5, nowMs: () => (nowMs += 0.1) });
  scheduler.add(task('a', 6, log));
  for (let i = 0; i < 3; i++) await loopTurn();
  assert.equal(log.length, 6);
});
