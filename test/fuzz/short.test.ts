import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz } from './fuzzer.ts';

test('W10: 50,000 mutated packets: no exception, none slow, heap flat', () => {
  const { outcomes } = fuzz(50_000, 20261122);
  // A fuzzer that no longer reaches the code behind the first checks would find nothing for ever.
  for (const outcome of ['drop', 'reject', 'query, decoded', 'drop, decoded'])
    assert.ok((outcomes.get(outcome) ?? 0) > 500, `${outcome}: ${outcomes.get(outcome)}`);
});
