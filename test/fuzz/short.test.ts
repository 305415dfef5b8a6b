import assert from 'node:assert/strict';
import test from 'node:test';
import { fuzz } from './fuzzer.ts';

test('The parsers handle 50,000 mutated packets without an exception, a slow packet or heap growth', () => {
  const { outcomes } = fuzz(50_000, 20261122);
  // A fuzzer that does not get past the first checks would never find a fault.
  for (const outcome of ['drop', 'reject', 'query, decoded', 'drop, decoded'])
    assert.ok((outcomes.get(outcome) ?? 0) > 500, `${outcome}: ${outcomes.get(outcome)}`);
});
