import assert from 'node:assert/strict';
import test from 'node:test';
import { ServiceFollower } from '../../../src/ambassador/names/serviceFollower.ts';
import type { ServiceState } from '../../../src/service/instances.ts';
import { Catalog } from '../../../src/zone/tree/catalog.ts';
import type { Freshness } from '../../../src/zone/tree/view.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { tablePut, tablesOf } from '../../support/nameTables.ts';
import { name, settingsOf } from '../../support/zone.ts';

const PACE_MS = 10;

class Scene {
  readonly clock = new FakeClock();
  readonly catalog = new Catalog({
    prefix: '/skydns/',
    onApplied: (nodes) => this.follower.onApplied(nodes),
  });
  readonly tables = tablesOf(this.catalog);
  settings = settingsOf();
  freshness: Freshness = 'synced';
  readonly errors: unknown[] = [];
  readonly follower: ServiceFollower = new ServiceFollower({
    zone: {
      root: this.catalog.root,
      facts: this.tables.facts,
      settings: () => this.settings,
      freshness: () => this.freshness,
    },
    clock: this.clock,
    onError: (error) => this.errors.push(error),
  });
  readonly #createdAt = new Map<string, number>();
  #revision = 0;

  put(path: string, value: object): void {
    const [key, modRevision] = [`/skydns/${path}`, ++this.#revision];
    const octets = Buffer.from(JSON.stringify(value));
    const createRevision = this.#createdAt.get(key) ?? modRevision;
    this.#createdAt.set(key, createRevision);
    const entry = { key, value: octets, createRevision, modRevision, lease: undefined };
    this.catalog.apply([{ kind: 'put', entry, previous: undefined }]);
  }

  delete(path: string): void {
    const modRevision = ++this.#revision;
    const key = `/skydns/${path}`;
    this.#createdAt.delete(key);
    this.catalog.apply([{ kind: 'delete', key, modRevision, previous: undefined }]);
  }

  /** Follows the name; the array grows by a text for each state. */
  follow(owner: string): { readonly seen: string[]; close(): void } {
    const seen: string[] = [];
    const print = ({ instances, leader }: ServiceState): void => {
      const ids = instances.map(({ id }) => id.split('.')[0]).join();
      seen.push(`${ids} led by ${leader?.id.split('.')[0] ?? 'none'}`);
    };
    const { close } = this.follower.follow(name(owner), print);
    return { seen, close };
  }
}

const at = (host: string, more: object = {}) => ({ host, port: 1, ...more });

test('A client gets the state of a name at once, and each later one', async () => {
  const scene = new Scene();
  scene.put('local/skydns/db/1', at('10.0.0.1'));
  const { seen } = scene.follow('db.skydns.local');
  assert.deepEqual(seen, ['1 led by 1']);
  scene.put('local/skydns/db/2', at('10.0.0.2'));
  await scene.clock.advance(PACE_MS);
  scene.delete('local/skydns/db/1');
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, ['1 led by 1', '1,2 led by 1', '2 led by 2']);
});

test('Changes that come faster than the pace give one state, which is the last', async () => {
  const scene = new Scene();
  const states: ServiceState[] = [];
  scene.follower.follow(name('db.skydns.local'), (state) => states.push(state));
  for (let i = 1; i <= 100; i++) {
    scene.put(`local/skydns/db/${i % 3}`, at('10.0.0.1', { weight: i }));
    await scene.clock.advance(1);
  }
  await scene.clock.advance(PACE_MS);
  assert.ok(states.length <= 100 / PACE_MS + 2, `${states.length} states`);
  assert.deepEqual(
    states.at(-1)?.instances.map(({ id, weight }) => `${id.split('.')[0]} ${weight}`),
    ['1 100', '2 98', '0 99'],
  );
});

test('A service that takes long to compute is computed less often, so that the thread has time for DNS', async () => {
  const scene = new Scene();
  let states = 0;
  scene.follower.follow(name('db.skydns.local'), () => {
    states += 1;
    scene.clock.stall(20);
  });
  for (let i = 1; i <= 25; i++) {
    scene.put('local/skydns/db/1', at('10.0.0.1', { weight: i }));
    await scene.clock.advance(40);
  }
  // A state takes 20 ms of each 200.
  assert.ok(states >= 4 && states <= 8, `${states} states`);
});

test('Changes of other names cause no state and no computation', async () => {
  const scene = new Scene();
  const { seen } = scene.follow('db.skydns.local');
  scene.put('local/skydns/web/1', at('10.0.0.1'));
  await scene.clock.advance(PACE_MS);
  assert.deepEqual([seen, scene.clock.fired], [[' led by none'], 0]);
  scene.put('local/skydns/db', at('10.0.0.9'));
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, [' led by none', 'db led by db']);
});

test('A change that leaves the state as it was causes none', async () => {
  const scene = new Scene();
  scene.put('local/skydns/db/1', at('10.0.0.1'));
  const { seen } = scene.follow('db.skydns.local');
  scene.put('local/skydns/db/text', { text: 'no host' });
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, ['1 led by 1']);
});

test('A choice of an operator is a new state', async () => {
  const scene = new Scene();
  scene.put('local/skydns/db/1', at('10.0.0.1', { leader: 'manual' }));
  const { seen } = scene.follow('db.skydns.local');
  const choice = { instance: '1.db.skydns.local' };
  scene.tables.leader.apply([tablePut('leader', 'local/skydns/db', choice, 9)]);
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, ['1 led by none', '1 led by 1']);
});

test('A client that comes before the store was read gets its first state afterwards', async () => {
  const scene = new Scene();
  scene.freshness = 'loading';
  const { seen } = scene.follow('db.skydns.local');
  scene.put('local/skydns/db/1', at('10.0.0.1'));
  await scene.clock.advance(PACE_MS);
  assert.equal(scene.follower.read(name('db.skydns.local')), undefined);
  assert.deepEqual(seen, []);
  scene.freshness = 'stale';
  scene.follower.refresh();
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, ['1 led by 1']);
  assert.equal(scene.follower.isStale(), true);
});

test('New settings of the zone are applied to the states', async () => {
  const scene = new Scene();
  scene.put('local/skydns/db', at('10.0.0.9'));
  scene.put('local/skydns/db/1', at('10.0.0.1'));
  const { seen } = scene.follow('db.skydns.local');
  scene.settings = settingsOf({ parentValue: 'wins' });
  scene.follower.refresh();
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, ['1 led by 1', 'db led by db']);
  assert.equal(scene.follower.serves(name('web.skydns.local')), true);
  assert.equal(scene.follower.serves(name('example.com')), false);
});

test('Clients of one name get the same state, and a client that has closed gets none', async () => {
  const scene = new Scene();
  const one = scene.follow('db.skydns.local');
  const other = scene.follow('DB.skydns.local.');
  one.close();
  scene.put('local/skydns/db/1', at('10.0.0.1'));
  await scene.clock.advance(PACE_MS);
  assert.deepEqual([one.seen.length, other.seen.length], [1, 2]);
  other.close();
  scene.put('local/skydns/db/2', at('10.0.0.2'));
  await scene.clock.advance(PACE_MS);
  assert.deepEqual([other.seen.length, scene.clock.fired], [2, 1]);
});

test('A client that closes twice does not cut off a later client of the same name', async () => {
  const scene = new Scene();
  scene.put('local/skydns/db', at('10.0.0.9'));
  scene.put('local/skydns/db/1', at('10.0.0.1'));
  const first = scene.follow('db.skydns.local');
  first.close();
  const { seen } = scene.follow('db.skydns.local');
  first.close();
  scene.settings = settingsOf({ parentValue: 'wins' });
  scene.follower.refresh();
  await scene.clock.advance(PACE_MS);
  assert.deepEqual(seen, ['1 led by 1', 'db led by db']);
});
