import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import type { Backend } from '../../src/ambassador/route.ts';
import { assignSlots, slotCount } from '../../src/ambassador/slots.ts';

const backend = (n: number, weight = 100, priority = 10): Backend => {
  return { address: `10.0.${n >> 8}.${n & 255}`, port: 5432, priority, weight, key: undefined };
};

const counts = fc.integer({ min: 0, max: 8 }).map((exponent) => 2 ** exponent);
const numbers = (max: number) =>
  fc.uniqueArray(fc.integer({ min: 0, max: 2_000 }), { minLength: 1, maxLength: max });
const weights = fc.oneof(
  fc.integer({ min: 1, max: 4 }),
  fc.integer({ min: 1, max: 1_000 }),
  fc.integer({ min: 1, max: 2 ** 31 - 1 }),
);
const weighted = (max: number) =>
  fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 2_000 }), weights), {
    minLength: 1,
    maxLength: max,
    selector: ([n]) => n,
  });

/** The number of slots of each backend, by address. */
function tally(slots: readonly Backend[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const { address } of slots) found.set(address, (found.get(address) ?? 0) + 1);
  return found;
}

function moves(before: readonly Backend[], after: readonly Backend[]): number {
  return after.filter(({ address }, i) => before[i]?.address !== address).length;
}

/** The fewest and the most slots that the backends may have. Shares below one slot become one until none is left. */
function bounds(
  backends: readonly Backend[],
  count: number,
): ReadonlyMap<string, readonly [number, number]> {
  const found = new Map<string, readonly [number, number]>();
  for (;;) {
    const rest = backends.filter(({ address }) => !found.has(address));
    const sum = rest.reduce((total, { weight }) => total + BigInt(weight), 0n);
    const slots = BigInt(count - found.size);
    const small = rest.filter(({ weight }) => slots * BigInt(weight) < sum);
    for (const { address } of small) found.set(address, [1, 1]);
    if (small.length > 0) continue;
    for (const { address, weight } of rest) {
      const product = slots * BigInt(weight);
      found.set(address, [Number(product / sum), Number((product + sum - 1n) / sum)]);
    }
    return found;
  }
}

test('A route has a power of two of slots, at most 256, no fewer than asked for and one for each backend', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 1_024 }),
      fc.integer({ min: 1, max: 300 }),
      (n, least) => {
        const count = slotCount(n, least);
        assert.equal(Math.log2(count) % 1, 0);
        assert.ok(count <= 256);
        assert.ok(count >= Math.min(256, n, 256) && count >= Math.min(256, least));
        // Half of it would not suffice.
        assert.ok(count === 1 || count / 2 < Math.max(n, least));
      },
    ),
  );
  assert.equal(slotCount(3, 16), 16);
  assert.equal(slotCount(17, 16), 32);
});

test('A route without backends has no slots', () => {
  assert.deepEqual(assignSlots(undefined, [], 16), []);
  assert.deepEqual(assignSlots([backend(1)], [], 16), []);
});

test('Only backends of the least priority number have slots', () => {
  const slots = assignSlots(undefined, [backend(1, 1, 20), backend(2, 1, 10), backend(3)], 16);
  assert.deepEqual([...tally(slots).keys()].sort(), ['10.0.0.2', '10.0.0.3']);
});

test('Every backend has a slot, and its slots differ from its share of the weights by less than one', () => {
  fc.assert(
    fc.property(counts, weighted(60), (count, list) => {
      const backends = list.slice(0, count).map(([n, weight]) => backend(n, weight));
      const slots = assignSlots(undefined, backends, count);
      assert.equal(slots.length, count);
      const found = tally(slots);
      for (const [address, [least, most]] of bounds(backends, count)) {
        const has = found.get(address) ?? 0;
        assert.ok(has >= 1 && has >= least && has <= most, `${address}: ${has} of ${count}`);
      }
    }),
  );
});

test('Weights of 1, 2 and 5 have 2, 4 and 10 of 16 slots', () => {
  const slots = assignSlots(undefined, [backend(1, 1), backend(2, 2), backend(3, 5)], 16);
  assert.deepEqual([...tally(slots).values()].sort(), [10, 2, 4]);
});

test('Slots left over after rounding down go to the backends that lack most of their share', () => {
  const slots = assignSlots(undefined, [backend(1, 11), backend(2, 10), backend(3, 19)], 4);
  assert.deepEqual([...tally(slots)].sort(), [
    ['10.0.0.1', 1],
    ['10.0.0.2', 1],
    ['10.0.0.3', 2],
  ]);
});

test('Of more backends than slots those with the greatest weights serve, and of equal weights the first by address', () => {
  const backends = [backend(3, 5), backend(1, 5), backend(2, 5), backend(5, 9), backend(4, 1)];
  const slots = assignSlots(undefined, backends, 2);
  assert.deepEqual([...tally(slots)].sort(), [
    ['10.0.0.1', 1],
    ['10.0.0.5', 1],
  ]);
});

test('The order of the backends does not change the slots', () => {
  fc.assert(
    fc.property(counts, weighted(40), fc.infiniteStream(fc.nat()), (count, list, order) => {
      const backends = list.map(([n, weight]) => backend(n, weight));
      const shuffled = backends
        .map((each) => [order.next().value as number, each] as const)
        .sort(([a], [b]) => a - b)
        .map(([, each]) => each);
      assert.deepEqual(
        assignSlots(undefined, backends, count),
        assignSlots(undefined, shuffled, count),
      );
    }),
  );
});

test('At most ⌈slots ÷ n⌉ slots change their backend when one of n equal backends comes or goes', () => {
  fc.assert(
    fc.property(counts, fc.array(numbers(40), { minLength: 1, maxLength: 3 }), (count, walks) => {
      let present: readonly number[] = [];
      let slots: readonly Backend[] = [];
      for (const n of walks.flat()) {
        const isGone = present.includes(n);
        const next = isGone ? present.filter((other) => other !== n) : [...present, n];
        const all = Math.max(present.length, next.length);
        const after = assignSlots(
          slots,
          next.map((each) => backend(each)),
          count,
        );
        if (next.length > 0) assert.ok(moves(slots, after) <= Math.ceil(count / all));
        present = next;
        slots = after;
      }
    }),
  );
});

test('No assignment that keeps to the shares would move fewer slots', () => {
  fc.assert(
    fc.property(counts, weighted(30), weighted(30), fc.nat(30), (count, one, other, common) => {
      const before = one.slice(0, count).map(([n, weight]) => backend(n, weight));
      // Some backends stay, some of them with another weight; some come.
      const kept = before.slice(0, common).map((each, i) => {
        return i % 3 === 0 ? { ...each, weight: other[i % other.length]?.[1] ?? 1 } : each;
      });
      const come = other.map(([n, weight]) => backend(3_000 + n, weight));
      const after = [...kept, ...come].slice(0, count);
      const slots = assignSlots(undefined, before, count);
      const held = tally(slots);
      const moved = moves(slots, assignSlots(slots, after, count));
      let mayStay = 0;
      let mustCome = 0;
      for (const [address, [least, most]] of bounds(after, count)) {
        const has = held.get(address) ?? 0;
        mayStay += Math.min(has, most);
        mustCome += Math.max(0, least - has);
      }
      assert.equal(moved, Math.max(count - mayStay, mustCome));
    }),
  );
});

test('Slots stay as they are while the backends stay, also after a history of changes', () => {
  fc.assert(
    fc.property(counts, fc.array(weighted(30), { minLength: 1, maxLength: 5 }), (count, sets) => {
      let slots: readonly Backend[] = [];
      for (const set of sets) {
        const backends = set.map(([n, weight]) => backend(n, weight));
        slots = assignSlots(slots, backends, count);
        assert.equal(moves(slots, assignSlots(slots, backends, count)), 0);
      }
    }),
  );
});

test('Slots have the backends as they are now, not as they were', () => {
  const before = assignSlots(undefined, [backend(1), backend(2)], 4);
  const now = [{ ...backend(1), key: '/skydns/local/db' }, backend(2)];
  const after = assignSlots(before, now, 4);
  assert.ok(after.some(({ key }) => key === '/skydns/local/db'));
});

test('The first slots keep their backends when the number of slots changes', () => {
  const before = assignSlots(undefined, [backend(1), backend(2), backend(3)], 16);
  const more = assignSlots(before, [backend(1), backend(2), backend(3)], 32);
  assert.equal(moves(before, more.slice(0, 16)), 0);
  const [one, two] = [backend(1), backend(2)];
  const sorted = [...Array<Backend>(16).fill(one), ...Array<Backend>(16).fill(two)];
  assert.deepEqual(assignSlots(sorted, [one, two], 16), [
    ...Array<Backend>(8).fill(one),
    ...Array<Backend>(8).fill(two),
  ]);
});
