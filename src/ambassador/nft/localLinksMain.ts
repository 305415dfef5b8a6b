/** The entry file of the thread that writes tables into the networks of containers. */
import { parentPort } from 'node:worker_threads';
import { runLocalLinksThread } from './localLinks.ts';

if (parentPort === null) throw new Error('this file runs only as a worker thread');
runLocalLinksThread(parentPort);
