/** Starts and stops the thread that sends the queries. */
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { startThread } from '../../src/dataplane/listeners/threads.ts';
import type { Ledger } from './ledger.ts';
import type { QueryThreadOptions, QueryThreadResult } from './queryThread.ts';

export interface QueryThread {
  /** Stops sending after `afterMs` and waits for the last replies. */
  stop(afterMs?: number): Promise<QueryThreadResult>;
}

/** Queries a port of 127.0.0.1 for the ledger's names at a fixed rate. */
export function startQueryThread(port: number, perSecond: number, ledger: Ledger): QueryThread {
  const stopMemory = new SharedArrayBuffer(4);
  const workerData: QueryThreadOptions = {
    port,
    perSecond,
    ledgerMemory: ledger.memory,
    stopMemory,
  };
  const worker = startThread(new URL('./queryThread.ts', import.meta.url), { workerData });
  const result = once(worker, 'message').then(([message]) => message as QueryThreadResult);
  return {
    async stop(afterMs = 0) {
      await sleep(afterMs);
      Atomics.store(new Int32Array(stopMemory), 0, 1);
      return result;
    },
  };
}
