import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { batchesUntil, bytes, entriesOf, mustHave, mustPut } from '../support/storeCalls.ts';
import { withTempDir } from '../support/tempDir.ts';

const WRITER = fileURLToPath(new URL('../support/leaseWriter.ts', import.meta.url));

describe('file: leases across restarts', () => {
  it('A file: store keeps leases, their keys and their renewals across restarts', () =>
    withTempDir(async (dir) => {
      const clock = new FakeClock();
      let store = await openFileStore(dir, { clock });
      const lease = await store.grantLease(100);
      await store.put('/a', bytes('x'), { lease: lease.id });
      await store.put('/b', bytes('x'), { lease: lease.id });
      await clock.advance(60_000);
      assert.equal(await store.renewLease(lease.id), true);
      await clock.advance(10_000);
      await store.close();
      store = await openFileStore(dir, { clock });
      const [a, b] = await entriesOf(store, '/');
      const seen = mustHave(a?.lease);
      assert.equal(seen, b?.lease, 'one lease');
      assert.deepEqual([seen.id, seen.ttlSeconds], [lease.id, 100]);
      assert.equal(seen.expiresAtMs, clock.monotonicMs() + 90_000);
      await clock.advance(89_999);
      assert.equal(await store.renewLease(lease.id), true);
      assert.equal(seen.expiresAtMs, clock.monotonicMs() + 100_000);
      await store.put('/c', bytes('x'), { lease: lease.id });
      await clock.advance(99_999);
      assert.equal((await entriesOf(store, '/')).length, 3);
      await clock.advance(1);
      assert.deepEqual(await entriesOf(store, '/'), []);
      const [end] = await batchesUntil(store, '/', 4, '/a', { kind: 'delete' });
      assert.deepEqual([end?.revision, end?.changes.length], [4, 3]);
      await store.close();
    }));

  it('A reopened file: store deletes the keys of a lease that expired meanwhile, all at one revision', () =>
    withTempDir(async (dir) => {
      const clock = new FakeClock();
      let store = await openFileStore(dir, { clock });
      const short = await store.grantLease(10);
      const long = await store.grantLease(100);
      for (const key of ['/a', '/b', '/c']) await store.put(key, bytes('x'), { lease: short.id });
      await store.put('/long', bytes('x'), { lease: long.id });
      await store.close();
      clock.jumpWall(11_000);
      store = await openFileStore(dir, { clock });
      const left = await entriesOf(store, '/');
      assert.deepEqual(
        left.map((entry) => entry.key),
        ['/long'],
      );
      assert.equal((await store.get('/a')).revision, 5);
      assert.equal(await store.renewLease(short.id), false);
      assert.equal(await store.renewLease(long.id), true);
      await store.close();
    }));

  it('A file: store keeps a lease without keys across a restart', () =>
    withTempDir(async (dir) => {
      const clock = new FakeClock();
      let store = await openFileStore(dir, { clock });
      const { id } = await store.grantLease(100);
      await store.close();
      store = await openFileStore(dir, { clock });
      await store.put('/a', bytes('x'), { lease: id });
      await store.revokeLease(id);
      await mustPut(store, '/end', 'x');
      const batches = await batchesUntil(store, '/', 1, '/end');
      assert.deepEqual(
        batches.map((batch) => batch.changes[0]?.kind),
        ['put', 'delete', 'put'],
      );
      await store.close();
    }));

  it('A killed process leaves its lease with the last renewal', { timeout: 60_000 }, () =>
    withTempDir(async (dir) => {
      const [id, renewedAtMs] = await holdUntilKilled(dir);
      const store = await openFileStore(dir);
      const entries = await entriesOf(store, '/');
      assert.deepEqual(
        entries.map((entry) => [entry.key, entry.lease?.id]),
        [
          ['/a', id],
          ['/b', id],
        ],
      );
      const leftMs = (entries[0]?.lease?.expiresAtMs ?? 0) - performance.now();
      const expectedMs = 600_000 - (Date.now() - Number(renewedAtMs));
      assert.ok(leftMs > expectedMs - 500, `${leftMs} ms left, not ${expectedMs}`);
      assert.equal(await store.renewLease(id ?? ''), true);
      await store.revokeLease(id ?? '');
      assert.deepEqual(await entriesOf(store, '/'), []);
      await store.close();
    }),
  );
});

/** The words of the writer's line. */
async function holdUntilKilled(dir: string): Promise<string[]> {
  const child = spawn(process.execPath, ['--import', 'tsx', WRITER, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const closed = once(child, 'close');
  try {
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    const line = await lines.next();
    assert.ok(line.done !== true, 'the writer ended');
    return line.value.split(' ');
  } finally {
    child.kill('SIGKILL');
    await closed;
  }
}
