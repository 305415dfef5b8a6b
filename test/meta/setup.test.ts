/** What `npm test` does on a machine that lacks programs, and how one test file runs without the runner. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { afterEach, beforeEach } from 'node:test';
import { provideComponents } from '../support/components.mjs';
import { projectRoot } from './sources.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soradns-setup-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A machine that has only an apt-get, which logs its arguments and whether services may start, and installs dig. */
function onBareMachine(setup: { isRoot: boolean; env?: NodeJS.ProcessEnv }) {
  const policyFile = join(folder, 'policy-rc.d');
  const script = `#!/bin/sh
echo "$*" >> ${folder}/calls
[ -x ${policyFile} ] && echo 'no services' >> ${folder}/calls
for program in dig; do echo > ${folder}/$program; /bin/chmod +x ${folder}/$program; done`;
  writeFileSync(join(folder, 'apt-get'), script);
  chmodSync(join(folder, 'apt-get'), 0o755);
  const lines: string[] = [];
  const { isRoot, env = {} } = setup;
  const print = (line: string): void => void lines.push(line);
  const areProvided = provideComponents({
    isRoot,
    env: { PATH: folder, ...env },
    policyFile,
    print,
  });
  const calls = existsSync(join(folder, 'calls'))
    ? readFileSync(join(folder, 'calls'), 'utf8')
    : '';
  return { areProvided, calls, printed: lines.join('\n'), policyFile };
}

test('npm test says first which packages it will install, then installs them without starting services', () => {
  const { areProvided, calls, printed, policyFile } = onBareMachine({ isRoot: true });
  const [lacks = '', installing = '', ...rest] = printed.split('\n');
  assert.match(lacks, /^The tests need commands that this machine lacks: .*\bdig\b/);
  assert.match(installing, /^Installing these Debian packages: .*\bbind9-dnsutils\b/);
  assert.ok(rest.some((line) => line === 'apt-get update'));
  assert.match(
    calls,
    /^-q update\nno services\n-q install -y --no-install-recommends .*bind9-dnsutils/,
  );
  assert.ok(!existsSync(policyFile), 'the policy is left behind');
  assert.equal(areProvided, false, 'it installed dig alone');
  assert.match(rest.at(-1) ?? '', /^still missing: etcd, /);
  assert.doesNotMatch(rest.at(-1) ?? '', /\bdig\b/);
});

test('npm test prints the command to install and runs nothing with SORADNS_TEST_NO_INSTALL=1', () => {
  const env = { SORADNS_TEST_NO_INSTALL: '1' };
  const { areProvided, calls, printed } = onBareMachine({ isRoot: true, env });
  assert.equal(areProvided, false);
  assert.equal(calls, '');
  assert.match(
    printed,
    /^ {2}sudo sh -c 'apt-get update && apt-get install -y .*\bbind9-dnsutils\b.*'$/m,
  );
});

test('npm test prints the command to install and runs nothing when the user is not root', () => {
  const { areProvided, calls, printed } = onBareMachine({ isRoot: false });
  assert.equal(areProvided, false);
  assert.equal(calls, '');
  assert.match(printed, /^ {2}sudo sh -c 'apt-get update && apt-get install -y .*'$/m);
});

const FILE = 'test/dns/presentation/print.test.ts';
const { NODE_TEST_CONTEXT: _, ...env } = process.env;
const outside = { cwd: projectRoot, encoding: 'utf8', env } as const;

test('npm run test:file runs one test file without the runner', () => {
  const { status, stdout } = spawnSync('npm', ['run', '--silent', 'test:file', FILE], outside);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^(?:# |ℹ )fail 0$/m);
});

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const readsTypes = major > 22 || (major === 22 && minor >= 18);

test('node --test runs one test file on a Node that reads TypeScript', {
  skip: readsTypes ? false : 'optional: Node reads TypeScript from 22.18 on',
}, () => {
  const { status, stdout } = spawnSync(process.execPath, ['--test', FILE], outside);
  assert.equal(status, 0, stdout);
  assert.match(stdout, /^(?:# |ℹ )fail 0$/m);
});
