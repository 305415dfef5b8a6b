/** The one way by which a thread gets at a table. */
import type { CounterBlock } from '../counters.ts';
import type { FastPath } from '../fastPath.ts';
import type { TableHandle } from './layout.ts';
import { TableReader } from './reader.ts';

/**
 * Opens a table for a thread. `thread` is below `MAX_THREADS`, and no two threads share a number: 0 is the main one's.
 * `nowMs` is the time on the main thread's `performance.now()` scale.
 */
export function openFastPath(
  handle: TableHandle,
  thread: number,
  counters: CounterBlock,
  nowMs: () => number,
): FastPath {
  return new TableReader(handle, thread, counters, nowMs);
}
