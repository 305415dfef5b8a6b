/**
 * Any order of changes to containers, events, engines, store, leases and registrars. After a quiet time the store holds
 * the records that follow from the containers alone, records of other owners are as they were, and no registrar writes.
 * The engines of the two hosts have one id: no registrar ever changes a record of a container that its own engine has
 * never had.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { keysOfName, nameKeyOf } from '../../../src/registrar/describe/storedValue.ts';
import { type Action, action } from '../../support/randomActions.ts';
import { type RegistrarFixture, withRegistrarFixture } from '../../support/registrarFixture.ts';
import { FOREIGN, keyOf, SimulatedHosts } from '../../support/simulatedHosts.ts';

const FOREIGN_TARGET = '192.0.2.99:undefined';

async function assertConverged(
  hosts: SimulatedHosts,
  foreign: ReadonlyMap<string, string>,
): Promise<void> {
  const records = await hosts.fixture.records();
  const wanted = hosts.wanted();
  const numbered = wanted.get(keyOf('n')) ?? [];
  wanted.delete(keyOf('n'));
  const left = new Map(
    Object.entries(records).map(([key, { host, port }]) => [`/skydns/${key}`, `${host}:${port}`]),
  );
  for (const key of foreign.keys()) {
    assert.equal(left.get(key), FOREIGN_TARGET, `${key} was set by hand`);
    left.delete(key);
  }
  for (const [name, desired] of wanted) {
    const isTaken = keysOfName(name).some((key) => foreign.has(key));
    assertHeld(name, isTaken ? [new Map(), ...desired] : desired, take(left, keysOfName(name)));
  }
  const names = new Set([...left.keys()].map(nameKeyOf));
  for (const name of names) {
    assert.match(name, /\/n\/[1-9]$/, 'a record without a container');
    const held = take(left, keysOfName(name));
    assertHeld(name, numbered, held);
    numbered.splice(numbered.map(printed).indexOf(printed(held)), 1);
  }
  assert.deepEqual(numbered, []);
}

/** The stored records of the name are exactly those of one claim. */
function assertHeld(
  name: string,
  desired: readonly ReadonlyMap<string, string>[],
  held: ReadonlyMap<string, string>,
): void {
  assert.ok(desired.map(printed).includes(printed(held)), `${name}: ${printed(held)}`);
}

/** The family and target of each record, without its name. */
function printed(records: ReadonlyMap<string, string>): string {
  return JSON.stringify([...records].map(([key, target]) => [/ipv[46]$/.exec(key)?.[0], target]));
}

function take(left: Map<string, string>, keys: readonly string[]): Map<string, string> {
  const taken = new Map<string, string>();
  for (const key of keys) {
    const target = left.get(key);
    if (target !== undefined) taken.set(key, target);
    left.delete(key);
  }
  return taken;
}

async function foreignIn(fixture: RegistrarFixture): Promise<Map<string, string>> {
  const foreign = new Map<string, string>();
  for await (const { entries } of fixture.store.snapshot('/skydns/')) {
    for (const { key, value } of entries) {
      const text = Buffer.from(value).toString();
      if (text === FOREIGN) foreign.set(key, text);
    }
  }
  return foreign;
}

/** Two registrars both believe that they hold the lock, and one of them missed the start of a container. */
const RIVALS: Action[] = [
  { kind: 'dropEvents', host: 0 },
  { kind: 'kill', host: 0 },
  { kind: 'wait', ms: 15_000 },
  { kind: 'cutWatches', host: 0 },
  { kind: 'revoke', host: 0 },
  { kind: 'toggle', which: 5, host: 0 },
  { kind: 'startSecond', host: 0 },
];

describe('convergence', () => {
  it(
    'The reconciler reaches the containers’ desired records, changes no others, and then writes nothing',
    {
      timeout: 120_000,
    },
    () =>
      fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 5, maxLength: 40 }), (actions) =>
          withRegistrarFixture(async (fixture) => {
            const hosts = new SimulatedHosts(fixture);
            let foreign = new Map<string, string>();
            for (const action of actions) {
              await hosts.act(action);
              if (action.kind === 'deleteKey' || action.kind === 'writeByHand')
                foreign = await foreignIn(fixture);
            }
            await hosts.quieten();
            await assertConverged(hosts, foreign);
            assert.deepEqual(hosts.foreignWrites(), []);
            await fixture.assertQuiet(120_000);
          }),
        ),
        { numRuns: 150, endOnFailure: false, examples: [[RIVALS]] },
      ),
  );
});
