/** A thread that reads a table as fast as it can and checks every answer; see `checkedAnswers.ts`. */
import { workerData } from 'node:worker_threads';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { openFastPath } from '../../src/dataplane/reply/reader.ts';
import { counterBlock, newCounterMemory } from '../../src/dataplane/table/counters.ts';
import { isWhole, queryFor } from './checkedAnswers.ts';
import { type TableReading, Tally } from './tableReading.ts';

const {
  handle,
  thread,
  names,
  lasting,
  reads,
  tally,
  outside = false,
} = workerData as TableReading;
const counts = new Int32Array(tally);
const fastPath = openFastPath(handle, thread, counterBlock(newCounterMemory(1), 0), () => 0);
const queries = Array.from({ length: names }, (_, id) => queryFor(id));
const packet = new Uint8Array(1232);
const BATCH = 64;
const RD = 1;

let id = thread * 7;
for (let done = 0; done < reads; done += BATCH) {
  fastPath.beginBatch();
  for (let i = 0; i < BATCH; i++) {
    id = (id + 1) % names;
    const query = queries[id] as Buffer;
    packet.set(query);
    if (outside) packet[2] = RD;
    const outcome = fastPath.answer(packet, 0, query.length, outside);
    const isMissing = outcome > 0 && ((packet[3] as number) & 0xf) === 3;
    if (isMissing && id >= lasting) continue;
    if (isMissing) Atomics.add(counts, Tally.LOST, 1);
    else if (outcome > 0)
      Atomics.add(counts, isWhole(id, packet, outcome) ? Tally.WHOLE : Tally.TORN, 1);
    else if (outcome === Outcome.DROP) Atomics.add(counts, Tally.TORN, 1);
  }
  fastPath.endBatch();
}
Atomics.add(counts, Tally.DONE, 1);
