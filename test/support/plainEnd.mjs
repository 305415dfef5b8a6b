/**
 * Ends the process of a test file as the product ends its own, by process.exit(). Otherwise node closes what is open
 * one by one, and may spin there for good after every test has passed: a socket that was reset while its FIN was being
 * sent is never closed. What something else keeps alive still ends, and fails, by its timeout.
 */
import { isMainThread } from 'node:worker_threads';

// As the last listener: by the time that nothing is left to wait for, all others are there.
if (isMainThread) process.once('beforeExit', () => process.on('exit', () => process.exit()));
