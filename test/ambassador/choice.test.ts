/** The order in which a proxy tries backends, as properties. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { backendsToTry, MAX_TRIES } from '../../src/ambassador/choice.ts';
import type { Backend } from '../../src/ambassador/route.ts';
import { printSocketAddress } from '../../src/dns/address.ts';

const backends: fc.Arbitrary<readonly Backend[]> = fc
  .array(fc.record({ priority: fc.nat(3), weight: fc.integer({ min: 1, max: 200 }) }), {
    maxLength: 20,
  })
  .map((all) =>
    all.map((one, i) => ({ ...one, address: `10.0.${i}.1`, port: 80 + i, key: undefined })),
  );

/** A repeatable source of numbers in [0, 1): mulberry32. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), 1 | state);
    bits = (bits + Math.imul(bits ^ (bits >>> 7), 61 | bits)) ^ bits;
    return ((bits ^ (bits >>> 14)) >>> 0) / 2 ** 32;
  };
}

const ids = (some: readonly Backend[]): readonly string[] => some.map(printSocketAddress);

test('Each backend is tried at most once, and as many as are tried at all', () => {
  fc.assert(
    fc.property(
      backends,
      fc.constantFrom('random' as const, 'source' as const),
      fc.integer(),
      (all, balance, seed) => {
        const tried = backendsToTry(all, { balance, source: '10.9.9.9', random: seeded(seed) });
        assert.equal(tried.length, Math.min(all.length, MAX_TRIES));
        assert.equal(new Set(ids(tried)).size, tried.length);
        for (const one of tried) assert.ok(all.includes(one));
      },
    ),
  );
});

test('A backend with a higher priority number is tried only after all with lower ones', () => {
  fc.assert(
    fc.property(backends, fc.integer(), (all, seed) => {
      const choice = { balance: 'random', source: '', random: seeded(seed) } as const;
      const tried = backendsToTry(all, choice).map(({ priority }) => priority);
      const lowest = all.map(({ priority }) => priority).sort((a, b) => a - b);
      assert.deepEqual(tried, lowest.slice(0, tried.length));
    }),
  );
});

test('First choices follow the weights, whether at random or by the source address', () => {
  const weights = [100, 50, 25, 25];
  const all = weights.map((weight, i) => {
    return { address: `10.0.0.${i + 1}`, port: 6379, priority: 0, weight, key: undefined };
  });
  for (const balance of ['random', 'source'] as const) {
    const counts = weights.map(() => 0);
    const random = seeded(7);
    const draws = 20_000;
    for (let i = 0; i < draws; i++) {
      const source = `10.${i >>> 8}.${i & 255}.7`;
      const [first] = backendsToTry(all, { balance, source, random });
      const index = Number(first?.address.at(-1)) - 1;
      counts[index] = (counts[index] ?? 0) + 1;
    }
    // Six standard deviations of a share are at most 0.022.
    counts.forEach((count, i) => {
      const [share, wanted] = [count / draws, (weights[i] ?? 0) / 200];
      assert.ok(Math.abs(share - wanted) < 0.022, `${balance}: ${share} instead of ${wanted}`);
    });
  }
});

test('A source address keeps its backend when other backends come or go', () => {
  fc.assert(
    fc.property(backends, fc.ipV4(), fc.nat(), fc.integer(), (all, source, which, seed) => {
      fc.pre(all.length > 1);
      const choice = { balance: 'source', source, random: seeded(seed) } as const;
      const [first] = backendsToTry(all, choice);
      const gone = all[which % all.length];
      const [then] = backendsToTry(
        all.filter((one) => one !== gone),
        choice,
      );
      if (gone !== first) assert.equal(then, first);
      assert.deepEqual(backendsToTry(all.toReversed(), choice)[0], first);
    }),
  );
});
