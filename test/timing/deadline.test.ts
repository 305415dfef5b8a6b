import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { AdaptiveTimeout, withDeadline } from '../../src/timing/deadline.ts';
import { FakeClock } from '../support/fakeClock.ts';

const never = new Promise<never>(() => {});
const tick = () => new Promise<void>((resolve) => setImmediate(resolve));

test('withDeadline gives the result of work that ends in time, and leaves no timer behind', async () => {
  const clock = new FakeClock();
  const { promise, resolve } = withResolvers<string>();
  const result = withDeadline(promise, 1_000, () => 'late', { clock });
  await clock.advance(999);
  resolve('in time');
  assert.equal(await result, 'in time');
  const { fired } = clock;
  await clock.advance(10_000);
  assert.equal(clock.fired, fired);
});

test('withDeadline gives the substitute once the time is over, and not before', async () => {
  const clock = new FakeClock();
  let result: unknown;
  void withDeadline(never, 1_000, (end) => end, { clock }).then((value) => {
    result = value;
  });
  await clock.advance(999);
  assert.equal(result, undefined);
  await clock.advance(1);
  assert.equal(result, 'timeout');
});

test('withDeadline rejects with the error that the substitute throws', async () => {
  const clock = new FakeClock();
  const fail = () => {
    throw new Error('no answer');
  };
  const result = assert.rejects(withDeadline(never, 10, fail, { clock }), /no answer/);
  await clock.advance(10);
  await result;
});

test('withDeadline passes on a rejection of the work, and cancels its timer', async () => {
  const clock = new FakeClock();
  const failing = Promise.reject(new Error('broken'));
  await assert.rejects(
    withDeadline(failing, 10, () => 'late', { clock }),
    /broken/,
  );
  await clock.advance(10);
  assert.equal(clock.fired, 0);
});

test('withDeadline ignores a rejection of the work after the deadline', async () => {
  const clock = new FakeClock();
  const { promise, reject } = withResolvers<string>();
  const result = withDeadline(promise, 10, () => 'late', { clock });
  await clock.advance(10);
  assert.equal(await result, 'late');
  reject(new Error('too late to matter'));
  await tick(); // an unhandled rejection would fail the test
});

test('An aborted signal ends the wait at once, and withDeadline keeps neither a timer nor a listener', async () => {
  const clock = new FakeClock();
  const abort = new AbortController();
  const { signal } = abort;
  const result = withDeadline(never, 1_000, (end) => end, { clock, signal });
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  abort.abort();
  assert.equal(await result, 'aborted');
  assert.equal(getEventListeners(signal, 'abort').length, 0);
  await clock.advance(1_000);
  assert.equal(clock.fired, 0);
  assert.equal(await withDeadline(never, 1_000, (end) => end, { clock, signal }), 'aborted');
});

test('withDeadline removes its listener from a signal that is never aborted', async () => {
  const { signal } = new AbortController();
  await withDeadline(Promise.resolve(), 1_000, () => {}, { clock: new FakeClock(), signal });
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('withDeadline still gives a result that has arrived when the process stalled for the whole time', async () => {
  const clock = new FakeClock();
  const result = withDeadline(tick().then(tick), 1_000, () => 'late', { clock });
  clock.stall(5_000);
  await clock.advance(0);
  assert.equal(await result, undefined);
});

test('withDeadline still gives a result that has arrived when the process stalled late in the wait', async () => {
  const clock = new FakeClock();
  const { promise, resolve } = withResolvers<string>();
  const result = withDeadline(promise, 1_000, () => 'late', { clock });
  await clock.advance(700);
  clock.stall(5_000);
  setImmediate(() => resolve('in time')); // in the poll after the first overdue timer
  await clock.advance(0);
  await clock.advance(1);
  assert.equal(await result, 'in time');
});

test('The adaptive timeout grows with slow answers, shrinks slowly after quick ones, and stays within 2 to 10 s', () => {
  const timeout = new AdaptiveTimeout();
  assert.equal(timeout.timeoutMs, 2_000);
  timeout.noteAnswer(3_000);
  assert.equal(timeout.timeoutMs, 6_000);
  timeout.noteAnswer(1);
  assert.equal(timeout.timeoutMs, 5_400);
  timeout.noteAnswer(60_000);
  assert.equal(timeout.timeoutMs, 10_000);
  for (let answers = 0; answers < 100; answers++) timeout.noteAnswer(1);
  assert.equal(timeout.timeoutMs, 2_000);
});

function withResolvers<T>() {
  let resolve: (value: T) => void = () => {};
  let reject: (error: Error) => void = () => {};
  const promise = new Promise<T>((settleWith, failWith) => {
    resolve = settleWith;
    reject = failWith;
  });
  return { promise, resolve, reject };
}
