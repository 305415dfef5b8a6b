import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTurns } from '../../src/server/turns.ts';

/** Takes `steps` steps and writes its name into the log at each. */
function taker(name: string, steps: number, log: string[]) {
  let left = steps;
  return {
    step() {
      log.push(name);
      left -= 1;
      return left > 0;
    },
  };
}

const turnOfTheLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

test('takers with much to do take turns with those who have little', async () => {
  const log: string[] = [];
  const turns = createTurns(100);
  turns.add(taker('a', 4, log));
  turns.add(taker('b', 2, log));
  turns.add(taker('c', 1, log));
  assert.deepEqual(log, []);
  await turnOfTheLoop();
  assert.equal(log.join(''), 'abcabaa');
});

test('the loop gets its turn after so many steps', async () => {
  const log: string[] = [];
  const turns = createTurns(3);
  turns.add(taker('a', 5, log));
  turns.add(taker('b', 3, log));
  await turnOfTheLoop();
  assert.equal(log.join(''), 'aba');
  await turnOfTheLoop();
  assert.equal(log.join(''), 'ababab');
  await turnOfTheLoop();
  assert.equal(log.join(''), 'abababaa');
});

test('who is removed is not called again', async () => {
  const log: string[] = [];
  const turns = createTurns(2);
  const gone = taker('a', 5, log);
  turns.add(gone);
  turns.add(taker('b', 2, log));
  await turnOfTheLoop();
  turns.remove(gone);
  await turnOfTheLoop();
  await turnOfTheLoop();
  assert.equal(log.join(''), 'abb');
});

test('adding twice is adding once', async () => {
  const log: string[] = [];
  const turns = createTurns(10);
  const once = taker('a', 1, log);
  turns.add(once);
  turns.add(once);
  await turnOfTheLoop();
  assert.deepEqual(log, ['a']);
});
