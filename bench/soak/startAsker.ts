/** Starting and stopping the thread that asks. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startThread } from '../../src/dataplane/listeners/threads.ts';
import type { AskerOrders, AskerResult } from './asker.ts';
import type { Ledger } from './ledger.ts';

export interface Asker {
  /** Goes on for so long, and waits for what is owed. */
  stop(afterMs?: number): Promise<AskerResult>;
}

/** Asks a port of 127.0.0.1 about the ledger's names, evenly. */
export function startAsker(port: number, perSecond: number, ledger: Ledger): Asker {
  const stopMemory = new SharedArrayBuffer(4);
  const workerData: AskerOrders = { port, perSecond, ledgerMemory: ledger.memory, stopMemory };
  const worker = startThread(new URL('./asker.ts', import.meta.url), { workerData });
  const result = once(worker, 'message').then(([message]) => message as AskerResult);
  return {
    async stop(afterMs = 0) {
      await sleep(afterMs);
      Atomics.store(new Int32Array(stopMemory), 0, 1);
      return result;
    },
  };
}
