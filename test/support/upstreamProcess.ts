/**
 * A test upstream as a process, for use in another network: argument ADDRESS, port 53. Each line of its standard input
 * is a JSON list of records that replaces the served ones. It answers `slow.` names after a second.
 */
import { createInterface } from 'node:readline';
import { startUpstream } from './upstream.ts';

const [address = '127.0.0.1'] = process.argv.slice(2);
const upstream = await startUpstream({
  address,
  port: 53,
  behaviour: ({ name }) => (/^slow\./i.test(name) ? { delayMs: 1_000 } : {}),
});
for await (const line of createInterface(process.stdin)) upstream.serve(JSON.parse(line));
await upstream.close();
