/**
 * A timer of the system clock fires only after the clock's time has reached its deadline, so callers may compare the
 * two.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { systemClock } from '../../src/timing/clock.ts';

/** Starts a timer; returns by how much the clock had passed the deadline when the timer fired. */
function lateness(delayMs: number): Promise<number> {
  return new Promise((resolve) => {
    const deadlineMs = systemClock.monotonicMs() + delayMs;
    const left = deadlineMs - systemClock.monotonicMs();
    systemClock.startTimer(left, () => resolve(systemClock.monotonicMs() - deadlineMs));
  });
}

test('A timer of the system clock never fires before its deadline', async () => {
  const timers: Promise<number>[] = [];
  for (let started = 0; started < 400; started++) {
    timers.push(lateness(20 + started / 7));
    await sleep(1);
  }
  const early = (await Promise.all(timers)).filter((ms) => ms < 0);
  assert.deepEqual(early, []);
});

test('The system clock waits again after a timeout that Node ended early, and `cancel` ends that wait', (t) => {
  // Node's timeouts fire only at `tick`, and the clock's time hardly advances meanwhile.
  t.mock.timers.enable({ apis: ['setTimeout'] });
  let fired = 0;
  const timer = systemClock.startTimer(60_000, () => fired++);
  for (let round = 0; round < 3; round++) t.mock.timers.tick(60_000);
  assert.equal(fired, 0);
  timer.cancel();
  t.mock.timers.tick(600_000);
  assert.equal(fired, 0);
  const begunMs = systemClock.monotonicMs();
  systemClock.startTimer(5, () => fired++);
  while (systemClock.monotonicMs() < begunMs + 10);
  t.mock.timers.tick(5);
  assert.equal(fired, 1);
});

test('A timer with a delay that is too long for Node fires at once', async () => {
  for (const delayMs of [2 ** 31, Number.POSITIVE_INFINITY]) {
    await new Promise<void>((resolve) => systemClock.startTimer(delayMs, resolve));
  }
});
