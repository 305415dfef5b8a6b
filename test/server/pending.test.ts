import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OutstandingAnswers } from '../../src/server/responder.ts';

/** A promise, and what settles it. */
function answer(): { readonly promise: Promise<void>; readonly send: () => void } {
  let send = () => {};
  const promise = new Promise<void>((resolve) => {
    send = resolve;
  });
  return { promise, send };
}

/** Whether something resolves in this turn of the loop. */
async function isAtOnce(something: Promise<void>): Promise<boolean> {
  const turn = new Promise<'later'>((resolve) => setImmediate(() => resolve('later')));
  return (await Promise.race([something, turn])) !== 'later';
}

test('nothing is waited for when nothing is owed', async () => {
  const pending = new OutstandingAnswers();
  assert.ok(await isAtOnce(pending.sent(500)));
  const { promise, send } = answer();
  pending.add(promise);
  assert.ok(!(await isAtOnce(pending.sent(500))));
  send();
  await promise;
  assert.ok(await isAtOnce(pending.sent(500)));
});

test('answers that are added meanwhile are waited for too', async () => {
  const pending = new OutstandingAnswers();
  const [first, second] = [answer(), answer()];
  pending.add(first.promise);
  let isSent = false;
  const sent = pending.sent(60_000).then(() => {
    isSent = true;
  });
  pending.add(second.promise);
  first.send();
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(isSent, false);
  second.send();
  await sent;
});

test('the wait is bounded', async () => {
  const pending = new OutstandingAnswers();
  pending.add(new Promise(() => {}));
  await pending.sent(20);
});
