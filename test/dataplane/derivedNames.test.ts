/**
 * Names whose answers follow from other names: they are missed until they are published, then held, and withdrawn by
 * every change of what they follow from. Floods of them stay within bounds.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DerivedNames } from '../../src/dataplane/publish/derivedNames.ts';
import { AnswerTable } from '../../src/dataplane/table/table.ts';
import { FastZone } from '../support/fastZone.ts';
import { ask, asked, held, queryOf } from '../support/heldAnswers.ts';

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
