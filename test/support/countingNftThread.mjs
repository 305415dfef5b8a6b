/**
 * A thread in the place of nftThread.ts that writes no tables: `updates` counts the orders to write, and `rebuilt` is the
 * number of changes in the last one. It ends when it hears of a death, and reports a change that came before all routes.
 */
import { parentPort } from 'node:worker_threads';

const counters = { updates: 0, failures: 0, rebuilt: 0, flowsDeleted: { tcp: 0, udp: 0 } };
let hasBegun = false;
let trouble;

parentPort.on('message', (order) => {
  if (order.kind === 'close' || order.kind === 'dead') parentPort.close();
  if (order.kind === 'clear') parentPort.postMessage({ kind: 'cleared' });
  if (order.kind !== 'begin' && order.kind !== 'change') return;
  hasBegun ||= order.kind === 'begin';
  if (!hasBegun) trouble = 'a change came before all routes';
  counters.updates++;
  counters.rebuilt = (order.changes ?? []).length;
  parentPort.postMessage({ kind: 'state', isReply: true, counters, trouble });
});
parentPort.postMessage({ kind: 'opened' });
