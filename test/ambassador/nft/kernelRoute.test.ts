/** The text that routes become for nft: it has only addresses, ports, protocols and numbers. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  type KernelRoute,
  obstacleTo,
  ownElements,
  sharedElements,
} from '../../../src/ambassador/nft/kernelRoute.ts';

/** Text that would mean something to nft, and any other text. */
const hostile = fc.oneof(
  fc.string({ unit: 'binary' }),
  fc
    .tuple(
      fc.constantFrom('198.18.0.1', '10.0.0.1', 'fd00::1', '::ffff:10.0.0.1', ''),
      fc.constantFrom(
        ...[
          '; flush ruleset',
          '\nflush ruleset',
          ' }',
          '{',
          '"',
          ' . tcp',
          '/8',
          '%eth0',
          '#',
          '\0',
        ],
        ...['$x', '@gateways', ' accept', '-10.0.0.9', ' ', ''],
      ),
    )
    .map(([address, more]) => address + more),
  fc.constantFrom('0198.018.0.1', '198.18.1', '0xc6120001', '3323068417', 'FD00::1', 'fd00:0::1'),
);
const port = fc.oneof(
  fc.integer({ min: 1, max: 65_535 }),
  hostile,
  fc.constantFrom(0, -1, 65_536, 1.5, Number.NaN, null),
);
const address = fc.oneof(fc.ipV4(), hostile);

/** A route as a broken caller could make it: the types are not what they should be. */
const anyRoute = fc
  .record({
    match: fc.oneof(
      fc.record({
        kind: fc.constant('virtual'),
        address,
        port,
        protocol: fc.oneof(hostile, fc.constantFrom('tcp', 'udp')),
      }),
      fc.record({
        kind: fc.constant('consumer'),
        source: address,
        port,
        protocol: fc.constantFrom('tcp', 'udp'),
      }),
    ),
    slot: fc.record({ address, port, access: fc.constantFrom('published', 'private', undefined) }),
  })
  .map(
    ({ match, slot }) =>
      ({ match, slots: Array.from({ length: 16 }, () => slot) }) as unknown as KernelRoute,
  );

const PARTS = /^(?:[0-9]+(?:\.[0-9]+){3}|[0-9a-f:.]*:[0-9a-f:.]*|tcp|udp|[0-9]+)$/;
const SET = /^[a-z0-9]+$/i;

function assertPlain(route: KernelRoute): void {
  const shared = [...sharedElements(route)].map((id) => [id, ''] as const);
  for (const [id, data] of [...ownElements(route), ...shared]) {
    const [set = '', key = ''] = id.split('\t');
    assert.match(set, SET);
    for (const part of [...key.split(' . '), ...(data === '' ? [] : data.split(' . '))])
      assert.match(part, PARTS);
  }
}

test('A route becomes text of addresses, protocols and numbers alone, or is refused', () => {
  let accepted = 0;
  fc.assert(
    fc.property(anyRoute, (route) => {
      if (obstacleTo(route) !== undefined) return;
      accepted += 1;
      assertPlain(route);
    }),
    { numRuns: 20_000 },
  );
  assert.ok(accepted > 100, `${accepted} routes were accepted`);
});

test('An unchecked route also becomes such text, or throws a RangeError', () => {
  fc.assert(
    fc.property(anyRoute, (route) => {
      try {
        assertPlain(route);
      } catch (error) {
        if (!(error instanceof RangeError)) throw error;
      }
    }),
    { numRuns: 20_000 },
  );
});
