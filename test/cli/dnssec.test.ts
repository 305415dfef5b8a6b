import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import test from 'node:test';
import { MAIN } from '../support/cli.ts';
import { withTempDir } from '../support/tempDir.ts';
import { lacking } from '../support/validators.ts';

const soradns = (...args: readonly string[]): string =>
  execFileSync(process.execPath, [MAIN, 'dnssec', ...args], { encoding: 'utf8' }).trim();

for (const algorithm of ['ecdsap256sha256', 'ed25519']) {
  test(
    `BIND reads a key of ${algorithm} that keygen makes, and prints the same DS`,
    {
      skip: lacking('dnssec-dsfromkey', 'dnssec-settime'),
    },
    () =>
      withTempDir(async (folder) => {
        const keys = ['--keys', folder] as const;
        const base = soradns('keygen', 'Skydns.Local', ...keys, '--algorithm', algorithm);
        assert.equal(statSync(`${base}.private`).mode & 0o777, 0o600);
        const [ds] = soradns('ds', 'skydns.local', ...keys).split('\n');
        const fields = (text: string): readonly string[] => text.trim().split(/\s+/);
        const theirs = execFileSync('dnssec-dsfromkey', ['-2', `${base}.key`], {
          encoding: 'utf8',
        });
        assert.deepEqual(fields(ds ?? ''), fields(theirs));
        execFileSync('dnssec-settime', ['-I', '+30d', base]);
        assert.match(readFileSync(`${base}.private`, 'utf8'), /^Inactive: \d{14}$/m);
        const served = spawnSync(process.execPath, [MAIN, 'check', '--dnssec', folder]);
        assert.equal(served.status, 0, String(served.stderr));
      }),
  );
}

test('check warns that secondaries get no signatures', () =>
  withTempDir(async (folder) => {
    soradns('keygen', 'skydns.local', '--keys', folder);
    const args = [MAIN, 'check', '--dnssec', folder, '--transfer-allow', '192.0.2.0/24'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
    assert.match(`${stdout}${stderr}`, /--dnssec: transfers have no signatures/);
  }));

test('ds of a domain without keys exits with an error', () =>
  withTempDir(async (folder) => {
    const args = [MAIN, 'dnssec', 'ds', 'skydns.local', '--keys', folder];
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    assert.notEqual(status, 0);
    assert.match(stderr, /the folder has no keys/);
  }));
