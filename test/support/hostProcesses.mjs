/**
 * Ends everything of a test's host: its network namespace and its cgroup. Its mount namespace ends with its last
 * process.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CGROUPS = '/sys/fs/cgroup';
const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

/** Kills the host's processes and removes it from the network; its files stay. Gives up after `timeoutMs`. */
export async function endHost(name, timeoutMs) {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline && endProcesses(name)) await sleep(50);
  run('ip', 'netns', 'del', name);
  run('ip', 'link', 'del', name);
  for (const path of cgroupFolders(name)) removeCgroup(path);
}

/**
 * Kills the remaining processes; returns whether there were any. Kills daemons first, because they would restart
 * containers.
 */
function endProcesses(name) {
  const daemons = lines(run('ip', 'netns', 'pids', name));
  const contained = cgroupFolders(name).flatMap((path) => lines(read(join(path, 'cgroup.procs'))));
  const pids = new Set([...daemons, ...contained].map(Number).filter((pid) => pid > 1));
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  return pids.size > 0;
}

/** The host's cgroups, deepest first, in every controller's tree or in the only one. */
function cgroupFolders(name) {
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
    // Only an empty cgroup can be removed; a process that is still ending keeps it.
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
  const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
  return spawnSync(command, args, { ...options, env: { ...process.env, PATH } }).stdout ?? '';
}

function lines(text) {
  return text.split('\n').filter((line) => line !== '');
}
