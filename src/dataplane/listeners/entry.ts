/** The entry of a worker thread: its parts, tied together. What goes wrong ends the thread; its maker starts another. */
import { parentPort, workerData } from 'node:worker_threads';
import { openFastPath } from '../table/reader.ts';
import type { WorkerStart } from './controlChannel.ts';
import { runWorker } from './loop.ts';

if (parentPort === null) throw new Error('to be run as a worker thread');
const start = workerData as WorkerStart;
runWorker(parentPort, start, openFastPath);
