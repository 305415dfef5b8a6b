import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  eventsBetween,
  isSameState,
  type ListedInstance,
  type ServiceEvent,
  type ServiceState,
} from '../../src/service/instances.ts';

const instance = (n: number, more: Partial<ListedInstance> = {}): ListedInstance => {
  return {
    id: `${n}.db.skydns.local.`,
    addr: `10.0.0.${n}:5432`,
    proto: 'tcp',
    index: n,
    priority: 10,
    weight: 100,
    tags: [],
    ...more,
  };
};

const stateOf = (
  instances: readonly ListedInstance[],
  leader: ListedInstance | undefined = instances[0],
): ServiceState => {
  const rule = leader && 'oldest';
  return { exists: instances.length > 0, instances, isWhole: true, leader, rule };
};

const kinds = (before: ServiceState | undefined, after: ServiceState) =>
  eventsBetween(before, after).map(
    ({ kind, instance: of }) => `${kind} ${of === undefined ? '' : (of?.id ?? 'none')}`,
  );

test('A client that knows nothing gets the instances, the leader and then current', () => {
  assert.deepEqual(kinds(undefined, stateOf([instance(1), instance(2)])), [
    'up 1.db.skydns.local.',
    'up 2.db.skydns.local.',
    'leader 1.db.skydns.local.',
    'current ',
  ]);
  assert.deepEqual(kinds(undefined, stateOf([])), ['current ']);
});

test('An instance that comes, changes or goes is an event, and so is a new leader', () => {
  const before = stateOf([instance(1), instance(2)]);
  assert.deepEqual(kinds(before, stateOf([instance(2, { weight: 5 }), instance(3)])), [
    'down 1.db.skydns.local.',
    'update 2.db.skydns.local.',
    'up 3.db.skydns.local.',
    'leader 2.db.skydns.local.',
  ]);
  assert.deepEqual(kinds(before, before), []);
});

test('Two instances of one name, address and age are one to clients', () => {
  const twice = [instance(1), instance(1, { weight: 5 })];
  const before = stateOf(twice);
  assert.deepEqual(kinds(stateOf([]), before), [
    'up 1.db.skydns.local.',
    'leader 1.db.skydns.local.',
  ]);
  assert.deepEqual(kinds(before, stateOf([...twice, instance(2)])), ['up 2.db.skydns.local.']);
  assert.deepEqual(kinds(before, stateOf([instance(1)])), []);
});

test('An instance that is registered anew is another instance, and leads anew', () => {
  const before = stateOf([instance(1)]);
  assert.deepEqual(kinds(before, stateOf([instance(1, { index: 9 })])), [
    'down 1.db.skydns.local.',
    'up 1.db.skydns.local.',
    'leader 1.db.skydns.local.',
  ]);
});

test('A leader that is lost without a successor is an event without an instance', () => {
  const one = instance(1);
  const before = stateOf([one]);
  const after: ServiceState = { ...before, leader: undefined, rule: undefined };
  assert.deepEqual(kinds(before, after), ['leader none']);
  assert.deepEqual(kinds(after, before), ['leader 1.db.skydns.local.']);
});

const states = fc
  .uniqueArray(
    fc.record({
      n: fc.integer({ min: 1, max: 6 }),
      index: fc.integer({ min: 1, max: 3 }),
      weight: fc.integer({ min: 1, max: 2 }),
    }),
    { selector: ({ n }) => n, maxLength: 6 },
  )
  .chain((list) => {
    const all = list.map(({ n, ...more }) => instance(n, more));
    return fc
      .option(fc.constantFrom(...all, undefined), { nil: undefined })
      .map((leader) => stateOf(all, all.length === 0 ? undefined : leader));
  });

test('A client that applies the events has the state', () => {
  fc.assert(
    fc.property(fc.array(states, { minLength: 1, maxLength: 6 }), (list) => {
      const known = new Map<string, ListedInstance>();
      let leader: ListedInstance | undefined;
      const apply = ({ kind, instance: of }: ServiceEvent): void => {
        if (kind === 'leader') leader = of ?? undefined;
        else if (kind === 'down') known.delete(of?.id ?? '');
        else if (of) known.set(of.id, of);
      };
      let before: ServiceState | undefined;
      for (const state of list) {
        const events = eventsBetween(before, state);
        events.forEach(apply);
        const byId = (a: ListedInstance, b: ListedInstance) => (a.id < b.id ? -1 : 1);
        assert.deepEqual([...known.values()].sort(byId), [...state.instances].sort(byId));
        assert.equal(leader?.id, state.leader?.id);
        assert.equal(leader?.index, state.leader?.index);
        assert.equal(events.filter(({ kind }) => kind === 'current').length, before ? 0 : 1);
        if (before !== undefined && isSameState(before, state)) assert.deepEqual(events, []);
        before = state;
      }
    }),
  );
});
