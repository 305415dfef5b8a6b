/** The entry file of the thread that moves octets. */
import { parentPort, workerData } from 'node:worker_threads';
import type { SpliceThreadStart } from './spliceMessages.ts';
import { runSpliceThread } from './spliceThread.ts';

if (parentPort === null) throw new Error('this file runs only as a worker thread');
runSpliceThread(parentPort, workerData as SpliceThreadStart);
