import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { KeyEndpoints } from '../../../src/ambassador/follow/keyEndpoints.ts';
import { StoreZone } from '../../../src/ambassador/follow/storeZone.ts';
import { printRouteTarget } from '../../../src/ambassador/targetText.ts';
import { printName } from '../../../src/dns/name.ts';
import { createMemoryStore } from '../../../src/store/embedded/memoryStore.ts';
import type { Store } from '../../../src/store/store.ts';
import { systemClock } from '../../../src/timing/clock.ts';
import { until } from '../../support/until.ts';
import { name, settingsOf } from '../../support/zone.ts';

function put(store: Store, key: string, value: unknown) {
  return store.put(key, Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
}

/** The zone of these services, once it has been read. */
async function zoneOf(context: TestContext, store: Store, services: readonly string[]) {
  const changed: string[] = [];
  const { apexes: _, ...settings } = settingsOf();
  await new Promise<void>((resolve) => {
    const zone = new StoreZone({
      store,
      pathPrefix: 'skydns',
      services: services.map(name),
      settings,
      clock: systemClock,
      onApplied: (nodes) => changed.push(...nodes.map((node) => printName(node.owner()))),
      onLoaded: resolve,
      onEvent: () => {},
      onInvalid: () => {},
    });
    context.after(() => zone.close());
    zone.start();
  });
  return changed;
}

async function openStore(context: TestContext): Promise<Store> {
  const store = createMemoryStore({ revision: 1 });
  context.after(() => store.close());
  for (const key of [
    'local/skydns/east/redis/1',
    'local/skydns/east/web/1',
    'local/skydns/west/web/1',
  ])
    await put(store, `/skydns/${key}`, { host: '10.0.0.1' });
  return store;
}

test('The zone of a service has the names below its parent', async (context) => {
  const store = await openStore(context);
  const changed = await zoneOf(context, store, ['redis.east.skydns.local']);
  assert.deepEqual(changed.sort(), ['1.redis.east.skydns.local.', '1.web.east.skydns.local.']);
  await put(store, '/skydns/local/skydns/east/redis/2', { host: '10.0.0.2' });
  await until('the new instance is in the zone', () =>
    changed.includes('2.redis.east.skydns.local.'),
  );
});

test('The zone of several services has the names below the name that all of them share', async (context) => {
  const store = await openStore(context);
  const services = ['redis.east.skydns.local', 'web.west.skydns.local'];
  assert.equal((await zoneOf(context, store, services)).length, 3);
});

test('The zone of services in two domains has all names', async (context) => {
  const store = await openStore(context);
  await put(store, '/skydns/internal/db/1', { host: '10.0.0.3' });
  const services = ['redis.east.skydns.local', 'db.internal'];
  assert.equal((await zoneOf(context, store, services)).length, 4);
});

test('A key leads to the endpoints in its own value and in those of its children, and follows their changes', async (context) => {
  const store = createMemoryStore({ revision: 1 });
  context.after(() => store.close());
  await put(store, '/services/redis', '10.0.0.1:6379,10.0.0.2:6379');
  await put(store, '/services/redis/a', { host: '10.0.0.3', port: 6379 });
  await put(store, '/services/redis-other', '10.0.0.9:6379');
  let changes = 0;
  const endpoints = new KeyEndpoints({
    store,
    key: '/services/redis',
    clock: systemClock,
    onChange: () => {
      changes++;
    },
    onEvent: () => {},
  });
  context.after(() => endpoints.close());
  assert.equal(endpoints.endpoints(), undefined);
  endpoints.start();
  const text = () => {
    const known = endpoints.endpoints();
    return known && printRouteTarget({ kind: 'endpoints', endpoints: known });
  };
  await until('the key is read', () => text() === '10.0.0.1:6379,10.0.0.2:6379,10.0.0.3:6379');
  assert.equal(changes, 1);
  await put(store, '/services/redis', 'not an endpoint');
  await store.delete('/services/redis/a');
  await until('the endpoints are gone', () => text() === '');
  assert.equal(changes, 3);
});
