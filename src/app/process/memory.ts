/**
 * Keeps the process small. V8 and the C library keep memory that the start of the program, a load or a busy time has
 * used once; this file gives it back to the system when the main thread has nothing to do.
 */
import { performance } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { trimAllocator } from '../../kernel/processMemory.ts';

/**
 * From now on V8 does not enlarge the space of new objects, in which it would keep up to 32 MB once the modules are
 * loaded. Returns a function that ends this: a busy server needs the space, because a small one is collected more often.
 */
export function limitNewSpace(): () => void {
  setFlagsFromString('--semi-space-growth-factor=1');
  return () => setFlagsFromString('--semi-space-growth-factor=2'); // V8's default
}

/**
 * Runs one full, compacting garbage collection, which blocks for about 0.5 µs a key, and gives free memory back to the
 * system. A big load, or the first answers to many questions, fill V8's old space with garbage that V8 keeps. Measured
 * after a load of a million keys: 863 MB resident, 668 MB after a plain collection, 421 MB after a compacting one
 * (0.5 s). V8 compacts on request only if a flag is set.
 */
export function compactHeap(): void {
  collectGarbage();
  trimAllocator();
}

/** Newer versions of V8 keep the pages that a collection frees for the next ones, unless memory is short. */
const AS_IF_SHORT = { type: 'major', flavor: 'last-resort' };

/** Also frees the pages that V8 keeps. That takes several collections, so it is for a small heap. */
function compactSmallHeap(): void {
  collectGarbage(AS_IF_SHORT);
  trimAllocator();
}

/** Makes a compacting collection, and then another one with the options. */
function collectGarbage(options?: object): void {
  setFlagsFromString('--expose-gc');
  setFlagsFromString('--compact-on-every-full-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  if (typeof collect === 'function') {
    collect();
    if (options !== undefined) collect(options);
  }
  setFlagsFromString('--no-compact-on-every-full-gc');
}

/**
 * How often the process is looked at until it has become idle for the first time, and from then on. V8 only shrinks the
 * space of new objects if little was allocated in the last five seconds.
 */
const SETTLING_MS = 1_000;
const CHECK_MS = 6_000;
/** An event loop that is busy for a smaller part of the time is idle. */
const IDLE = 0.02;
/** More new space than this is worth a collection. An idle soradns process needs about 1 MB. */
const WASTED_OCTETS = 3 * 2 ** 20;
/** Compacting a larger heap would block the main thread for too long to save that space. */
const SMALL_HEAP_OCTETS = 64 * 2 ** 20;

/**
 * Compacts the heap once the process has become idle after its start, and from then on whenever it is idle and V8 keeps
 * memory that it does not use. Returns a function that stops it.
 */
export function releaseIdleMemory(): () => void {
  let timer: NodeJS.Timeout;
  let hasSettled = false;
  const checkIn = (delayMs: number): void => {
    const before = performance.eventLoopUtilization();
    timer = setTimeout(() => {
      const { utilization } = performance.eventLoopUtilization(before);
      if (utilization < IDLE && (!hasSettled || hasWastedSpace()) && hasSmallHeap())
        compactSmallHeap();
      hasSettled ||= utilization < IDLE;
      checkIn(hasSettled ? CHECK_MS : SETTLING_MS);
    }, delayMs).unref();
  };
  checkIn(SETTLING_MS);
  return () => clearTimeout(timer);
}

function hasWastedSpace(): boolean {
  const newSpace = getHeapSpaceStatistics().find(({ space_name }) => space_name === 'new_space');
  return (newSpace?.physical_space_size ?? 0) > WASTED_OCTETS;
}

function hasSmallHeap(): boolean {
  return process.memoryUsage().heapUsed < SMALL_HEAP_OCTETS;
}
