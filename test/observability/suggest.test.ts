import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { editDistance, nearestWord } from '../../src/observability/suggest.ts';

describe('the nearest word', () => {
  const words = ['addr', 'domain', 'http', 'http-token', 'ttl', 'min-ttl'];
  const cases: [string, string | undefined][] = [
    ['adr', 'addr'],
    ['domian', 'domain'],
    ['htpt', 'http'],
    ['http-tokne', 'http-token'],
    ['tll', 'ttl'],
    ['minttl', 'min-ttl'],
    ['frobnicate', undefined],
    ['x', undefined],
    ['', undefined],
  ];
  for (const [typed, meant] of cases) {
    it(`The nearest word to ${JSON.stringify(typed)} is ${meant ?? 'none of the words'}`, () =>
      assert.equal(nearestWord(typed, words), meant));
  }
});

describe('the distance', () => {
  const text = fc.string({ maxLength: 12 });

  it('The edit distance is symmetric and 0 only for equal words', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        assert.equal(editDistance(a, a), 0);
        assert.equal(editDistance(a, b), editDistance(b, a));
        assert.equal(editDistance(a, b) === 0, a === b);
      }),
    );
  });

  it('The edit distance of one insertion, deletion, replacement or swap is 1', () => {
    assert.deepEqual(
      ['abcd', 'ac', 'axc', 'acb', 'bac'].map((b) => editDistance('abc', b)),
      [1, 1, 1, 1, 1],
    );
  });
});
