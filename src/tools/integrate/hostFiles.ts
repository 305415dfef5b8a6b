/**
 * Reads and writes a host's configuration files below a root. A file is written completely or not at all. Throws system
 * errors.
 */
import {
  closeSync,
  fchmodSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import type { FileChange } from './plan.ts';

/** Undefined if the file does not exist. */
export function readHostFile(root: string, path: string): string | undefined {
  try {
    return readFileSync(join(root, path), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Makes the change atomically. Keeps a symbolic link, and the mode of a file. */
export function makeChange(root: string, { path, after }: FileChange): void {
  const at = join(root, path);
  if (after === undefined) {
    rmSync(at, { force: true });
    return;
  }
  mkdirSync(dirname(at), { recursive: true });
  const file = resolved(at);
  const temporary = `${file}.soradns-${process.pid}`;
  try {
    writeNewFile(temporary, after, modeOf(file));
    renameSync(temporary, file);
    sync(dirname(file));
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

const DEFAULT_MODE = 0o644;

function modeOf(file: string): number {
  return (statSync(file, { throwIfNoEntry: false })?.mode ?? DEFAULT_MODE) & 0o777;
}

function resolved(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}

function writeNewFile(path: string, text: string, mode: number): void {
  const fd = openSync(path, 'wx', mode);
  try {
    fchmodSync(fd, mode); // independent of the umask
    writeFileSync(fd, text); // `writeSync` may write only a part
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function sync(folder: string): void {
  const fd = openSync(folder, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
