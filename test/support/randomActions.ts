/** Random actions for a property test of the registrar: changes of containers, faults, and writes of other clients. */
import fc from 'fast-check';

/** Several containers claim one name; one of them has both families. */
export const SETUPS = [
  { env: { DNS_NAME: 'a' }, exposed: ['80/tcp'] },
  { env: { DNS_NAME: 'a' }, exposed: ['82/tcp'], ip6: 'fd00::9' },
  { env: { DNS_NAME: 'a' }, exposed: ['81/tcp'] },
  { env: { DNS_NAME: 'b,c.d' }, exposed: ['80/tcp'], health: 'healthy' },
  { env: { DNS_NAME: 'c.d', DNS_STOP: 'die' }, exposed: ['80/tcp'] },
  { env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] },
  { env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] },
  { env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' }, exposed: ['82/tcp'], ip6: 'fd00::8' },
  { env: {}, exposed: ['80/tcp'] },
] as const;
export const NAMES = ['a', 'b', 'd/c', 'n/1', 'n/2', 'a/ipv6', 'n/2/ipv4'];

const which = fc.nat({ max: SETUPS.length - 1 });
/** The index of a host. */
const host = fc.nat({ max: 1 });
export const action = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('toggle' as const), which, host }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('restart' as const), which, host }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pause' as const), which, host }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('signal' as const), which, host }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('health' as const), which, host }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('network' as const), which, host }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('writeByHand' as const),
      at: fc.nat({ max: NAMES.length - 1 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('deleteKey' as const),
      at: fc.nat({ max: NAMES.length - 1 }),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('wait' as const),
      ms: fc.constantFrom(0, 1, 60, 700, 6_000, 15_000, 45_000),
    }),
  },
  ...(
    [
      'dropEvents',
      'holdEvents',
      'releaseEvents',
      'loseEngine',
      'restoreEngine',
      'cutEvents',
      'loseStore',
    ] as const
  ).map((kind) => ({ weight: 1, arbitrary: fc.record({ kind: fc.constant(kind), host }) })),
  ...(
    [
      'restoreStore',
      'loseAnswers',
      'slowWrites',
      'cutWatches',
      'revoke',
      'kill',
      'end',
      'startSecond',
      'reboot',
      'rename',
    ] as const
  ).map((kind) => ({
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant(kind), host }),
  })),
);
export type Action = typeof action extends fc.Arbitrary<infer T> ? T : never;
