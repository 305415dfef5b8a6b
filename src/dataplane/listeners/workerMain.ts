/** The entry file of a worker thread. An error ends the thread, and `WorkerThreads` starts a new one. */
import { parentPort, workerData } from 'node:worker_threads';
import { openFastPath } from '../reply/reader.ts';
import type { WorkerStart } from './controlChannel.ts';
import { runWorker } from './loop.ts';

if (parentPort === null) throw new Error('this file runs only as a worker thread');
const start = workerData as WorkerStart;
runWorker(parentPort, start, openFastPath);
