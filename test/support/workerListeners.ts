/** Worker listeners for tests, whose threads start fast, and libc for tests of system calls. */
import { pathToFileURL } from 'node:url';
import type { UdpListener, UdpListenerOptions } from '../../src/dataplane/listeners/udpListener.ts';
import {
  createWorkerListener,
  type WorkerListenerOptions,
} from '../../src/dataplane/listeners/workerListener.ts';
import { type Libc, loadLibc } from '../../src/dataplane/sockets/libc.ts';
import { compileInto } from './compiled.ts';

const found = loadLibc();

/** Why this machine can run no workers; false if it can. */
export const NO_WORKERS: string | false = found.kind === 'missing' && `optional: ${found.reason}`;

/** For tests that are skipped with `NO_WORKERS`. */
export function libcHere(): Libc {
  if (found.kind === 'missing') throw new Error(found.reason);
  return found.libc;
}

/** Compiles a worker's entry, which from source takes a second to start; a path below this folder. */
export async function compiledEntry(dir: string, source: string): Promise<URL> {
  return pathToFileURL(await compileInto(dir, new URL(source, import.meta.url)));
}

/** With two threads by default. */
export function workerListener(
  options: UdpListenerOptions & Partial<WorkerListenerOptions>,
): UdpListener {
  return createWorkerListener({ workers: 2, libc: libcHere(), ...options });
}
