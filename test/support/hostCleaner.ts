/** A separate process that removes a test's host, even when the test is killed. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { MARK } from './leftovers.mjs';

/**
 * Start it before creating anything. It does not have the mark of the test run, because the clean-up of the run would
 * kill it too early.
 */
export function startCleaner(name: string, folder: string): ChildProcess {
  const script = fileURLToPath(new URL('hostCleaner.mjs', import.meta.url));
  const env = environment();
  delete env[MARK];
  const child = spawn(process.execPath, [script, name, folder], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
    env: { ...env, NODE_OPTIONS: '' },
  });
  child.unref();
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}

/** Removes everything; returns 0 on success. */
export async function endCleaner(cleaner: ChildProcess): Promise<number | null> {
  if (cleaner.exitCode !== null) return cleaner.exitCode;
  cleaner.ref();
  cleaner.stdin?.end();
  await once(cleaner, 'exit');
  return cleaner.exitCode;
}

/** The environment without the machine's DOCKER_ variables. */
export function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('DOCKER_'));
  return { ...Object.fromEntries(own), PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
}
