/** A small file system in memory that a test can fill or make read-only. */
import { execFileSync } from 'node:child_process';
import { newTempDir, removeDir } from './tempDir.ts';

export interface SmallVolume {
  readonly dir: string;
  /** Works only while no file there is open for writing. */
  makeReadOnly(): void;
  unmount(): Promise<void>;
}

/** Mounts a volume; returns the reason for a skip where this user cannot mount. */
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
