/**
 * The etcd releases that the tests build for themselves where Go is installed, because Debian has only an old release.
 * Each is a Go module of a few lines around etcd's own server, and is built once on a machine.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { cached, fillCached } from './cache.mjs';

/** The last release of each maintained minor version. CONTRIBUTING.md names them as tested. */
export const BUILT_ETCDS = ['3.6.16', '3.7.3'];

/** The oldest Go version that builds etcd 3.7. */
const LEAST_GO = [1, 26];
const TIMEOUT_MS = 600_000;

const MAIN = `package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }
`;

const nameOf = (version) => `etcd-${version}`;

/** The command of a built release; undefined if this machine does not have it. */
export function builtEtcd(version) {
  const command = join(cached(nameOf(version)), 'etcd');
  return existsSync(command) ? command : undefined;
}

/** Whether any of the test files runs on every version of etcd. */
export function needBuiltEtcds(files) {
  return files.some((file) => readFileSync(file, 'utf8').includes('/etcdVersions.ts'));
}

/**
 * Builds the releases that are missing, and prints what it does. Tests skip a release that this machine cannot build.
 */
export function buildEtcds() {
  const missing = BUILT_ETCDS.filter((version) => builtEtcd(version) === undefined);
  if (missing.length === 0) return;
  const go = goCommand();
  if (go === undefined) {
    console.error(`no Go ${LEAST_GO.join('.')} or newer: no tests on etcd ${missing.join(', ')}`);
    return;
  }
  for (const version of missing) build(version, go);
}

function build(version, go) {
  console.error(`building etcd ${version}, once on this machine`);
  try {
    fillCached(nameOf(version), (folder) => {
      writeFileSync(join(folder, 'go.mod'), 'module soradns.invalid/etcd\n');
      writeFileSync(join(folder, 'main.go'), MAIN);
      run(go, folder, 'get', `go.etcd.io/etcd/server/v3@v${version}`);
      run(go, folder, 'build', '-trimpath', '-ldflags=-s -w', '-o', 'etcd', '.');
    });
  } catch (error) {
    console.error(`etcd ${version} could not be built: ${error.message}`);
  }
}

function run(go, cwd, ...args) {
  const env = { ...process.env, GOFLAGS: '-mod=mod', GOWORK: 'off', CGO_ENABLED: '0' };
  const { status, stderr, error } = spawnSync(go, args, {
    ...{ cwd, env, timeout: TIMEOUT_MS, encoding: 'utf8' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (status !== 0) throw new Error(`go ${args.join(' ')}: ${stderr || error?.message}`);
}

/** A new enough Go, in PATH or in the folder that Go's own archive uses. */
function goCommand() {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/local/go/bin'];
  return folders.map((folder) => join(folder, 'go')).find(isNewEnough);
}

function isNewEnough(go) {
  const { stdout } = spawnSync(go, ['version'], { encoding: 'utf8' });
  const [, major, minor] = (/\bgo(\d+)\.(\d+)/.exec(stdout ?? '') ?? []).map(Number);
  return major > LEAST_GO[0] || (major === LEAST_GO[0] && minor >= LEAST_GO[1]);
}
