/**
 * The load generator's process. It stays for all loads of a bench so that its code is compiled when it matters.
 */
import { serveLines } from '../lineChild.ts';
import { putLoad } from './load.ts';

await serveLines(putLoad);
