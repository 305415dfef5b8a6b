/**
 * The thread of a `SpliceCarrier`, of which the first one fails at the moment that the query of this file's URL names:
 * `closed`, when it is to report that a connection is closed; `unlisten`, when it is to close a listener; `unlistened`,
 * when it has done that; `end`, when it ends.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { AcceptingSockets } from '../../src/ambassador/proxy/carry/acceptingSockets.ts';
import { Pipes } from '../../src/ambassador/proxy/carry/pipes.ts';
import type {
  SpliceReport,
  SpliceThreadStart,
} from '../../src/ambassador/proxy/carry/spliceMessages.ts';
import { runSpliceThread } from '../../src/ambassador/proxy/carry/spliceThread.ts';

function fail(): never {
  throw new Error('the thread was to fail here');
}

if (parentPort === null) throw new Error('this file runs only as a worker thread');
const start = workerData as SpliceThreadStart;
const moment = new URL(import.meta.url).search.slice(1);
if (start.firstClient === 1) {
  const post = parentPort.postMessage.bind(parentPort);
  parentPort.postMessage = (reports: readonly SpliceReport[]) => {
    if (reports.some(({ kind }) => kind === moment)) fail();
    post(reports);
  };
  if (moment === 'unlisten') AcceptingSockets.prototype.remove = fail;
  if (moment === 'end') Pipes.prototype.close = fail;
}
runSpliceThread(parentPort, start);
