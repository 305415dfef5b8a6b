/**
 * Sends requests to a server and reads no response, until it is killed. A separate process, so that its own cost is not
 * measured. Arguments: port, number of connections, path.
 */
import { requestUnread } from './clients.ts';

const [, , port, count, path = '/'] = process.argv;
requestUnread(Number(port), Number(count), path);
setInterval(() => undefined, 60_000);
