import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  candidateAddresses,
  isInRange,
  rangesOverlap,
  vipRangeOf,
} from '../../src/ambassador/vipRange.ts';

const range = vipRangeOf({ address: '198.18.0.0', prefixLength: 16 });
const small = vipRangeOf({ address: '10.9.8.77', prefixLength: 24 });
const six = vipRangeOf({ address: 'fd53:6f72:6100::', prefixLength: 64 });

test('Every host tries the same addresses for a name, and other addresses for another name', () => {
  const [web] = candidateAddresses(range, ['web', 'skydns', 'local']);
  const [same] = candidateAddresses(range, ['WEB', 'skydns', 'local']);
  const [other] = candidateAddresses(range, ['api', 'skydns', 'local']);
  assert.equal(web, same);
  assert.notEqual(web, other);
});

test('A name tries every address that is given out: none that ends in .0 or .255, and none of the last ones', () => {
  const tried = new Set(candidateAddresses(small, ['web']));
  const expected = Array.from({ length: 191 }, (_, i) => `10.9.8.${i + 1}`);
  assert.deepEqual(
    [...tried].sort((a, b) => Number(a.slice(7)) - Number(b.slice(7))),
    expected,
  );
});

test('The last 256 addresses of a large range are not given out', () => {
  const tried = new Set(candidateAddresses(range, ['web']));
  assert.equal(tried.size, 255 * 254);
  assert.ok(![...tried].some((address) => address.startsWith('198.18.255.')));
});

test('Names try addresses of an IPv6 range too', () => {
  const [first] = candidateAddresses(six, ['web']);
  assert.ok(first !== undefined && isInRange(six, first), first);
});

test('Two ranges overlap exactly if they share an address', () => {
  const network = fc.record({
    address: fc.integer({ min: 0, max: 255 }).map((n) => `10.0.${n}.0`),
    prefixLength: fc.integer({ min: 16, max: 24 }),
  });
  fc.assert(
    fc.property(network, network, (a, b) => {
      const [one, other] = [vipRangeOf(a), vipRangeOf(b)];
      const shared = isInRange(one, b.address) || isInRange(other, a.address);
      assert.equal(rangesOverlap(one, other), shared);
    }),
  );
  assert.equal(rangesOverlap(range, six), false);
});

test('The range has its first and last address, and none beside them', () => {
  assert.deepEqual(
    ['198.17.255.255', '198.18.0.0', '198.18.255.255', '198.19.0.0', '::1'].map((address) =>
      isInRange(range, address),
    ),
    [false, true, true, false, false],
  );
});
