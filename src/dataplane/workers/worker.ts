/** A worker thread's parts, tied together and run until it is told to stop. */
import type { MessagePort } from 'node:worker_threads';
import { type FastPath, Outcome } from '../fastPath.ts';
import { loadLibc } from '../sockets/libc.ts';
import type { openFastPath } from '../table/open.ts';
import { familyBlock } from '../udpListener.ts';
import { RingWriter } from './handover.ts';
import { clockOriginMs, WorkerLink, type WorkerStart } from './link.ts';
import { WorkerLoop, type WorkerWay } from './loop.ts';

/** Returns when the main thread says so; throws where the thread cannot go on. `open` is for tests to replace. */
export function runWorker(port: MessagePort, start: WorkerStart, open: typeof openFastPath): void {
  const found = loadLibc();
  if (found.kind === 'missing') throw new Error(found.reason);
  const { thread, table, ringMemory } = start;
  const aheadMs = clockOriginMs() - start.mainClockOriginMs;
  const mainNowMs = (): number => performance.now() + aheadMs;
  const way = (family: 4 | 6): WorkerWay => {
    const counters = familyBlock(start.counterMemory, thread, family);
    const fastPath = table === undefined ? NO_TABLE : open(table, thread, counters, mainNowMs);
    return { fastPath, counters };
  };
  new WorkerLoop({
    libc: found.libc,
    link: new WorkerLink(start.linkMemory, thread, port),
    // They take turns, so they may read the table as one thread.
    ways: { 4: way(4), 6: way(6) },
    rings: {
      known: new RingWriter(ringMemory, thread, 'known'),
      other: new RingWriter(ringMemory, thread, 'other'),
      wildcard: new RingWriter(ringMemory, thread, 'wildcard'),
    },
  }).run();
}

const NO_TABLE: FastPath = {
  replyOctets: 0,
  beginBatch: () => {},
  endBatch: () => {},
  answer: () => Outcome.OTHER,
};
