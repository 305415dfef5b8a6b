/**
 * A newer Debian's container engines in a folder, for engines that this machine's Debian does not have: dockerd 28,
 * Compose v2 and Podman 5. apt fetches the packages from the mirror that it is set up for, and they are only unpacked,
 * which takes a quarter of a minute. Later runs find the folder in the system's folder for temporary files.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dockerSkipReason } from './dockerTest.ts';

export type NewerDebian =
  | { readonly kind: 'there'; readonly root: string }
  /** Begins with `optional:`, as not every machine can have it. */
  | { readonly kind: 'missing'; readonly reason: string };

/** To be raised with every change of the script. */
const VERSION = 2;
const SUITE = 'forky';
const TIMEOUT_MS = 180_000;

/** Makes it if it is not there; one process at a time does. */
export function provideNewerDebian(): NewerDebian {
  const unfit = dockerSkipReason();
  if (unfit !== undefined) return missing(unfit);
  const root = join(tmpdir(), `soradns-debian-${SUITE}-${process.arch}-${VERSION}`);
  const problem = isOurs(root) ? undefined : build(root);
  return problem === undefined ? { kind: 'there', root } : missing(problem);
}

/** Whether it is there and nobody but root can have made it. It gets its name when it is complete. */
function isOurs(root: string): boolean {
  const found = lstatSync(root, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === 0 && (found.mode & 0o022) === 0;
}

function build(root: string): string | undefined {
  const script = fileURLToPath(new URL('newerDebian.sh', import.meta.url));
  const args = [`${root}.lock`, 'bash', script, SUITE, root];
  const { error, status, stderr } = spawnSync('flock', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: TIMEOUT_MS,
  });
  if (status === 0 && isOurs(root)) return undefined;
  const lines = (stderr ?? '').trim().split('\n');
  return `Debian ${SUITE} cannot be unpacked: ${error?.message ?? lines.at(-1)}`;
}

function missing(reason: string): NewerDebian {
  return { kind: 'missing', reason: `optional: ${reason}` };
}
