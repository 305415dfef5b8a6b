/**
 * Gives back the memory that a big load, or the first answers to a great many questions, leave behind. Both fill V8's
 * old space with garbage that it keeps for later; measured after a load of a million keys: 863 MB resident, 668 after a
 * plain collection, 421 after a compacting one (0.5 s). V8 compacts on request only by its flags.
 */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** One full, compacting collection; blocks for about half a microsecond a key. */
export function compactHeap(): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--compact-on-every-full-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  if (typeof collect === 'function') collect();
  setFlagsFromString('--no-compact-on-every-full-gc');
}
