/**
 * Removes a test's host and everything started on it when standard input ends, which also happens when the test is
 * killed.
 *
 *   node hostCleaner.mjs NAME FOLDER      NAME of the namespace, the link and the cgroup
 */
import { rmSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { endHost } from './hostProcesses.mjs';

const DEADLINE_MS = 20_000;

const [name, folder] = process.argv.slice(2);
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => {});
process.stdin.resume().on('end', clean).on('error', clean);

async function clean() {
  const deadline = Date.now() + DEADLINE_MS;
  await endHost(name, DEADLINE_MS);
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
