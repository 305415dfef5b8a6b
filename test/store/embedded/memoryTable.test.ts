import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { MemoryTable } from '../../../src/store/embedded/memoryStore.ts';
import {
  compareOctets,
  type PageBounds,
  type TableRow,
  type TableView,
} from '../../../src/store/embedded/table.ts';

const ALL: PageBounds = { rows: 1e6, octets: Infinity };

it('compareOctets orders two strings as their UTF-8 octets compare', () => {
  const words = fc.string({ unit: 'binary', maxLength: 6 });
  fc.assert(
    fc.property(words, words, (a, b) => {
      const expected = Buffer.compare(Buffer.from(a), Buffer.from(b));
      assert.equal(Math.sign(compareOctets(a, b)), expected);
    }),
    {
      examples: [
        ['\uffee', '\u{1f600}'],
        ['\ud7ff', '\ue000'],
        ['a', 'ab'],
      ],
      numRuns: 2000,
    },
  );
});

it('The table of memory: holds the same keys as a map while it grows and shrinks', async () => {
  const table = new TestedTable();
  // Steps through all residues of a prime: 20,000 keys in, most of them out, some in again.
  const keyOf = (i: number) => `/k/${(i * 7919) % 20_011}`;
  for (let i = 0; i < 20_000; i++) await table.set(keyOf(i), i);
  table.assertSame();
  for (let i = 0; i < 19_900; i++) {
    await table.delete(keyOf(i));
    if (i % 3000 === 0) table.assertSame();
  }
  table.assertSame();
  await table.delete('/k/none');
  for (let i = 0; i < 5000; i += 2) await table.set(keyOf(i), i + 100_000);
  table.assertSame();
  for (const key of [...table.model.keys()]) await table.delete(key);
  assert.equal(table.model.size, 0);
  table.assertSame();
});

it('A view of the table of memory: stays the same while the table changes', async () => {
  const table = new TestedTable();
  const taken: { view: TableView; model: [string, number][] }[] = [];
  for (let i = 0; i < 6000; i++) {
    const key = `/${(i * 7919) % 1009}`;
    if (i % 3 === 2) await table.delete(key);
    else await table.set(key, i);
    if (i % 500 === 0) taken.push({ view: table.tested.view(), model: sorted(table.model) });
  }
  for (const { view, model } of taken) {
    assert.deepEqual(valuesIn(view, '/', undefined), model);
    for (const [key, value] of model) assert.equal(numberIn(view.get(key)), value);
  }
  table.assertSame();
});

it('A page of the table of memory: begins after a key, ends at the limit and stays below the prefix', async () => {
  const table = new TestedTable();
  for (let i = 0; i < 1000; i++) await table.set(`/a/${String(i).padStart(3, '0')}`, i);
  for (const key of ['/a', '/a.', '/a0', '/b/x']) await table.set(key, -1);
  const view = table.tested.view();
  const three = { rows: 3, octets: Infinity };
  assert.deepEqual(valuesIn(view, '/a/', '/a/497', three), [
    ['/a/498', 498],
    ['/a/499', 499],
    ['/a/500', 500],
  ]);
  assert.equal(view.page('/a/', '/a/497', three).isLast, false);
  assert.deepEqual(valuesIn(view, '/a/', '/a/4970', { ...three, rows: 1 }), [['/a/498', 498]]);
  assert.equal(view.page('/a/', undefined, ALL).rows.length, 1000);
  assert.equal(view.page('/a/', undefined, ALL).isLast, true);
  assert.deepEqual(valuesIn(view, '/a/', '/a/999'), []);
  assert.deepEqual(valuesIn(view, '/c/', undefined), []);
  // Each row has 6 octets of key and 3 of value, and a page may always have one row.
  assert.equal(view.page('/a/', '/a/497', { rows: 10, octets: 20 }).rows.length, 2);
  assert.equal(view.page('/a/', '/a/497', { rows: 10, octets: 0 }).rows.length, 1);
});

/** A table and the map that it must be equal to. */
class TestedTable {
  readonly tested = new MemoryTable(0);
  readonly model = new Map<string, number>();

  async set(key: string, number: number): Promise<void> {
    this.model.set(key, number);
    const value = Buffer.from(String(number));
    const row = { value, createRevision: 1, modRevision: 1, lifetime: undefined, lease: undefined };
    await this.tested.write((rows, revision) => {
      rows.set(key, row, rows.get(key));
      return { revision };
    });
  }

  async delete(key: string): Promise<void> {
    const wasThere = this.model.delete(key);
    await this.tested.write((rows, revision) => {
      const previous = rows.get(key);
      assert.equal(previous !== undefined, wasThere);
      if (previous !== undefined) rows.delete(key, previous);
      return { revision };
    });
  }

  assertSame(): void {
    assert.deepEqual(valuesIn(this.tested.view(), '/', undefined), sorted(this.model));
    for (const [key, value] of this.model) assert.equal(numberIn(this.tested.get(key).row), value);
  }
}

function valuesIn(
  view: TableView,
  prefix: string,
  after: string | undefined,
  bounds: PageBounds = ALL,
): [string, number | undefined][] {
  return view.page(prefix, after, bounds).rows.map(({ key, row }) => [key, numberIn(row)]);
}

function numberIn(row: TableRow | undefined): number | undefined {
  return row === undefined ? undefined : Number(Buffer.from(row.value).toString());
}

function sorted(model: Map<string, number>): [string, number][] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}
