/** `file:` on a file system of its own that runs full. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFileStore } from '../../src/store/file.ts';
import { StoreError } from '../../src/store/store.ts';
import { mustDelete } from '../support/storeCalls.ts';
import { newTempDir, removeDir } from '../support/tempDir.ts';

const MOUNT_OPTIONS = ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs'];
const value = Buffer.alloc(30_000, 'x');

/** A small file system, or why there is none. */
async function mountSmall(): Promise<{ dir: string; unmount(): Promise<void> } | string> {
  const dir = await newTempDir();
  try {
    execFileSync('mount', [...MOUNT_OPTIONS, dir], { stdio: 'pipe' });
  } catch {
    await removeDir(dir);
    return 'optional: this user cannot mount a small file system';
  }
  const unmount = async () => {
    execFileSync('umount', [dir]);
    await removeDir(dir);
  };
  return { dir, unmount };
}

it('a full disk refuses writes and nothing else, until there is room', async (t) => {
  const small = await mountSmall();
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
    assert.deepEqual((await store.get('/k/0')).entry?.value, value);
    assert.equal((await store.get('/together')).entry, undefined);

    for (let i = 0; i < 3; i++) await mustDelete(store, `/k/${i}`);
    await put('/k/0').catch(() => undefined);
    assert.ok((await put('/k/0')).done);
    await sleep(50);
    assert.deepEqual(unhandled, []);
  } finally {
    process.off('unhandledRejection', note);
    await store.close().finally(small.unmount);
  }
});
