/** Who gets a name while others hold that name, one above it or one below it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StampedRecord } from '../../../src/registrar/reconcile/claims.ts';
import { input, reasons, type Stored, stamped, steps } from '../../support/desiredRecords.ts';

type Row = readonly [
  title: string,
  desired: readonly StampedRecord[],
  /** The first came first. */
  stored: readonly Stored[],
  steps: readonly string[],
  reasons: readonly string[],
];

const above = stamped('a', '/s/db');
const below = stamped('b', '/s/db/x');
const deep = stamped('c', '/s/db/x/y');
const [four, six] = ['ipv4', 'ipv6'].map((family) =>
  stamped('d', '/s/db', { family: family as 'ipv4' }),
) as [StampedRecord, StampedRecord];
const auto = (container: string, key: string): StampedRecord =>
  stamped(container, key, { instance: 'auto' });
const A = 'container a00000000000 of this engine';
const B = 'container b00000000000 of this engine';
const D = 'container d00000000000 of this engine';
const OTHER = 'container e00000000000 of engine E2';
const NOBODY = 'a record that no registrar wrote';
const standsBelow = (name: string, holder: string) => `stands below ${name}, which ${holder} holds`;
const hiddenBy = (name: string, holder: string) =>
  `would be hidden by ${name}, which ${holder} holds`;

const ROWS: readonly Row[] = [
  [
    'a name below that of another container of this engine is not given',
    [above, below],
    [{ key: '/s/db', of: above }],
    [],
    [standsBelow('db', A)],
  ],
  [
    'a name above that of another container of this engine is not given',
    [above, below],
    [{ key: '/s/db/x', of: below }],
    [],
    [hiddenBy('x.db', B)],
  ],
  [
    'a name below that of another engine is not given',
    [below],
    [{ key: '/s/db', of: 'other engine' }],
    [],
    [standsBelow('db', OTHER)],
  ],
  [
    'a name above that of another engine is not given',
    [above],
    [{ key: '/s/db/x/y/z', of: 'other engine' }],
    [],
    [hiddenBy('z.y.x.db', OTHER)],
  ],
  [
    'a name below one that was written by hand is not given',
    [deep],
    [{ key: '/s/db', of: 'nobody' }],
    [],
    [standsBelow('db', NOBODY)],
  ],
  [
    'a name above one that was written by hand is not given',
    [above],
    [{ key: '/s/db/x', of: 'nobody' }],
    [],
    [hiddenBy('x.db', NOBODY)],
  ],
  [
    'a name below one with both families is not given, although nothing is at that name itself',
    [below],
    [
      { key: '/s/db/ipv4', of: 'other engine' },
      { key: '/s/db/ipv6', of: 'other engine' },
    ],
    [],
    [standsBelow('db', OTHER)],
  ],
  [
    'a name with both families is one name to a container that would stand below it',
    [four, six, below],
    [
      { key: '/s/db/ipv4', of: four },
      { key: '/s/db/ipv6', of: six },
    ],
    [],
    [standsBelow('db', D)],
  ],
  [
    'of two that start together the one that started first gets its name',
    [below, above],
    [],
    ['+/s/db'],
    [standsBelow('db', A)],
  ],
  [
    'a name is given once the container below it has gone',
    [above],
    [{ key: '/s/db/x', of: below }],
    ['-/s/db/x', '+/s/db'],
    [],
  ],
  [
    'of two that hold names above and below each other the later one is withdrawn',
    [above, below],
    [
      { key: '/s/db/x', of: below },
      { key: '/s/db', of: above },
    ],
    ['-/s/db'],
    [hiddenBy('x.db', B)],
  ],
  [
    'a later name below, of another engine, is that engine’s to withdraw',
    [above],
    [
      { key: '/s/db', of: above },
      { key: '/s/db/x', of: 'other engine' },
    ],
    [],
    [],
  ],
  [
    'our own later name below that of another engine is ours to withdraw',
    [below],
    [
      { key: '/s/db', of: 'other engine' },
      { key: '/s/db/x', of: below },
    ],
    ['-/s/db/x'],
    [standsBelow('db', OTHER)],
  ],
  [
    'a name is kept when somebody writes below it by hand later',
    [above],
    [
      { key: '/s/db', of: above },
      { key: '/s/db/x', of: 'nobody' },
    ],
    [],
    [],
  ],
  [
    'the names of one container are not in each other’s way',
    [above, stamped('a', '/s/db/x')],
    [],
    ['+/s/db', '+/s/db/x'],
    [],
  ],
  [
    'names beside each other are not in each other’s way',
    [stamped('a', '/s/db/x'), stamped('b', '/s/db/y'), stamped('c', '/s/dbx')],
    [{ key: '/s/db/z', of: 'other engine' }],
    ['+/s/db/x', '+/s/db/y', '+/s/dbx'],
    [],
  ],
  [
    'the mark of an empty directory holds no name',
    [above, stamped('b', '/s/w/x')],
    [
      { key: '/s/db/', of: 'mark' },
      { key: '/s/db/y/', of: 'mark' },
      { key: '/s/w/', of: 'mark' },
    ],
    ['+/s/db', '+/s/w/x'],
    [],
  ],
  [
    'a key that no name can have holds none',
    [above],
    [{ key: `/s/db/${'x'.repeat(64)}`, of: 'nobody' }],
    ['+/s/db'],
    [],
  ],
  [
    'a key in capitals holds the name that it stands for, and is above others as that',
    [above, stamped('b', '/s/web/x'), stamped('c', '/s/www')],
    [
      { key: '/s/DB/X', of: 'nobody' },
      { key: '/s/Web', of: 'nobody' },
      { key: '/s/WWW', of: 'nobody' },
    ],
    [],
    [hiddenBy('x.db', NOBODY), standsBelow('web', NOBODY), `held by ${NOBODY}`],
  ],
  [
    'a key with two labels in one component is below the name that its labels say',
    [above],
    [{ key: '/s/x.db', of: 'other engine' }],
    [],
    [hiddenBy('x.db', OTHER)],
  ],
  [
    'no number is given below a name that another one holds',
    [auto('a', '/s/n')],
    [{ key: '/s/n', of: 'other engine' }],
    [],
    [standsBelow('n', OTHER)],
  ],
  [
    'a number is passed over that has another’s name below it',
    [auto('a', '/s/n')],
    [
      { key: '/s/n/1/x', of: 'nobody' },
      { key: '/s/n/2', of: 'other engine' },
    ],
    ['+/s/n/3'],
    [],
  ],
  [
    'numbers keep their base from another container, also from one that starts with them',
    [auto('b', '/s/n'), stamped('a', '/s/n')],
    [{ key: '/s/n/1', of: auto('b', '/s/n') }],
    [],
    [hiddenBy('1.n', B)],
  ],
  [
    'a number stays with its container although another one says it',
    [auto('b', '/s/n'), stamped('a', '/s/n/1')],
    [{ key: '/s/n/1', of: auto('b', '/s/n') }],
    [],
    [`held by ${B}`],
  ],
  [
    'a PTR record is not hidden by what is below its name, as PTR is looked for there, too',
    [stamped('a', '/s/arpa/1', { pointer: {} })],
    [{ key: '/s/arpa/1/x', of: 'nobody' }],
    ['+/s/arpa/1'],
    [],
  ],
];

describe('a name with others above it and below it', () => {
  for (const [title, desired, stored, expected, because] of ROWS)
    it(title, () => {
      const from = input(desired, stored);
      assert.deepEqual(steps(from), expected);
      assert.deepEqual(reasons(from), because);
    });

  it('stays taken while it is not known whether the container below it still wants its name', () => {
    const from = {
      ...input([above], [{ key: '/s/db/x', of: below }]),
      isDesiredKnown: (id: string) => id[0] !== 'b',
    };
    assert.deepEqual(steps(from), []);
    assert.deepEqual(reasons(from), [hiddenBy('x.db', B)]);
  });

  it('is not given up over what another had before, until the watch has passed our own write', () => {
    const stored = [
      { key: '/s/db', of: 'other engine' as const },
      { key: '/s/db/x', of: below },
    ];
    const from = input([below], stored);
    assert.deepEqual(steps({ ...from, mirroredRevision: 1 }), []);
    assert.deepEqual(steps({ ...from, mirroredRevision: 2 }), ['-/s/db/x']);
  });
});
