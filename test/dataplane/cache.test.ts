/** The cache's memory: no torn reads, no answer to another question, and which answers stay when it is full. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import fc from 'fast-check';
import { AnswerCache } from '../../src/dataplane/cache/answerCache.ts';
import { BlockRing } from '../../src/dataplane/cache/blockRing.ts';
import type { CacheEntry } from '../../src/dataplane/cache/blocks.ts';
import { NEVER } from '../../src/dataplane/cache/layout.ts';
import { startThread } from '../../src/dataplane/listeners/threads.ts';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { openFastPath } from '../../src/dataplane/reply/reader.ts';
import { counterBlock, newCounterMemory, Single } from '../../src/dataplane/table/counters.ts';
import { Control, type TableHandle } from '../../src/dataplane/table/layout.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { checkedAnswer, checkedName, isWhole, queryFor } from '../support/checkedAnswers.ts';
import { type TableReading, Tally } from '../support/tableReading.ts';

const MIB = 2 ** 20;
const A = 1;

interface Opened {
  readonly cache: AnswerCache;
  readonly handle: TableHandle;
}

function openCache(octets: number): Opened {
  const table = new AnswerTable(MIB, 12345);
  table.active = true;
  const cache = new AnswerCache(octets, table.handle);
  return { cache, handle: { ...table.handle, cache: cache.memory } };
}

function entryOf(
  cache: AnswerCache,
  id: number,
  fields: Partial<CacheEntry> & { until?: number } = {},
): CacheEntry {
  const { until, qtype = A, ...rest } = fields;
  const answer = checkedAnswer(id, 40, id);
  return {
    ...cache.question(checkedName(id), qtype),
    ...{ staleUntilSecond: 0, prefetchAtSecond: NEVER, ...rest },
    answer: until === undefined ? answer : { ...answer, untilSecond: until },
  };
}

interface Asking {
  readonly id: number;
  readonly qtype?: number;
  readonly second?: number;
  readonly flags?: { rd?: boolean; cd?: boolean };
  readonly mayRecurse?: boolean;
}

/** Asks as a worker does: `whole`, or the outcome. */
function asker({ handle }: Opened): {
  ask: (asking: Asking) => 'whole' | number;
  hits: () => number;
} {
  let nowMs = 0;
  const counters = counterBlock(newCounterMemory(1), 0);
  const fastPath = openFastPath(handle, 1, counters, () => nowMs);
  const packet = new Uint8Array(1232);
  const ask = ({ id, qtype, second = 0, flags = {}, mayRecurse = true }: Asking) => {
    const query = queryFor(id, qtype);
    packet.set(query);
    packet[2] = flags.rd === false ? 0 : 1;
    packet[3] = flags.cd === true ? 0x10 : 0;
    nowMs = second * 1000;
    fastPath.beginBatch();
    const outcome = fastPath.answer(packet, 0, query.length, mayRecurse);
    fastPath.endBatch();
    if (outcome <= 0) return outcome;
    return isWhole(id, packet, outcome) ? 'whole' : ('torn' as never);
  };
  return { ask, hits: () => counters[Single.cacheHits] as number };
}

test('Five million reads beside a writer that fills the cache over and over see no torn answer', async (t) => {
  const names = 3_000;
  const reads = 5_000_000;
  const opened = openCache(MIB);
  const { cache, handle } = opened;
  // Epochs wrap in the middle of the test.
  new Int32Array(handle.memory)[Control.EPOCH] = 0x7fffff00;
  const tally = new SharedArrayBuffer(Tally.WORDS * 4);
  const counts = new Int32Array(tally);
  const reading = { handle, names, lasting: 0, reads: reads / 2, tally, outside: true };
  const ended = Promise.all([1, 2].map((thread) => startReader(t, { ...reading, thread })));
  let isOver = false;
  void ended.then(() => {
    isOver = true;
  });
  let state = 1;
  const chance = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
  while (!isOver) {
    for (let i = 0; i < 500; i++) {
      const id = chance(names);
      const answer = checkedAnswer(id, chance(500), chance(2 ** 31));
      cache.publish({ ...entryOf(cache, id), answer }, 0);
    }
    if (chance(200) === 0) cache.newEra();
    if (chance(200) === 0) cache.flush((name) => name[4] === 0x31, 0);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await ended;
  assert.equal(counts[Tally.DONE], 2, 'a reader broke off');
  assert.equal(counts[Tally.TORN], 0);
  assert.ok((counts[Tally.WHOLE] as number) > reads / 20, `only ${counts[Tally.WHOLE]} answers`);
  assert.ok(cache.stats.evicted > 1_000, 'the cache was full');
});

function startReader(t: TestContext, reading: TableReading): Promise<unknown> {
  const thread = startThread(new URL('../support/tableReaderThread.ts', import.meta.url), {
    workerData: reading,
  });
  t.after(() => thread.terminate());
  return once(thread, 'exit');
}

test('The cache answers a question as a map with expiries would, or not at all', () => {
  const step = fc.record({
    what: fc.constantFrom('publish', 'ask', 'ask', 'ask', 'era', 'flush'),
    id: fc.nat({ max: 40 }),
    qtype: fc.constantFrom(1, 28, 65),
    life: fc.integer({ min: 1, max: 20 }),
    pause: fc.nat({ max: 4 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const opened = openCache(MIB);
      const { ask } = asker(opened);
      const model = new Map<string, number>();
      let second = 0;
      for (const { what, id, qtype, life, pause } of steps) {
        second += pause;
        const key = `${id} ${qtype}`;
        if (what === 'publish') {
          const entry = entryOf(opened.cache, id, { until: second + life, qtype });
          assert.ok(opened.cache.publish(entry, second));
          model.set(key, second + life);
        } else if (what === 'era') {
          opened.cache.newEra();
          model.clear();
        } else if (what === 'flush') {
          const held = [...model].filter(([each]) => each.startsWith(`${id} `));
          const isMeant = (name: Uint8Array) => Buffer.compare(name, checkedName(id)) === 0;
          const holding = held.filter(([, until]) => until > second);
          assert.equal(opened.cache.flush(isMeant, second), holding.length);
          for (const [each] of held) model.delete(each);
        } else {
          const holds = (model.get(key) ?? 0) > second;
          // The memory has room for all questions, and a bucket holds eight: none of them leaves early.
          assert.equal(ask({ id, qtype, second }), holds ? 'whole' : Outcome.SLOW, key);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test('Only a plain question of a client that may recurse is answered from the cache', () => {
  const opened = openCache(MIB);
  const { ask, hits } = asker(opened);
  opened.cache.publish(entryOf(opened.cache, 1), 0);
  assert.equal(ask({ id: 1 }), 'whole');
  assert.equal(ask({ id: 1, mayRecurse: false }), Outcome.SLOW);
  assert.equal(ask({ id: 1, flags: { rd: false } }), Outcome.SLOW);
  assert.equal(ask({ id: 1, flags: { cd: true } }), Outcome.SLOW);
  assert.equal(ask({ id: 1, qtype: 28 }), Outcome.SLOW);
  assert.equal(hits(), 1);
});

test('Answers that clients ask for stay while a hundred times as many others pass', () => {
  const opened = openCache(MIB);
  const { ask } = asker(opened);
  const popular = Array.from({ length: 200 }, (_, id) => id);
  for (const id of popular) opened.cache.publish(entryOf(opened.cache, id), 0);
  for (let id = 1_000; id < 21_000; id++) {
    opened.cache.publish(entryOf(opened.cache, id), 0);
    ask({ id: id % popular.length });
  }
  const kept = popular.filter((id) => ask({ id }) === 'whole');
  assert.equal(kept.length, popular.length);
  const { usedOctets, capacityOctets, evicted } = opened.cache.stats;
  assert.ok(usedOctets <= capacityOctets);
  assert.ok(evicted > 10_000);
});

test('A cache in which every answer is asked for still takes new ones', () => {
  const opened = openCache(2 ** 18);
  const { ask } = asker(opened);
  let refused = 0;
  for (let id = 0; id < 20_000; id++) {
    if (!opened.cache.publish(entryOf(opened.cache, id), 0)) refused++;
    for (let back = 0; back < 20; back++) ask({ id: Math.max(0, id - back * 50) });
    assert.equal(ask({ id }), 'whole');
  }
  assert.equal(refused, 0);
});

test('An answer that finds no room takes the earlier one to its question with it', () => {
  const opened = openCache(2 ** 18);
  const { ask } = asker(opened);
  assert.ok(opened.cache.publish(entryOf(opened.cache, 1), 0));
  assert.equal(ask({ id: 1 }), 'whole');
  const large = { ...entryOf(opened.cache, 1), answer: checkedAnswer(1, 8_000, 1) };
  assert.equal(opened.cache.publish(large, 0), false);
  assert.equal(ask({ id: 1 }), Outcome.SLOW);
});

test('Expired answers leave before those that hold', () => {
  const opened = openCache(2 ** 18);
  const { ask } = asker(opened);
  for (let id = 0; id < 400; id++) {
    opened.cache.publish(entryOf(opened.cache, id, { until: id % 2 === 0 ? 10 : 1_000 }), 0);
    ask({ id });
  }
  const { evicted } = opened.cache.stats;
  for (let id = 1_000; id < 1_800; id++) opened.cache.publish(entryOf(opened.cache, id), 20);
  const held = Array.from({ length: 400 }, (_, id) => ask({ id, second: 20 }) === 'whole');
  assert.ok(held.filter(Boolean).length >= 190, 'nearly all that hold are there');
  assert.ok(held.every((isThere, id) => !isThere || id % 2 === 1));
  assert.ok(opened.cache.stats.evicted - evicted < 200, 'expired answers do not count as evicted');
});

test('A reader that finds an answer in the last part of its life notes its question once', () => {
  const opened = openCache(MIB);
  const { ask } = asker(opened);
  opened.cache.publish({ ...entryOf(opened.cache, 1, { until: 100 }), prefetchAtSecond: 90 }, 0);
  opened.cache.publish({ ...entryOf(opened.cache, 2, { until: 100 }), prefetchAtSecond: NEVER }, 0);
  for (const id of [1, 2]) ask({ id, second: 89 });
  assert.deepEqual(opened.cache.takeNotes(9), []);
  for (const id of [1, 2, 1]) ask({ id, second: 90 });
  const [note, ...others] = opened.cache.takeNotes(9);
  assert.deepEqual(others, []);
  assert.deepEqual(Buffer.from(note?.name ?? []), checkedName(1));
  assert.equal(note?.qtype, A);
  ask({ id: 1, second: 91 });
  assert.deepEqual(opened.cache.takeNotes(9), []);
  opened.cache.publish({ ...entryOf(opened.cache, 1, { until: 200 }), prefetchAtSecond: 190 }, 91);
  ask({ id: 1, second: 195 });
  assert.equal(opened.cache.takeNotes(9).length, 1);
});

test('An answer whose note finds no place is noted by a later question, so none is lost', () => {
  const opened = openCache(MIB);
  const { ask } = asker(opened);
  const ids = Array.from({ length: 1_000 }, (_, id) => id);
  for (const id of ids)
    opened.cache.publish({ ...entryOf(opened.cache, id, { until: 100 }), prefetchAtSecond: 90 }, 0);
  const taken: string[] = [];
  for (let round = 0; round < 40; round++) {
    for (const id of ids) assert.equal(ask({ id, second: 95 }), 'whole');
    const notes = opened.cache.takeNotes(64);
    assert.ok(notes.length <= 64);
    taken.push(...notes.map(({ name }) => Buffer.from(name).toString()));
  }
  assert.equal(new Set(taken).size, ids.length);
  assert.equal(taken.length, ids.length, 'each once');
});

test('A question is remembered from its first time on, among many others', () => {
  const { cache } = openCache(MIB);
  const asked = (id: number): boolean => cache.ask(cache.question(checkedName(id), A));
  assert.equal(asked(5_000), false);
  assert.equal(asked(5_000), true);
  assert.equal(cache.ask(cache.question(checkedName(5_000), 28)), false);
  for (let id = 0; id < 3_000; id++) asked(id);
  const known = Array.from({ length: 3_000 }, (_, id) => asked(id)).filter(Boolean);
  assert.ok(known.length > 2_950, `${known.length} of 3,000`);
});

test('The ring’s blocks never overlap those that are in use or that a reader may see', () => {
  fc.assert(
    fc.property(
      fc.array(
        fc.oneof(
          fc.integer({ min: 4, max: 300 }).map((size) => ({ kind: 'take' as const, size })),
          fc.constantFrom({ kind: 'drop' } as const, { kind: 'begin' } as const),
          fc.constant({ kind: 'end' } as const),
        ),
        { maxLength: 300 },
      ),
      checkRing,
    ),
  );
});

type RingStep =
  | { readonly kind: 'take'; readonly size: number }
  | { readonly kind: 'drop' }
  | { readonly kind: 'begin' }
  | { readonly kind: 'end' };

function checkRing(steps: readonly RingStep[]): void {
  const words = new Int32Array(new SharedArrayBuffer(4 * 2_000));
  const tableWords = new Int32Array(new SharedArrayBuffer(4096));
  const ring = new BlockRing(words, 501, tableWords);
  const inUse: { block: number; size: number }[] = [];
  /** Blocks that left the ring during the batch that is running. */
  let seen: { block: number; size: number }[] = [];
  const reader = Control.READERS + 1;
  for (const step of steps) {
    if (step.kind === 'begin') {
      Atomics.store(tableWords, reader, Atomics.load(tableWords, Control.EPOCH));
      seen = [];
    } else if (step.kind === 'end') {
      Atomics.store(tableWords, reader, 0);
      seen = [];
    } else if (step.kind === 'drop') {
      const block = ring.oldest();
      if (block === 0) continue;
      ring.retireOldest();
      const at = inUse.findIndex((each) => each.block === block);
      if (at >= 0 && Atomics.load(tableWords, reader) !== 0) seen.push(...inUse.slice(at, at + 1));
      if (at >= 0) inUse.splice(at, 1);
    } else {
      const block = ring.allocate(step.size);
      if (block === 0) continue;
      assert.ok(block >= 501 && block + step.size <= words.length);
      for (const other of [...inUse, ...seen])
        assert.ok(
          block + step.size <= other.block || other.block + other.size <= block,
          `${block}+${step.size} and ${other.block}+${other.size}`,
        );
      inUse.push({ block, size: step.size });
    }
  }
}
