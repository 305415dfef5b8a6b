/**
 * A worker whose fast path does what a packet's text says: `die` and `exit` end the thread, in the middle of a batch;
 * `pending` and `slow` are handed over; `drop` gets no reply; every other packet is sent back, with a first octet of 1
 * if the client may use recursion, else 0.
 */
import { parentPort, workerData } from 'node:worker_threads';
import type { WorkerStart } from '../../src/dataplane/listeners/controlChannel.ts';
import { runWorker } from '../../src/dataplane/listeners/loop.ts';
import { type FastPath, Outcome } from '../../src/dataplane/reply/fastPath.ts';

const OUTCOMES: Readonly<Record<string, number>> = {
  pending: Outcome.PENDING,
  slow: Outcome.SLOW,
  drop: Outcome.DROP,
};

const scripted: FastPath = {
  replyOctets: 0,
  setPolicy: () => {},
  needsClient: false,
  setClient: () => {},
  beginBatch: () => {},
  endBatch: () => {},
  answer(octets, at, length, recursionAvailable) {
    const word = Buffer.from(octets.buffer, at, length).toString();
    if (word === 'die') throw new Error('the packet says die');
    if (word === 'exit') process.exit(3);
    const outcome = OUTCOMES[word];
    if (outcome !== undefined) return outcome;
    octets[at] = recursionAvailable ? 1 : 0;
    return length;
  },
};

if (parentPort !== null) runWorker(parentPort, workerData as WorkerStart, () => scripted);
