import assert from 'node:assert/strict';
import test from 'node:test';
import { type FoundLink, findLink, type LinkWay } from '../../src/ambassador/findLink.ts';
import { catalogOf, name, type Services, viewOf } from '../support/zone.ts';

const VIP: LinkWay = { kind: 'vip', address: '198.18.73.12' };
const DIRECT: LinkWay = { kind: 'direct' };

function find(services: Services, way: LinkWay, owner = 'db.skydns.local'): FoundLink | undefined {
  return findLink(viewOf(catalogOf(services)), name(owner), way);
}

/** The ports as `own/protocol host:port`, sorted. */
function ports(found: FoundLink | undefined): readonly string[] {
  return (found?.ports ?? [])
    .map(({ exposed, host, port }) => `${exposed.number}/${exposed.protocol} ${host}:${port}`)
    .sort();
}

const TWO_HOSTS: Services = {
  'local/skydns/db/1': { host: '10.0.0.1', port: 49153, expose: '5432/tcp' },
  'local/skydns/db/2': { host: '10.0.0.2', port: 49160, expose: '5432/tcp' },
  'local/skydns/db/3': { host: '10.0.0.2', port: 49161, expose: '53/udp' },
};

test('A link through a virtual address has each exposed port once, at that address', () => {
  assert.deepEqual(ports(find(TWO_HOSTS, VIP)), [
    '53/udp 198.18.73.12:53',
    '5432/tcp 198.18.73.12:5432',
  ]);
});

test('A link through a virtual address leads to the port that the service has there', () => {
  const services = {
    'local/skydns/db/1': { host: '10.0.0.1', port: 49153, expose: 8080, vipport: 80 },
  };
  assert.deepEqual(ports(find(services, VIP)), ['8080/tcp 198.18.73.12:80']);
});

test('A direct link leads to where an instance is published', () => {
  const found = find(TWO_HOSTS, DIRECT);
  assert.deepEqual(ports(found), ['53/udp 10.0.0.2:49161', '5432/tcp 10.0.0.1:49153']);
  assert.equal(found?.host, '10.0.0.1');
  assert.deepEqual(found?.variedPorts, []);
});

test('A direct link leads to the instance with the least priority number, then with the greatest weight', () => {
  const at = (host: string, more: object) => ({ host, port: 5432, ...more });
  const services: Record<string, object> = {
    'local/skydns/db/1': at('10.0.0.1', { priority: 20, weight: 900 }),
    'local/skydns/db/2': at('10.0.0.2', {}),
    'local/skydns/db/3': at('10.0.0.3', { weight: 200 }),
    'local/skydns/db/4': at('10.0.0.4', { weight: 200 }),
  };
  assert.deepEqual(ports(find(services, DIRECT)), ['5432/tcp 10.0.0.3:5432']);
  const reversed = Object.fromEntries(Object.entries(services).reverse());
  assert.deepEqual(ports(find(reversed, DIRECT)), ['5432/tcp 10.0.0.3:5432']);
});

test('A direct link prefers the IPv4 address of an instance', () => {
  const services = {
    'local/skydns/db/1/a': { host: 'fd53::1', port: 5432 },
    'local/skydns/db/1/b': { host: '10.0.0.1', port: 5432 },
  };
  assert.deepEqual(ports(find(services, DIRECT)), ['5432/tcp 10.0.0.1:5432']);
});

test('A link through the name has the port that the name’s addresses have', () => {
  const way = (hasVip: boolean): LinkWay => ({ kind: 'name', hasVip });
  assert.deepEqual(ports(find(TWO_HOSTS, way(true))), [
    '53/udp db.skydns.local:53',
    '5432/tcp db.skydns.local:5432',
  ]);
  const direct = find(TWO_HOSTS, way(false));
  assert.deepEqual(ports(direct), [
    '53/udp db.skydns.local:49161',
    '5432/tcp db.skydns.local:49153',
  ]);
  assert.deepEqual(direct?.variedPorts, [{ number: 5432, protocol: 'tcp' }]);
});

test('A service without an exposed port has the port of its record, and one without a port has none', () => {
  assert.deepEqual(ports(find({ 'local/skydns/db': { host: '10.0.0.1', port: 80 } }, VIP)), [
    '80/tcp 198.18.73.12:80',
  ]);
  for (const service of [{ host: '10.0.0.1' }, { host: '10.0.0.1', port: -1, expose: 5432 }]) {
    const found = find({ 'local/skydns/db': service }, DIRECT);
    assert.deepEqual([found?.host, found?.ports], ['10.0.0.1', []]);
  }
});

test('A host name in place of an address stays a name', () => {
  const services = { 'local/skydns/db/1': { host: 'db7.example.com', port: 5432 } };
  assert.deepEqual(ports(find(services, DIRECT)), ['5432/tcp db7.example.com:5432']);
});

test('A name without instances is not found, even if it exists', () => {
  assert.equal(find(TWO_HOSTS, DIRECT, 'web.skydns.local'), undefined);
  const textOnly = { 'local/skydns/db': { text: 'user=app' } };
  assert.equal(find(textOnly, DIRECT), undefined);
});

test('A link follows the selection of SRV: groups, wildcards and names in capitals', () => {
  const services = {
    'local/skydns/db/1': { host: '10.0.0.1', port: 1, group: 'a' },
    'local/skydns/db/x/2': { host: '10.0.0.2', port: 2, group: 'b' },
  };
  assert.deepEqual(ports(find(services, DIRECT, 'DB.skydns.local')), ['1/tcp 10.0.0.1:1']);
  assert.deepEqual(ports(find(services, DIRECT, '*.x.db.skydns.local')), ['2/tcp 10.0.0.2:2']);
});

test('A link to the leader of a name leads to the oldest instance', () => {
  assert.deepEqual(ports(find(TWO_HOSTS, DIRECT, 'leader.db.skydns.local')), [
    '5432/tcp 10.0.0.1:49153',
  ]);
});

test('The pairs are the texts with a key, each key once, of the preferred service', () => {
  const at = (text: string, more: object = {}) => ({ host: '10.0.0.1', port: 1, text, ...more });
  const services = {
    'local/skydns/db/1': at('user=a', { priority: 20 }),
    'local/skydns/db/2': at('user=b=c'),
    'local/skydns/db/3': at('just words'),
    'local/skydns/db/4': at('=nothing'),
    'local/skydns/db/5': at('empty='),
    'local/skydns/db/6': at('größe=ä'),
    'local/skydns/db/7': at('bad=\\255'),
  };
  const pairs = find(services, DIRECT)?.pairs.map((pair) => `${pair.name}=${pair.value}`);
  assert.deepEqual([...(pairs ?? [])].sort(), ['empty=', 'größe=ä', 'user=b=c']);
});

test('One link has at most 256 ports and 256 pairs', () => {
  const services = Object.fromEntries(
    Array.from({ length: 300 }, (_, i) => [
      `local/skydns/db/${i}`,
      { host: '10.0.0.1', port: 1_000 + i, text: `k${i}=v` },
    ]),
  );
  const found = find(services, DIRECT);
  assert.deepEqual([found?.ports.length, found?.pairs.length], [256, 256]);
});
