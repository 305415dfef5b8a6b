/** The answer table's memory: no torn reads, no lost names, no leaks, and the limits of a full table. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { startThread } from '../../src/dataplane/listeners/threads.ts';
import { type FastPath, Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { packNegatives } from '../../src/dataplane/reply/negatives.ts';
import { openFastPath } from '../../src/dataplane/reply/reader.ts';
import type { NewAnswer } from '../../src/dataplane/table/answers.ts';
import { counterBlock, newCounterMemory } from '../../src/dataplane/table/counters.ts';
import { Heap } from '../../src/dataplane/table/heap.ts';
import { Control } from '../../src/dataplane/table/layout.ts';
import { NO_ROOM } from '../../src/dataplane/table/nameSet.ts';
import { Reclaim } from '../../src/dataplane/table/reclaim.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { checkedAnswer, checkedName, isWhole, queryFor } from '../support/checkedAnswers.ts';
import { wireName } from '../support/packets.ts';
import { type TableReading, Tally } from '../support/tableReading.ts';

const MIB = 2 ** 20;

/** A table in use, whose zone is `checked.example`. */
function tableOf(capacityOctets: number): AnswerTable {
  const table = new AnswerTable(capacityOctets, 12345);
  table.active = true;
  const suffix = wireName('checked.example.');
  table.setNegatives(packNegatives([{ suffix, octets: Buffer.from('soa'), pointers: [] }]));
  return table;
}

/** Looks a name up as the first thread; returns a whole answer, `missing`, or the outcome. */
function openTable(
  table: AnswerTable,
): (id: number, qtype?: number) => 'whole' | 'missing' | number {
  let nowMs = 0;
  const fastPath: FastPath = openFastPath(
    table.handle,
    0,
    counterBlock(newCounterMemory(1), 0),
    // So no question counts as part of a flood.
    () => (nowMs += 21),
  );
  const record = new Uint8Array(1232);
  return (id, qtype) => {
    const query = queryFor(id, qtype);
    record.set(query);
    fastPath.beginBatch();
    const outcome = fastPath.answer(record, 0, query.length, false);
    fastPath.endBatch();
    if (outcome <= 0) return outcome;
    if (((record[3] as number) & 0xf) === 3) return 'missing';
    return isWhole(id, record, outcome) ? 'whole' : ('torn' as never);
  };
}

const NAMES = 2_000;
/** Names that are never removed: a reader must always find them. */
const LASTING = 1_000;
const READERS = 2;
const READS = 10_000_000;

test('Ten million reads beside a writer that changes everything see no torn answer', async (t) => {
  const table = tableOf(64 * MIB);
  const tally = new SharedArrayBuffer(Tally.WORDS * 4);
  const counts = new Int32Array(tally);
  // Epochs wrap in the middle of the test.
  new Int32Array(table.handle.memory)[Control.EPOCH] = 0x7fffff00;
  const records = Array.from({ length: NAMES }, (_, id) => table.add(checkedName(id)));
  const readers = Array.from({ length: READERS }, (_, i) =>
    startReader(t, {
      handle: table.handle,
      thread: i + 1,
      names: NAMES,
      lasting: LASTING,
      reads: READS / READERS,
      tally,
    }),
  );
  let state = 1;
  const chance = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  const ended = Promise.all(readers);
  let extra = NAMES;
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  while (!isOver) {
    for (let i = 0; i < 500; i++) {
      const id = chance(NAMES);
      const record = records[id] as number;
      const what = chance(20);
      if (what === 0 && id >= LASTING) {
        table.remove(record);
        records[id] = table.add(checkedName(id));
      } else if (what === 1) {
        table.withdraw(record);
      } else if (what === 2) {
        // Names that are added and removed make the index move repeatedly.
        table.remove(table.add(checkedName(extra++)));
      } else {
        assert.ok(table.publish(record, 0, checkedAnswer(id, chance(300), chance(2 ** 31))));
      }
      if (i % 50 === 0) table.collect();
    }
    if (chance(50) === 0) table.newEra();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  assert.equal(counts[Tally.DONE], READERS, 'a reader broke off');
  assert.equal(counts[Tally.TORN], 0);
  assert.equal(counts[Tally.LOST], 0, 'the table denied a name that it held');
  assert.ok((counts[Tally.WHOLE] as number) > READS / 4, `only ${counts[Tally.WHOLE]} answers`);
});

function startReader(t: TestContext, reading: TableReading): Promise<unknown> {
  const thread = startThread(new URL('../support/tableReaderThread.ts', import.meta.url), {
    workerData: reading,
  });
  t.after(() => thread.terminate());
  return once(thread, 'exit');
}

test('The table’s memory is back at its level after a million changes', () => {
  const table = tableOf(16 * MIB);
  const records = Array.from({ length: 100 }, (_, id) => table.add(checkedName(id)));
  const answers = Array.from({ length: 500 }, (_, filling) => checkedAnswer(1, filling, 1));
  const round = (salt: number): void => {
    for (let i = 0; i < 10_000; i++) {
      const id = i % records.length;
      const record = records[id] as number;
      if (i % 100 === 99) {
        table.remove(record);
        records[id] = table.add(checkedName(id));
      } else table.publish(record, i % 11, answers[(i * salt) % 500] as NewAnswer);
      if (i % 20 === 0) table.collect();
    }
    for (const record of records) table.withdraw(record);
    table.collect();
    table.collect();
  };
  round(1);
  const level = table.stats.usedOctets;
  for (let salt = 2; salt <= 100; salt++) round(salt);
  // The index may have another size, which depends on the number of names.
  assert.ok(table.stats.usedOctets <= level + 2 * 64 * 1024, `${table.stats.usedOctets}`);
  assert.equal(table.stats.withoutRoom, 0);
});

test('Readers find every name while the index grows and shrinks', () => {
  const table = tableOf(64 * MIB);
  const find = openTable(table);
  const records: number[] = [];
  for (let id = 0; id < 60_000; id++) {
    const record = table.add(checkedName(id));
    records.push(record);
    table.publish(record, 0, checkedAnswer(id, 0, id));
    const earlier = (id * 7919) % (id + 1);
    assert.equal(find(earlier), 'whole', `${earlier} of ${id}`);
    assert.equal(find(id + 1), 'missing', `${id + 1} before it was added`);
  }
  for (let id = 0; id < 60_000; id += 2) {
    table.remove(records[id] as number);
    table.collect();
    assert.equal(find(id), 'missing');
    assert.equal(find(id + 1), 'whole');
  }
  assert.equal(table.stats.names, 30_000);
});

test('A shrinking index has room for all names that are added meanwhile', () => {
  const table = tableOf(64 * MIB);
  const find = openTable(table);
  const many = Array.from({ length: 40_000 }, (_, id) => table.add(checkedName(id)));
  for (const record of many) table.remove(record);
  for (let i = 0; i < 100_000; i++) {
    table.remove(table.add(checkedName(i)));
    table.collect();
  }
  const record = table.add(checkedName(7));
  table.publish(record, 0, checkedAnswer(7, 0, 7));
  assert.equal(find(7), 'whole');
  assert.equal(find(8), 'missing');
  assert.equal(table.stats.names, 1);
});

test('Expired answers make room for others', () => {
  const table = tableOf(1);
  const records = Array.from({ length: 100 }, (_, id) => table.add(checkedName(id)));
  const fill = (): number => {
    let published = 0;
    for (const [id, record] of records.entries()) {
      for (let kind = 0; kind < 11; kind++) {
        if (table.publish(record, kind, checkedAnswer(id, 300, id))) published++;
      }
    }
    return published;
  };
  const most = fill();
  assert.ok(most < 1_100 && most > 100, `${most}`);
  table.newEra();
  for (let i = 0; i < 3; i++) {
    table.sweep(0);
    table.collect();
  }
  assert.equal(table.stats.answers, 0);
  assert.ok(fill() >= most * 0.9);
});

test('A full table refuses and counts new names, and never denies a refused name', () => {
  const table = tableOf(1); // the smallest table
  const find = openTable(table);
  const records: number[] = [];
  while (records.at(-1) !== NO_ROOM) records.push(table.add(checkedName(records.length)));
  const last = records.length - 1;
  assert.ok(table.stats.withoutRoom > 0);
  assert.equal(find(last), Outcome.SLOW);
  assert.equal(find(999_999), Outcome.SLOW, 'a name that was never added');
  assert.equal(table.publish(NO_ROOM, 0, checkedAnswer(last, 0, 1)), false);
  assert.equal(find(0), Outcome.PENDING);
  // Removed names leave room for others.
  for (const record of records.splice(0)) table.remove(record);
  table.collect();
  table.collect();
  assert.equal(find(999_999), 'missing');
  const record = table.add(checkedName(1));
  assert.ok(table.publish(record, 0, checkedAnswer(1, 100, 1)));
  assert.equal(find(1), 'whole');
});

test('The table refuses and counts an answer that does not fit and keeps the previous one', () => {
  const table = tableOf(1);
  const find = openTable(table);
  const record = table.add(checkedName(1));
  assert.ok(table.publish(record, 0, checkedAnswer(1, 50, 1)));
  let id = 2;
  while (table.publish(record, 1 + (id % 10), checkedAnswer(id, 1000, id))) id++;
  assert.ok(table.stats.withoutRoom > 0);
  assert.equal(find(1), 'whole');
});

test('The table does not give an answer of an earlier era or an expired one', () => {
  const table = tableOf(MIB);
  const find = openTable(table);
  const record = table.add(checkedName(1));
  assert.equal(find(1), Outcome.PENDING);
  table.publish(record, 0, { ...checkedAnswer(1, 0, 1), untilSecond: 0 });
  assert.equal(find(1), Outcome.PENDING, 'the reader lives in second 0');
  assert.equal(table.has(record, 0, 0), false);
  table.publish(record, 0, checkedAnswer(1, 0, 1));
  assert.equal(find(1), 'whole');
  assert.equal(table.has(record, 0, 0), true);
  table.newEra();
  assert.equal(find(1), Outcome.PENDING);
  assert.equal(table.has(record, 0, 0), false);
});

test('A signed answer cannot be published beside an answer of an earlier era', () => {
  const table = tableOf(MIB);
  const record = table.add(checkedName(1));
  const signed = checkedAnswer(1, 40, 1_000);
  assert.ok(table.publishNodata(record, 0, true));
  table.newEra();
  assert.equal(table.publishSigned(record, 0, signed), false);
  assert.equal(table.has(record, 0, 10), false);
  assert.ok(table.publishNodata(record, 0, true));
  assert.ok(table.publishSigned(record, 0, signed));
});

test('A table that is not active answers nothing', () => {
  const table = tableOf(MIB);
  const find = openTable(table);
  table.publish(table.add(checkedName(1)), 0, checkedAnswer(1, 0, 1));
  table.active = false;
  assert.equal(find(1), Outcome.SLOW);
  assert.equal(find(2), Outcome.SLOW);
});

test('The heap does not reuse a block while a batch may still read it', () => {
  const words = new Int32Array(new SharedArrayBuffer(4096));
  const released: number[] = [];
  const reclaim = new Reclaim(words, (block) => released.push(block));
  const reader = Control.READERS + 3;
  const begin = (): void => {
    Atomics.store(words, reader, Atomics.load(words, Control.EPOCH));
  };
  begin();
  reclaim.retire(500, 8);
  reclaim.collect();
  reclaim.collect();
  assert.deepEqual(released, [], 'the batch began before');
  begin();
  reclaim.retire(600, 8);
  reclaim.collect();
  assert.deepEqual(released, [500], 'the second batch began after the first block was gone');
  reclaim.forget(3);
  reclaim.collect();
  assert.deepEqual(released, [500, 600]);
  assert.equal(reclaim.waitingWords, 0);
});

test('The heap’s blocks never overlap, are large enough, and are all freed', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -20, max: 3000 }), { maxLength: 200 }), (sizes) => {
      const heap = new Heap(new Int32Array(1 << 16));
      const taken: Array<{ block: number; words: number }> = [];
      for (const size of sizes) {
        if (size <= 0) {
          const back = taken.splice(-size % Math.max(1, taken.length), 1)[0];
          if (back !== undefined) heap.release(back.block, back.words);
          continue;
        }
        const block = heap.allocate(size);
        if (block === 0) continue;
        for (const other of taken) {
          const apart = block + size <= other.block || other.block + other.words <= block;
          assert.ok(apart, `${block}+${size} and ${other.block}+${other.words}`);
        }
        taken.push({ block, words: size });
      }
      for (const { block, words } of taken) heap.release(block, words);
      assert.equal(heap.usedWords, 0);
    }),
  );
});

test('A flood of one uncacheable question leaves room for new questions', () => {
  const table = tableOf(MIB);
  let nowMs = 1_000;
  const fastPath = openFastPath(table.handle, 0, counterBlock(newCounterMemory(1), 0), () => nowMs);
  for (const id of [1, 2]) table.add(checkedName(id));
  const ask = (id: number): number => {
    const query = queryFor(id);
    fastPath.beginBatch();
    const outcome = fastPath.answer(query, 0, query.length, false);
    fastPath.endBatch();
    return outcome;
  };
  assert.deepEqual([1, 1, 2, 1, 2].map(ask), [
    Outcome.PENDING,
    Outcome.SLOW,
    Outcome.PENDING,
    Outcome.SLOW,
    Outcome.SLOW,
  ]);
  nowMs += 25;
  assert.deepEqual([1, 1].map(ask), [Outcome.PENDING, Outcome.SLOW]);
});
