/** Files of commands on a disk that fills while they are written. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { childEnv, MAIN } from '../support/cli.ts';
import { withTempDir } from '../support/tempDir.ts';

/** Runs Node where a file has room for that many blocks of 512 or 1,024 octets. */
function runOnFullDisk(blocks: number, ...args: readonly string[]) {
  return runLimited(blocks, '', args);
}

function runLimited(blocks: number, redirection: string, args: readonly string[]) {
  // Without the trap the limit would end the process.
  const limited = `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$@" ${redirection}`;
  const env = { ...childEnv(), TSX_DISABLE_CACHE: '1' };
  const options = { env, encoding: 'utf8' } as const;
  return spawnSync('sh', ['-c', limited, process.execPath, ...args], options);
}

function evaluateOnFullDisk(blocks: number, module: string, call: string, path: string) {
  const code = `
import * as written from '${new URL(`../../src/${module}`, import.meta.url)}';
const [path, text] = [process.argv[1], 'x'.repeat(2_000)];
const log = { warn: ({ reason }) => process.stdout.write(reason) };
try { await written.${call}; } catch ({ message }) { process.stdout.write(message); }
`;
  const args = ['--import', 'tsx', '--input-type', 'module', '--eval', code, path];
  return runOnFullDisk(blocks, ...args);
}

const WRITERS = {
  'tools/integrate/hostFiles.ts': "makeChange('/', { path, before: 'old', after: text })",
  'cli/signing/keyFolder.ts': 'writeKeyFile(path, text)',
};

for (const [module, call] of Object.entries(WRITERS))
  test(`A file that does not fit on the disk stays as it was, and nothing is left beside it: ${module}`, () =>
    withTempDir(async (folder) => {
      const path = join(folder, 'file');
      writeFileSync(path, 'old');
      const { stdout, stderr } = evaluateOnFullDisk(1, module, call, path);
      assert.match(stdout, /EFBIG/, stderr);
      assert.deepEqual(readdirSync(folder), ['file']);
      assert.equal(readFileSync(path, 'utf8'), 'old');
    }));

test('A token file that does not fit on the disk leaves no draft in its folder', () =>
  withTempDir(async (folder) => {
    const options = "{ httpWriters: 'token', store: { kind: 'memory' } }";
    const call = `writersOf(${options}, { address: '127.0.0.1', port: 80 }, path, log)`;
    const { stdout, stderr } = evaluateOnFullDisk(0, 'app/process/writerToken.ts', call, folder);
    assert.match(stdout, /EFBIG/, stderr);
    assert.deepEqual(readdirSync(folder), []);
  }));

test('integrate names the file that does not fit on the disk', () =>
  withTempDir(async (root) => {
    const args = ['integrate', 'dnsmasq', '--root', root, '--addr', '127.0.0.1:5300'];
    const { status, stderr } = runOnFullDisk(0, MAIN, ...args);
    assert.equal(status, 1);
    assert.equal(stderr, `soradns: ${root}/etc/dnsmasq.d/soradns.conf: EFBIG\n`);
  }));

test('A command reports that its output does not fit on the disk', () =>
  withTempDir(async (folder) => {
    const path = join(folder, 'file');
    const args = [MAIN, 'serve', '--help'];
    const { status, stderr } = runLimited(8, `>'${path}'`, args);
    assert.deepEqual(
      { status, stderr },
      { status: 1, stderr: 'soradns: cannot write the output: EFBIG\n' },
    );
  }));
