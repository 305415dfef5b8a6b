/**
 * A thread with only the worker's end of a ring: puts checked packets into it as fast as it can, until `stop` is set.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { RingWriter } from '../../src/dataplane/listeners/handover.ts';
import type { Batch } from '../../src/dataplane/sockets/batch.ts';
import { PacketSource } from './checkedPackets.ts';

export interface WriterStart {
  readonly ringMemory: SharedArrayBuffer;
  readonly thread: number;
  /** Not 0: stop. */
  readonly stop: Int32Array;
}

export interface WriterSums {
  readonly put: number;
  readonly dropped: number;
}

if (parentPort !== null) {
  const { ringMemory, thread, stop } = workerData as WriterStart;
  const writer = new RingWriter(ringMemory, thread, 'slow');
  const source = new PacketSource(thread);
  let put = 0;
  let dropped = 0;
  while (Atomics.load(stop, 0) === 0) {
    for (let i = 0; i < 100; i++) {
      source.fill(put);
      if (!writer.put(source as unknown as Batch, 0)) dropped++;
      put++;
    }
  }
  parentPort.postMessage({ put, dropped } satisfies WriterSums);
}
