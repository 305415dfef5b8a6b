import assert from 'node:assert/strict';
import test from 'node:test';
import { findService } from '../../../src/ambassador/names/serviceState.ts';
import type { ServiceState } from '../../../src/service/instances.ts';
import { giveAddresses, tablePut, tablesOf } from '../../support/nameTables.ts';
import { catalogOf, name, type Services, viewOf } from '../../support/zone.ts';

/** Earlier keys are older. */
const SERVICES: Services = {
  'local/skydns/db/2': { host: '10.0.0.2', port: 49160, expose: '53/udp', tags: ['v1'] },
  'local/skydns/db/1': { host: '10.0.0.1', port: 5432, priority: 1, weight: 7, leader: 'yes' },
  'local/skydns/db/3': { host: 'db3.example.com' },
  'local/skydns/db/text': { text: 'no host' },
  'local/skydns/taken/1': { host: '10.0.1.1', port: 1 },
  'local/skydns/taken/leader': { host: '10.0.1.9', port: 9 },
  'local/skydns/manual/1': { host: '10.0.2.1', port: 1, leader: 'manual' },
  'local/skydns/manual/2': { host: '10.0.2.2', port: 1 },
  'local/skydns/dual/1/ipv6': { host: '2001:db8::1', port: 1, targetstrip: 1 },
};

function stateOf(owner: string, services = SERVICES): ServiceState {
  return findService(viewOf(catalogOf(services)), name(owner)).state;
}

test('The instances of a service are those of SRV, the oldest first', () => {
  const { exists, isWhole, instances } = stateOf('DB.skydns.local.');
  assert.deepEqual([exists, isWhole], [true, true]);
  assert.deepEqual(instances, [
    {
      id: '2.db.skydns.local.',
      addr: '10.0.0.2:49160',
      proto: 'udp',
      index: 1,
      priority: 10,
      weight: 100,
      tags: ['v1'],
    },
    {
      id: '1.db.skydns.local.',
      addr: '10.0.0.1:5432',
      proto: 'tcp',
      index: 2,
      priority: 1,
      weight: 7,
      tags: [],
      leader: 'yes',
    },
    {
      id: '3.db.skydns.local.',
      addr: 'db3.example.com.',
      proto: 'tcp',
      index: 3,
      priority: 10,
      weight: 100,
      tags: [],
    },
  ]);
});

test('The leader has the rule that chose it', () => {
  const leaderOf = ({ leader, rule }: ServiceState) => [leader?.id, rule];
  assert.deepEqual(leaderOf(stateOf('db.skydns.local')), ['1.db.skydns.local.', 'label']);
  assert.deepEqual(leaderOf(stateOf('taken.skydns.local')), [
    'leader.taken.skydns.local.',
    'registered',
  ]);
  assert.deepEqual(leaderOf(stateOf('manual.skydns.local')), [undefined, undefined]);
  const services = { 'local/skydns/db/1': { host: '10.0.0.1' } };
  assert.deepEqual(leaderOf(stateOf('db.skydns.local', services)), [
    '1.db.skydns.local.',
    'oldest',
  ]);
});

test('The chosen instance leads manual instances, and the name of the leader may have a virtual address', () => {
  const catalog = catalogOf(SERVICES);
  const tables = tablesOf(catalog);
  const choice = { instance: '2.manual.skydns.local.' };
  tables.leader.apply([tablePut('leader', 'local/skydns/manual', choice, 50)]);
  giveAddresses(tables, { '198.18.0.1': 'leader.manual.skydns.local' });
  const settings = { virtualAddresses: true };
  const view = viewOf(catalog, { settings, facts: tables.facts });
  const { leader, rule } = findService(view, name('manual.skydns.local')).state;
  assert.deepEqual([leader?.id, rule], ['2.manual.skydns.local.', 'manual']);
});

test('An instance has its own name, without the label of its address family', () => {
  const [instance] = stateOf('dual.skydns.local').instances;
  assert.deepEqual([instance?.id, instance?.addr], ['1.dual.skydns.local.', '[2001:db8::1]:1']);
});

test('A name without services does not exist', () => {
  const { exists, instances, leader } = stateOf('nothing.skydns.local');
  assert.deepEqual([exists, instances, leader], [false, [], undefined]);
});

test('A service with more than a thousand instances says that it is not whole', () => {
  const services = Object.fromEntries(
    Array.from({ length: 1_001 }, (_, i) => [
      `local/skydns/db/${i}`,
      { host: '10.0.0.1', port: i },
    ]),
  );
  const { isWhole, instances } = stateOf('db.skydns.local', services);
  assert.deepEqual([isWhole, instances.length], [false, 1_000]);
});

test('A stored wildcard that answers for a service is not its leader, and its encloser is a presence', () => {
  const services: Services = { 'local/skydns/apps/*': { host: '10.0.0.1', port: 80 } };
  const found = findService(viewOf(catalogOf(services)), name('x.apps.skydns.local.'));
  assert.equal(found.state.instances.length, 1);
  assert.equal(found.state.leader, undefined);
  assert.ok(found.presences.some((each) => each.join('.') === 'apps.skydns.local'));
});
