/**
 * Kills the process of a test file that takes too long. The time limit of node's runner does not do that on every
 * version: on newer ones it applies to each test, so that a process which stays alive after its tests never ends.
 */
import { processIds, procFile } from './leftovers.mjs';

/** Limits each file of a run to `limitMs`. `stream`: the run's events. */
export function limitFiles(stream, limitMs) {
  const timers = new Map();
  stream.on('test:dequeue', ({ name, file }) => {
    if (name !== file) return;
    timers.set(
      file,
      setTimeout(() => end(file, limitMs), limitMs),
    );
  });
  stream.on('test:complete', ({ name, file }) => {
    if (name === file) clearTimeout(timers.get(file));
  });
}

function end(file, limitMs) {
  console.error(`${file} timed out after ${limitMs} ms`);
  for (const pid of ownProcesses(file)) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch {
      // It has ended by itself.
    }
  }
}

/** Child processes whose command line ends with the file; none without /proc. */
function ownProcesses(file) {
  return processIds().filter((pid) => {
    const [, parent] = /^PPid:\t(\d+)$/m.exec(procFile(pid, 'status')) ?? [];
    return Number(parent) === process.pid && procFile(pid, 'cmdline').endsWith(`\0${file}\0`);
  });
}
