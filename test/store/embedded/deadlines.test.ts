import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { Deadlines } from '../../../src/store/embedded/deadlines.ts';

it('Due keys come in the order of their deadlines after any sets, renewals and deletes', () => {
  const step = fc.record({
    key: fc.integer({ min: 0, max: 30 }).map((i) => `/${i}`),
    deadlineMs: fc.option(fc.integer({ min: 0, max: 100 }), { nil: undefined, freq: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200, size: 'max' }), fc.nat(100), (steps, nowMs) => {
      const deadlines = new Deadlines();
      const model = new Map<string, number>();
      for (const { key, deadlineMs } of steps) {
        if (deadlineMs === undefined) {
          deadlines.delete(key);
          model.delete(key);
        } else {
          deadlines.set(key, deadlineMs);
          model.set(key, deadlineMs);
        }
        const least = Math.min(...model.values());
        assert.equal(deadlines.earliestMs() ?? Number.POSITIVE_INFINITY, least);
      }
      const due = deadlines.due(nowMs, 1000);
      const times = due.map((key) => model.get(key) ?? Number.NaN);
      assert.deepEqual(
        times,
        [...model.values()].filter((ms) => ms <= nowMs).sort((a, b) => a - b),
      );
      assert.equal(new Set(due).size, due.length);
      assert.ok(deadlines.due(nowMs, 3).length === Math.min(3, due.length));
    }),
    { numRuns: 300 },
  );
});
