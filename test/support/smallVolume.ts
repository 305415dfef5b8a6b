/** A small file system in memory, to run full or to be made read-only. */
import { execFileSync } from 'node:child_process';
import { newTempDir, removeDir } from './tempDir.ts';

export interface SmallVolume {
  readonly dir: string;
  /** Possible while nobody has a file there open for writing. */
  makeReadOnly(): void;
  unmount(): Promise<void>;
}

/** One of so many MiB or, where this user cannot mount, the reason to skip a test. */
export async function mountSmall(mebibytes: number): Promise<SmallVolume | string> {
  const dir = await newTempDir();
  const options = ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'tmpfs', dir];
  try {
    execFileSync('mount', options, { stdio: 'pipe' });
  } catch {
    await removeDir(dir);
    return 'optional: this user cannot mount a small file system';
  }
  const unmount = async () => {
    execFileSync('umount', [dir]);
    await removeDir(dir);
  };
  const makeReadOnly = () => void execFileSync('mount', ['-o', 'remount,ro', dir]);
  return { dir, makeReadOnly, unmount };
}
