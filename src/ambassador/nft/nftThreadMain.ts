/** The entry file of the thread that writes the tables. */
import { parentPort, workerData } from 'node:worker_threads';
import { type NftThreadStart, runNftThread } from './nftThread.ts';

if (parentPort === null) throw new Error('this file runs only as a worker thread');
runNftThread(parentPort, workerData as NftThreadStart);
