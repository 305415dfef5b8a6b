/**
 * Finds and ends what a test run left running. Every process below the run inherits one environment variable; on Linux
 * /proc shows it, so nothing that others started can be mistaken for ours.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The environment variable that marks a run. */
export const MARK = 'SORADNS_TEST_RUN';

const GRACE_MS = 3000;

/** Gives those that are to end by themselves a moment, kills the rest, and names them ("pid command line"). */
export async function endLeftovers(mark) {
  const deadline = Date.now() + GRACE_MS;
  while (marked(mark).length > 0 && Date.now() < deadline) await sleep(100);
  const left = marked(mark);
  for (const { pid } of left) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It ended by itself.
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

/** Of all processes; none where there is no /proc. */
export function processIds() {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return [];
  }
}

/** What /proc says of a process; empty if it ended. */
export function procFile(pid, name) {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'latin1');
  } catch {
    return '';
  }
}
