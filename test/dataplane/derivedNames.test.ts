/**
 * Names whose answers follow from other names: they are missed until they are published, then held, and withdrawn by
 * every change of what they follow from. Floods of them stay within bounds.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DerivedNames } from '../../src/dataplane/publish/derivedNames.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import type { ConsulSettings } from '../../src/zone/tree/view.ts';
import { FastZone } from '../support/fastZone.ts';
import { ask, asked, held, queryOf } from '../support/heldAnswers.ts';
import { name } from '../support/zone.ts';

const MIB = 2 ** 20;

function zoneOf(
  services: Readonly<Record<string, unknown>>,
  settings = {},
  capacityOctets?: number,
): FastZone {
  const zone = new FastZone(settings, capacityOctets);
  for (const [key, value] of Object.entries(services)) zone.put(`local/skydns/${key}`, value);
  zone.setFreshness('synced');
  return zone;
}

/** Handles the question as a miss. */
function miss(zone: FastZone, q: string): void {
  const [qname = '', type = ''] = q.split(' ');
  zone.publish(queryOf(`${qname}.`, type));
}

const LEADER = 'leader.db.skydns.local A';

describe('the leader of a name', () => {
  const leaderIs = (address: string): string => `leader.db.skydns.local. 1 IN A ${address}`;

  function dbZone(rule?: string): FastZone {
    return zoneOf({
      'db/1': { host: '10.0.0.1', port: 1, leader: rule },
      'db/2': { host: '10.0.0.2', port: 1, leader: rule },
      'web/1': { host: '10.0.1.1' },
    });
  }

  /** The zone, with the leader's answer published. */
  function published(zone: FastZone, address: string): FastZone {
    assert.equal(held(zone, LEADER), 'miss');
    assert.equal(asked(zone, LEADER), leaderIs(address));
    assert.equal(held(zone, LEADER), leaderIs(address));
    return zone;
  }

  const CHANGES: readonly (readonly [
    what: string,
    change: (zone: FastZone) => void,
    after: string,
  ])[] = [
    ['the leading instance is deleted', (zone) => zone.delete('local/skydns/db/1'), '10.0.0.2'],
    [
      'the leading instance gets another address',
      (zone) => zone.put('local/skydns/db/1', { host: '10.0.0.9', port: 1 }),
      '10.0.0.9',
    ],
    [
      'the leading instance says never',
      (zone) => zone.put('local/skydns/db/1', { host: '10.0.0.1', leader: 'never' }),
      '10.0.0.2',
    ],
    [
      'another instance says yes',
      (zone) => zone.put('local/skydns/db/2', { host: '10.0.0.2', leader: 'yes' }),
      '10.0.0.2',
    ],
  ];
  for (const [what, change, after] of CHANGES) {
    it(`The leader’s answer is withdrawn when ${what}`, () => {
      const zone = published(dbZone(), '10.0.0.1');
      change(zone);
      assert.equal(held(zone, LEADER), 'miss');
      assert.equal(ask(zone, LEADER), leaderIs(after));
      assert.equal(held(zone, LEADER), leaderIs(after));
    });
  }

  it('The leader’s answer is withdrawn when a leader is chosen, another one is, and none is', () => {
    const zone = dbZone('manual');
    assert.equal(ask(zone, LEADER), 'NODATA');
    assert.equal(held(zone, LEADER), 'NODATA');
    const choose = (value: unknown): void => zone.putIn('leader', 'local/skydns/db', value);
    for (const instance of ['2', '1']) {
      choose({ instance: `${instance}.db.skydns.local` });
      assert.equal(held(zone, LEADER), 'miss');
      assert.equal(ask(zone, LEADER), leaderIs(`10.0.0.${instance}`));
      assert.equal(held(zone, LEADER), leaderIs(`10.0.0.${instance}`));
    }
    choose(undefined);
    assert.equal(ask(zone, LEADER), 'NODATA');
  });

  it('A key named leader takes the place of the leader, and gives it back', () => {
    const zone = published(dbZone(), '10.0.0.1');
    const { names } = zone.table.stats;
    zone.put('local/skydns/db/leader', { host: '10.0.0.77' });
    assert.equal(ask(zone, LEADER), 'leader.db.skydns.local. 3600 IN A 10.0.0.77');
    assert.equal(zone.table.stats.names, names, 'the name is in the table once');
    zone.delete('local/skydns/db/leader');
    assert.equal(ask(zone, LEADER), leaderIs('10.0.0.1'));
    assert.equal(zone.table.stats.names, names);
  });

  it('The leader of a name that has gone leaves the table', () => {
    const zone = published(dbZone(), '10.0.0.1');
    zone.delete('local/skydns/db/1');
    zone.delete('local/skydns/db/2');
    assert.equal(ask(zone, LEADER), 'NXDOMAIN');
    assert.equal(held(zone, LEADER), 'NXDOMAIN', 'the workers deny it by themselves');
    assert.equal(zone.table.stats.names, 5, 'the root, local, the apex, web and 1.web');
  });

  it('An alias of a leader is withdrawn with the leader', () => {
    const zone = dbZone();
    zone.put('local/skydns/www', { host: 'leader.db.skydns.local' });
    const www = 'www.skydns.local A';
    assert.match(ask(zone, www), /10\.0\.0\.1$/m);
    assert.match(held(zone, www), /10\.0\.0\.1$/m);
    zone.delete('local/skydns/db/1');
    assert.equal(held(zone, www), 'miss');
    assert.match(ask(zone, www), /10\.0\.0\.2$/m);
    zone.put('local/skydns/db/leader', { host: '10.0.0.77' });
    assert.match(ask(zone, www), /10\.0\.0\.77$/m);
  });

  it('The leader’s answer is kept for as long as the lease does not limit its TTL', () => {
    const zone = new FastZone();
    const lease = { id: '1', ttlSeconds: 30, expiresAtMs: zone.nowMs + 30_000 };
    zone.put('local/skydns/db/1', { host: '10.0.0.1' }, lease);
    zone.setFreshness('synced');
    assert.equal(ask(zone, LEADER), leaderIs('10.0.0.1'));
    zone.nowMs += 10_000;
    assert.equal(held(zone, LEADER), leaderIs('10.0.0.1'));
    zone.nowMs += 25_000;
    assert.equal(held(zone, LEADER), 'miss');
  });
});

describe('virtual addresses', () => {
  const WEB = 'web.skydns.local A';
  const real = 'web.skydns.local. 3600 IN A 10.0.0.1';
  const virtual = (last: number): string => `web.skydns.local. 3600 IN A 198.18.0.${last}`;

  function webZone(): FastZone {
    const services = { 'web/1': { host: '10.0.0.1' }, www: { host: 'web.skydns.local' } };
    return zoneOf(services, { virtualAddresses: true });
  }

  const give = (zone: FastZone, last: number, given: string | undefined): void =>
    zone.putIn('vip', `198.18.0.${last}`, given && { name: given });

  it('Every change of a name’s virtual addresses withdraws its answers, and those of its aliases', () => {
    const zone = webZone();
    const www = 'www.skydns.local A';
    const check = (answer: string): void => {
      assert.equal(held(zone, WEB), 'miss');
      assert.equal(held(zone, www), 'miss');
      for (const look of [ask, held]) {
        assert.equal(look(zone, WEB), answer);
        assert.ok(look(zone, www).includes(answer));
      }
    };
    check(real);
    give(zone, 2, 'web.skydns.local');
    check(virtual(2));
    give(zone, 1, 'web.skydns.local');
    check(virtual(2)); // the older one stands
    give(zone, 2, undefined);
    check(virtual(1));
    give(zone, 1, 'other.skydns.local');
    check(real);
    assert.equal(ask(zone, 'other.skydns.local A'), 'other.skydns.local. 3600 IN A 198.18.0.1');
  });

  it('A name without services is in the table while it has a virtual address', () => {
    const zone = webZone();
    const idle = 'idle.deep.skydns.local A';
    assert.equal(held(zone, idle), 'NXDOMAIN');
    give(zone, 3, 'idle.deep.skydns.local');
    assert.equal(held(zone, idle), 'miss');
    assert.equal(ask(zone, idle), 'idle.deep.skydns.local. 3600 IN A 198.18.0.3');
    assert.equal(ask(zone, 'deep.skydns.local A'), 'NODATA');
    assert.equal(held(zone, 'x.deep.skydns.local A'), 'NXDOMAIN');
    zone.put('local/skydns/deep/idle', { host: '10.0.0.7' });
    zone.delete('local/skydns/deep/idle');
    assert.equal(ask(zone, idle), 'idle.deep.skydns.local. 3600 IN A 198.18.0.3');
    give(zone, 3, undefined);
    assert.equal(held(zone, idle), 'NXDOMAIN');
    assert.equal(held(zone, 'deep.skydns.local A'), 'NXDOMAIN');
  });

  it('An ambassador that ceases to be in force takes all virtual addresses out of the answers', () => {
    const zone = webZone();
    give(zone, 1, 'web.skydns.local');
    give(zone, 2, 'idle.skydns.local');
    assert.equal(ask(zone, WEB), virtual(1));
    zone.settings = { ...zone.settings, virtualAddresses: false };
    zone.publisher.refresh();
    assert.equal(held(zone, WEB), 'miss');
    assert.equal(ask(zone, WEB), real);
    assert.equal(ask(zone, 'idle.skydns.local A'), 'NXDOMAIN');
    zone.settings = { ...zone.settings, virtualAddresses: true };
    zone.publisher.refresh();
    assert.equal(ask(zone, WEB), virtual(1));
  });
});

describe('the name of the ambassador', () => {
  const HERE = 'ambassador.dns.skydns.local A';

  it('The address at which a question arrived is never published', () => {
    const zone = zoneOf({}, { ambassador: true });
    assert.equal(held(zone, HERE), 'miss');
    assert.equal(asked(zone, HERE), 'ambassador.dns.skydns.local. 0 IN A 172.17.0.1');
    assert.equal(held(zone, HERE), 'miss');
    assert.equal(asked(zone, 'ambassador.dns.skydns.local AAAA'), 'NODATA');
    assert.equal(held(zone, 'ambassador.dns.skydns.local AAAA'), 'miss');
    assert.equal(ask(zone, 'ambassador.dns.skydns.local TXT'), 'NODATA');
    assert.equal(held(zone, 'ambassador.dns.skydns.local TXT'), 'NODATA');
  });

  it('An answer that includes the address at which a question arrived is never published', () => {
    const zone = zoneOf({}, { ambassador: true });
    zone.put('local/skydns/www', { host: 'ambassador.dns.skydns.local' });
    zone.put('local/skydns/s', { host: 'ambassador.dns.skydns.local', port: 5 });
    for (const q of ['www.skydns.local A', 's.skydns.local SRV']) {
      assert.notEqual(asked(zone, q), 'NODATA');
      assert.equal(held(zone, q), 'miss');
    }
  });

  it('Without an ambassador its name does not exist', () => {
    assert.equal(held(zoneOf({}), HERE), 'NXDOMAIN');
    assert.equal(asked(zoneOf({}), HERE), 'NXDOMAIN');
  });
});

const zoneName = name('skydns.local.');
const CONSUL: ConsulSettings = {
  domain: name('consul.'),
  own: { base: name('east.skydns.local.'), zone: zoneName },
  datacenters: [
    { label: 'east', base: name('east.skydns.local.'), zone: zoneName },
    { label: 'west', base: name('west.skydns.local.'), zone: zoneName },
  ],
};
const WITH_CONSUL = { consul: CONSUL, apexes: [zoneName, CONSUL.domain], virtualAddresses: true };

function consulZone(): FastZone {
  const zone = zoneOf(
    {
      'east/web/1': { host: '10.0.0.1', port: 1, tags: ['v1'] },
      'east/web/2': { host: '10.0.0.2', port: 2, tags: ['v2'], expose: '2/udp' },
      'west/web/1': { host: '10.0.1.1', port: 3 },
      'dns/node/foo': { host: '10.0.0.9' },
    },
    WITH_CONSUL,
  );
  zone.putIn('vip', '198.18.0.1', { name: 'web.east.skydns.local' });
  zone.putIn('query', 'best', { service: 'web', tag: 'v1' });
  return zone;
}

describe('Consul’s names', () => {
  const KINDS = [
    'web.service.consul SRV',
    'web.service.consul A',
    'web.service.east.consul SRV',
    'web.service.west.consul A',
    'web.service.west.dc.consul A',
    'v1.web.service.consul A',
    'V1.web.service.east.consul SRV',
    '_web._tcp.service.consul SRV',
    '_web._udp.service.consul SRV',
    '_web._v1.consul SRV',
    '_web._tcp.west.consul SRV',
    'foo.node.consul A',
    'foo.node.east.consul A',
    '0a000001.addr.consul A',
    '0a000001.addr.west.dc.consul A',
    'web.virtual.consul A',
    'best.query.consul SRV',
    '_best._tcp.query.consul SRV',
    'best.query.east.consul A',
    'web.service.consul TXT',
    'service.consul A',
    'east.consul A',
    '_tcp.service.consul SRV',
    'consul SOA',
  ];
  for (const q of KINDS) {
    it(`A Consul name is missed, and then held (${q})`, () => {
      const zone = consulZone();
      assert.equal(held(zone, q), 'miss');
      const answer = asked(zone, q);
      assert.notEqual(answer, 'NXDOMAIN');
      assert.equal(held(zone, q), answer);
    });
  }

  const MISSING = [
    'db.service.consul A',
    'v1.db.service.consul A',
    'db.service.west.consul A',
    '_db._tcp.service.consul SRV',
    '_db._tcp.consul SRV',
    'web.consul A',
    'bar.node.consul A',
    'zz000001.addr.consul A',
    '0a0000011.addr.consul A',
    'a.0a000001.addr.consul A',
    'db.virtual.consul A',
    'other.query.consul A',
    '_other._tcp.query.consul A',
    'web.service.south.consul A',
    `${'x'.repeat(63)}.${'y'.repeat(63)}.${'z'.repeat(63)}.service.consul A`,
  ];
  for (const q of MISSING) {
    it(`A worker denies a Consul name that cannot exist (${q.slice(0, 40)})`, () => {
      const zone = consulZone();
      assert.equal(held(zone, q), 'NXDOMAIN');
      assert.equal(asked(zone, q), 'NXDOMAIN');
    });
  }

  it('A name with an unsupported word is never published, so that its denial has a reason', () => {
    const zone = consulZone();
    for (const q of ['web.connect.consul A', 'web.service.x.ns.consul A', 'ap.consul A']) {
      assert.equal(held(zone, q), 'miss');
      assert.equal(asked(zone, q), 'NXDOMAIN');
      assert.equal(held(zone, q), 'miss');
    }
  });

  const CHANGES: readonly (readonly [
    what: string,
    q: string,
    change: (zone: FastZone) => void,
    after: string,
  ])[] = [
    [
      'an instance goes',
      '_web._tcp.service.consul SRV',
      (zone) => zone.delete('local/skydns/east/web/2'),
      '_web._tcp.service.consul. 3600 IN SRV 10 100 1 0a000001.addr.east.consul.',
    ],
    [
      'an instance comes',
      'web.service.west.consul A',
      (zone) => zone.put('local/skydns/west/web/2', { host: '10.0.1.2' }),
      'web.service.west.consul. 3600 IN A 10.0.1.1\nweb.service.west.consul. 3600 IN A 10.0.1.2',
    ],
    [
      'the last instance goes',
      'web.service.west.consul A',
      (zone) => zone.delete('local/skydns/west/web/1'),
      'NXDOMAIN',
    ],
    [
      'the only instance with its tag loses it',
      'v1.web.service.consul A',
      (zone) => zone.put('local/skydns/east/web/1', { host: '10.0.0.1', port: 1 }),
      'NXDOMAIN',
    ],
    [
      'another instance gets its tag',
      'v1.web.service.consul A',
      (zone) => zone.put('local/skydns/east/web/2', { host: '10.0.0.2', tags: ['V1'] }),
      'v1.web.service.consul. 3600 IN A 10.0.0.1\nv1.web.service.consul. 3600 IN A 10.0.0.2',
    ],
    [
      'a service loses its UDP port',
      '_web._udp.service.consul SRV',
      (zone) => zone.put('local/skydns/east/web/2', { host: '10.0.0.2', port: 2 }),
      'NXDOMAIN',
    ],
    [
      'a node moves',
      'foo.node.consul A',
      (zone) => zone.put('local/skydns/dns/node/foo', { host: '10.0.0.8' }),
      'foo.node.consul. 3600 IN A 10.0.0.8',
    ],
    [
      'a virtual address moves',
      'web.virtual.consul A',
      (zone) => {
        zone.putIn('vip', '198.18.0.2', { name: 'web.east.skydns.local' });
        zone.putIn('vip', '198.18.0.1', undefined);
      },
      'web.virtual.consul. 3600 IN A 198.18.0.2',
    ],
    [
      'a virtual address is given back',
      'web.virtual.consul A',
      (zone) => zone.putIn('vip', '198.18.0.1', undefined),
      'NXDOMAIN',
    ],
    [
      'its alias gets another tag',
      '_best._tcp.query.consul SRV',
      (zone) => zone.putIn('query', 'best', { service: 'web', tag: 'v2' }),
      '_best._tcp.query.consul. 3600 IN SRV 10 100 2 0a000002.addr.east.consul.',
    ],
    [
      'its alias gets another service',
      'best.query.consul A',
      (zone) => zone.putIn('query', 'best', { service: 'nothing' }),
      'NXDOMAIN',
    ],
    [
      'its alias is removed',
      'best.query.east.consul A',
      (zone) => zone.putIn('query', 'best', undefined),
      'NXDOMAIN',
    ],
    [
      'the names move to another base',
      'web.service.consul SRV',
      (zone) => {
        const own = { base: name('west.skydns.local.'), zone: zoneName };
        zone.settings = { ...zone.settings, consul: { ...CONSUL, own } };
        zone.publisher.refresh();
      },
      'web.service.consul. 3600 IN SRV 10 100 3 0a000101.addr.west.consul.',
    ],
  ];
  for (const [what, q, change, after] of CHANGES) {
    it(`The answer for a Consul name is withdrawn when ${what} (${q})`, () => {
      const zone = consulZone();
      const before = ask(zone, q);
      assert.equal(held(zone, q), before);
      change(zone);
      assert.equal(ask(zone, q), after);
      if (after !== 'NXDOMAIN') assert.equal(held(zone, q), after);
    });
  }

  it('An alias that is new exists at once, and one that was removed leaves the table', () => {
    const zone = consulZone();
    const q = 'fresh.query.consul A';
    assert.equal(held(zone, q), 'NXDOMAIN');
    const { names } = zone.table.stats;
    zone.putIn('query', 'fresh', { service: 'web', tag: 'v1' });
    assert.equal(ask(zone, q), 'fresh.query.consul. 3600 IN A 10.0.0.1');
    zone.putIn('query', 'fresh', undefined);
    assert.equal(ask(zone, q), 'NXDOMAIN');
    zone.publisher.refresh();
    assert.equal(held(zone, q), 'NXDOMAIN');
    assert.equal(zone.table.stats.names, names);
  });

  it('A change of another service leaves the answer', () => {
    const zone = consulZone();
    const q = 'web.service.consul SRV';
    const answer = ask(zone, q);
    zone.put('local/skydns/east/db/1', { host: '10.0.0.7' });
    assert.equal(held(zone, q), answer);
  });

  it('Without the option the table has no Consul name', () => {
    const zone = consulZone();
    const names = ['web.service.consul A', 'service.consul A', 'best.query.consul A'];
    for (const q of names) assert.notEqual(ask(zone, q), 'miss');
    zone.settings = { ...zone.settings, consul: undefined, apexes: [zoneName] };
    zone.publisher.refresh();
    for (const q of names) {
      assert.equal(held(zone, q), 'miss');
      assert.equal(asked(zone, q), '5', 'REFUSED');
    }
  });

  it('While the rules find no room, all names that the table lacks are handed over', () => {
    const zone = consulZone();
    const { table } = zone;
    assert.equal(held(zone, 'db.service.consul A'), 'NXDOMAIN');
    assert.equal(table.setDerivedRules(new Int32Array(100 * MIB)), false);
    assert.equal(held(zone, 'db.service.consul A'), 'miss');
    assert.equal(held(zone, 'db.skydns.local A'), 'miss');
    zone.publisher.refresh();
    assert.equal(
      held(zone, 'db.service.consul A'),
      'miss',
      'the publisher did not see the failure',
    );
    zone.settings = { ...zone.settings };
    zone.publisher.refresh();
    assert.equal(held(zone, 'db.service.consul A'), 'NXDOMAIN');
  });
});

describe('floods', () => {
  it('A flood of leaders of random names does not reach the main thread', () => {
    const zone = zoneOf({ 'db/1': { host: '10.0.0.1' } });
    const before = zone.table.stats;
    for (let i = 0; i < 2_000; i++) {
      assert.equal(held(zone, `leader.x${i}.skydns.local A`), 'NXDOMAIN');
      miss(zone, `leader.x${i}.skydns.local A`);
    }
    assert.deepEqual(zone.table.stats, before);
  });

  it('A flood of random tags of a service, and of random addresses, adds no more names than are allowed', () => {
    const zone = consulZone();
    const before = zone.table.stats;
    for (let i = 0; i < 1_000; i++) {
      assert.equal(held(zone, `x${i}.service.consul A`), 'NXDOMAIN');
      assert.equal(held(zone, `t${i}.web.service.consul A`), 'miss');
      miss(zone, `t${i}.web.service.consul A`);
    }
    assert.deepEqual(zone.table.stats, before);
    for (let i = 0; i < 1_000; i++) miss(zone, `0a00${(i + 4_096).toString(16)}.addr.consul A`);
    assert.equal(zone.table.stats.names, before.names + 1_000);
    assert.equal(ask(zone, 'web.east.skydns.local SRV').split('\n').length, 2);
  });

  it('The number of derived names is bounded, and names that are asked for once displace no others', () => {
    const table = new AnswerTable(64 * MIB, 7);
    const derived = new DerivedNames(table);
    const admit = (from: number, to: number): void => {
      for (let i = from; i < to; i++) {
        const name = ['leader', `n${i}`];
        if (derived.addressOf(name) === 0) derived.admit(name, (evicted) => table.remove(evicted));
        assert.equal(table.stats.names, derived.size);
      }
    };
    const has = (i: number): boolean => derived.addressOf(['leader', `n${i}`]) !== 0;
    admit(0, 40_000);
    assert.equal(derived.size, 16_384);
    assert.ok(has(0) && has(16_383) && !has(16_384));
    for (let i = 16_384; i < 40_000; i++) for (let n = 0; n < 2; n++) admit(i, i + 1);
    assert.equal(derived.size, 32_768);
    assert.ok(has(39_999) && !has(0), 'the oldest made room');
    for (const address of derived.takeAll()) table.remove(address);
    assert.equal(table.stats.names, 0);
  });

  it('New settings begin without derived names', () => {
    const zone = zoneOf({ 'db/1': { host: '10.0.0.1' } });
    const { names } = zone.table.stats;
    assert.equal(ask(zone, LEADER), 'leader.db.skydns.local. 1 IN A 10.0.0.1');
    assert.equal(zone.table.stats.names, names + 1);
    zone.settings = { ...zone.settings };
    zone.publisher.refresh();
    assert.equal(zone.table.stats.names, names);
    assert.equal(ask(zone, LEADER), 'leader.db.skydns.local. 1 IN A 10.0.0.1');
  });

  it('Derived names leave a table whose memory is scarce to the names of the tree', () => {
    const zone = new FastZone({}, MIB);
    zone.setFreshness('synced');
    let names = 0;
    const fill = (share: number): void => {
      while (zone.table.stats.usedOctets < zone.table.stats.capacityOctets * share)
        zone.put(`local/skydns/n${names++}`, { host: '10.0.0.1' });
    };
    fill(0.5);
    for (let i = 0; i < 1_000; i++) miss(zone, `leader.n${i}.skydns.local A`);
    assert.equal(held(zone, 'leader.n7.skydns.local A'), 'leader.n7.skydns.local. 1 IN A 10.0.0.1');
    fill(0.76);
    const { answers } = zone.table.stats;
    assert.ok(answers >= 1_000);
    zone.publisher.refresh();
    assert.equal(zone.table.stats.answers, 0, 'they have left');
    fill(0.8);
    asked(zone, 'leader.n7.skydns.local A');
    assert.equal(held(zone, 'leader.n7.skydns.local A'), 'miss', 'no new one is added');
    assert.equal(ask(zone, 'n7.skydns.local A'), 'n7.skydns.local. 3600 IN A 10.0.0.1');
    assert.ok(typeof zone.fast(queryOf('n7.skydns.local.', 'A')) !== 'number');
  });
});
