import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { compareOctets, OctetTree, page } from '../../../src/store/embedded/tree.ts';

it('compareOctets orders as the UTF-8 octets do', () => {
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

it('is an ordered map through growing and shrinking', () => {
  const tree = new OctetTree<number>();
  const model = new Map<string, number>();
  // Steps through all residues of a prime: 20,000 keys in, most of them out, some in again.
  const keyOf = (i: number) => `/k/${(i * 7919) % 20_011}`;
  for (let i = 0; i < 20_000; i++) write(tree, model, keyOf(i), i);
  assertSame(tree, model);
  for (let i = 0; i < 19_900; i++) {
    assert.equal(tree.delete(keyOf(i)), model.delete(keyOf(i)));
    if (i % 3000 === 0) assertSame(tree, model);
  }
  assertSame(tree, model);
  assert.equal(tree.delete('/k/none'), false);
  for (let i = 0; i < 5000; i += 2) write(tree, model, keyOf(i), -i);
  assertSame(tree, model);
  for (const key of [...model.keys()]) assert.ok(tree.delete(key) && model.delete(key));
  assertSame(tree, model);
});

it('a snapshot stays as it was', () => {
  const tree = new OctetTree<number>();
  const taken: { root: ReturnType<typeof tree.snapshot>; model: [string, number][] }[] = [];
  const model = new Map<string, number>();
  for (let i = 0; i < 6000; i++) {
    const key = `/${(i * 7919) % 1009}`;
    if (i % 3 === 2) assert.equal(tree.delete(key), model.delete(key));
    else write(tree, model, key, i);
    if (i % 500 === 0) taken.push({ root: tree.snapshot(), model: sorted(model) });
  }
  for (const { root, model: then } of taken)
    assert.deepEqual(page(root, '/', undefined, 1e6), then);
  assertSame(tree, model);
});

it('pages begin behind a key, end at the limit and stay in the prefix', () => {
  const tree = new OctetTree<number>();
  for (let i = 0; i < 1000; i++) tree.set(`/a/${String(i).padStart(3, '0')}`, i);
  for (const key of ['/a', '/a.', '/a0', '/b/x']) tree.set(key, -1);
  assert.deepEqual(tree.page('/a/', '/a/497', 3), [
    ['/a/498', 498],
    ['/a/499', 499],
    ['/a/500', 500],
  ]);
  assert.deepEqual(tree.page('/a/', '/a/4970', 1), [['/a/498', 498]]);
  assert.equal(tree.page('/a/', undefined, 5000).length, 1000);
  assert.deepEqual(tree.page('/a/', '/a/999', 10), []);
  assert.deepEqual(tree.page('/c/', undefined, 10), []);
});

function write(tree: OctetTree<number>, model: Map<string, number>, key: string, i: number): void {
  tree.set(key, i);
  model.set(key, i);
}

function sorted(model: Map<string, number>): [string, number][] {
  return [...model].sort(([a], [b]) => (a < b ? -1 : 1));
}

function assertSame(tree: OctetTree<number>, model: Map<string, number>): void {
  assert.deepEqual(tree.page('/', undefined, 1e6), sorted(model));
  for (const [key, value] of model) assert.equal(tree.get(key), value);
}
