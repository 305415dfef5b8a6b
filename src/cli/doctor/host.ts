/** The host as `doctor` looks at it: its files, its programs, its network. Reads only; what is not there is undefined. */
import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type Network, readIfThere } from '../network.ts';

export interface Host extends Network {
  /** A file's text. */
  read(path: string): Promise<string | undefined>;
  /** The names in a folder; none where there is no such folder. */
  list(path: string): Promise<readonly string[]>;
  /** What a program prints; undefined where it fails, is not there, or takes too long. */
  run(command: string, ...args: readonly string[]): Promise<string | undefined>;
}

const RUN_TIMEOUT_MS = 3_000;

/** This host on its network, its files taken from below `root`. */
export function hostAt(root: string, network: Network): Host {
  return {
    ...network,
    read: (path) => readIfThere(join(root, path)),
    list: (path) => readdir(join(root, path)).catch(() => []),
    run: (command, ...args) =>
      new Promise((resolve) => {
        execFile(command, args, { timeout: RUN_TIMEOUT_MS }, (error, stdout) =>
          resolve(error === null ? stdout : undefined),
        );
      }),
  };
}
