/** The thread that asks: questions by a timetable over batched sockets, until it is told to stop. */
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
  /** One word; not 0: stop. */
  readonly stopMemory: SharedArrayBuffer;
}

export interface QueryThreadResult extends CheckResult {
  /** Replies that the kernel dropped before we read them. */
  readonly drops: number;
  readonly seconds: number;
}

const SOCKETS = 4;
/** As long as the slowest reply takes; far below the time in which ids come round. */
const LAST_REPLY_MS = 2_000;
/** Behind its timetable it asks only so many batches before it reads again. */
const MAX_BATCHES = 4;

if (parentPort !== null) parentPort.postMessage(run(workerData as QueryThreadOptions));

function run({ port, perSecond, ledgerMemory, stopMemory }: QueryThreadOptions): QueryThreadResult {
  const stop = new Int32Array(stopMemory);
  const sockets = openQuerySockets(port, SOCKETS);
  const wait = waiter(sockets);
  const checker = new Checker(new Ledger(ledgerMemory));
  let sent = 0;
  let next = 0;
  const hear = (): void => {
    for (const socket of sockets) {
      const count = socket.receive();
      for (let i = 0; i < count; i++) checker.check(socket.octets, socket.at(i), socket.length(i));
    }
  };
  const ask = (due: number): void => {
    const socket = sockets[next++ % sockets.length] as (typeof sockets)[number];
    const count = Math.min(due - sent, BATCH);
    for (let i = 0; i < count; i++, sent++)
      socket.put(i, checker.writeQuery(nameOf(sent), socket.octets, socket.at(i)));
    socket.send();
  };

  const beganMs = performance.now();
  while (Atomics.load(stop, 0) === 0) {
    const due = dueAfter(performance.now() - beganMs, perSecond);
    for (let batch = 0; batch < MAX_BATCHES && sent < due; batch++) ask(due);
    hear();
    wait(1);
  }
  const seconds = (performance.now() - beganMs) / 1000;
  for (const endMs = performance.now() + LAST_REPLY_MS; performance.now() < endMs; ) {
    wait(10);
    hear();
  }
  const result = {
    ...checker.result(),
    drops: dropsOfSockets(sockets.map(({ fd }) => fd)),
    seconds,
  };
  for (const socket of sockets) socket.close();
  return result;
}

/** In an order that no cache likes, and in which every name has its turn equally often. */
function nameOf(question: number): number {
  return (Math.imul(question, 40_503) >>> 4) % SOAK_NAMES.length;
}
