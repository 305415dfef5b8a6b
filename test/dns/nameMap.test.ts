import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { isSubdomainOf, type Name, NameMap, printName } from '../../src/dns/name.ts';

const name: fc.Arbitrary<Name> = fc.array(fc.constantFrom('a', 'B', 'b', 'c.d', '\u0000'), {
  maxLength: 4,
});

test('A name map finds the value of the longest name that another name is equal to or below', () => {
  fc.assert(
    fc.property(fc.array(name, { maxLength: 12 }), name, (names, asked) => {
      const map = new NameMap<string>();
      for (const each of names) map.set(each, printName(each).toLowerCase());
      const above = names
        .filter((each) => isSubdomainOf(asked, each))
        .sort((a, b) => b.length - a.length);
      const [longest] = above.map((each) => printName(each).toLowerCase());
      assert.equal(map.longest(asked), longest);
      assert.equal(map.size, new Set(names.map((each) => printName(each).toLowerCase())).size);
    }),
  );
});
