/** The process that changes the store. */
import { serveLines } from '../lineChild.ts';
import { churn } from './churn.ts';

await serveLines(churn);
