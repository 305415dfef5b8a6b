/** Reading the files that options name: only regular files of a limited size. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, it } from 'node:test';
import { readText } from '../../src/cli/output.ts';

const directory = mkdtempSync(join(tmpdir(), 'soradns-files-'));
after(() => rmSync(directory, { recursive: true }));
const MIB = 1024 * 1024;

it('readText reads an ordinary file of up to 1 MiB, even through a link', () => {
  const path = join(directory, 'config.json');
  writeFileSync(path, 'ü'.repeat(MIB / 2), { mode: 0o644 });
  symlinkSync(path, join(directory, 'link'));
  assert.deepEqual(readText(join(directory, 'link')), {
    text: 'ü'.repeat(MIB / 2),
    isForAll: true,
  });
  writeFileSync(path, 'x'.repeat(MIB + 1));
  assert.deepEqual(readText(path), { problem: 'it is larger than 1 MiB' });
  assert.deepEqual(readText(join(directory, 'gone')), { problem: 'ENOENT' });
});

it('readText reads a file without a size to its end', () => {
  const read = readText('/proc/self/status');
  assert.ok('text' in read && read.text.startsWith('Name:'));
});

it('readText refuses an endless device, an empty pipe and a folder at once', () => {
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const path of ['/dev/zero', pipe, directory]) {
    assert.deepEqual(readText(path), { problem: 'it is not a regular file' }, path);
  }
});
