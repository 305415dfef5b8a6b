/** A thread in the place of localLinksMain.ts that writes nothing: it refuses each container once, and lists all orders. */
import { parentPort } from 'node:worker_threads';

const orders = [];

parentPort.on('message', ({ id }) => {
  const refusal = orders.includes(id) ? undefined : `refused ${id}`;
  orders.push(id);
  parentPort.postMessage({ id, refusal });
  // Only refusals are logged, so this one tells the test of the order.
  if (refusal === undefined) parentPort.postMessage({ id: 'all', refusal: orders.join(' ') });
});
