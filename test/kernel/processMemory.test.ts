/** Memory that goes back to the system, with real mappings of an lmdb file. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadLibc } from '../../src/kernel/libc.ts';
import { dropFilePages, trimAllocator } from '../../src/kernel/processMemory.ts';
import { openFileStore } from '../../src/store/file/fileStore.ts';
import { withTempDir } from '../support/tempDir.ts';

const libc = loadLibc();

/** Resident octets of the file's mappings in this process. */
function residentOf(path: string): number {
  let isOfFile = false;
  let kilobytes = 0;
  for (const line of readFileSync('/proc/self/smaps', 'latin1').split('\n')) {
    if (/^[0-9a-f]+-/.test(line)) isOfFile = line.endsWith(` ${path}`);
    else if (isOfFile) kilobytes += Number(/^Rss:\s+(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return kilobytes * 1024;
}

describe('memory of this process', { skip: libc.kind === 'missing' && libc.reason }, () => {
  it('Pages of a mapped file leave the process, and its content stays readable', () =>
    withTempDir(async (dir) => {
      const path = join(await realpath(dir), 'data.mdb');
      const store = await openFileStore(dir);
      try {
        const value = Buffer.alloc(3_000, 7);
        const keys = Array.from({ length: 1_000 }, (_, index) => `/many/${index}`);
        await Promise.all(keys.map((key) => store.put(key, value)));
        const readAll = () => Promise.all(keys.map((key) => store.get(key)));
        await readAll();
        const before = residentOf(path);
        assert.ok(before > 1_000_000, `${before}`);
        dropFilePages(path);
        assert.ok(residentOf(path) < before / 10, `${residentOf(path)} of ${before}`);
        const again = await readAll();
        assert.ok(again.every(({ entry }) => entry && value.equals(entry.value)));
        assert.ok(residentOf(path) > before / 2);
      } finally {
        await store.close();
      }
    }));

  it('Pages of other files stay', () =>
    withTempDir(async (dir) => {
      const store = await openFileStore(dir);
      const path = join(await realpath(dir), 'data.mdb');
      const before = residentOf(path);
      dropFilePages(join(dir, 'a'));
      dropFilePages('');
      assert.ok(before > 0);
      assert.equal(residentOf(path), before);
      await store.close();
    }));

  it('Trimming the allocator keeps what is in use', () => {
    const buffers = Array.from({ length: 100 }, (_, index) =>
      Buffer.allocUnsafeSlow(50_000).fill(index),
    );
    trimAllocator();
    assert.ok(buffers.every((buffer, index) => buffer.every((octet) => octet === index)));
  });
});
