/**
 * Removes one dockerd of the tests with everything it started, when its standard input ends: also when the test that
 * held the other end was killed. What belongs to it is known from the kernel: its network namespace and its
 * cgroup. Its mounts are in a namespace that goes with its last process.
 *
 *   node dockerdCleaner.mjs NAME FOLDER      NAME: of the namespace, the link and the cgroup
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CGROUPS = '/sys/fs/cgroup';
const DEADLINE_MS = 20_000;

const [name, folder] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.resume().on('end', clean).on('error', clean);

async function clean() {
  const deadline = Date.now() + DEADLINE_MS;
  while (Date.now() < deadline && endProcesses()) await sleep(50);
  run('ip', 'netns', 'del', name);
  run('ip', 'link', 'del', name);
  for (const path of cgroupFolders()) removeCgroup(path);
  while (Date.now() < deadline && !removed()) await sleep(50);
  process.exit(removed() ? 0 : 1);
}

function removed() {
  try {
    rmSync(folder, { recursive: true, force: true });
    return true;
  } catch {
    return false;
  }
}

/** Kills what still runs; gives whether there was anything. The daemons first: they would restart containers. */
function endProcesses() {
  const daemons = lines(run('ip', 'netns', 'pids', name));
  const contained = cgroupFolders().flatMap((path) => lines(read(join(path, 'cgroup.procs'))));
  const pids = new Set([...daemons, ...contained].map(Number).filter((pid) => pid > 1));
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
    }
  }
  return pids.size > 0;
}

/** Our cgroup and those below it, deepest first: in each controller's tree, or in the only one. */
function cgroupFolders() {
  return [CGROUPS, ...folders(CGROUPS)].flatMap((tree) => withInner(join(tree, name)));
}

function withInner(path) {
  return exists(path) ? [...folders(path).flatMap(withInner), path] : [];
}

function exists(path) {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

function folders(path) {
  try {
    const entries = readdirSync(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => join(path, entry.name));
  } catch {
    return [];
  }
}

function removeCgroup(path) {
  try {
    rmdirSync(path);
  } catch {
    // Empty ones only; a process in it that is still ending keeps it.
  }
}

function read(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function run(...[command, ...args]) {
  return (
    spawnSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).stdout ?? ''
  );
}

function lines(text) {
  return text.split('\n').filter((line) => line !== '');
}
