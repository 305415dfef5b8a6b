/** The process apart that removes a host of the tests, whatever becomes of the test that made it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { MARK } from './leftovers.mjs';

/** To be started before there is anything to remove. Not marked as part of the test run, which would end it too early. */
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

/** Has everything removed; gives 0 if it went well. */
export async function endCleaner(cleaner: ChildProcess): Promise<number | null> {
  if (cleaner.exitCode !== null) return cleaner.exitCode;
  cleaner.ref();
  cleaner.stdin?.end();
  await once(cleaner, 'exit');
  return cleaner.exitCode;
}

/** The settings of the machine's Docker stay out. */
export function environment(): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('DOCKER_'));
  return { ...Object.fromEntries(own), PATH: `${process.env.PATH}:/usr/sbin:/sbin` };
}
