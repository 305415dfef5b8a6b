import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { StampedRecord } from '../../../src/registrar/describe/storedValue.ts';
import { planWrites } from '../../../src/registrar/reconcile/plan.ts';
import { input, LEASE, type Stored, stamped, steps } from '../../support/desiredRecords.ts';

const a = stamped('a', '/s/x');
const b = stamped('b', '/s/x');

describe('plans', () => {
  for (const [title, desired, stored, expected] of [
    [
      'The plan is empty when the store holds the desired records',
      [a],
      [{ key: '/s/x', of: a }],
      [],
    ],
    ['The plan puts a missing record', [a], [], ['+/s/x']],
    ['The plan deletes an own record that is not desired', [], [{ key: '/s/x', of: a }], ['-/s/x']],
    ['The plan leaves the key of another engine', [a], [{ key: '/s/x', of: 'other engine' }], []],
    ['The plan leaves a key that was set by hand', [a], [{ key: '/s/x', of: 'operator' }], []],
    ['The plan deletes no record of another engine', [], [{ key: '/s/x', of: 'other engine' }], []],
    [
      'The plan overwrites the record of a dead container of this engine',
      [b],
      [{ key: '/s/x', of: a }],
      ['+/s/x'],
    ],
    [
      'The plan leaves a name with the container that holds it',
      [b, a],
      [{ key: '/s/x', of: b }],
      [],
    ],
    ['The plan puts one record for two containers that want the same key', [b, a], [], ['+/s/x']],
    [
      'The plan deletes dead records first, then puts new ones, then deletes what they replace',
      [stamped('a', '/s/new')],
      [
        { key: '/s/dead', of: stamped('d', '/s/dead') },
        { key: '/s/old', of: stamped('a', '/s/old') },
      ],
      ['-/s/dead', '+/s/new', '~/s/old'],
    ],
    [
      'The plan puts the alternative key where the first one is taken',
      [a, stamped('b', '/s/x', { keyIfTaken: '/s/x-b' })],
      [{ key: '/s/x', of: a }],
      ['+/s/x-b'],
    ],
    [
      'The plan puts a record under our lease if it lives with another lease',
      [a],
      [{ key: '/s/x', of: a, lease: { ...LEASE, id: '8' } }],
      ['+/s/x'],
    ],
  ] as readonly [string, readonly StampedRecord[], readonly Stored[], readonly string[]][]) {
    it(title, () => assert.deepEqual(steps(input(desired, stored)), expected));
  }

  it('The plan keeps the record and the key of a container that is not inspected yet', () => {
    const from = {
      ...input([b], [{ key: '/s/x', of: a }]),
      isDesiredKnown: (id: string) => id[0] !== 'a',
    };
    assert.deepEqual(steps(from), []);
    assert.equal(planWrites(from).assignments[0]?.kind, 'taken');
  });

  it('The plan guards each write with the record that it has seen', () => {
    const plan = planWrites(
      input(
        [a, stamped('c', '/s/y')],
        [
          { key: '/s/x', of: b },
          { key: '/s/z', of: b },
        ],
      ),
    );
    const [remove, put] = plan.phases;
    assert.deepEqual(
      put.map(({ key, modRevision }) => [key, modRevision]),
      [
        ['/s/x', 1],
        ['/s/y', undefined],
      ],
    );
    assert.deepEqual(
      remove.map(({ key, modRevision }) => [key, modRevision]),
      [['/s/z', 2]],
    );
  });

  const v4 = { host: '192.0.2.1', ttl: 30 };
  const v6 = { host: '2001:db8::1', ttl: 30 };
  /** A name with both addresses. */
  const dual = (
    container: string,
    key: string,
    more: Partial<StampedRecord['record']> = {},
  ): StampedRecord[] => [
    stamped(container, key, { ...more, family: 'ipv4', fields: v4 }),
    stamped(container, key, { ...more, family: 'ipv6', fields: v6 }),
  ];
  const [a4, a6] = dual('a', '/s/x') as [StampedRecord, StampedRecord];
  const six = stamped('a', '/s/x', { fields: v6 });
  for (const [title, desired, stored, expected] of [
    ['The plan puts both families below the name', [a4, a6], [], ['+/s/x/ipv4', '+/s/x/ipv6']],
    [
      'For a second family the plan puts the present family, then the other one, and deletes the name’s own key last',
      [a4, a6],
      [{ key: '/s/x', of: a }],
      ['+/s/x/ipv4', '*/s/x/ipv6', '~/s/x'],
    ],
    [
      'The plan adds IPv4 to IPv6 in the same order',
      [a4, a6],
      [{ key: '/s/x', of: six }],
      ['+/s/x/ipv6', '*/s/x/ipv4', '~/s/x'],
    ],
    [
      'The plan completes an interrupted change to two families',
      [a4, a6],
      [
        { key: '/s/x', of: a },
        { key: '/s/x/ipv4', of: a4 },
      ],
      ['+/s/x/ipv6', '~/s/x'],
    ],
    [
      'For one family again the plan deletes the lost family first, and the remaining family’s key last',
      [a],
      [
        { key: '/s/x/ipv4', of: a4 },
        { key: '/s/x/ipv6', of: a6 },
      ],
      ['-/s/x/ipv6', '+/s/x', '~/s/x/ipv4'],
    ],
    [
      'The plan returns to IPv6 alone in the same order',
      [six],
      [
        { key: '/s/x/ipv4', of: a4 },
        { key: '/s/x/ipv6', of: a6 },
      ],
      ['-/s/x/ipv4', '+/s/x', '~/s/x/ipv6'],
    ],
    [
      'The plan puts no family below a name of another engine',
      [a4, a6],
      [{ key: '/s/x', of: 'other engine' }],
      [],
    ],
    [
      'The plan leaves a name that another engine holds with both families',
      [a],
      [
        { key: '/s/x/ipv4', of: 'other engine' },
        { key: '/s/x/ipv6', of: 'other engine' },
      ],
      [],
    ],
    [
      'The plan puts nothing below a dual-stack name of another container of this engine',
      [a4, a6, stamped('b', '/s/x/ipv4')],
      [
        { key: '/s/x/ipv4', of: a4 },
        { key: '/s/x/ipv6', of: a6 },
      ],
      [],
    ],
    [
      'The plan keeps a name below which another owner wrote later',
      [a],
      [
        { key: '/s/x', of: a },
        { key: '/s/x/ipv6', of: 'operator' },
      ],
      [],
    ],
    [
      'The plan gives up a name of which another engine took a key before',
      [a],
      [
        { key: '/s/x/ipv4', of: 'other engine' },
        { key: '/s/x', of: a },
      ],
      ['-/s/x'],
    ],
    [
      'The plan gives both families the same number, which is free in both',
      [...dual('a', '/s/n', { instance: 'auto' }), stamped('b', '/s/n', { instance: 'auto' })],
      [
        { key: '/s/n/1/ipv6', of: 'operator' },
        { key: '/s/n/3', of: 'other engine' },
      ],
      ['+/s/n/2/ipv4', '+/s/n/2/ipv6', '+/s/n/4'],
    ],
    [
      'The plan keeps a container’s number when it gets its second family',
      dual('a', '/s/n', { instance: 'auto' }),
      [{ key: '/s/n/3', of: a }],
      ['+/s/n/3/ipv4', '*/s/n/3/ipv6', '~/s/n/3'],
    ],
  ] as readonly [string, readonly StampedRecord[], readonly Stored[], readonly string[]][]) {
    it(title, () => assert.deepEqual(steps(input(desired, stored)), expected));
  }

  const numbered = (container: string, preferredNumber: number): StampedRecord =>
    stamped(container, '/s/n', { instance: 'auto', preferredNumber });
  for (const [title, desired, stored, expected] of [
    [
      'The plan gives a container the number that it prefers',
      [numbered('a', 2), numbered('b', 1)],
      [],
      ['+/s/n/2', '+/s/n/1'],
    ],
    [
      'The plan gives a container a free number where another engine has the preferred one',
      [numbered('a', 1), numbered('b', 2)],
      [{ key: '/s/n/1', of: 'other engine' }],
      ['+/s/n/2', '+/s/n/3'],
    ],
    [
      'The plan leaves a container its number although the preferred one is free',
      [numbered('a', 1)],
      [{ key: '/s/n/4', of: numbered('a', 1) }],
      [],
    ],
    [
      'The plan gives a container its preferred number rather than the smallest one',
      [numbered('a', 3), stamped('b', '/s/n', { instance: 'auto' })],
      [],
      ['+/s/n/3', '+/s/n/1'],
    ],
  ] as readonly [string, readonly StampedRecord[], readonly Stored[], readonly string[]][]) {
    it(title, () => assert.deepEqual(steps(input(desired, stored)), expected));
  }

  it('A pointer in the plan follows the number that its name has', () => {
    const pointer = stamped('a', '/s/arpa/1', {
      fields: { host: 'n.skydns.local', ttl: 30 },
      pointer: { numberedBy: '/s/n' },
    });
    const desired = [numbered('a', 1), pointer];
    const pointsTo = (stored: readonly Stored[]): unknown => {
      const [remove, put] = planWrites(input(desired, stored)).phases;
      assert.deepEqual(remove, []);
      const value = put.find(({ key }) => key === '/s/arpa/1')?.value;
      return value && JSON.parse(Buffer.from(value).toString()).host;
    };
    assert.equal(pointsTo([]), '1.n.skydns.local');
    assert.equal(pointsTo([{ key: '/s/n/1', of: 'other engine' }]), '2.n.skydns.local');
  });

  it('The plan gives no container the number of another container’s earlier run', () => {
    const desired = ['a', 'b'].map((container) => stamped(container, '/s/n', { instance: 'auto' }));
    const from = {
      ...input(desired, []),
      formerNumber: (id: string) => (id[0] === 'b' ? 1 : undefined),
    };
    const keys = planWrites(from).assignments.map(({ key, stamped }) => [
      stamped.containerId[0],
      key,
    ]);
    assert.deepEqual(keys, [
      ['b', '/s/n/1'],
      ['a', '/s/n/2'],
    ]);
  });

  it('A container that takes over a key of its name from another container keeps the age of its name', () => {
    const other = stamped('a', '/s/2');
    const desired = [stamped('b', '/s/2')];
    const [held] = dual('b', '/s/2') as [StampedRecord, StampedRecord];
    const plan = planWrites(
      input(desired, [
        { key: '/s/2/ipv4', of: held },
        { key: '/s/2/ipv6', of: 'operator' },
        { key: '/s/2', of: other },
      ]),
    );
    const [assignment] = plan.assignments;
    assert.ok(assignment?.kind === 'key');
    const after = input(desired, [
      { key: '/s/2/ipv6', of: 'operator', revision: 2 },
      { key: '/s/2', of: { ...assignment.stamped, value: assignment.value }, revision: 3 },
    ]);
    assert.deepEqual(steps(after), []);
  });

  it('A container that moves its numbered name to one key keeps the age of the name', () => {
    const desired = [stamped('a', '/s/n', { instance: 'auto' })];
    const held = stamped('a', '/s/n/1');
    const plan = planWrites(
      input(desired, [
        { key: '/s/n/1/ipv4', of: held },
        { key: '/s/n', of: 'operator' },
        { key: '/s/n/1', of: held },
      ]),
    );
    const [assignment] = plan.assignments;
    assert.ok(assignment?.kind === 'key');
    const after = input(desired, [
      { key: '/s/n', of: 'operator', revision: 2 },
      { key: '/s/n/1', of: { ...assignment.stamped, value: assignment.value }, revision: 3 },
    ]);
    assert.deepEqual(steps(after), []);
  });

  it('An applied plan leaves nothing to do, uses no key twice, and never uses another holder’s key', () => {
    const key = fc.constantFrom('/s/1', '/s/2', '/s/3', '/s/n');
    const one = fc
      .tuple(fc.constantFrom('a', 'b', 'c'), key, fc.boolean(), fc.boolean())
      .map(([id, at, isAuto, isDual]) => {
        const more = isAuto ? ({ instance: 'auto' } as const) : {};
        return isDual ? dual(id, at, more) : [stamped(id, at, more)];
      });
    const names = fc.uniqueArray(one, {
      maxLength: 8,
      selector: ([first]) => `${first?.containerId} ${first?.record.key} ${first?.record.instance}`,
    });
    const of = fc.oneof(
      one.map(([first]) => first as StampedRecord),
      fc.constant('other engine' as const),
      fc.constant('operator' as const),
    );
    const at = fc.oneof(
      key,
      fc.constantFrom('/s/n/1', '/s/n/2', '/s/1/1', '/s/n/1/ipv4', '/s/2/ipv6', '/s/2/ipv4'),
    );
    const stored = fc.uniqueArray(fc.record({ key: at, of }), { selector: ({ key }) => key });
    fc.assert(
      fc.property(names, stored, (each, before) => {
        const desired = each.flat();
        const plan = planWrites(input(desired, before));
        const foreign: string[] = before.flatMap(({ key, of }) =>
          typeof of === 'string' ? key : [],
        );
        const operations = plan.phases.flat();
        for (const { key } of operations) assert.ok(!foreign.includes(key));
        assert.equal(new Set(operations.map(({ key }) => key)).size, operations.length);
        const after = new Map<string, Stored>(
          before.map((each, i) => [each.key, { ...each, revision: i + 1 }]),
        );
        for (const { kind, key } of operations) if (kind === 'delete') after.delete(key);
        for (const each of plan.assignments)
          if (each.kind === 'key')
            after.set(each.key, {
              key: each.key,
              of: { ...each.stamped, value: each.value },
              revision: after.get(each.key)?.revision ?? before.length + after.size + 1,
            });
        assert.deepEqual(steps(input(desired, [...after.values()])), []);
      }),
    );
  });
});
