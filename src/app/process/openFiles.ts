/**
 * The limit on open files, sockets included. At its start Node raises the soft limit to the hard limit. This file
 * imports no other file of the program, because Node cannot load those files if the limit is too low.
 */
const { readFileSync } = process.getBuiltinModule('node:fs');

/** Node opens most of the program's files at once at start. */
const MIN_OPEN_FILES = 128;

/** Undefined without a limit, or outside Linux. */
export function openFilesLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1');
    const found = /^Max open files +(\d+) /m.exec(limits)?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** Why the limit is too low to start, and the fix; undefined if it is high enough. */
export function fileLimitProblem(): string | undefined {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= MIN_OPEN_FILES) return undefined;
  return `the open-file limit is ${limit}, but soradns needs ${MIN_OPEN_FILES} to start; raise it: ulimit -n 1024`;
}
