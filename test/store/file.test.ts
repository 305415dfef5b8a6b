import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { chmod, cp, mkdir, readdir, rename, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { type FollowedHistory, type Store, StoreError } from '../../src/store/store.ts';
import { spawnCli } from '../support/cli.ts';
import { FakeClock } from '../support/fakeClock.ts';
import { keyOf, nextChanges, pagesOf } from '../support/storeCalls.ts';
import { newTempDir, removeDir, withTempDir } from '../support/tempDir.ts';
import { storeContract } from './contract.ts';

const history = { changes: 4000, octets: 1e8 };
const value = new TextEncoder().encode('v');
let opened: Store | undefined;

storeContract(
  'file:',
  async () => {
    const dir = await newTempDir();
    const store = await openFileStore(dir, { history });
    opened = store;
    return {
      store,
      close: async () => {
        await store.close();
        await removeDir(dir);
      },
    };
  },
  {
    async canCompact() {
      const store = opened;
      assert.ok(store !== undefined);
      const puts = Array.from({ length: history.changes + 1 }, () => store.put('/filler', value));
      await Promise.all(puts);
    },
  },
);

describe('file: across restarts', () => {
  it('A file: store keeps entries, revisions and leases across restarts', () =>
    withTempDir(async (dir) => {
      const clock = new FakeClock();
      let store = await openFileStore(dir, { clock });
      await store.put('/a', value);
      await store.put('/a', new Uint8Array([0, 255]), { ttlSeconds: 100 });
      await store.put('/b', new Uint8Array(0));
      await store.delete('/b');
      await store.close();
      store = await openFileStore(dir, { clock });
      const { entry, revision } = await store.get('/a');
      assert.ok(entry !== undefined);
      assert.equal(revision, 4);
      assert.deepEqual([...entry.value], [0, 255]);
      assert.deepEqual([entry.createRevision, entry.modRevision], [1, 2]);
      assert.equal(entry.lease?.expiresAtMs, clock.monotonicMs() + 100_000);
      assert.equal((await store.get('/b')).entry, undefined);
      const next = await store.put('/c', value);
      assert.ok(next.done && next.entry.modRevision === 5);
      await store.close();
    }));

  it('A file: store forgets its history at a restart: an older watch gets compacted, a watch from the next revision does not', () =>
    withTempDir(async (dir) => {
      let store = await openFileStore(dir);
      await store.put('/a', value);
      await store.close();
      store = await openFileStore(dir);
      const { signal } = new AbortController();
      const old = store.watch('/', 1, signal)[Symbol.asyncIterator]();
      await assert.rejects(old.next(), { code: 'compacted' });
      const next = nextChanges(store.watch('/', 2, signal)[Symbol.asyncIterator]());
      await store.put('/b', value);
      assert.equal((await next).revision, 2);
      await store.close();
    }));

  it('A reopened file: store continues a watch, and an older copy of it refuses the watch', () =>
    withTempDir(async (dir) => {
      const [data, copy] = [join(dir, 'data'), join(dir, 'copy')];
      const watchOn = async (followed: FollowedHistory, fromRevision: number) => {
        const store = await openFileStore(data);
        const { signal } = new AbortController();
        const watch = store.watch('/', fromRevision, signal, followed);
        const next = nextChanges(watch[Symbol.asyncIterator]());
        const put = store.put('/c', value);
        return Promise.allSettled([next, put]).finally(() => store.close());
      };
      const store = await openFileStore(data);
      await store.put('/a', value);
      const [page] = await pagesOf(store, '/');
      const followed = { history: page?.history ?? '', fingerprint: undefined };
      await store.close();
      await cp(data, copy, { recursive: true });
      const [same] = await watchOn(followed, 2);
      assert.ok(same.status === 'fulfilled' && same.value?.revision === 2);
      await rename(data, join(dir, 'lost'));
      await rename(copy, data);
      const [other] = await watchOn(followed, 3);
      assert.ok(other.status === 'rejected' && other.reason.code === 'replaced');
    }));

  it('A reopened file: store deletes each key that expired meanwhile at a revision of its own', () =>
    withTempDir(async (dir) => {
      const clock = new FakeClock();
      let store = await openFileStore(dir, { clock });
      await store.put('/10', value, { ttlSeconds: 10 });
      await store.put('/5', value, { ttlSeconds: 5 });
      await store.put('/60', value, { ttlSeconds: 60 });
      await store.close();
      clock.jumpWall(30_000);
      store = await openFileStore(dir, { clock });
      const { revision, entry } = await store.get('/60');
      assert.equal(revision, 5);
      assert.equal(entry?.lease?.expiresAtMs, clock.monotonicMs() + 30_000);
      assert.deepEqual(await keysOf(store), ['/60']);
      await clock.advance(29_999);
      assert.deepEqual(await keysOf(store), ['/60']);
      const watch = store.watch('/', 6, new AbortController().signal);
      const last = nextChanges(watch[Symbol.asyncIterator]());
      await clock.advance(1);
      assert.deepEqual((await last).changes.map(keyOf), ['/60']);
      await store.close();
    }));

  it('A jump of the wall clock expires no key of an open file: store', () =>
    withTempDir(async (dir) => {
      const clock = new FakeClock(0);
      let store = await openFileStore(dir, { clock });
      await store.put('/a', value, { ttlSeconds: 60 });
      clock.jumpWall(50 * 365 * 86_400_000);
      await clock.advance(1000);
      assert.deepEqual(await keysOf(store), ['/a']);
      await store.close();
      store = await openFileStore(dir, { clock });
      assert.deepEqual(await keysOf(store), ['/a']);
      clock.jumpWall(-3_600_000);
      await store.close();
      clock.jumpWall(-3_600_000);
      store = await openFileStore(dir, { clock });
      const lease = (await store.get('/a')).entry?.lease;
      assert.equal(lease?.expiresAtMs, clock.monotonicMs() + 59_000);
      await clock.advance(59_000);
      assert.deepEqual(await keysOf(store), []);
      await store.close();
    }));
});

describe('file: one owner', () => {
  it('A file: store refuses a second opening until it is closed', () =>
    withTempDir(async (dir) => {
      const store = await openFileStore(dir);
      await refused(dir, /in use/);
      await store.put('/a', value);
      await store.close();
      await (await openFileStore(dir)).close();
    }));

  it('Exactly one of several concurrent openings of a file: store succeeds', () =>
    withTempDir(async (dir) => {
      const results = await Promise.allSettled([1, 2, 3, 4].map(() => openFileStore(dir)));
      const stores = results.filter((result) => result.status === 'fulfilled');
      assert.equal(stores.length, 1);
      const store = stores[0]?.value;
      assert.ok((await store?.put('/a', value))?.done);
      await store?.close();
    }));

  it('A file: store is refused while another process has it open, and opens after that process was killed', () =>
    withTempDir(async (parent) => {
      // Longer than a socket's path may be.
      const dir = join(parent, 'd'.repeat(120));
      const writer = new URL('../support/storeWriter.ts', import.meta.url).pathname;
      const child = spawn(process.execPath, ['--import', 'tsx', writer, dir, '0']);
      try {
        await new Promise((resolve) => child.stdout.once('data', resolve));
        await refused(dir, /in use/);
      } finally {
        child.kill('SIGKILL');
        await new Promise((resolve) => child.once('close', resolve));
      }
      await (await openFileStore(dir)).close();
    }));
});

describe('file: a full disk', () => {
  it('A file: store rejects the writes that do not fit on the disk and continues when there is space', () =>
    withTempDir(async (dir) => {
      const filler = new URL('../support/storeFiller.ts', import.meta.url).pathname;
      // In units of 512 octets; without the trap the limit would end the process.
      const limited = `trap '' XFSZ; ulimit -f 800; exec "$0" --import tsx "$1" "$2"`;
      const run = promisify(execFile);
      const { stdout } = await run('/bin/sh', ['-c', limited, process.execPath, filler, dir]);
      const { stored, ...rest } = JSON.parse(stdout);
      assert.ok(stored > 10 && stored < 200, stdout);
      assert.deepEqual(rest, {
        revision: stored,
        deleted: stored,
        codes: ['unavailable'],
        after: true,
      });
      const store = await openFileStore(dir);
      assert.deepEqual(await keysOf(store), ['/after']);
      await store.close();
    }));
});

describe('file: paths that cannot be opened', () => {
  it('A file: store at a path that is not a folder is refused with one line that names the path', () =>
    withTempDir(async (parent) => {
      const file = join(parent, 'file');
      await writeFile(file, 'x');
      await refused(file, /EEXIST|ENOTDIR/);
      await refused(join(file, 'below'), /ENOTDIR/);
    }));

  it('A file: store below a folder in which no folder can be made is refused at once', async (t) => {
    if (process.platform !== 'linux') return t.skip('optional: needs /proc');
    // In a separate process, which ends whether or not the store hangs.
    for (const dir of ['/proc/soradns', '/proc/soradns/below/']) {
      const { code, stderr } = await spawnCli([
        'set',
        'web',
        '--host',
        '192.0.2.1',
        '--store',
        `file:${dir}`,
      ]);
      assert.equal(code, 4);
      const line = `soradns: file:${dir} cannot be opened: no folder can be made in /proc (`;
      assert.ok(stderr.startsWith(line) && stderr.endsWith(')\n'), stderr);
      assert.equal(stderr.split('\n').length, 2, stderr);
    }
  });

  it('A file: store creates its missing folders with access only for its user', () =>
    withTempDir(async (parent) => {
      const dir = join(parent, 'a', 'b', 'c');
      await (await openFileStore(`${dir}/`)).close();
      for (const made of ['a', 'a/b', 'a/b/c'])
        assert.equal((await stat(join(parent, made))).mode & 0o777, 0o700);
    }));

  it('A file: store refuses a file that is not a database and a directory in its place', () =>
    withTempDir(async (parent) => {
      const contents = ['garbage', '\0'].map((text) => Buffer.alloc(100_000, text));
      for (const [i, content] of [...contents, Buffer.from('short')].entries()) {
        const dir = join(parent, `content${i}`);
        await mkdir(dir);
        await writeFile(join(dir, 'data.mdb'), content);
        await refused(dir, /not a database/);
      }
      for (const name of ['data.mdb', 'lock.mdb']) {
        const dir = join(parent, `directory-${name}`);
        await mkdir(join(dir, name), { recursive: true });
        await refused(dir, /EISDIR/);
      }
    }));

  it('A file: store refuses a truncated file', () =>
    withTempDir(async (dir) => {
      const store = await openFileStore(dir);
      const puts = Array.from({ length: 500 }, (_, i) => store.put(`/${i}`, new Uint8Array(500)));
      await Promise.all(puts);
      await store.close();
      const data = join(dir, 'data.mdb');
      const { size } = await stat(data);
      await truncate(data, Math.floor(size / 2));
      await refused(dir, /cut short/);
      await truncate(data, 6000);
      await refused(dir, /not a database/);
    }));

  it(
    'A file: store refuses a directory without permission',
    { skip: process.getuid?.() === 0 && 'optional: root may read every directory' },
    () =>
      withTempDir(async (dir) => {
        await chmod(dir, 0);
        await refused(dir, /EACCES|denied/i);
        await chmod(dir, 0o700);
      }),
  );

  it('A closed file: store leaves only its two files', () =>
    withTempDir(async (dir) => {
      await (await openFileStore(dir)).close();
      assert.deepEqual((await readdir(dir)).sort(), ['data.mdb', 'lock.mdb']);
    }));
});

async function refused(dir: string, reason: RegExp): Promise<void> {
  await assert.rejects(openFileStore(dir), (error) => {
    assert.ok(error instanceof StoreError, String(error));
    assert.ok(error.message.includes(dir) && !error.message.includes('\n'), error.message);
    assert.match(error.message, reason);
    return true;
  });
}

async function keysOf(store: Store): Promise<string[]> {
  const keys: string[] = [];
  for await (const page of store.snapshot('/')) keys.push(...page.entries.map((each) => each.key));
  return keys;
}
