import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { Change } from '../../../src/service/change.ts';
import { History } from '../../../src/store/embedded/history.ts';
import { Watchers } from '../../../src/store/embedded/watchers.ts';
import type { WatchBatch } from '../../../src/store/store.ts';

const BOUNDS = { changes: 10, octets: 100_000 };

const batch = (revision: number, keys: number): WatchBatch => ({
  revision,
  changes: Array.from({ length: keys }, (_, i): Change => {
    return { kind: 'delete', key: `/${i}`, modRevision: revision, previous: undefined };
  }),
});

/** The batches that a watcher gets if all of them are delivered before it takes the first. */
async function taken(batches: readonly WatchBatch[]): Promise<number[]> {
  const watchers = new Watchers(new History(0, BOUNDS), BOUNDS);
  const abort = new AbortController();
  const watch = watchers.watch('/', 1, abort.signal);
  const first = watch.next();
  for (const one of batches) watchers.deliver(one);
  const { value } = await first;
  const revisions = [value?.revision ?? 0];
  while (revisions.length < batches.length) {
    revisions.push((await watch.next()).value?.revision ?? 0);
  }
  abort.abort();
  return revisions;
}

it('A watcher accepts a revision of any size between small ones', async () => {
  assert.deepEqual(await taken([batch(1, 100_000)]), [1]);
  assert.deepEqual(await taken([batch(1, 4), batch(2, 5_000), batch(3, 6)]), [1, 2, 3]);
});

it('A watcher ends with compacted when the waiting batches without the largest exceed its limits', async () => {
  await assert.rejects(taken([batch(1, 4), batch(2, 5_000), batch(3, 7)]), { code: 'compacted' });
  await assert.rejects(taken([batch(1, 300), batch(2, 300)]), { code: 'compacted' });
});
