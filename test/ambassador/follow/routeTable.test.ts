import assert from 'node:assert/strict';
import test from 'node:test';
import { RouteTable, type RouteTableOptions } from '../../../src/ambassador/follow/routeTable.ts';
import type { BackendSet, Match, Route } from '../../../src/ambassador/route.ts';
import { parseTarget, printRouteTarget } from '../../../src/ambassador/targetText.ts';
import { printSocketAddress } from '../../../src/dns/address.ts';
import { Class, Type } from '../../../src/dns/rr.ts';
import { ChangingZone } from '../../support/followedZone.ts';
import { name } from '../../support/zone.ts';

const KEY = 'local/skydns/redis';

function virtual(port: number): Match {
  return { kind: 'virtual', address: '198.18.0.1', port, protocol: 'tcp' };
}

function route(
  match: Match,
  text: string,
  { origin = 'test', sinceMs = 0, isOurs = true } = {},
): Route {
  const parsed = parseTarget(text, () => isOurs);
  assert.ok(parsed.kind === 'target', text);
  return { match, target: parsed.target, origin, sinceMs };
}

function textOf(set: BackendSet): string {
  return set.kind === 'waits' ? 'waits' : set.backends.map(printSocketAddress).join(' ') || 'none';
}

/** A table whose plane writes down what it gets. */
function tableOn(zone: ChangingZone, options: Partial<RouteTableOptions> = {}) {
  const calls: string[] = [];
  const plane = {
    set: ({ target }: Route, set: BackendSet) =>
      void calls.push(`${printRouteTarget(target)} -> ${textOf(set)}`),
    remove: ({ target }: Route) => void calls.push(`${printRouteTarget(target)} removed`),
  };
  const table = new RouteTable({
    plane,
    follower: zone.follower,
    prefix: '/skydns/',
    ...options,
  });
  return { table, takeCalls: () => calls.splice(0) };
}

test('A plane gets the backends of a route, and each change of them in the same turn', () => {
  const zone = new ChangingZone();
  zone.write({ [`${KEY}/1`]: { host: '10.0.0.1', port: 6379 } });
  const { table, takeCalls } = tableOn(zone);
  table.setRoutes('vip', [route(virtual(6379), 'redis.skydns.local')]);
  assert.deepEqual(takeCalls(), ['redis.skydns.local -> 10.0.0.1:6379']);
  zone.write({ [`${KEY}/2`]: { host: '10.0.0.2', port: 6379 } });
  zone.write({ [`${KEY}/1`]: undefined });
  zone.write({ 'local/skydns/other': { host: '10.0.0.9', port: 6379 } });
  zone.write({ [`${KEY}/2`]: undefined });
  assert.deepEqual(takeCalls(), [
    'redis.skydns.local -> 10.0.0.1:6379 10.0.0.2:6379',
    'redis.skydns.local -> 10.0.0.2:6379',
    'redis.skydns.local -> none',
  ]);
});

test('A value that changes without another address, port, weight or priority causes no call', () => {
  const zone = new ChangingZone();
  zone.write({ [`${KEY}/1`]: { host: '10.0.0.1', port: 6379 } });
  const { table, takeCalls } = tableOn(zone);
  table.setRoutes('vip', [route(virtual(6379), 'redis.skydns.local')]);
  takeCalls();
  zone.write({ [`${KEY}/1`]: { host: '10.0.0.1', port: 6379, text: 'new' } });
  assert.deepEqual(takeCalls(), []);
});

test('A route waits until the store was read', () => {
  const zone = new ChangingZone({ isLoaded: false });
  const { table, takeCalls } = tableOn(zone);
  table.setRoutes('vip', [route(virtual(6379), 'redis.skydns.local')]);
  zone.write({ [`${KEY}/1`]: { host: '10.0.0.1', port: 6379 } });
  assert.deepEqual(takeCalls(), ['redis.skydns.local -> waits']);
  zone.load();
  assert.deepEqual(takeCalls(), ['redis.skydns.local -> 10.0.0.1:6379']);
});

test('A route that its source no longer states is removed, and one that stays is left alone', () => {
  const zone = new ChangingZone();
  const { table, takeCalls } = tableOn(zone);
  const [a, b] = [route(virtual(1), '10.0.0.1:1'), route(virtual(2), '10.0.0.2:2')];
  table.setRoutes('vip', [a, b]);
  table.setRoutes('links', [route(virtual(3), '10.0.0.3:3')]);
  takeCalls();
  table.setRoutes('vip', [b]);
  assert.deepEqual(takeCalls(), ['10.0.0.1:1 removed']);
  zone.write({ x: { host: '10.0.0.1' } });
  assert.deepEqual(takeCalls(), []);
});

test('A route that takes the place of an equal one is reported with its own origin', () => {
  const { table, takeCalls } = tableOn(new ChangingZone());
  for (const origin of ['container a', 'container b'])
    table.setRoutes(origin, [route(virtual(1), '10.0.0.1:1', { origin })]);
  takeCalls();
  table.setRoutes('container a', []);
  assert.deepEqual(
    table.states().map(({ route: { origin } }) => origin),
    ['container b'],
  );
  assert.deepEqual(takeCalls(), ['10.0.0.1:1 -> 10.0.0.1:1']);
});

test('A route that leads elsewhere from now on replaces its backends without being removed', () => {
  const { table, takeCalls } = tableOn(new ChangingZone());
  table.setRoutes('vip', [route(virtual(1), '10.0.0.1:1')]);
  takeCalls();
  table.setRoutes('vip', [route(virtual(1), '10.0.0.2:2')]);
  assert.deepEqual(takeCalls(), ['10.0.0.2:2 -> 10.0.0.2:2']);
});

test('Of two routes with one match the older one stands, and the other takes its place when it ends', () => {
  const { table, takeCalls } = tableOn(new ChangingZone());
  const older = route(virtual(1), '10.0.0.1:1', { origin: 'container a', sinceMs: 1 });
  const newer = route(virtual(1), '10.0.0.2:2', { origin: 'container b', sinceMs: 2 });
  table.setRoutes('links', [newer, older]);
  assert.deepEqual(takeCalls(), ['10.0.0.1:1 -> 10.0.0.1:1']);
  const yielding = table.states().filter(({ yieldsTo }) => yieldsTo !== undefined);
  assert.deepEqual(
    yielding.map(({ route, yieldsTo }) => [route.origin, yieldsTo?.origin]),
    [['container b', 'container a']],
  );
  table.setRoutes('links', [newer]);
  assert.deepEqual(takeCalls(), ['10.0.0.2:2 -> 10.0.0.2:2']);
});

test('Equal routes of two containers are one route, and neither is refused', () => {
  const { table, takeCalls } = tableOn(new ChangingZone());
  const routes = ['a', 'b'].map((origin) => route(virtual(1), '10.0.0.1:1', { origin }));
  table.setRoutes('links', routes);
  assert.deepEqual(takeCalls(), ['10.0.0.1:1 -> 10.0.0.1:1']);
  assert.equal(table.states().length, 1);
});

test('Backends on this host are replaced by the addresses at which this host reaches them', () => {
  let local = '172.17.0.2';
  const { table, takeCalls } = tableOn(new ChangingZone(), {
    reach: (backends) =>
      backends.map((backend) =>
        backend.address === '10.0.0.1' ? { ...backend, address: local } : backend,
      ),
  });
  table.setRoutes('vip', [route(virtual(1), '10.0.0.1:80,10.0.0.2:80')]);
  local = '172.17.0.3';
  table.refreshReach();
  table.refreshReach();
  assert.deepEqual(takeCalls(), [
    '10.0.0.1:80,10.0.0.2:80 -> 172.17.0.2:80 10.0.0.2:80',
    '10.0.0.1:80,10.0.0.2:80 -> 172.17.0.3:80 10.0.0.2:80',
  ]);
});

/** Lets the promises of answers settle. */
const settled = () => new Promise((resolve) => setImmediate(resolve));

function addresses(owner: string, ...texts: readonly string[]) {
  const rrs = texts.map((address) => {
    const rdata = { kind: 'address', address } as const;
    return { owner: name(owner), type: Type.A, class: Class.IN, ttlSeconds: 1, rdata };
  });
  return { kind: 'found', rrs } as const;
}

test('A host name outside is asked for again after its TTL, and its old addresses stay when that fails', async () => {
  const zone = new ChangingZone();
  const { table, takeCalls } = tableOn(zone);
  const HOST = 'db.example.com';
  zone.answerOutside = () => addresses(HOST, '192.0.2.1');
  table.setRoutes('arguments', [route(virtual(1), `${HOST}:5432`, { isOurs: false })]);
  await settled();
  assert.deepEqual(takeCalls(), [`${HOST}:5432 -> waits`, `${HOST}:5432 -> 192.0.2.1:5432`]);
  zone.answerOutside = () => ({ kind: 'failed' });
  await zone.clock.advance(5_000);
  await settled();
  assert.deepEqual(takeCalls(), []);
  zone.answerOutside = () => addresses(HOST, '192.0.2.2');
  await zone.clock.advance(5_000);
  await settled();
  assert.deepEqual(takeCalls(), [`${HOST}:5432 -> 192.0.2.2:5432`]);
});

test('A host name whose address stays the same for long is still asked for, until no route leads to it', async () => {
  const zone = new ChangingZone();
  const { table, takeCalls } = tableOn(zone);
  const HOST = 'db.example.com';
  zone.answerOutside = () => addresses(HOST, '192.0.2.1');
  table.setRoutes('arguments', [route(virtual(1), `${HOST}:5432`, { isOurs: false })]);
  await settled();
  const pass = async (seconds: number): Promise<void> => {
    for (let passed = 0; passed < seconds; passed += 5) {
      await zone.clock.advance(5_000);
      await settled();
    }
  };
  await pass(3_600);
  takeCalls();
  zone.answerOutside = () => addresses(HOST, '192.0.2.2');
  await pass(5);
  assert.deepEqual(takeCalls(), [`${HOST}:5432 -> 192.0.2.2:5432`]);
  table.setRoutes('arguments', []);
  await pass(5);
  zone.asked.length = 0;
  await pass(60);
  assert.deepEqual(zone.asked, []);
});

test('Routes of many containers to one service are computed once, and each of them follows it until it ends', () => {
  const zone = new ChangingZone();
  zone.write({ [`${KEY}/1`]: { host: '10.0.0.1', port: 6379 } });
  let computed = 0;
  const follower: RouteTableOptions['follower'] = {
    follow: (options) =>
      zone.follower.follow({
        ...options,
        compute: (view) => {
          computed += 1;
          return options.compute(view);
        },
      }),
  };
  const { table, takeCalls } = tableOn(zone, { follower });
  const consumer = (number: number): Match => {
    return { kind: 'consumer', source: `172.17.0.${number}`, port: 6379, protocol: 'tcp' };
  };
  for (let number = 1; number <= 100; number++)
    table.setRoutes(`${number}`, [route(consumer(number), 'redis.skydns.local')]);
  assert.deepEqual([takeCalls().length, computed], [100, 1]);
  zone.write({ [`${KEY}/2`]: { host: '10.0.0.2', port: 6379 } });
  assert.deepEqual([takeCalls().length, computed], [100, 2]);
  // A choice of a port, or another protocol, is another question.
  table.setRoutes('udp', [
    route({ ...consumer(1), protocol: 'udp' } as Match, 'redis.skydns.local'),
  ]);
  table.setRoutes('port', [route({ ...consumer(1), port: 1 } as Match, 'redis.skydns.local:6379')]);
  assert.deepEqual([takeCalls().length, computed], [2, 4]);
  for (const source of ['udp', 'port', ...Array.from({ length: 99 }, (_, i) => `${i + 1}`)])
    table.setRoutes(source, []);
  takeCalls();
  zone.write({ [`${KEY}/1`]: undefined });
  assert.deepEqual(takeCalls(), ['redis.skydns.local -> 10.0.0.2:6379']);
  assert.equal(computed, 5);
  table.setRoutes('100', []);
  zone.write({ [`${KEY}/2`]: undefined });
  assert.equal(computed, 5);
  table.setRoutes('new', [route(consumer(1), 'redis.skydns.local')]);
  assert.deepEqual(takeCalls().at(-1), 'redis.skydns.local -> none');
});
