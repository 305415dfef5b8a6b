/**
 * The container engines of a newer Debian, unpacked into a folder: dockerd 28, Compose v2 and Podman 5. apt downloads
 * the packages from its configured mirror and installs nothing; this takes about 15 s. Later runs find the engines in
 * the system's temporary folder.
 */
import { spawnSync } from 'node:child_process';
import { lstatSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { dockerSkipReason } from './dockerTest.ts';

export type NewerDebian =
  | { readonly kind: 'there'; readonly root: string }
  /** Begins with `optional:`, because not every machine can have it. */
  | { readonly kind: 'missing'; readonly reason: string };

/** Increase this with every change of the script. */
const VERSION = 2;
const SUITE = 'forky';
const TIMEOUT_MS = 180_000;

/** Unpacks the engines if they are missing; one process at a time does this. */
export function provideNewerDebian(): NewerDebian {
  const unfit = dockerSkipReason();
  if (unfit !== undefined) return missing(unfit);
  const root = join(tmpdir(), `soradns-debian-${SUITE}-${process.arch}-${VERSION}`);
  const problem = isOurs(root) ? undefined : build(root);
  return problem === undefined ? { kind: 'there', root } : missing(problem);
}

/** Whether the folder exists and only root can have made it. The script renames it when it is complete. */
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
