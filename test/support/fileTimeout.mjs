/**
 * Ends the process of a test file that takes too long. The time limit of node's runner does not do that on every
 * version: on newer ones it counts for each test, and a process that something keeps alive after its tests never ends.
 */
import { processIds, procFile } from './leftovers.mjs';

/** Watches the files of a run, whose events come from `stream`. Each file may take `limitMs`. */
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
      // It ended by itself.
    }
  }
}

/** Our children that run the file, which is the last word of their command line. None where there is no /proc. */
function ownProcesses(file) {
  return processIds().filter((pid) => {
    const [, parent] = /^PPid:\t(\d+)$/m.exec(procFile(pid, 'status')) ?? [];
    return Number(parent) === process.pid && procFile(pid, 'cmdline').endsWith(`\0${file}\0`);
  });
}
