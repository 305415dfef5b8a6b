import assert from 'node:assert/strict';
import test from 'node:test';
import { parseRoutes, routeTexts } from '../../src/ambassador/dropIn.ts';
import { printListen, printRouteTarget } from '../../src/ambassador/targetText.ts';
import { isSubdomainOf, type Name } from '../../src/dns/name.ts';

const isOurs = (name: Name) => isSubdomainOf(name, ['skydns', 'local']);

/** The routes of a command line and environment, as `LISTEN=BACKEND`, or the mistakes. */
function routesOf(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const parsed = parseRoutes(routeTexts(words, env), isOurs);
  if (parsed.kind === 'mistakes') return parsed.mistakes;
  return parsed.routes.map(
    ({ listen, target }) => `${printListen(listen)}=${printRouteTarget(target)}`,
  );
}

test('A host and a port as two words are a route, as in svendowideit/ambassador', () => {
  assert.deepEqual(routesOf(['192.168.1.52', '6379']), ['6379=192.168.1.52:6379']);
  assert.deepEqual(routesOf(['db.skydns.local', '5432']), ['5432=db.skydns.local:5432']);
});

test("The variables of Docker's links are routes", () => {
  const env = {
    REDIS_PORT: 'tcp://192.168.1.52:6379',
    REDIS_PORT_6379_TCP: 'tcp://192.168.1.52:6379',
    REDIS_PORT_6379_TCP_ADDR: '192.168.1.52',
    REDIS_NAME: '/consumer/redis',
    DNS_PORT_53_UDP: 'udp://10.0.0.53:53',
    DB_PORT_5432_TCP: 'tcp://db.production.skydns.local:5432',
    OTHER_PORT_80_TCP: 'http://10.0.0.1:80',
  };
  assert.deepEqual(routesOf([], env), [
    '6379=192.168.1.52:6379',
    '53/udp=10.0.0.53:53',
    '5432=db.production.skydns.local:5432',
  ]);
});

test('All four ports of one linked container are routes', () => {
  const ports = [4369, 5671, 5672, 25672];
  const env = Object.fromEntries(
    ports.map((port) => [`RABBITMQ_PORT_${port}_TCP`, `tcp://172.17.0.2:${port}`]),
  );
  assert.deepEqual(
    routesOf([], env),
    ports.map((port) => `${port}=172.17.0.2:${port}`),
  );
});

test("ambassadord's variables are routes, and BACKEND listens on PORT or 10000", () => {
  const backends = { BACKEND_6379: 'redis.skydns.local', BACKEND_80: '10.0.0.1:80,10.0.0.2:80' };
  assert.deepEqual(routesOf([], backends), [
    '6379=redis.skydns.local',
    '80=10.0.0.1:80,10.0.0.2:80',
  ]);
  assert.deepEqual(routesOf([], { BACKEND: '10.0.0.1:80' }), ['10000=10.0.0.1:80']);
  assert.deepEqual(routesOf([], { BACKEND: '10.0.0.1:80', PORT: '80' }), ['80=10.0.0.1:80']);
  assert.deepEqual(routesOf([], { BACKEND: '10.0.0.1:80', PORT: '' }), ['10000=10.0.0.1:80']);
});

test('Words take precedence over the environment', () => {
  const env = { REDIS_PORT_6379_TCP: 'tcp://192.168.1.52:6379' };
  assert.deepEqual(routesOf(['80=10.0.0.1:80'], env), ['80=10.0.0.1:80']);
});

test('Equal routes under several aliases count once', () => {
  const env = {
    DB_PORT_5432_TCP: 'tcp://172.17.0.2:5432',
    POSTGRES_PORT_5432_TCP: 'tcp://172.17.0.2:5432',
  };
  assert.deepEqual(routesOf([], env), ['5432=172.17.0.2:5432']);
});

test('Different routes that listen on one port are a mistake that names both', () => {
  const env = {
    A_PORT_5432_TCP: 'tcp://172.17.0.2:5432',
    B_PORT_5432_TCP: 'tcp://172.17.0.3:5432',
  };
  assert.deepEqual(routesOf([], env), [
    'A_PORT_5432_TCP=tcp://172.17.0.2:5432 and B_PORT_5432_TCP=tcp://172.17.0.3:5432 both listen on 5432',
  ]);
});

test('Every mistake is listed with the argument or variable that has it', () => {
  assert.deepEqual(routesOf(['80=10.0.0.1', '81=x y:80']), [
    '80=10.0.0.1 has no port: write ADDRESS:PORT',
    '81=x y:80 is not IP:PORT, NAME:PORT, NAME or etcd://HOST:PORT/KEY',
  ]);
});
