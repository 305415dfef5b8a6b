/** A worker thread's parts, tied together and run until it is told to stop. */
import type { MessagePort } from 'node:worker_threads';
import { counterBlock } from './counters.ts';
import { type FastPath, Outcome } from './fastPath.ts';
import { RingWriter } from './handover.ts';
import { RecursionRanges } from './recursionRanges.ts';
import { loadLibc } from './sockets/libc.ts';
import type { openFastPath } from './table/open.ts';
import { clockOriginMs, WorkerLink, type WorkerStart } from './workerLink.ts';
import { WorkerLoop } from './workerLoop.ts';

/** Returns when the main thread says so; throws where the thread cannot go on. `open` is for tests to replace. */
export function runWorker(port: MessagePort, start: WorkerStart, open: typeof openFastPath): void {
  const found = loadLibc();
  if (found.kind === 'missing') throw new Error(found.reason);
  const { thread, table, ringMemory } = start;
  const counters = counterBlock(start.counterMemory, thread);
  const aheadMs = clockOriginMs() - start.mainClockOriginMs;
  const mainNowMs = (): number => performance.now() + aheadMs;
  new WorkerLoop({
    libc: found.libc,
    link: new WorkerLink(start.linkMemory, thread, port),
    fastPath: table === undefined ? NO_TABLE : open(table, thread, counters, mainNowMs),
    counters,
    recursionRanges: new RecursionRanges(start.recursionRanges),
    known: new RingWriter(ringMemory, thread, 'known'),
    other: new RingWriter(ringMemory, thread, 'other'),
  }).run();
}

const NO_TABLE: FastPath = {
  beginBatch: () => {},
  endBatch: () => {},
  answer: () => Outcome.OTHER,
};
