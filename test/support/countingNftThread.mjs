/**
 * A thread in the place of nftThread.ts that writes no tables: `updates` counts the orders to write, and `rebuilt` is the
 * number of changes in the last one.
 */
import { parentPort } from 'node:worker_threads';

const counters = { updates: 0, failures: 0, rebuilt: 0, flowsDeleted: { tcp: 0, udp: 0 } };

parentPort.on('message', (order) => {
  if (order.kind === 'close') parentPort.close();
  if (order.kind === 'clear') parentPort.postMessage({ kind: 'cleared' });
  if (order.kind !== 'begin' && order.kind !== 'change') return;
  counters.updates++;
  counters.rebuilt = (order.changes ?? []).length;
  parentPort.postMessage({ kind: 'state', isReply: true, counters });
});
parentPort.postMessage({ kind: 'opened' });
