/** The files that options name: bounded in size and kind, whatever the path leads to. */
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

it('an ordinary file of up to 1 MiB is read, also through a link', () => {
  const path = join(directory, 'config.json');
  writeFileSync(path, 'ü'.repeat(MIB / 2));
  symlinkSync(path, join(directory, 'link'));
  assert.deepEqual(readText(join(directory, 'link')), { text: 'ü'.repeat(MIB / 2) });
  writeFileSync(path, 'x'.repeat(MIB + 1));
  assert.deepEqual(readText(path), { problem: 'it is above 1 MiB' });
  assert.deepEqual(readText(join(directory, 'gone')), { problem: 'ENOENT' });
});

it('what says nothing of its size is read to its end', () => {
  const read = readText('/proc/self/status');
  assert.ok('text' in read && read.text.startsWith('Name:'));
});

it('a device without end, a pipe that nobody fills and a folder are refused at once', () => {
  const pipe = join(directory, 'pipe');
  execFileSync('mkfifo', [pipe]);
  for (const path of ['/dev/zero', pipe, directory]) {
    assert.deepEqual(readText(path), { problem: 'it is no ordinary file' }, path);
  }
});
