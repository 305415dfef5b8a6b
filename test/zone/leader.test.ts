/** Leaders: which instance `leader.NAME` is, and what the name answers with and without one. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { chooseLeader } from '../../src/service/leader.ts';
import { LEADER_RULES, type LeaderRule } from '../../src/service/linking.ts';
import { giveAddresses, tableDelete, tablePut, tablesOf } from '../support/nameTables.ts';
import {
  assertResponse,
  catalogOf,
  type Expected,
  name,
  respond,
  type Services,
} from '../support/zone.ts';

/** Earlier keys are older. */
const SERVICES: Services = {
  'local/skydns/mysql/2': { host: '10.0.0.2', port: 3306, text: 'two', ttl: 60 },
  'local/skydns/mysql/1': { host: '10.0.0.1', port: 3306 },
  'local/skydns/v6/1': { host: '2001:db8::1', port: 1 },
  'local/skydns/manual/1': { host: '10.0.1.1', port: 1, leader: 'manual' },
  'local/skydns/manual/2': { host: '10.0.1.2', port: 1 },
  'local/skydns/replica/1': { host: '10.0.2.1', port: 1, leader: 'never' },
  'local/skydns/replica/2': { host: '10.0.2.2', port: 1 },
  'local/skydns/readers/1': { host: '10.0.3.1', port: 1, leader: 'never' },
  'local/skydns/marked/1': { host: '10.0.4.1', port: 1 },
  'local/skydns/marked/2': { host: '10.0.4.2', port: 1, leader: 'yes' },
  'local/skydns/marked/3': { host: '10.0.4.3', port: 1, leader: 'yes' },
  'local/skydns/taken/1': { host: '10.0.5.1', port: 1 },
  'local/skydns/taken/leader': { host: '10.0.5.9', port: 9 },
  'local/skydns/single': { host: '10.0.6.1', port: 6 },
  'local/skydns/texts/1': { text: 'no host' },
  'local/skydns/alias/1': { host: 'single.skydns.local' },
  'local/skydns/www': { host: 'leader.mysql.skydns.local' },
  'local/skydns/dual/1/ipv4': { host: '10.0.8.1', port: 1, targetstrip: 1 },
  'local/skydns/dual/1/ipv6': { host: '2001:db8::8', port: 1, targetstrip: 1 },
  'local/skydns/dual/2': { host: '10.0.8.2', port: 1 },
  'local/skydns/grouped/1': { host: '10.0.7.1', port: 1, group: 'g1' },
  'local/skydns/grouped/sub/2': { host: '10.0.7.2', port: 1, group: 'g2' },
};

function zone(services: Services = SERVICES) {
  const catalog = catalogOf(services);
  const tables = tablesOf(catalog);
  const check = (q: string, expected: Expected, settings = {}, minimumSeconds = 1): void => {
    const [qname = '', type = ''] = q.split(' ');
    const response = respond(catalog, qname, type, { settings, facts: tables.facts });
    // `assertResponse` expects the SOA of other names.
    const authority = response.authority.map((rr) => {
      assert.equal(rr.ttlSeconds, minimumSeconds, 'TTL of the SOA');
      assert.ok(rr.rdata.kind === 'soa');
      assert.equal(rr.rdata.minimumSeconds, minimumSeconds, 'minimum of the SOA');
      return { ...rr, ttlSeconds: 5, rdata: { ...rr.rdata, minimumSeconds: 5 } };
    });
    assertResponse({ ...response, authority }, expected);
  };
  return { catalog, tables, check };
}

interface Case extends Expected {
  readonly what: string;
  readonly q: string;
}

const CASES: readonly Case[] = [
  {
    what: 'The oldest instance leads',
    q: 'leader.mysql.skydns.local. A',
    answer: 'leader.mysql.skydns.local. 1 IN A 10.0.0.2',
  },
  {
    what: 'The SRV target of a leader is the instance’s own name',
    q: 'leader.mysql.skydns.local. SRV',
    answer: 'leader.mysql.skydns.local. 1 IN SRV 10 100 3306 2.mysql.skydns.local.',
    additional: '2.mysql.skydns.local. 1 IN A 10.0.0.2',
  },
  {
    what: 'TXT of a leader is the text of the instance',
    q: 'leader.mysql.skydns.local. TXT',
    answer: 'leader.mysql.skydns.local. 1 IN TXT "two"',
  },
  {
    what: 'AAAA of a leader is the instance’s',
    q: 'leader.v6.skydns.local. AAAA',
    answer: 'leader.v6.skydns.local. 1 IN AAAA 2001:db8::1',
  },
  {
    what: 'A leader with both address families has an A record',
    q: 'leader.dual.skydns.local. A',
    answer: 'leader.dual.skydns.local. 1 IN A 10.0.8.1',
  },
  {
    what: 'A leader with both address families has an AAAA record',
    q: 'leader.dual.skydns.local. AAAA',
    answer: 'leader.dual.skydns.local. 1 IN AAAA 2001:db8::8',
  },
  { what: 'A of a leader without IPv4 address is NODATA', q: 'leader.v6.skydns.local. A' },
  { what: 'MX of a leader is NODATA', q: 'leader.mysql.skydns.local. MX' },
  { what: 'PTR of a leader is NODATA', q: 'leader.mysql.skydns.local. PTR' },
  { what: 'CNAME of a leader with an address is NODATA', q: 'leader.mysql.skydns.local. CNAME' },
  { what: 'NS of a leader is NODATA', q: 'leader.mysql.skydns.local. NS' },
  {
    what: 'QTYPE ANY of a leader is answered',
    q: 'leader.mysql.skydns.local. ANY',
    answer: 'leader.mysql.skydns.local. 3600 IN HINFO "RFC8482" ""',
  },
  {
    what: 'An instance that says never does not lead',
    q: 'leader.replica.skydns.local. A',
    answer: 'leader.replica.skydns.local. 1 IN A 10.0.2.2',
  },
  {
    what: 'A name whose instances all say never has no leader',
    q: 'leader.readers.skydns.local. A',
  },
  {
    what: 'The oldest of the instances that say yes leads',
    q: 'leader.marked.skydns.local. A',
    answer: 'leader.marked.skydns.local. 1 IN A 10.0.4.2',
  },
  {
    what: 'A name with manual instances has no leader before one is chosen',
    q: 'leader.manual.skydns.local. A',
  },
  {
    what: 'A key that is named leader is answered for itself',
    q: 'leader.taken.skydns.local. A',
    answer: 'leader.taken.skydns.local. 3600 IN A 10.0.5.9',
  },
  {
    what: 'The only service of a name leads it',
    q: 'leader.single.skydns.local. SRV',
    answer: 'leader.single.skydns.local. 1 IN SRV 10 100 6 single.skydns.local.',
    additional: 'single.skydns.local. 1 IN A 10.0.6.1',
  },
  { what: 'A service without a host does not lead', q: 'leader.texts.skydns.local. TXT' },
  {
    what: 'A leader that is an alias has a CNAME',
    q: 'leader.alias.skydns.local. A',
    answer: `
      leader.alias.skydns.local. 1 IN CNAME single.skydns.local.
      single.skydns.local. 3600 IN A 10.0.6.1`,
  },
  {
    what: 'An alias can lead to a leader',
    q: 'www.skydns.local. A',
    answer: `
      www.skydns.local. 3600 IN CNAME leader.mysql.skydns.local.
      leader.mysql.skydns.local. 1 IN A 10.0.0.2`,
  },
  {
    what: 'Only instances of the group that answers for the name can lead it',
    q: 'leader.grouped.skydns.local. A',
    answer: 'leader.grouped.skydns.local. 1 IN A 10.0.7.1',
  },
  {
    what: 'The leader of a missing name does not exist',
    q: 'leader.nothing.skydns.local. A',
    rcode: 'NXDOMAIN',
  },
  {
    what: 'A name below a leader does not exist',
    q: 'leader.leader.mysql.skydns.local. A',
    rcode: 'NXDOMAIN',
  },
  {
    what: 'The label leader is folded',
    q: 'Leader.mysql.SkyDNS.local. A',
    answer: 'Leader.mysql.SkyDNS.local. 1 IN A 10.0.0.2',
  },
  {
    what: 'Aggregation does not list the leader as an instance',
    q: 'mysql.skydns.local. SRV',
    answer: `
      mysql.skydns.local. 60 IN SRV 10 50 3306 2.mysql.skydns.local.
      mysql.skydns.local. 60 IN SRV 10 50 3306 1.mysql.skydns.local.`,
    additional: `
      2.mysql.skydns.local. 60 IN A 10.0.0.2
      1.mysql.skydns.local. 3600 IN A 10.0.0.1`,
  },
  {
    what: 'A wildcard does not list the leader as an instance',
    q: '*.mysql.skydns.local. TXT',
    answer: '*.mysql.skydns.local. 60 IN TXT "two"',
  },
  {
    what: 'A wildcard in front of leader matches no leader',
    q: '*.leader.mysql.skydns.local. A',
    rcode: 'NXDOMAIN',
  },
  {
    what: 'A wildcard behind leader matches only keys of that name',
    q: 'leader.*.skydns.local. SRV',
    answer: 'leader.*.skydns.local. 3600 IN SRV 10 100 9 leader.taken.skydns.local.',
    additional: 'leader.taken.skydns.local. 3600 IN A 10.0.5.9',
  },
];

describe('The leader of a name', () => {
  const { check } = zone();
  for (const { what, q, ...expected } of CASES) {
    it(`${what} (${q})`, () => check(q, expected, {}, q.startsWith('*') ? 5 : 1));
  }

  it('The records and denials of a leader have the TTL of the option', () => {
    const settings = { leaderTtlSeconds: 30 };
    const answer = 'leader.mysql.skydns.local. 30 IN A 10.0.0.2';
    check('leader.mysql.skydns.local. A', { answer }, settings);
    check('leader.v6.skydns.local. A', {}, settings, 30);
    check('leader.nothing.skydns.local. A', { rcode: 'NXDOMAIN' }, settings, 30);
    check('other.nothing.skydns.local. A', { rcode: 'NXDOMAIN' }, settings, 5);
  });

  it('The instance that was chosen leads a name with a manual instance', () => {
    const { tables, check } = zone();
    const choose = (revision: number, value: unknown): void =>
      tables.leader.apply([tablePut('leader', 'local/skydns/manual', value, revision)]);
    choose(1, { instance: '2.Manual.skydns.local.' });
    const answer = 'leader.manual.skydns.local. 1 IN A 10.0.1.2';
    check('leader.manual.skydns.local. A', { answer });
    choose(2, { instance: '3.manual.skydns.local.' });
    check('leader.manual.skydns.local. A', {});
    choose(3, { instance: '1.manual.skydns.local.' });
    check('leader.manual.skydns.local. A', { answer: answer.replace('.2', '.1') });
    tables.leader.apply([tableDelete('leader', 'local/skydns/manual', 4)]);
    check('leader.manual.skydns.local. A', {});
  });

  it('An instance with both address families is chosen by its own name', () => {
    const value = { host: '10.0.9.1', port: 1, targetstrip: 1, leader: 'manual' };
    const { check, tables } = zone({
      'local/skydns/both/1': { host: '10.0.9.2', port: 1 },
      'local/skydns/both/2/ipv4': value,
      'local/skydns/both/2/ipv6': { ...value, host: '2001:db8::9' },
    });
    tables.leader.apply([
      tablePut('leader', 'local/skydns/both', { instance: '2.both.skydns.local.' }, 50),
    ]);
    check('leader.both.skydns.local. A', {
      answer: 'leader.both.skydns.local. 1 IN A 10.0.9.1',
    });
  });

  it('A choice has no effect on a name without manual instances', () => {
    const { tables, check } = zone();
    const instance = '1.mysql.skydns.local.';
    tables.leader.apply([tablePut('leader', 'local/skydns/mysql', { instance }, 1)]);
    const answer = 'leader.mysql.skydns.local. 1 IN A 10.0.0.2';
    check('leader.mysql.skydns.local. A', { answer });
  });

  it('An instance that is written again keeps its age', () => {
    const { catalog, check } = zone();
    const key = '/skydns/local/skydns/mysql/2';
    const value = Buffer.from('{"host":"10.0.0.22"}');
    const put = (createRevision: number): void => {
      const entry = { key, value, createRevision, modRevision: 90, lease: undefined };
      catalog.apply([{ kind: 'put', entry, previous: undefined }]);
    };
    put(1);
    const answer = 'leader.mysql.skydns.local. 1 IN A 10.0.0.22';
    check('leader.mysql.skydns.local. A', { answer });
    put(90);
    check('leader.mysql.skydns.local. A', { answer: answer.replace('.22', '.1') });
  });

  it('A name with more than a thousand instances has no leader', () => {
    const services = (count: number): Services =>
      Object.fromEntries(
        Array.from({ length: count }, (_, i) => [`local/skydns/many/${i}`, { host: '10.0.0.1' }]),
      );
    const answer = 'leader.many.skydns.local. 1 IN A 10.0.0.1';
    zone(services(1_000)).check('leader.many.skydns.local. A', { answer });
    zone(services(1_001)).check('leader.many.skydns.local. A', {});
  });

  it('Long texts of instances do not hide the oldest one', () => {
    const text = 'x'.repeat(50_000);
    const services: Services = Object.fromEntries(
      Array.from({ length: 8 }, (_, i) => [`local/skydns/long/${i}`, { host: '10.0.0.1', text }]),
    );
    const { catalog, check } = zone(services);
    const key = '/skydns/local/skydns/long/9';
    const value = Buffer.from('{"host":"10.0.0.9"}');
    const entry = { key, value, createRevision: 0, modRevision: 99, lease: undefined };
    catalog.apply([{ kind: 'put', entry, previous: undefined }]);
    const answer = 'leader.long.skydns.local. 1 IN A 10.0.0.9';
    check('leader.long.skydns.local. A', { answer });
  });

  it('The name of a leader can have a virtual address', () => {
    const { tables, check } = zone();
    giveAddresses(tables, { '198.18.0.1': 'leader.mysql.skydns.local' });
    const settings = { virtualAddresses: true };
    const answer = 'leader.mysql.skydns.local. 3600 IN A 198.18.0.1';
    check('leader.mysql.skydns.local. A', { answer }, settings);
    check(
      'leader.mysql.skydns.local. SRV',
      {
        answer: 'leader.mysql.skydns.local. 1 IN SRV 10 100 3306 2.mysql.skydns.local.',
        additional: '2.mysql.skydns.local. 1 IN A 10.0.0.2',
      },
      settings,
    );
    check('mysql.skydns.local. TXT', { answer: 'mysql.skydns.local. 60 IN TXT "two"' }, settings);
  });
});

describe('The keys of chosen leaders', () => {
  const INVALID: readonly (readonly [path: string, value: unknown, reason: RegExp])[] = [
    ['local/skydns/db', 'broken', /not JSON/],
    ['local/skydns/db', {}, /instance: must be a domain name/],
    ['local/skydns/db', { instance: ['1.db'] }, /instance: must be a domain name/],
    ['local/skydns/db', { instance: '.' }, /instance: must be a domain name/],
    ['local/skydns.db', { instance: '1.db.skydns.local' }, /path of a name/],
    ['local//db', { instance: '1.db.skydns.local' }, /path of a name/],
    ['local/skydns/db', { instance: '1.db', pad: 'x'.repeat(5_000) }, /above 4096 octets/],
  ];
  for (const [path, value, reason] of INVALID) {
    it(`An invalid choice is reported once, and counts as none (${JSON.stringify(value).slice(0, 40)})`, () => {
      const reports: string[] = [];
      const tables = tablesOf(catalogOf({}), (key, why) => reports.push(`${key}: ${why}`));
      for (const revision of [1, 2])
        tables.leader.apply([tablePut('leader', path, value, revision)]);
      assert.equal(reports.length, 1);
      assert.match(reports[0] ?? '', reason);
      assert.deepEqual([...tables.leader.rows()], []);
      assert.equal(tables.leader.chosenLeader(name('db.skydns.local.')), undefined);
      assert.equal([...tables.leader.revisions()].length, 1);
    });
  }
});

const candidate = fc.record({
  name: fc.constantFrom(['1', 'db'], ['2', 'db'], ['3', 'db']),
  rule: fc.constantFrom<LeaderRule | undefined>(undefined, ...LEADER_RULES),
  createRevision: fc.nat(4),
});

describe('The choice of a leader', () => {
  it('All servers choose the same leader, in whatever order they see the instances', () => {
    fc.assert(
      fc.property(
        fc
          .array(candidate, { maxLength: 6 })
          .chain((list) =>
            fc.tuple(
              fc.constant(list),
              fc.shuffledSubarray(list, { minLength: list.length, maxLength: list.length }),
            ),
          ),
        fc.constantFrom(undefined, ['2', 'DB'], ['9', 'db']),
        ([list, shuffled], chosen) => {
          const leader = chooseLeader(list, chosen);
          const other = chooseLeader(shuffled, chosen);
          assert.deepEqual(
            [other?.name, other?.createRevision],
            [leader?.name, leader?.createRevision],
          );
        },
      ),
    );
  });

  it('A leader never says never, is as old as any that may lead, and is the chosen one of manual instances', () => {
    fc.assert(
      fc.property(
        fc.array(candidate, { maxLength: 6 }),
        fc.constantFrom(undefined, ['2', 'db']),
        (list, chosen) => {
          const leader = chooseLeader(list, chosen);
          const willing = list.filter(({ rule }) => rule !== 'never');
          const isManual = willing.some(({ rule }) => rule === 'manual');
          const marked = willing.filter(({ rule }) => rule === 'yes');
          const eligible = isManual
            ? willing.filter((each) => chosen !== undefined && each.name[0] === '2')
            : marked.length > 0
              ? marked
              : willing;
          assert.equal(leader === undefined, eligible.length === 0);
          if (leader === undefined) return;
          assert.ok(eligible.includes(leader));
          for (const each of eligible) assert.ok(leader.createRevision <= each.createRevision);
        },
      ),
    );
  });
});
