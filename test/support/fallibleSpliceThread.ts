/** The thread of a `SpliceCarrier`, of which the first one fails when it is to report that a connection is closed. */
import { parentPort, workerData } from 'node:worker_threads';
import type {
  SpliceReport,
  SpliceThreadStart,
} from '../../src/ambassador/proxy/carry/spliceMessages.ts';
import { runSpliceThread } from '../../src/ambassador/proxy/carry/spliceThread.ts';

if (parentPort === null) throw new Error('this file runs only as a worker thread');
const start = workerData as SpliceThreadStart;
const post = parentPort.postMessage.bind(parentPort);
parentPort.postMessage = (reports: readonly SpliceReport[]) => {
  if (start.firstClient === 1 && reports.some(({ kind }) => kind === 'closed'))
    throw new Error('the thread was to fail here');
  post(reports);
};
runSpliceThread(parentPort, start);
