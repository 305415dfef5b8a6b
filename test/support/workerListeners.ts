/** Worker listeners for tests, whose threads start fast, and libc for tests of system calls. */
import { pathToFileURL } from 'node:url';
import type { UdpListener, UdpListenerOptions } from '../../src/dataplane/listeners/udpListener.ts';
import {
  createWorkerListener,
  type WorkerListenerOptions,
} from '../../src/dataplane/listeners/workerListener.ts';
import { type Libc, loadLibc } from '../../src/kernel/libc.ts';
import { compileInto } from './compiled.ts';

const found = loadLibc();

/** Why this machine can run no workers; false if it can. */
export const NO_WORKERS: string | false = found.kind === 'missing' && `optional: ${found.reason}`;

/** The libc of this machine, for tests that `NO_WORKERS` skips where it is missing. */
export function libcHere(): Libc {
  if (found.kind === 'missing') throw new Error(found.reason);
  return found.libc;
}

/** Compiles a worker's entry, because a start from source takes a second. `source` is a path below this folder. */
export async function compiledEntry(dir: string, source: string): Promise<URL> {
  return pathToFileURL(await compileInto(dir, new URL(source, import.meta.url)));
}

/** A worker listener, by default with two threads. */
export function workerListener(
  options: UdpListenerOptions & Partial<WorkerListenerOptions>,
): UdpListener {
  return createWorkerListener({ workers: 2, libc: libcHere(), ...options });
}
