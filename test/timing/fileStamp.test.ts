/** What counts as a change of a file. */
import assert from 'node:assert/strict';
import { chmodSync, renameSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileStamp } from '../../src/timing/fileStamp.ts';
import { withTempDir } from '../support/tempDir.ts';

const TIME = new Date(1_700_000_000_000);

/** Writes a file of one length and one time. */
function write(path: string, text: string): void {
  writeFileSync(path, text);
  utimesSync(path, TIME, TIME);
}

const changes: readonly [string, (folder: string, path: string) => void][] = [
  ['has another length', (_folder, path) => write(path, 'longer')],
  [
    'is replaced by a rename, with the same length and time',
    (folder, path) => {
      write(join(folder, 'new'), 'b');
      renameSync(join(folder, 'new'), path);
    },
  ],
  ['has another mode', (_folder, path) => chmodSync(path, 0o600)],
  ['is gone', (folder, path) => renameSync(path, join(folder, 'old'))],
];
for (const [what, change] of changes)
  test(`The stamp of a file changes when the file ${what}`, () =>
    withTempDir(async (folder) => {
      const path = join(folder, 'file');
      write(path, 'a');
      const before = fileStamp(path);
      assert.equal(fileStamp(path), before);
      // The clock of a file system has ticks of some milliseconds.
      await sleep(20);
      change(folder, path);
      assert.notEqual(fileStamp(path), before);
    }));

test('The stamp of a path that leads nowhere is the reason', () =>
  withTempDir(async (folder) => {
    writeFileSync(join(folder, 'file'), '');
    symlinkSync('loop', join(folder, 'loop'));
    const stamps = ['none', 'file/below', 'loop', 'n'.repeat(300), 'nul\0'].map((name) =>
      fileStamp(join(folder, name)),
    );
    assert.deepEqual(stamps, [
      ...['ENOENT', 'ENOTDIR', 'ELOOP', 'ENAMETOOLONG'],
      'ERR_INVALID_ARG_VALUE',
    ]);
  }));
