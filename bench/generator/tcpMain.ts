/** The process of the load generator over TCP. */
import { serveLines } from '../lineChild.ts';
import { putTcpLoad } from './tcpLoad.ts';

await serveLines(putTcpLoad);
