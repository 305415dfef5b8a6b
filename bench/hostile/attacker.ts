/**
 * A process of its own that asks a server and reads nothing, until it is killed, so that what it costs itself does not
 * show in what is measured: argv has the port, how many connections, and the path.
 */
import { requestUnread } from './clients.ts';

const [, , port, count, path = '/'] = process.argv;
requestUnread(Number(port), Number(count), path);
setInterval(() => undefined, 60_000);
