/**
 * The answer table against the slow path: after any changes the table gives the octets that the slow path gives at that
 * moment, except for the order of records.
 */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { foldName, type Name } from '../../src/dns/name.ts';
import { typeCode } from '../../src/dns/presentation/mnemonic.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import type { Rr } from '../../src/dns/rr.ts';
import { findNode } from '../../src/zone/tree/tree.ts';
import {
  type ConsulSettings,
  type External,
  externalKey,
  type ZoneSettings,
} from '../../src/zone/tree/view.ts';
import { FastZone } from '../support/fastZone.ts';
import { name } from '../support/zone.ts';

const TYPES = [
  'A',
  'AAAA',
  'SRV',
  'TXT',
  'MX',
  'CNAME',
  'PTR',
  'NS',
  'SOA',
  'ANY',
  'TYPE43',
  'TYPE65',
  'TYPE257',
  'AXFR',
  'IXFR',
];

/** Names that collide: few labels, few levels, and all labels that the zone treats specially. */
const label = fc.constantFrom(
  'a',
  'b',
  'c',
  'dns',
  'ns',
  'apex',
  'local',
  'hostmaster',
  'leader',
  'ambassador',
  'any',
  '*',
);
const inside = fc.array(label, { maxLength: 4 }).map((labels) => [...labels, 'skydns', 'local']);
/** Labels of Consul's names, for the services a, b and c. */
const consulLabel = fc.constantFrom(
  ...['service', 'node', 'addr', 'query', 'virtual', 'dc', 'connect', 'ns'],
  ...['east', '_tcp', '_udp', '_a', '_t1', 't1', 'T2', 'a', 'b', 'c', 'x', '0a000001', '*'],
);
const consulQname: fc.Arbitrary<Name> = fc.oneof(
  fc.array(consulLabel, { maxLength: 4 }).map((labels) => [...labels, 'consul']),
  fc
    .tuple(
      fc.constantFrom('a', 'b', 'c', 'x', '_a', '_b', '0a000001', '0a00000b'),
      fc.constantFrom([], ['_tcp'], ['_t1'], ['a'], ['b']),
      fc.constantFrom('service', 'node', 'addr', 'query', 'virtual', 'connect'),
      fc.constantFrom([], ['east'], ['east', 'dc'], ['west']),
    )
    .map(([first, second, word, dc]) => [first, ...second, word, ...dc, 'consul']),
);
const anyQname: fc.Arbitrary<Name> = fc.oneof(
  { weight: 4, arbitrary: consulQname },
  { weight: 8, arbitrary: inside },
  { weight: 1, arbitrary: fc.constantFrom(name('1.2.0.192.in-addr.arpa.'), name('local.'), []) },
  { weight: 1, arbitrary: fc.constantFrom(name('many.skydns.local.'), name('wide.skydns.local.')) },
);

const key = fc.oneof(
  { weight: 8, arbitrary: inside.map((labels) => [...labels].reverse().join('/')) },
  { weight: 1, arbitrary: fc.constant('arpa/in-addr/192/0/2/1') },
  { weight: 3, arbitrary: inside.map((labels) => ['*', ...labels].reverse().join('/')) },
);

const target = inside.map((labels) => labels.join('.'));
const value = fc.record(
  {
    host: fc.oneof(
      fc.constantFrom('192.0.2.1', '192.0.2.2', '192.0.2.3', '2001:db8::1', 'x.example.com'),
      target,
    ),
    port: fc.constantFrom(80, 8080, -1),
    priority: fc.constantFrom(0, 5),
    weight: fc.constantFrom(0, 50),
    text: fc.constantFrom('', 'some text', 'x'.repeat(700), 'y'.repeat(1300)),
    mail: fc.boolean(),
    ttl: fc.constantFrom(0, 7, 60),
    targetstrip: fc.constantFrom(0, 1),
    group: fc.constantFrom('', 'g1', 'g2'),
    leader: fc.constantFrom('oldest', 'manual', 'never', 'yes'),
    tags: fc.subarray(['t1', 'T2', 'a.b']),
    expose: fc.constantFrom(80, '53/udp'),
    aggregate: fc.boolean(),
    near: fc.constantFrom('off', 'first', 'only'),
    rr: fc.constantFrom(
      ...[[], [], [], [], []],
      ['NS a.b.skydns.local.'],
      ['NS ns.example.net.'],
      ['CAA 0 issue "a.example"'],
      ['CAA 0 issue ";"', 'HTTPS 1 . alpn=h2', 'TXT "x"'],
    ),
  },
  { requiredKeys: ['host'], noNullPrototype: true },
);

const zoneName = name('skydns.local.');
const CONSUL: ConsulSettings = {
  domain: name('consul.'),
  own: { base: zoneName, zone: zoneName },
  datacenters: [{ label: 'east', base: name('a.skydns.local.'), zone: zoneName }],
};

function isNear(address: string): boolean {
  return address === '192.0.2.1' || address.startsWith('10.0.0.1');
}

/** Domains that other servers answer for: inside our zones, in places that the zone treats specially, and above them. */
const FORWARDED = [
  ...['b.skydns.local.', 'a.b.skydns.local.', 'c.a.skydns.local.', 'b.c.a.skydns.local.'],
  ...['dns.skydns.local.', 'local.dns.skydns.local.', 'leader.a.skydns.local.', 'local.'],
  ...['east.dc.consul.', 'a.service.consul.', '2.0.192.in-addr.arpa.', 'example.com.'],
];

const settings: fc.Arbitrary<Partial<ZoneSettings>> = fc.record(
  {
    apexes: fc.constantFrom(
      [zoneName, CONSUL.domain],
      [zoneName, name('a.skydns.local.'), name('c.dns.skydns.local.'), CONSUL.domain],
    ),
    ttlSeconds: fc.constantFrom(3600, 30),
    minTtlSeconds: fc.constantFrom(5, 60),
    hostmaster: fc.constantFrom(undefined, name('admin.example.local.')),
    local: fc.constantFrom(undefined, name('b.skydns.local.')),
    roundRobin: fc.boolean(),
    near: fc.constantFrom<ZoneSettings['near']>(
      undefined,
      { how: 'off', isHere: isNear, region: undefined },
      { how: 'only', isHere: isNear, region: ['a'] },
      { how: 'first', isHere: isNear, region: undefined },
    ),
    any: fc.constantFrom('hinfo', 'refuse'),
    parentValue: fc.constantFrom('hidden', 'wins', 'merged'),
    storedWildcards: fc.constantFrom(true, true, false),
    aggregateDepth: fc.constantFrom(Number.POSITIVE_INFINITY, 0, 1, 2),
    questionWildcards: fc.constantFrom('all', 'any', 'none'),
    leaderTtlSeconds: fc.constantFrom(1, 7),
    virtualAddresses: fc.boolean(),
    ambassador: fc.boolean(),
    consul: fc.constantFrom(CONSUL, { ...CONSUL, datacenters: [] }, undefined),
  },
  { noNullPrototype: true, requiredKeys: [] },
);

const question = fc.record(
  {
    qname: anyQname,
    type: fc.constantFrom(...TYPES),
    upperCase: fc.boolean(),
    recursionDesired: fc.boolean(),
    checkingDisabled: fc.boolean(),
    edns: fc.option(
      fc.record({ udpSize: fc.constantFrom(0, 512, 700, 1232, 4096), dnssecOk: fc.boolean() }),
      { nil: undefined },
    ),
  },
  { noNullPrototype: true },
);

type Asked = typeof question extends fc.Arbitrary<infer T> ? T : never;

const step = fc.oneof(
  { weight: 6, arbitrary: question.map((asked) => ({ kind: 'ask', asked }) as const) },
  {
    weight: 3,
    arbitrary: fc
      .array(fc.tuple(key, fc.option(value, { nil: undefined }), fc.nat(3)), { maxLength: 4 })
      .map((changes) => ({ kind: 'change', changes }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(
        fc.constantFrom('198.18.0.1', '198.18.0.2', 'fd00::1'),
        fc.option(target, { nil: undefined }),
      )
      .map(([address, given]) => ({ kind: 'virtual', address, given }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(key, fc.option(target, { nil: undefined }))
      .map(([path, instance]) => ({ kind: 'choose', path, instance }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom('a', 'x'), fc.constantFrom('a', 'b'), fc.option(fc.constant('t1')))
      .map(([id, service, tag]) => ({ kind: 'alias', id, service, tag }) as const),
  },
  { weight: 3, arbitrary: fc.constant({ kind: 'turn' } as const) },
  {
    weight: 2,
    arbitrary: fc.integer({ min: 1, max: 9_000 }).map((ms) => ({ kind: 'wait', ms }) as const),
  },
  { weight: 1, arbitrary: settings.map((changed) => ({ kind: 'settings', changed }) as const) },
  {
    weight: 1,
    arbitrary: fc
      .subarray(
        FORWARDED.map((text) => name(text)),
        { maxLength: 2 },
      )
      .map((domains) => ({ kind: 'forward', domains }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<External>(
        { kind: 'found', rrs: [foreign('192.0.2.77')] },
        { kind: 'found', rrs: [foreign('192.0.2.78'), foreign('192.0.2.79')] },
        { kind: 'found', rrs: [] },
        { kind: 'nxdomain', rrs: [] },
        { kind: 'failed' },
        { kind: 'unavailable' },
      )
      .map((said) => ({ kind: 'world', said }) as const),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom('synced' as const, 'stale' as const)
      .map((freshness) => ({ kind: 'freshness', freshness }) as const),
  },
);

const maxUdpOctets = fc.constantFrom(512, 1232, 1400, 4096);

test('Over TCP the table answers whole, or leaves the question to the slow path', () => {
  const zone = zoneWithSets(512);
  const ask = (labels: string, type: string): [udp: Buffer | number, tcp: Buffer | number] => {
    const packet = packetOf({
      ...{ qname: name(labels), type, upperCase: false, recursionDesired: false },
      ...{ checkingDisabled: false, edns: undefined },
    });
    zone.publish(packet);
    return [zone.fast(packet), zone.fast(packet, 'tcp')];
  };
  const [cut, whole] = ask('many.skydns.local.', 'A');
  assert.ok(typeof cut !== 'number' && isCut(cut));
  assert.equal(whole, Outcome.SLOW);
  // Without its additional section the answer fits a UDP reply, and has no TC.
  const [short, all] = ask('wide.skydns.local.', 'SRV');
  assert.ok(typeof short !== 'number' && !isCut(short));
  assert.equal(all, Outcome.SLOW);
  const [one, same] = ask('3.many.skydns.local.', 'A');
  assert.ok(typeof one !== 'number');
  assert.deepEqual(same, one);
});

test('Over UDP, cut or not, and over TCP a reply begins with a service that is near', () => {
  for (const most of [512, 4096] as const) {
    const zone = zoneWithSets(most);
    zone.settings = {
      ...zone.settings,
      near: { how: 'first', isHere: isNear, region: undefined },
    };
    zone.publisher.refresh();
    const packet = packetOf({
      ...{
        qname: name('many.skydns.local.'),
        type: 'A',
        upperCase: false,
        recursionDesired: false,
      },
      ...{ checkingDisabled: false, edns: { udpSize: most, dnssecOk: false } },
    });
    zone.publish(packet);
    for (let i = 0; i < 30; i++) {
      const replies = [zone.fast(packet), zone.slow(packet), zone.slow(packet, 'tcp')];
      for (const reply of replies) {
        assert.ok(reply !== undefined && typeof reply !== 'number');
        const first = decodeMessage(reply)?.answer[0]?.rdata;
        assert.ok(
          first?.kind === 'address' && isNear(first.address),
          `${most}: ${i} ${replies.indexOf(reply)} ${JSON.stringify(first)}`,
        );
      }
      assert.equal(isCut(replies[1] as Buffer), most === 512);
    }
  }
});

test('Of a set with a record that is too long for a message clients get the others, and nothing else', () => {
  const zone = zoneWithSets(1232);
  const short = 'text.skydns.local.\t3600\tIN\tTXT\t"short"';
  zone.put('local/skydns/text/1', { text: 'short' });
  zone.put('local/skydns/text/2', { text: 'l'.repeat(1300) });
  const packet = packetOf({
    ...{ qname: name('text.skydns.local.'), type: 'TXT', upperCase: false },
    ...{ recursionDesired: false, checkingDisabled: false },
    edns: { udpSize: 1232, dnssecOk: false },
  });
  zone.publish(packet);
  for (let i = 0; i < 4; i++) {
    const reply = zone.fast(packet);
    assert.ok(typeof reply !== 'number' && isCut(reply));
    assert.deepEqual(decodeMessage(reply)?.answer.map(printRr), [short]);
  }
});

test('A client that can receive no part of an answer is no reason to answer its question first', () => {
  const zone = zoneWithSets(1232);
  zone.put('local/skydns/text', { text: 'l'.repeat(700) });
  const asked = {
    ...{ qname: name('text.skydns.local.'), type: 'TXT', upperCase: false },
    ...{ recursionDesired: false, checkingDisabled: false },
  };
  zone.publish(packetOf({ ...asked, edns: { udpSize: 1232, dnssecOk: false } }));
  const outcomes = [1, 2].map(() => zone.fast(packetOf({ ...asked, edns: undefined })));
  assert.deepEqual(outcomes, [Outcome.SLOW, Outcome.SLOW]);
});

test('The answer table and the zone give the same answers through all changes', async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(
      maxUdpOctets,
      fc.array(step, { minLength: 24, maxLength: 72 }),
      async (most, steps) => {
        const zone = zoneWithSets(most);
        for (const each of steps) {
          switch (each.kind) {
            case 'ask':
              compared += askBoth(zone, each.asked);
              break;
            case 'change':
              zone.apply(
                each.changes.map(([path, service, lease]) =>
                  zone.change(path, service, leaseOf(zone, lease)),
                ),
              );
              break;
            case 'virtual':
              if (each.given === undefined) zone.putIn('vip', each.address, undefined);
              else if (!/(^|\.)(\*|any)\./.test(each.given))
                zone.putIn('vip', each.address, { name: each.given });
              break;
            case 'choose': {
              const { path, instance } = each;
              zone.putIn('leader', path, instance === undefined ? undefined : { instance });
              break;
            }
            case 'alias': {
              const { id, service, tag } = each;
              zone.putIn('query', id, tag === null ? undefined : { service, tag });
              break;
            }
            case 'wait':
              zone.nowMs += each.ms;
              zone.unixSeconds += Math.floor(each.ms / 10);
              zone.publisher.refresh();
              break;
            case 'settings':
              zone.configure(each.changed);
              break;
            case 'forward':
              zone.configure({}, each.domains);
              break;
            case 'world':
              for (const type of ['A', 'AAAA', 'TXT']) {
                zone.world.set(keyOf('x.example.com', type), each.said);
              }
              // Other servers' answers hold for one second.
              zone.nowMs += 1000;
              break;
            case 'freshness':
              zone.setFreshness(each.freshness);
              break;
            case 'turn':
              await null; // The answers that the changes have withdrawn are renewed.
          }
        }
      },
    ),
    { numRuns: Number(process.env.SORADNS_TEST_RUNS ?? 300) },
  );
  assert.ok(compared > 1_500, `only ${compared} questions were the table's to answer`);
});

function foreign(address: string): Rr {
  const owner = ['x', 'example', 'com'];
  return { owner, type: 1, class: 1, ttlSeconds: 77, rdata: { kind: 'address', address } };
}

function keyOf(qname: string, type: string): string {
  return externalKey(name(`${qname}.`), typeCode(type) ?? 0);
}

/** A zone with sets that do not fit every message. */
function zoneWithSets(maxUdp = 1232): FastZone {
  const settings = { roundRobin: true, consul: CONSUL, apexes: [zoneName, CONSUL.domain] };
  const zone = new FastZone(settings, 64 << 20, maxUdp);
  for (let i = 0; i < 40; i++) zone.put(`local/skydns/many/${i}`, { host: `10.0.0.${i}`, ttl: 50 });
  for (let i = 0; i < 9; i++) {
    zone.put(`local/skydns/wide/s${i}`, { host: `10.0.1.${i}`, port: 80, mail: i % 2 === 0 });
  }
  zone.setFreshness('synced');
  return zone;
}

/** No lease, or one that ends within seconds, before a record's own TTL, or long after it. */
function leaseOf({ nowMs }: FastZone, choice: number) {
  const seconds = [undefined, 3, 40, 100_000][choice];
  if (seconds === undefined) return undefined;
  return { id: `${choice}`, ttlSeconds: seconds, expiresAtMs: nowMs + seconds * 1000 };
}

/** Asks both paths, at most twice, and compares their replies; gives 1 if the table had an answer. */
function askBoth(zone: FastZone, asked: Asked): number {
  const packet = packetOf(asked);
  let fast = zone.fast(packet);
  if (typeof fast === 'number') {
    assert.notEqual(fast, Outcome.DROP);
    zone.publish(packet);
    fast = zone.fast(packet);
  }
  if (typeof fast === 'number') return 0;
  const slow = zone.slow(packet);
  assert.ok(slow, 'the slow path is silent');
  const what = `${asked.qname.join('.')} ${asked.type}`;
  // A stored wildcard's answer is for any name: another part of its octets is compressed, which may change case.
  const isStored = findNode(zone.catalog.root, foldName(asked.qname)) !== undefined;
  assertOverTcp(zone, packet, what, isStored);
  if (isCut(fast) || isCut(slow)) assertParts(fast, slow, zone.slow(packet, 'tcp'), what);
  else assertSame(fast, slow, what, isStored);
  return 1;
}

/** Over TCP the table answers as the slow path does, or not at all. */
function assertOverTcp(
  zone: FastZone,
  packet: Uint8Array,
  what: string,
  areSameOctets: boolean,
): void {
  const fast = zone.fast(packet, 'tcp');
  if (typeof fast === 'number') return;
  const slow = zone.slow(packet, 'tcp');
  assert.ok(slow, 'the slow path is silent');
  assertSame(fast, slow, `${what} over TCP`, areSameOctets);
}

function isCut(reply: Buffer): boolean {
  return (reply.readUInt16BE(2) & 0x0200) !== 0;
}

/** Checks that both replies hold as much of the whole answer as fits, though not the same part. */
function assertParts(fast: Buffer, slow: Buffer, overTcp: Buffer | undefined, what: string): void {
  assert.equal(fast.readUInt16BE(2), slow.readUInt16BE(2), `${what}: flags`);
  const [a, b, whole] = [fast, slow, overTcp ?? slow].map((reply) => decodeMessage(reply));
  assert.ok(a && b && whole, what);
  const all = new Set(inOrder(whole.answer));
  for (const part of [a, b]) {
    for (const rr of inOrder(part.answer)) assert.ok(all.has(rr), `${what}: ${rr} is not of it`);
    assert.equal(part.authority.length + part.additional.length, 0, what);
  }
  // Targets differ in length.
  const difference = Math.abs(a.answer.length - b.answer.length);
  assert.ok(difference <= 1 + whole.answer.length / 10, `${what}: ${difference} records`);
  assert.deepEqual(a.edns, b.edns, what);
}

function packetOf({ qname, type, upperCase, ...query }: Asked): Uint8Array {
  const cased = upperCase ? qname.map((part) => part.toUpperCase()) : qname;
  const qtype = typeCode(type);
  assert.ok(qtype !== undefined);
  return encodeQuery({ id: 0xbeef, ...query, question: { qname: cased, qtype, qclass: 1 } });
}

function assertSame(fast: Buffer, slow: Buffer, what: string, areSameOctets: boolean): void {
  const a = decodeMessage(fast);
  const b = decodeMessage(slow);
  assert.ok(a && b, what);
  if (areSameOctets && b.answer.length < 2 && b.additional.length < 2) {
    assert.deepEqual(fast, slow, what);
    return;
  }
  assert.equal(fast.readUInt16BE(2), slow.readUInt16BE(2), `${what}: flags`);
  assert.deepEqual(a.questions, b.questions, what);
  for (const section of ['answer', 'authority', 'additional'] as const) {
    const textOf = (rrs: readonly Rr[]): string => {
      const text = inOrder(rrs).join('\n');
      return areSameOctets ? text : text.toLowerCase();
    };
    assert.equal(textOf(a[section]), textOf(b[section]), `${what}: ${section}`);
  }
  assert.deepEqual(a.edns, b.edns, what);
}

function inOrder(rrs: readonly Rr[]): string[] {
  return rrs.map(printRr).sort();
}

test('The workers leave as many queries a second to the main thread as the query log records', () => {
  const zone = zoneWithSets();
  const packet = encodeQuery({
    id: 1,
    recursionDesired: true,
    checkingDisabled: false,
    question: { qname: name('s1.wide.skydns.local.'), qtype: 1, qclass: 1 },
  });
  zone.publish(packet);
  const outcomes = (): number[] =>
    [1, 2, 3, 4].map(() => {
      const fast = zone.fast(packet);
      return typeof fast === 'number' ? fast : 1;
    });
  assert.deepEqual(outcomes(), [1, 1, 1, 1]);
  zone.table.loggedPerSecond = 3;
  zone.nowMs += 1000;
  assert.deepEqual(outcomes(), [Outcome.SLOW, Outcome.SLOW, Outcome.SLOW, 1]);
  zone.table.loggedPerSecond = 0;
  zone.nowMs += 1000;
  assert.deepEqual(outcomes(), [1, 1, 1, 1]);
});
