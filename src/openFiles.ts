/**
 * How many files, sockets included, this process may have open at once. Node has raised its own limit to the hard one.
 * Imports nothing of ours: where the limit is too low, even the program's own files cannot be loaded.
 */
import { readFileSync } from 'node:fs';

/** Node opens most of the program's files at once when it starts. */
const LEAST = 128;

/** Undefined where it cannot be told, or there is none. */
export function openFilesLimit(): number | undefined {
  try {
    const limits = readFileSync('/proc/self/limits', 'latin1');
    const found = /^Max open files +(\d+) /m.exec(limits)?.[1];
    return found === undefined ? undefined : Number(found);
  } catch {
    return undefined;
  }
}

/** Why this process cannot go on, and what to do; undefined: it can. */
export function tooFewFiles(): string | undefined {
  const limit = openFilesLimit();
  if (limit === undefined || limit >= LEAST) return undefined;
  return `only ${limit} files may be open at once, soradns needs ${LEAST} to start: ulimit -n 1024`;
}
