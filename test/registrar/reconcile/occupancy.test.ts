/** The claim that gets a name while other claims hold that name, a name above it or a name below it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { StampedRecord } from '../../../src/registrar/describe/storedValue.ts';
import {
  conflicts,
  input,
  reasons,
  type Stored,
  stamped,
  steps,
} from '../../support/desiredRecords.ts';

type Row = readonly [
  title: string,
  desired: readonly StampedRecord[],
  /** In the order in which they were written. */
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
const BY_HAND = 'was set by hand';
const standsBelow = (name: string, holder: string) => `stands below ${name}, which ${holder} holds`;
const hiddenBy = (name: string, holder: string) =>
  `would be hidden by ${name}, which ${holder} holds`;

const ROWS: readonly Row[] = [
  [
    'A container does not get a name below another container’s of the engine',
    [above, below],
    [{ key: '/s/db', of: above }],
    [],
    [standsBelow('db', A)],
  ],
  [
    'A container does not get a name above another container’s of the engine',
    [above, below],
    [{ key: '/s/db/x', of: below }],
    [],
    [hiddenBy('x.db', B)],
  ],
  [
    'A container does not get a name below another engine’s',
    [below],
    [{ key: '/s/db', of: 'other engine' }],
    [],
    [standsBelow('db', OTHER)],
  ],
  [
    'A container does not get a name above another engine’s',
    [above],
    [{ key: '/s/db/x/y/z', of: 'other engine' }],
    [],
    [hiddenBy('z.y.x.db', OTHER)],
  ],
  [
    'A container does not get a name below one that was set by hand',
    [deep],
    [{ key: '/s/db', of: 'operator' }],
    [],
    [`stands below db, which ${BY_HAND}`],
  ],
  [
    'A container does not get a name above one that was set by hand',
    [above],
    [{ key: '/s/db/x', of: 'operator' }],
    [],
    [`would be hidden by x.db, which ${BY_HAND}`],
  ],
  [
    'A container does not get a name below a dual-stack name although that name’s own key is empty',
    [below],
    [
      { key: '/s/db/ipv4', of: 'other engine' },
      { key: '/s/db/ipv6', of: 'other engine' },
    ],
    [],
    [standsBelow('db', OTHER)],
  ],
  [
    'A dual-stack name is one name for a container that claims a name below it',
    [four, six, below],
    [
      { key: '/s/db/ipv4', of: four },
      { key: '/s/db/ipv6', of: six },
    ],
    [],
    [standsBelow('db', D)],
  ],
  [
    'Of two containers the one that started first gets its name',
    [below, above],
    [],
    ['+/s/db'],
    [standsBelow('db', A)],
  ],
  [
    'A container gets a name once the container below it is gone',
    [above],
    [{ key: '/s/db/x', of: below }],
    ['-/s/db/x', '+/s/db'],
    [],
  ],
  [
    'Of two names above and below each other the registrar removes the later one',
    [above, below],
    [
      { key: '/s/db/x', of: below },
      { key: '/s/db', of: above },
    ],
    ['-/s/db'],
    [hiddenBy('x.db', B)],
  ],
  [
    'Another engine’s later name below is left for that engine to remove',
    [above],
    [
      { key: '/s/db', of: above },
      { key: '/s/db/x', of: 'other engine' },
    ],
    [],
    [],
  ],
  [
    'The registrar removes its own later name below another engine’s',
    [below],
    [
      { key: '/s/db', of: 'other engine' },
      { key: '/s/db/x', of: below },
    ],
    ['-/s/db/x'],
    [standsBelow('db', OTHER)],
  ],
  [
    'A container keeps its name when a name below it is set by hand later',
    [above],
    [
      { key: '/s/db', of: above },
      { key: '/s/db/x', of: 'operator' },
    ],
    [],
    [],
  ],
  [
    'The names of one container do not conflict',
    [above, stamped('a', '/s/db/x')],
    [],
    ['+/s/db', '+/s/db/x'],
    [],
  ],
  [
    'Sibling names do not conflict',
    [stamped('a', '/s/db/x'), stamped('b', '/s/db/y'), stamped('c', '/s/dbx')],
    [{ key: '/s/db/z', of: 'other engine' }],
    ['+/s/db/x', '+/s/db/y', '+/s/dbx'],
    [],
  ],
  [
    'The mark of an empty directory holds no name',
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
    'A key that no name can have holds none',
    [above],
    [{ key: `/s/db/${'x'.repeat(64)}`, of: 'operator' }],
    ['+/s/db'],
    [],
  ],
  [
    'A key in capitals holds the name that it stands for, and conflicts with the names above and below that name',
    [above, stamped('b', '/s/web/x'), stamped('c', '/s/www')],
    [
      { key: '/s/DB/X', of: 'operator' },
      { key: '/s/Web', of: 'operator' },
      { key: '/s/WWW', of: 'operator' },
    ],
    [],
    [`would be hidden by x.db, which ${BY_HAND}`, `stands below web, which ${BY_HAND}`, BY_HAND],
  ],
  [
    'A key with two labels in one component is below the name that its labels say',
    [above],
    [{ key: '/s/x.db', of: 'other engine' }],
    [],
    [hiddenBy('x.db', OTHER)],
  ],
  [
    'No instance number is assigned below a name with another holder',
    [auto('a', '/s/n')],
    [{ key: '/s/n', of: 'other engine' }],
    [],
    [standsBelow('n', OTHER)],
  ],
  [
    'An instance number with another holder’s name below it is skipped',
    [auto('a', '/s/n')],
    [
      { key: '/s/n/1/x', of: 'operator' },
      { key: '/s/n/2', of: 'other engine' },
    ],
    ['+/s/n/3'],
    [],
  ],
  [
    'Instance numbers keep the name above them from other containers, also from one that starts with them',
    [auto('b', '/s/n'), stamped('a', '/s/n')],
    [{ key: '/s/n/1', of: auto('b', '/s/n') }],
    [],
    [hiddenBy('1.n', B)],
  ],
  [
    'An instance number stays with its container although another container names it',
    [auto('b', '/s/n'), stamped('a', '/s/n/1')],
    [{ key: '/s/n/1', of: auto('b', '/s/n') }],
    [],
    [`held by ${B}`],
  ],
  [
    'A PTR record is not hidden by names below its own',
    [stamped('a', '/s/arpa/1', { pointer: {} })],
    [{ key: '/s/arpa/1/x', of: 'operator' }],
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

  it('A name stays taken while it is unknown whether the container below it still claims its name', () => {
    const from = {
      ...input([above], [{ key: '/s/db/x', of: below }]),
      isDesiredKnown: (id: string) => id[0] !== 'b',
    };
    assert.deepEqual(steps(from), []);
    assert.deepEqual(reasons(from), [hiddenBy('x.db', B)]);
  });

  it('A name is not given up for another holder’s old record before the watch has passed the registrar’s own write', () => {
    const stored = [
      { key: '/s/db', of: 'other engine' as const },
      { key: '/s/db/x', of: below },
    ];
    const from = input([below], stored);
    assert.deepEqual(steps({ ...from, mirroredRevision: 1 }), []);
    assert.deepEqual(steps({ ...from, mirroredRevision: 2 }), ['-/s/db/x']);
  });
});

for (const [title, key, argument] of [
  ['its name', '/s/db', 'db'],
  ['the key itself, if the name leads to another key', '/s/DB', '/s/DB'],
  ['the key that holds a name of two families', '/s/db/ipv4', 'ipv4.db'],
] as const) {
  it(`The hint about a record that was set by hand removes it by ${title}`, () => {
    const [conflict] = conflicts(input([below], [{ key, of: 'operator' }]));
    assert.match(conflict?.hint ?? '', new RegExp(`remove it with: soradns rm ${argument}$`));
  });
}
