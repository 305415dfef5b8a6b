/**
 * A network namespace for the process of a test file: its main thread, and what that starts from then on, have their own
 * interfaces, nftables and connection tracking. It ends with the process.
 */
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { environment } from './hostCleaner.ts';

const CLONE_NEWNET = 0x40000000;

/** The reason to skip tests that need it; undefined where they can run. */
export const noOwnNetwork: string | undefined =
  process.platform === 'linux' && process.getuid?.() === 0
    ? undefined
    : 'optional: only root on Linux can make network namespaces';

/** Moves the main thread into a new namespace, whose only interface is `lo`, which is up. */
export function enterOwnNetwork(): void {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
  const unshare = koffi.load(null).func('unshare', 'int', ['int']);
  if (unshare(CLONE_NEWNET) !== 0) throw new Error(`unshare: errno ${koffi.errno()}`);
  command('ip', 'link', 'set', 'lo', 'up');
}

/** Runs a program in the namespace; returns its output, and throws with its error. */
export function command(program: string, ...args: readonly string[]): string {
  return execFileSync(program, args, {
    env: environment(),
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
