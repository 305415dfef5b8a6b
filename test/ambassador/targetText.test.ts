import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  parseKeyValue,
  parseListen,
  parseRoute,
  parseTarget,
  printListen,
  printRouteTarget,
} from '../../src/ambassador/targetText.ts';
import { isSubdomainOf, type Name } from '../../src/dns/name.ts';

const isOurs = (name: Name) => isSubdomainOf(name, ['skydns', 'local']);
const REDIS = 'redis.production.east.skydns.local';

/** Route text -> where it listens, and its target in canonical text with its kind. */
const ROUTES: Readonly<Record<string, readonly [listen: string, kind: string, target: string]>> = {
  '6379=192.168.1.52:6379': ['6379', 'endpoints', '192.168.1.52:6379'],
  '6379=192.168.1.52:6379,192.168.1.53:6380': [
    '6379',
    'endpoints',
    '192.168.1.52:6379,192.168.1.53:6380',
  ],
  '192.168.1.52:6379': ['6379', 'endpoints', '192.168.1.52:6379'],
  '6379=[2001:DB8::1]:6379': ['6379', 'endpoints', '[2001:db8::1]:6379'],
  '6379=redis.example.com:6379': ['6379', 'endpoints', 'redis.example.com:6379'],
  'redis.example.com:6379': ['6379', 'endpoints', 'redis.example.com:6379'],
  [`6379=${REDIS}`]: ['6379', 'service', REDIS],
  [`6379=${REDIS.toUpperCase()}.`]: ['6379', 'service', REDIS],
  [`80=${REDIS}:8080`]: ['80', 'service', `${REDIS}:8080`],
  [`${REDIS}:8080`]: ['8080', 'service', `${REDIS}:8080`],
  '6379=redis.service.consul': ['6379', 'service', 'redis.service.consul'],
  '6379=leader.mysql.skydns.local': ['6379', 'service', 'leader.mysql.skydns.local'],
  '6379=etcd://10.0.0.1:2379/services/redis/': [
    '6379',
    'key',
    'etcd://10.0.0.1:2379/services/redis',
  ],
  '127.0.0.1:6379=10.0.0.1:6379': ['127.0.0.1:6379', 'endpoints', '10.0.0.1:6379'],
  '[::1]:53/udp=10.0.0.1:53': ['[::1]:53/udp', 'endpoints', '10.0.0.1:53'],
  '53/udp=10.0.0.1:53': ['53/udp', 'endpoints', '10.0.0.1:53'],
  '/run/redis.sock=10.0.0.1:6379': ['/run/redis.sock', 'endpoints', '10.0.0.1:6379'],
};

for (const [text, [listen, kind, target]] of Object.entries(ROUTES)) {
  test(`The route ${text} listens on ${listen} and leads to ${target}`, () => {
    const route = parseRoute(text, isOurs);
    assert.ok(route.kind === 'route', JSON.stringify(route));
    assert.deepEqual(
      [printListen(route.listen), route.target.kind, printRouteTarget(route.target)],
      [listen, kind, target],
    );
  });
}

const MISTAKES: Readonly<Record<string, RegExp>> = {
  '': /names no backend/,
  '6379=': /names no backend/,
  'redis=10.0.0.1:6379': /does not begin with a PORT/,
  '0=10.0.0.1:6379': /does not begin with a PORT/,
  '65536=10.0.0.1:6379': /does not begin with a PORT/,
  '300.0.0.1:80=10.0.0.1:6379': /does not begin with a PORT/,
  '6379=10.0.0.1': /has no port/,
  '6379=10.0.0.1:0': /is not IP:PORT/,
  '6379=10.0.0.1:70000': /is not IP:PORT/,
  '6379=10.0.0.300:6379': /is not IP:PORT/,
  '6379=10.0.0.1:6379,redis.example.com': /has no port/,
  '6379=a b:80': /is not IP:PORT/,
  '6379=-x:80': /is not IP:PORT/,
  '6379=redis;ls:80': /is not IP:PORT/,
  [REDIS]: /on which port to listen/,
  '10.0.0.1:80,10.0.0.2:81': /on which port to listen/,
  'etcd://10.0.0.1:2379/services': /on which port to listen/,
  '80=etcd://10.0.0.1:2379': /has no usable key/,
  '80=etcd:///services': /has no usable key/,
  '80=consul://10.0.0.1:8500/redis': /Consul's key store/,
  '80=ftp://10.0.0.1/redis': /is not IP:PORT/,
};

for (const [text, problem] of Object.entries(MISTAKES)) {
  test(`The route "${text}" is refused with a reason`, () => {
    const route = parseRoute(text, isOurs);
    assert.ok(route.kind === 'mistake', JSON.stringify(route));
    assert.match(route.problem, problem);
  });
}

test('The text of a target is parsed to the same target again', () => {
  const texts = Object.keys(ROUTES).map((text) => text.slice(text.indexOf('=') + 1));
  for (const text of texts) {
    const parsed = parseTarget(text, isOurs);
    assert.ok(parsed.kind === 'target');
    assert.deepEqual(parseTarget(printRouteTarget(parsed.target), isOurs), parsed);
  }
});

test('No text makes the parsers throw, and what they accept has only ports, addresses and plain names', () => {
  const piece = fc.constantFrom(
    '10.0.0.1',
    ':',
    '=',
    ',',
    '80',
    'udp',
    '/',
    '[',
    ']',
    '::1',
    'a.b',
    '.',
    '-',
    '\0',
    '"',
    ';',
    '{',
    '}',
    '$(x)',
    'etcd://',
    '\n',
    ' ',
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.array(piece).map((parts) => parts.join('')),
      ),
      (text) => {
        parseListen(text);
        parseKeyValue(text);
        const route = parseRoute(text, isOurs);
        if (route.kind === 'mistake') return;
        if (route.target.kind !== 'key')
          assert.match(printRouteTarget(route.target), /^[A-Za-z0-9.:,[\]_-]+$/);
        if (route.listen.kind === 'port')
          assert.match(printListen(route.listen), /^[0-9a-f.:[\]]+(\/udp)?$/);
      },
    ),
    { numRuns: 2_000 },
  );
});

const KEY_VALUES: Readonly<Record<string, string>> = {
  '{"host":"10.0.0.1","port":6379}': '10.0.0.1:6379',
  '{"host":"10.0.0.1","port":"6379","weight":3}': '10.0.0.1:6379',
  '{"host":"redis.example.com","port":6379}': 'redis.example.com:6379',
  '10.0.0.1:6379': '10.0.0.1:6379',
  '10.0.0.1:6379, 10.0.0.2:6379': '10.0.0.1:6379,10.0.0.2:6379',
  '10.0.0.1:6379,nonsense': '10.0.0.1:6379',
  '{"host":"10.0.0.1"}': '',
  '{"host":': '',
  null: '',
  '[1]': '',
  nonsense: '',
};

for (const [value, endpoints] of Object.entries(KEY_VALUES)) {
  test(`The value ${value} of a key names ${endpoints || 'no endpoint'}`, () => {
    assert.equal(
      printRouteTarget({ kind: 'endpoints', endpoints: parseKeyValue(value) }),
      endpoints,
    );
  });
}
