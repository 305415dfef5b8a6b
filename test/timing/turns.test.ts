import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createTurns } from '../../src/timing/turns.ts';

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

const turnsOf = (steps: number) => createTurns({ steps, turnMs: 1_000, nowMs: () => 0 });

const turnOfTheLoop = () => new Promise<void>((resolve) => setImmediate(resolve));

test('takers with much to do take turns with those who have little', async () => {
  const log: string[] = [];
  const turns = turnsOf(100);
  turns.add(taker('a', 4, log));
  turns.add(taker('b', 2, log));
  turns.add(taker('c', 1, log));
  assert.deepEqual(log, []);
  await turnOfTheLoop();
  assert.equal(log.join(''), 'abcabaa');
});

test('the loop gets its turn after so many steps', async () => {
  const log: string[] = [];
  const turns = turnsOf(3);
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
  const turns = turnsOf(2);
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
  const turns = turnsOf(10);
  const once = taker('a', 1, log);
  turns.add(once);
  turns.add(once);
  await turnOfTheLoop();
  assert.deepEqual(log, ['a']);
});

test('a turn ends when its time is over, and then rests for as long as it took', async () => {
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
  const turns = createTurns({ steps: 100, turnMs: 5, nowMs: () => nowMs });
  turns.add(slow);
  await turnOfTheLoop();
  assert.deepEqual(taken, [0, 4], 'the second step ends the turn');
  await turnOfTheLoop();
  assert.deepEqual(taken, [0, 4], 'others have the loop');
  while (taken.length < 6) await turnOfTheLoop();
  // Two turns of 8 ms came before the last one.
  assert.ok(performance.now() - startedMs >= 15);
});

test('a turn within its time is followed by the next at once', async () => {
  const log: string[] = [];
  let nowMs = 0;
  const turns = createTurns({ steps: 2, turnMs: 5, nowMs: () => (nowMs += 0.1) });
  turns.add(taker('a', 6, log));
  for (let i = 0; i < 3; i++) await turnOfTheLoop();
  assert.equal(log.length, 6);
});
