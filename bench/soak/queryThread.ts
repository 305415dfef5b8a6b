/** The thread that sends queries at a fixed rate over batched sockets until it is stopped. */
import { parentPort, workerData } from 'node:worker_threads';
import { dueAfter } from '../generator/pacing.ts';
import { BATCH, openQuerySockets, waiter } from '../generator/querySocket.ts';
import { Checker, type CheckResult } from './checker.ts';
import { dropsOfSockets } from './kernelDrops.ts';
import { Ledger, SOAK_NAMES } from './ledger.ts';

export interface QueryThreadOptions {
  readonly port: number;
  readonly perSecond: number;
  readonly ledgerMemory: SharedArrayBuffer;
  /** One word; the thread stops when it is not 0. */
  readonly stopMemory: SharedArrayBuffer;
}

export interface QueryThreadResult extends CheckResult {
  /** Replies that the kernel dropped before the thread received them. */
  readonly drops: number;
  readonly seconds: number;
}

const SOCKETS = 4;
/** Longer than the slowest reply, and far below the time until an id is reused. */
const LAST_REPLY_MS = 2_000;
/** The most batches that a late thread sends before it receives again. */
const MAX_BATCHES = 4;

if (parentPort !== null) parentPort.postMessage(run(workerData as QueryThreadOptions));

function run({ port, perSecond, ledgerMemory, stopMemory }: QueryThreadOptions): QueryThreadResult {
  const stop = new Int32Array(stopMemory);
  const sockets = openQuerySockets(port, SOCKETS);
  const wait = waiter(sockets);
  const checker = new Checker(new Ledger(ledgerMemory));
  let sent = 0;
  let next = 0;
  const receive = (): void => {
    for (const socket of sockets) {
      const count = socket.receive();
      for (let i = 0; i < count; i++) checker.check(socket.octets, socket.at(i), socket.length(i));
    }
  };
  const sendBatch = (due: number): void => {
    const socket = sockets[next++ % sockets.length] as (typeof sockets)[number];
    const count = Math.min(due - sent, BATCH);
    for (let i = 0; i < count; i++, sent++)
      socket.put(i, checker.writeQuery(nameOf(sent), socket.octets, socket.at(i)));
    socket.send();
  };

  const startedMs = performance.now();
  while (Atomics.load(stop, 0) === 0) {
    const due = dueAfter(performance.now() - startedMs, perSecond);
    for (let batch = 0; batch < MAX_BATCHES && sent < due; batch++) sendBatch(due);
    receive();
    wait(1);
  }
  const seconds = (performance.now() - startedMs) / 1000;
  for (const endMs = performance.now() + LAST_REPLY_MS; performance.now() < endMs; ) {
    wait(10);
    receive();
  }
  const result = {
    ...checker.result(),
    drops: dropsOfSockets(sockets.map(({ fd }) => fd)),
    seconds,
  };
  for (const socket of sockets) socket.close();
  return result;
}

/** Spreads the names evenly, in an order that is bad for caches. */
function nameOf(query: number): number {
  return (Math.imul(query, 40_503) >>> 4) % SOAK_NAMES.length;
}
