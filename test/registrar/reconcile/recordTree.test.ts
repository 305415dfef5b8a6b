import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pathOf } from '../../../src/registrar/reconcile/namespace.ts';
import { RecordTree } from '../../../src/registrar/reconcile/recordTree.ts';

/** Some stand for the same name. */
const KEYS = ['/s/a', '/s/A', '/s/a/', '/s/a/b', '/s/b.a', '/s/a/b/c', '/s/c.b.a', '/s/ab', '/s'];
const PATHS = new Set(['', ...KEYS.map(pathOf), '/s/a/b/c/d']);

test('After any changes a tree of records has the same records at and below each name as a list of them', () => {
  const change = fc.record({ key: fc.constantFrom(...KEYS), isSet: fc.boolean() });
  fc.assert(
    fc.property(fc.array(change, { maxLength: 40 }), (changes) => {
      const tree = new RecordTree<string>();
      const list = new Map<string, string>();
      changes.forEach(({ key, isSet }, i) => {
        if (isSet) {
          tree.set(key, `${key} ${i}`);
          list.set(key, `${key} ${i}`);
        } else assert.equal(tree.delete(key), list.delete(key));
        const those = (is: (path: string) => boolean) =>
          [...list].flatMap(([each, record]) => (is(pathOf(each)) ? record : [])).sort();
        assert.deepEqual([...tree.all()].sort(), [...list.values()].sort());
        for (const path of PATHS) {
          assert.deepEqual(
            [...tree.at(path)].sort(),
            those((each) => each === path),
          );
          const below = those((each) => each.startsWith(`${path}/`));
          assert.deepEqual([...tree.below(path)].sort(), below);
        }
      });
    }),
    { numRuns: 300 },
  );
});
