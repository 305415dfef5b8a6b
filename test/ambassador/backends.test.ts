import assert from 'node:assert/strict';
import test from 'node:test';
import { resolveBackends } from '../../src/ambassador/backends.ts';
import type { Protocol } from '../../src/ambassador/route.ts';
import { parseTarget } from '../../src/ambassador/targetText.ts';
import { printSocketAddress } from '../../src/dns/address.ts';
import { isSubdomainOf } from '../../src/dns/name.ts';
import { Class, Type } from '../../src/dns/rr.ts';
import { type External, externalKey } from '../../src/zone/tree/view.ts';
import { catalogOf, name, type Services, viewOf } from '../support/zone.ts';

const REDIS = 'redis.east.skydns.local';
const KEY = 'local/skydns/east/redis';

interface Asked {
  readonly services?: Services;
  /** `NAME TYPE` -> the addresses, or SRV targets as `PRIORITY WEIGHT PORT TARGET`, or `failed`. */
  readonly outside?: Readonly<Record<string, readonly string[]>>;
  readonly protocol?: Protocol;
  readonly port?: number | undefined;
}

function resolve(
  text: string,
  { services = {}, outside = {}, protocol = 'tcp', port = 6379 }: Asked,
) {
  const parsed = parseTarget(text, (name) => isSubdomainOf(name, ['skydns', 'local']));
  assert.ok(parsed.kind === 'target' && parsed.target.kind !== 'key');
  const externals = new Map(
    Object.entries(outside).map(([question, data]) => {
      const [owner = '', type = 'A'] = question.split(' ');
      const qtype = Type[type as keyof typeof Type];
      return [externalKey(name(owner), qtype), externalOf(owner, qtype, data)];
    }),
  );
  const view = viewOf(catalogOf(services), { externals });
  return resolveBackends(view, { target: parsed.target, protocol, port }, '/skydns/');
}

function externalOf(owner: string, type: number, data: readonly string[]): External {
  if (data.length === 0) return { kind: 'found', rrs: [] };
  if (data[0] === 'failed') return { kind: 'failed' };
  const rrs = data.map((text) => {
    const [priority = 0, weight = 0, port = 0] = text.split(' ').map(Number);
    const rdata =
      type === Type.SRV
        ? ({ kind: 'srv', priority, weight, port, target: name(text.split(' ')[3] ?? '') } as const)
        : ({ kind: 'address', address: text } as const);
    return { owner: name(owner), type, class: Class.IN, ttlSeconds: 60, rdata };
  });
  return { kind: 'found', rrs };
}

/** The backends as `address:port priority/weight`, or why there is none. */
function textOf(resolved: ReturnType<typeof resolve>): readonly string[] | string {
  const { value } = resolved;
  if (value.kind === 'waits') return value.reason;
  if (value.backends.length === 0) return value.reason ?? 'no reason';
  return value.backends.map(
    (backend) => `${printSocketAddress(backend)} ${backend.priority}/${backend.weight}`,
  );
}

test('A service has the backends that SRV lists for its name, with their priorities, weights and keys', () => {
  const services = {
    [`${KEY}/1`]: { host: '10.0.0.2', port: 49_153, weight: 30 },
    [`${KEY}/2`]: { host: '10.0.0.1', port: 49_154, priority: 20 },
    [`${KEY}/3`]: { host: '10.0.0.3', port: -1 },
    [`${KEY}/4`]: { text: 'no host' },
  };
  const resolved = resolve(REDIS, { services });
  assert.deepEqual(textOf(resolved), ['10.0.0.1:49154 20/100', '10.0.0.2:49153 10/30']);
  const keys = resolved.value.kind === 'known' ? resolved.value.backends.map(({ key }) => key) : [];
  assert.deepEqual(keys, [`/skydns/${KEY}/2`, `/skydns/${KEY}/1`]);
});

test('A backend without a port has the port of the route', () => {
  const services = { [`${KEY}/1`]: { host: '10.0.0.1' } };
  assert.deepEqual(textOf(resolve(REDIS, { services })), ['10.0.0.1:6379 10/100']);
});

test('Two records of one address and port are one backend, with the preferred priority', () => {
  const services = {
    [`${KEY}/1`]: { host: '10.0.0.1', port: 6379, priority: 20, weight: 50 },
    [`${KEY}/2`]: { host: '10.0.0.1', port: 6379, priority: 10, weight: 5 },
  };
  assert.deepEqual(textOf(resolve(REDIS, { services })), ['10.0.0.1:6379 10/5']);
});

const SEVERAL_PORTS = {
  [`${KEY}/1`]: { host: '10.0.0.1', port: 49_153, expose: 6379 },
  [`${KEY}/2`]: { host: '10.0.0.1', port: 49_154, expose: 8080 },
  [`${KEY}/3`]: { host: '10.0.0.1', port: 49_155, expose: '53/udp' },
  [`${KEY}/4`]: { host: '10.0.0.2', port: 49_156, expose: 6379 },
};

test('A route leads to the instances whose own port is the one that the target names', () => {
  const services = SEVERAL_PORTS;
  assert.deepEqual(textOf(resolve(`${REDIS}:8080`, { services })), ['10.0.0.1:49154 10/100']);
});

test('A route whose target names no port leads to the own port that is the port of the route', () => {
  assert.deepEqual(textOf(resolve(REDIS, { services: SEVERAL_PORTS })), [
    '10.0.0.1:49153 10/100',
    '10.0.0.2:49156 10/100',
  ]);
});

test('A route that could lead to several own ports leads to none, and lists them', () => {
  assert.equal(
    textOf(resolve(REDIS, { services: SEVERAL_PORTS, port: 80 })),
    'the name has several ports (6379/tcp, 8080/tcp): add :PORT to it',
  );
});

test('A UDP route leads to the instances with a UDP port, whatever its own port is', () => {
  const services = SEVERAL_PORTS;
  assert.deepEqual(textOf(resolve(REDIS, { services, protocol: 'udp', port: 5353 })), [
    '10.0.0.1:49155 10/100',
  ]);
});

test('A name that does not exist, and one without an instance of the protocol, have no backend', () => {
  const missing = resolve(REDIS, {});
  assert.equal(textOf(missing), `${REDIS}. does not exist`);
  // A name between it and the apex, or a stored wildcard there, may give it backends.
  assert.deepEqual(missing.names, [name(REDIS), name('east.skydns.local'), name('*.skydns.local')]);
  const services = { [`${KEY}/1`]: { host: '10.0.0.1', port: 53, expose: '53/udp' } };
  assert.equal(textOf(resolve(REDIS, { services })), `${REDIS}. has no instance for tcp`);
});

test('A host name of ours has its addresses, and the result depends on both names', () => {
  const services = {
    [`${KEY}/1`]: { host: 'node1.skydns.local', port: 6379 },
    'local/skydns/node1/a': { host: '10.0.0.7' },
    'local/skydns/node1/b': { host: '10.0.0.8' },
  };
  const resolved = resolve(REDIS, { services });
  assert.deepEqual(textOf(resolved), ['10.0.0.7:6379 10/50', '10.0.0.8:6379 10/50']);
  assert.deepEqual(resolved.names, [name(REDIS), name('node1.skydns.local')]);
});

test('A host name outside waits for the answer about its IPv4 addresses, then uses them', () => {
  const services = { [`${KEY}/1`]: { host: 'node1.example.com', port: 6379 } };
  const waiting = resolve(REDIS, { services });
  assert.equal(textOf(waiting), 'waits for the answer about node1.example.com.');
  assert.deepEqual(
    waiting.missing.map(({ question }) => question.qtype),
    [Type.A],
  );
  const outside = { 'node1.example.com A': ['192.0.2.1'] };
  assert.deepEqual(textOf(resolve(REDIS, { services, outside })), ['192.0.2.1:6379 10/100']);
});

test('A host name outside without IPv4 addresses has its IPv6 addresses', () => {
  const outside = { 'db.example.com A': [], 'db.example.com AAAA': ['2001:db8::1'] };
  assert.deepEqual(textOf(resolve('db.example.com:5432', { outside })), [
    '[2001:db8::1]:5432 0/100',
  ]);
});

test('A name about which no server answers waits, because it may have backends', () => {
  const outside = { 'db.example.com A': ['failed'], 'db.example.com AAAA': [] };
  const resolved = resolve('db.example.com:5432', { outside });
  assert.equal(textOf(resolved), 'no server has answered about db.example.com.');
});

test('A known backend serves while the answer about another one is missing', () => {
  const services = {
    [`${KEY}/1`]: { host: 'node1.example.com', port: 6379 },
    [`${KEY}/2`]: { host: '10.0.0.1', port: 6379 },
  };
  assert.deepEqual(textOf(resolve(REDIS, { services })), ['10.0.0.1:6379 10/100']);
});

test('A name outside without a port has the backends of its SRV records', () => {
  const outside = {
    'redis.service.consul SRV': ['1 5 6379 a.node.consul.', '2 0 6380 b.node.consul.', '1 1 1 .'],
    'a.node.consul A': ['192.0.2.1'],
    'b.node.consul A': ['192.0.2.2'],
  };
  assert.deepEqual(textOf(resolve('redis.service.consul', { outside })), [
    '192.0.2.1:6379 1/5',
    '192.0.2.2:6380 2/1',
  ]);
});
