/**
 * Finds and kills processes that a test run left running. All processes of a run inherit an environment variable that
 * /proc shows on Linux, so this file kills no other process.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The environment variable that marks a run. */
export const MARK = 'SORADNS_TEST_RUN';

const GRACE_MS = 3000;

/** Waits a moment for processes that are ending, kills the others, and returns these as "pid command line". */
export async function endLeftovers(mark) {
  const deadline = Date.now() + GRACE_MS;
  while (marked(mark).length > 0 && Date.now() < deadline) await sleep(100);
  const left = marked(mark);
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
  return left.map(({ pid, command }) => `${pid} ${command}`);
}

function marked(mark) {
  const entry = `${MARK}=${mark}`;
  return processIds().flatMap((pid) => {
    const environment = procFile(pid, 'environ').split('\0');
    if (!environment.includes(entry)) return [];
    return [{ pid, command: procFile(pid, 'cmdline').split('\0').join(' ').trim() }];
  });
}

/** Ids of all processes; none without /proc. */
export function processIds() {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** A file of /proc/PID; empty if the process has ended. */
export function procFile(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
