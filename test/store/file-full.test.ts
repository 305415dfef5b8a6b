/** `file:` on a file system of its own that runs full. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFileStore } from '../../src/store/file.ts';
import { StoreError } from '../../src/store/store.ts';
import { mountSmall } from '../support/smallVolume.ts';
import { mustDelete } from '../support/storeCalls.ts';

const value = Buffer.alloc(30_000, 'x');

it('a full disk refuses writes and nothing else, until there is room', async (t) => {
  const small = await mountSmall(3);
  if (typeof small === 'string') return t.skip(small);
  // lmdb prints each failed commit by itself.
  t.mock.method(console, 'error', () => undefined);
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  const store = await openFileStore(small.dir);
  const put = (key: string) => store.put(key, value);
  try {
    const alone = [];
    for (let i = 0; i < 110; i++) alone.push(...(await Promise.allSettled([put(`/k/${i}`)])));
    const together = await Promise.allSettled(Array.from({ length: 50 }, () => put('/together')));
    for (const outcome of [...alone.slice(-10), ...together]) {
      assert.ok(outcome.status === 'rejected' && outcome.reason instanceof StoreError);
      assert.equal(outcome.reason.code, 'unavailable');
    }
    assert.match(
      store.writeTrouble?.() ?? '',
      /^writing to .* failed: (No space left on device|Input\/output error)$/,
    );
    assert.deepEqual((await store.get('/k/0')).entry?.value, value);
    assert.equal((await store.get('/together')).entry, undefined);

    for (let i = 0; i < 3; i++) await mustDelete(store, `/k/${i}`);
    await put('/k/0').catch(() => undefined);
    assert.ok((await put('/k/0')).done);
    assert.equal(store.writeTrouble?.(), undefined);
    await sleep(50);
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
    await store.close().finally(small.unmount);
  }
});
