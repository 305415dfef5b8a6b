import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutstandingAnswers } from '../../src/server/responder.ts';

/** A promise, and the function that resolves it. */
function answer(): { readonly promise: Promise<void>; readonly send: () => void } {
  let send = () => {};
  const promise = new Promise<void>((resolve) => {
    send = resolve;
  });
  return { promise, send };
}

/** Whether a promise resolves before the next turn of the event loop. */
async function isAtOnce(something: Promise<void>): Promise<boolean> {
  const nextTurn = new Promise<'later'>((resolve) => setImmediate(() => resolve('later')));
  return (await Promise.race([something, nextTurn])) !== 'later';
}

test('Waiting for outstanding answers ends at once if there are none', async () => {
  const outstanding = new OutstandingAnswers();
  assert.ok(await isAtOnce(outstanding.sent(500)));
  const { promise, send } = answer();
  outstanding.add(promise);
  assert.ok(!(await isAtOnce(outstanding.sent(500))));
  send();
  await promise;
  assert.ok(await isAtOnce(outstanding.sent(500)));
});

test('Waiting for outstanding answers includes those that are added meanwhile', async () => {
  const outstanding = new OutstandingAnswers();
  const [first, second] = [answer(), answer()];
  outstanding.add(first.promise);
  let isSent = false;
  const sent = outstanding.sent(60_000).then(() => {
    isSent = true;
  });
  outstanding.add(second.promise);
  first.send();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isSent, false);
  second.send();
  await sent;
});

test('Waiting for outstanding answers ends after its limit', async () => {
  const outstanding = new OutstandingAnswers();
  outstanding.add(new Promise(() => {}));
  await outstanding.sent(20);
});
