import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { ActualRecords } from '../../src/docker/actual.ts';
import type { Wish } from '../../src/docker/assign.ts';
import { type DiffInput, diff } from '../../src/docker/diff.ts';
import { recordValue } from '../../src/docker/record.ts';
import type { Lease } from '../../src/service/change.ts';

const LEASE: Lease = { id: '7', ttlSeconds: 30, expiresAtMs: 0 };
const ENGINE = 'E1';

function wish(container: string, key: string, more: Partial<Wish['record']> = {}): Wish {
  const containerId = container.padEnd(64, '0');
  const shortId = containerId.slice(0, 12);
  const owner = { engineId: ENGINE, containerId: shortId, startedAt: '2026-01-01T00:00:00Z' };
  const record = {
    key,
    instance: 'named',
    fields: { host: '192.0.2.1', ttl: 30 },
    ...more,
  } as const;
  return { containerId, owner, record, value: recordValue(record, owner) };
}

interface Stored {
  readonly key: string;
  readonly of: Wish | 'other engine' | 'nobody';
  readonly lease?: Lease;
}

function input(wishes: readonly Wish[], stored: readonly Stored[]): DiffInput {
  const actual = new ActualRecords(ENGINE, () => undefined);
  const keys = wishes.flatMap(({ record }) => [record.key, record.keyIfTaken ?? record.key]);
  actual.want({ keys: new Set(keys), bases: new Set(keys) });
  stored.forEach(({ key, of, lease = LEASE }, i) => {
    const theirs = { ...wish('e', key).owner, engineId: 'E2' };
    const value =
      of === 'nobody'
        ? Buffer.from('{"host":"192.0.2.9"}')
        : of === 'other engine'
          ? recordValue(wish('e', key).record, theirs)
          : of.value;
    actual.learn(key, { key, value, createRevision: 1, modRevision: i + 1, lease }, i + 1);
  });
  return { wishes, actual, leaseId: '7', isKnown: () => true, formerNumber: () => undefined };
}

/** `-key` withdrawn, `+key` put, `~key` left for another. */
function steps(from: DiffInput): string[] {
  const marks = ['-', '+', '~'];
  return diff(from).phases.flatMap((phase, i) => phase.map(({ key }) => `${marks[i]}${key}`));
}

const a = wish('a', '/s/x');
const b = wish('b', '/s/x');

describe('the difference between what is wished and what there is', () => {
  for (const [why, wishes, stored, expected] of [
    ['nothing when it is so', [a], [{ key: '/s/x', of: a }], []],
    ['a put of what is missing', [a], [], ['+/s/x']],
    ['a delete of what is not wished', [], [{ key: '/s/x', of: a }], ['-/s/x']],
    ['nothing at a key of another engine', [a], [{ key: '/s/x', of: 'other engine' }], []],
    ['nothing at a key of nobody', [a], [{ key: '/s/x', of: 'nobody' }], []],
    ['nothing of others’', [], [{ key: '/s/x', of: 'other engine' }], []],
    ['a put in place of our dead one', [b], [{ key: '/s/x', of: a }], ['+/s/x']],
    ['nothing while the first has it', [b, a], [{ key: '/s/x', of: b }], []],
    ['one put for two that wish the same', [b, a], [], ['+/s/x']],
    [
      'the dead first, then the new, then what was left for it',
      [wish('a', '/s/new')],
      [
        { key: '/s/dead', of: wish('d', '/s/dead') },
        { key: '/s/old', of: wish('a', '/s/old') },
      ],
      ['-/s/dead', '+/s/new', '~/s/old'],
    ],
    [
      'another key where the first is taken',
      [a, wish('b', '/s/x', { keyIfTaken: '/s/x-b' })],
      [{ key: '/s/x', of: a }],
      ['+/s/x-b'],
    ],
    [
      'a put under our lease of what lives with another',
      [a],
      [{ key: '/s/x', of: a, lease: { ...LEASE, id: '8' } }],
      ['+/s/x'],
    ],
  ] as readonly [string, readonly Wish[], readonly Stored[], readonly string[]][]) {
    it(`is ${why}`, () => assert.deepEqual(steps(input(wishes, stored)), expected));
  }

  it('leaves what belongs to a container that is not known yet, and its key', () => {
    const from = {
      ...input([b], [{ key: '/s/x', of: a }]),
      isKnown: (id: string) => id[0] !== 'a',
    };
    assert.deepEqual(steps(from), []);
    assert.equal(diff(from).assignments[0]?.kind, 'taken');
  });

  it('guards each write with what it saw', () => {
    const plan = diff(
      input(
        [a, wish('c', '/s/y')],
        [
          { key: '/s/x', of: b },
          { key: '/s/z', of: b },
        ],
      ),
    );
    const [withdraw, put] = plan.phases;
    assert.deepEqual(
      put.map(({ key, modRevision }) => [key, modRevision]),
      [
        ['/s/x', 1],
        ['/s/y', undefined],
      ],
    );
    assert.deepEqual(
      withdraw.map(({ key, modRevision }) => [key, modRevision]),
      [['/s/z', 2]],
    );
  });

  it('numbers both families of a container alike, past what others have', () => {
    const auto = (container: string, suffix: string): Wish =>
      wish(container, '/s/n', { instance: 'auto', instanceSuffix: suffix });
    const wishes = [auto('a', ''), auto('a', '-v6'), auto('b', '')];
    const stored = [
      { key: '/s/n/1-v6', of: 'nobody' },
      { key: '/s/n/3', of: 'other engine' },
    ] as const;
    assert.deepEqual(steps(input(wishes, stored)), ['+/s/n/2', '+/s/n/2-v6', '+/s/n/1']);
  });

  it('lets none take the number that another had in an earlier life', () => {
    const wishes = ['a', 'b'].map((container) => wish(container, '/s/n', { instance: 'auto' }));
    const from = {
      ...input(wishes, []),
      formerNumber: (id: string) => (id[0] === 'b' ? 1 : undefined),
    };
    const keys = diff(from).assignments.map(({ key, wish }) => [wish.containerId[0], key]);
    assert.deepEqual(keys, [
      ['b', '/s/n/1'],
      ['a', '/s/n/2'],
    ]);
  });

  it('is none once it is applied, gives no key twice, and never names a key of others', () => {
    const key = fc.constantFrom('/s/1', '/s/2', '/s/3', '/s/n');
    const one = fc
      .tuple(fc.constantFrom('a', 'b', 'c'), key, fc.boolean())
      .map(([id, at, isAuto]) => wish(id, at, isAuto ? { instance: 'auto' } : {}));
    const of = fc.oneof(one, fc.constant('other engine' as const), fc.constant('nobody' as const));
    const at = fc.oneof(key, fc.constantFrom('/s/n/1', '/s/n/2', '/s/1/1'));
    const stored = fc.uniqueArray(fc.record({ key: at, of }), { selector: ({ key }) => key });
    fc.assert(
      fc.property(fc.array(one, { maxLength: 8 }), stored, (wishes, before) => {
        const plan = diff(input(wishes, before));
        const foreign: string[] = before.flatMap(({ key, of }) =>
          typeof of === 'string' ? key : [],
        );
        const operations = plan.phases.flat();
        for (const { key } of operations) assert.ok(!foreign.includes(key));
        assert.equal(new Set(operations.map(({ key }) => key)).size, operations.length);
        const after = new Map<string, Stored>(before.map((each) => [each.key, each]));
        for (const { kind, key } of operations) if (kind === 'delete') after.delete(key);
        for (const each of plan.assignments)
          if (each.kind === 'key') after.set(each.key, { key: each.key, of: each.wish });
        assert.deepEqual(steps(input(wishes, [...after.values()])), []);
      }),
    );
  });
});
