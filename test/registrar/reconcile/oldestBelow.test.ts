/** Any history of records below a name: the oldest one is kept, or the name is reported as incomplete. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { MAX_KEPT_BELOW, OldestBelow } from '../../../src/registrar/reconcile/oldestBelow.ts';

const NAME = '/s/a';

/** The records in the store, and those of them that `OldestBelow` keeps. */
class Below {
  readonly oldest = new OldestBelow();
  readonly stored = new Map<string, number>();
  readonly kept = new Set<string>();

  put(key: string, since: number): void {
    this.stored.set(key, since);
    const offered = this.oldest.offer(NAME, key, since);
    if (offered.kind === 'dropped') return;
    this.kept.add(key);
    if (offered.evicted !== undefined) this.kept.delete(offered.evicted);
  }

  delete(key: string): void {
    this.stored.delete(key);
    this.kept.delete(key);
    this.oldest.remove(NAME, key);
  }

  /** As after a change of the wanted names. */
  startAgain(): void {
    const dropped = this.oldest.clear();
    for (const key of [...this.kept]) this.put(key, this.stored.get(key) ?? 0);
    for (const [name, since] of dropped) this.oldest.noteDropped(name, since);
  }

  /** Offers everything again if the name is incomplete. */
  readAgain(): boolean {
    const isIncomplete = this.oldest.takeIncomplete().length > 0;
    if (isIncomplete) for (const [key, since] of this.stored) this.put(key, since);
    return isIncomplete;
  }

  assertOldestKept(): void {
    assert.ok(this.kept.size <= MAX_KEPT_BELOW);
    const keptSince = [...this.kept].map((key) => this.stored.get(key) ?? 0);
    assert.equal(Math.min(...keptSince), Math.min(...this.stored.values()));
  }
}

const key = fc.integer({ min: 0, max: 2 * MAX_KEPT_BELOW }).map((number) => `k${number}`);
const step = fc.oneof(
  { weight: 10, arbitrary: fc.record({ kind: fc.constant('put' as const), key }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('putOlder' as const), key }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('deleteOldest' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('startAgain' as const) }) },
);

it('After any history the oldest record is kept, unless the name has been reported as incomplete', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150, size: 'max' }), (steps) => {
      const below = new Below();
      let revision = 1_000;
      for (const each of steps) {
        revision++;
        if (each.kind === 'put') below.put(each.key, revision);
        else if (each.kind === 'putOlder') below.put(each.key, 2_000 - revision);
        else if (each.kind === 'delete') below.delete(each.key);
        else if (each.kind === 'startAgain') below.startAgain();
        else {
          const [first = 'none'] = [...below.stored].sort((a, b) => a[1] - b[1])[0] ?? [];
          below.delete(first);
        }
        below.readAgain();
        below.assertOldestKept();
      }
    }),
    { numRuns: 500 },
  );
});

it('While the oldest record is kept, a name with dropped records is not read again', () => {
  const below = new Below();
  for (let i = 0; i < 1_000; i++) below.put(`k${i}`, i + 1);
  for (let i = 1; i < MAX_KEPT_BELOW; i++) below.delete(`k${i}`);
  for (let i = 1_000; i < 2_000; i++) below.put(`k${i}`, i + 1);
  assert.equal(below.readAgain(), false);
  below.assertOldestKept();
  below.delete('k0');
  assert.equal(below.readAgain(), true);
  below.assertOldestKept();
  assert.equal(below.readAgain(), false);
});
