import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs } from '../../src/timing/backoff.ts';
import { WakeableSleep } from '../../src/timing/sleep.ts';
import { FakeClock } from '../support/fakeClock.ts';

function sleeping(pauseMs?: number) {
  const clock = new FakeClock();
  const sleep = new WakeableSleep(clock);
  const state = { isAwake: false };
  const start = () =>
    void sleep.sleep(pauseMs).then(() => {
      state.isAwake = true;
    });
  return { clock, sleep, state, start };
}

test('A sleep without a call of `wake` lasts for its pause', async () => {
  const { clock, state, start } = sleeping(100);
  start();
  await clock.advance(99);
  assert.equal(state.isAwake, false);
  await clock.advance(1);
  assert.equal(state.isAwake, true);
});

test('`wake` ends a sleep early and cancels its timer', async () => {
  const { clock, sleep, state, start } = sleeping(100);
  start();
  sleep.wake();
  await clock.advance(0);
  assert.equal(state.isAwake, true);
  await clock.advance(100);
  assert.equal(clock.fired, 0);
});

test('A call of `wake` between two sleeps ends the next sleep at once and no later sleep', async () => {
  const { clock, sleep, state, start } = sleeping(100);
  sleep.wake();
  start();
  await clock.advance(0);
  assert.equal(state.isAwake, true);
  state.isAwake = false;
  start();
  await clock.advance(99);
  assert.equal(state.isAwake, false);
});

test('A sleep without a pause lasts until a call of `wake`', async () => {
  const { clock, sleep, state, start } = sleeping();
  start();
  await clock.advance(1_000_000);
  assert.equal(state.isAwake, false);
  sleep.wake();
  await clock.advance(0);
  assert.equal(state.isAwake, true);
});

test('Backoff doubles from its minimum to its maximum', () => {
  const range = { minMs: 100, maxMs: 1_000 };
  const delays = [1, 2, 3, 4, 5, 10_000].map((failures) => backoffMs(failures, range));
  assert.deepEqual(delays, [100, 200, 400, 800, 1_000, 1_000]);
});

test('Jitter takes off at most half of a backoff', () => {
  const range = { minMs: 100, maxMs: 1_000 };
  assert.equal(
    backoffMs(1, range, () => 0),
    50,
  );
  assert.equal(
    backoffMs(3, range, () => 0.5),
    300,
  );
});
