/** Directories for one test each. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Runs the body with a new directory and removes it afterwards, also on failure. */
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
