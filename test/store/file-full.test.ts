/** `file:` on its own file system, which becomes full. */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { StoreError } from '../../src/store/store.ts';
import { spawnCli } from '../support/cli.ts';
import { ON_FREE_PORTS } from '../support/cliProcess.ts';
import { mountSmall } from '../support/smallVolume.ts';
import { mustDelete } from '../support/storeCalls.ts';

const value = Buffer.alloc(30_000, 'x');

it('A file: store on a full disk refuses only writes until there is space', async (t) => {
  const small = await mountSmall(3);
  if (typeof small === 'string') return t.skip(small);
  // lmdb prints each failed commit.
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

const REFUSAL =
  /^soradns: file:\S+ cannot be opened: the disk is full, and the store needs \d+ KiB of free space \(free some space[^\n]*\)\n$/;

/** Fills a volume except for this many KiB. */
function fillBut(dir: string, kibibytes: number): void {
  const filler = join(dir, 'filler');
  rmSync(filler, { force: true });
  const { bavail, bsize } = statfsSync(dir);
  writeFileSync(filler, Buffer.alloc(bavail * bsize - kibibytes * 1024));
}

async function assertRefused(args: readonly string[], what: string): Promise<void> {
  const { code, stdout, stderr } = await spawnCli(args);
  assert.equal(code, 4, `${what}: ${stderr}`);
  assert.match(stderr, REFUSAL, what);
  assert.equal(stdout, '', what);
}

it('A server without disk space for a new store exits with one line that says so', async (t) => {
  const small = await mountSmall(1);
  if (typeof small === 'string') return t.skip(small);
  try {
    for (const free of [0, 4, 8, 12, 16, 20, 28, 32, 40, 44, 48, 60]) {
      const folder = join(small.dir, `free-${free}`);
      mkdirSync(folder, { mode: 0o700 });
      fillBut(small.dir, free);
      await assertRefused(['serve', '--store', `file:${folder}`, ...ON_FREE_PORTS], `${free} KiB`);
      assert.deepEqual(readdirSync(folder), [], `${free} KiB: nothing is left behind`);
    }
    fillBut(small.dir, 68);
    const set = ['set', 'a.skydns.local', '--host', '192.0.2.1', '--store'];
    const { code, stderr } = await spawnCli([...set, `file:${join(small.dir, 'enough')}`]);
    assert.deepEqual([code, stderr], [0, '']);
  } finally {
    await small.unmount();
  }
});

it('An existing store opens on a full disk unless lmdb must create lock.mdb', async (t) => {
  const small = await mountSmall(1);
  if (typeof small === 'string') return t.skip(small);
  try {
    const folder = join(small.dir, 'store');
    const store = await openFileStore(folder);
    await store.put('/skydns/local/skydns/a', Buffer.from('{"host":"192.0.2.1"}'));
    await store.close();
    fillBut(small.dir, 0);
    const ls = ['ls', '--store', `file:${folder}`];
    const listed = await spawnCli(ls);
    assert.equal(listed.code, 0, listed.stderr);
    assert.match(listed.stdout, /192\.0\.2\.1/);

    const file = readFileSync(join(folder, 'data.mdb'));
    const lock = join(folder, 'lock.mdb');
    rmSync(lock);
    fillBut(small.dir, 0);
    await assertRefused(ls, 'without lock.mdb');
    // The state that a process leaves when it is killed while it creates the file.
    writeFileSync(lock, '');
    truncateSync(lock, 8_272);
    await assertRefused(ls, 'with a lock.mdb of which nothing is on the disk');
    assert.deepEqual(readFileSync(join(folder, 'data.mdb')), file);

    rmSync(join(small.dir, 'filler'));
    assert.equal((await spawnCli(ls)).code, 0);
  } finally {
    await small.unmount();
  }
});

it('A repair on a full disk is refused in one line and leaves the damaged store unchanged', async (t) => {
  const small = await mountSmall(1);
  if (typeof small === 'string') return t.skip(small);
  try {
    const folder = join(small.dir, 'store');
    const store = await openFileStore(folder);
    for (let n = 0; n < 300; n++) await store.put(`/skydns/local/s${n}`, Buffer.alloc(300, 'x'));
    await store.close();
    const path = join(folder, 'data.mdb');
    truncateSync(path, readFileSync(path).length - 8_192);
    const file = readFileSync(path);
    const serve = ['serve', '--store', `file:${folder}`, '--store-repair', ...ON_FREE_PORTS];
    for (const free of [0, 16, 100]) {
      fillBut(small.dir, free);
      await assertRefused(serve, `${free} KiB`);
      assert.deepEqual(readFileSync(path), file);
      assert.ok(!readdirSync(folder).some((name) => name.includes('damaged')));
    }
    rmSync(join(small.dir, 'filler'));
    const repaired = await openFileStore(folder, { repair: true });
    assert.notEqual((await repaired.get('/skydns/local/s0')).entry, undefined);
    await repaired.close();
    assert.ok(!existsSync(join(folder, 'repair')));
  } finally {
    await small.unmount();
  }
});
