/** The load generator's process. One process runs all loads of a benchmark, so that its code is already compiled. */
import { serveLines } from '../lineChild.ts';
import { putLoad } from './load.ts';

await serveLines(putLoad);
