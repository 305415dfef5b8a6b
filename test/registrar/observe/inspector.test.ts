import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { Inspector } from '../../../src/registrar/observe/inspector.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { CONTAINER_ID, inspection } from '../../support/inspection.ts';

describe('overtaken inspections', () => {
  let clock: FakeClock;
  let asked = 0;
  let passed = 0;
  let answer: () => void = () => {};
  let inspector: Inspector;

  beforeEach(() => {
    clock = new FakeClock();
    [asked, passed] = [0, 0];
    inspector = new Inspector({
      engine: {
        inspect: () =>
          new Promise((resolve) => {
            asked++;
            answer = () => resolve(inspection());
          }),
      },
      clock,
      concurrency: 1,
      onResult: () => passed++,
      onFailure: (_, error) => assert.fail(error),
    });
  });

  /** Lets an event happen after each request for an inspection and before its answer. */
  const overtake = async (times: number, happens: () => void): Promise<void> => {
    for (let i = 0; i < times; i++) {
      happens();
      answer();
      await clock.advance(100);
    }
  };

  it('The inspector repeats an overtaken inspection, and passes on every fourth one when all are overtaken', async () => {
    inspector.request(CONTAINER_ID);
    await overtake(3, () => inspector.request(CONTAINER_ID));
    assert.deepEqual([asked, passed], [4, 0]);
    await overtake(1, () => inspector.request(CONTAINER_ID));
    assert.deepEqual([asked, passed], [5, 1]);
    await overtake(3, () => inspector.request(CONTAINER_ID));
    assert.deepEqual([asked, passed], [8, 1]);
    await overtake(1, () => {});
    assert.deepEqual([asked, passed, inspector.pending], [8, 2, 0]);
  });

  it('An overtaken inspection is never passed on when it must not be used', async () => {
    inspector.request(CONTAINER_ID);
    await overtake(20, () => {
      inspector.invalidate(CONTAINER_ID);
      inspector.request(CONTAINER_ID);
    });
    assert.deepEqual([asked, passed], [21, 0]);
    await overtake(1, () => {});
    assert.equal(passed, 1);
  });
});
