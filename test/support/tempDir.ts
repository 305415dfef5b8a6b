/** Temporary directories for tests. */
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A parent for directories in memory where one exists: for stores that sync each write. */
export const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

/** Runs the body with a new directory and removes it afterwards, even on failure. */
export async function withTempDir<T>(body: (dir: string) => Promise<T>): Promise<T> {
  const dir = await newTempDir();
  try {
    return await body(dir);
  } finally {
    await removeDir(dir);
  }
}

export function newTempDir(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'soradns-test-'));
}

export function removeDir(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}
