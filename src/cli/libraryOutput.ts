/**
 * What libraries print by themselves (lmdb prints the stack of every commit that fails) as lines of the log, whose
 * readers expect JSON: the first line of each text, and none again within a minute.
 */
import { format } from 'node:util';
import type { Log } from '../log.ts';

const QUIET_MS = 60_000;
const MAX_KNOWN = 100;
const METHODS = ['error', 'warn', 'info', 'log', 'debug'] as const;

/** From now on; gives back what ends it. */
export function logLibraryOutput(log: Log): () => void {
  const saidAtMs = new Map<string, number>();
  const say = (...args: readonly unknown[]): void => {
    const [text = ''] = format(...args).split('\n');
    const nowMs = performance.now();
    const lastMs = saidAtMs.get(text);
    if (lastMs !== undefined && nowMs - lastMs < QUIET_MS) return;
    if (saidAtMs.size >= MAX_KNOWN) saidAtMs.clear();
    saidAtMs.set(text, nowMs);
    log.warn({ text }, 'printed by a library');
  };
  const own = METHODS.map((name) => [name, console[name]] as const);
  for (const name of METHODS) console[name] = say;
  return () => {
    for (const [name, method] of own) console[name] = method;
  };
}
