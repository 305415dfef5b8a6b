/**
 * Consul's names: forty questions in the forms that Consul documents, and their answers from our services; which names
 * exist; and what an alias of a query leads to.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { consulMeaning } from '../../src/ambassador/names/consulName.ts';
import { Ede } from '../../src/dns/message.ts';
import { Rcode } from '../../src/dns/rr.ts';
import type { ConsulSettings } from '../../src/zone/tree/view.ts';
import { giveAddresses, tableDelete, tablePut, tablesOf } from '../support/nameTables.ts';
import { assertResponse, catalogOf, type Expected, name, respond, text } from '../support/zone.ts';

const EAST = 'local/skydns/east/production';
const WEST = 'local/skydns/west/production';

const SERVICES = {
  [`${EAST}/redis/1`]: { host: '10.1.10.12', port: 8000, tags: ['primary', 'v1'], text: 'a' },
  [`${EAST}/redis/2`]: { host: '10.1.10.13', port: 8001, tags: ['Replica', 'v1.2.alpha'], ttl: 60 },
  [`${EAST}/web/1`]: { host: '2001:db8::10', port: 80, expose: 8080 },
  [`${EAST}/web/2`]: { host: 'web.example.com', port: 443 },
  [`${EAST}/v6/1`]: { host: '2001:db8::11', port: 80 },
  [`${EAST}/dns/tcp`]: { host: '10.1.10.53', port: 53, expose: '53/tcp' },
  [`${EAST}/dns/udp`]: { host: '10.1.10.53', port: 5353, expose: '53/udp' },
  [`${EAST}/tagged/1`]: { host: '10.1.10.60', port: 60, tags: ['udp'] },
  [`${EAST}/single`]: { host: '10.1.10.99', port: 99, tags: ['only'] },
  [`${EAST}/mail/1`]: { host: '10.1.10.25', port: 25, mail: true },
  [`${EAST}/cdn/1`]: { host: 'cdn.example.com' },
  [`${WEST}/redis/1`]: { host: '10.2.10.12', port: 9000 },
  [`${WEST}/spare/1`]: { host: '10.2.10.77', port: 77, tags: ['primary'] },
  'local/skydns/dns/node/foo': { host: '10.1.10.12', text: 'rack=7' },
  'local/skydns/dns/node/corp/host-1': { host: '10.1.10.13' },
  'local/skydns/dns/ns/a': { host: '192.0.2.53' },
};

const CONSUL: ConsulSettings = {
  domain: name('consul.'),
  own: { base: name('production.east.skydns.local.'), zone: name('skydns.local.') },
  datacenters: [
    {
      label: 'east',
      base: name('production.east.skydns.local.'),
      zone: name('skydns.local.'),
    },
    {
      label: 'west',
      base: name('production.west.skydns.local.'),
      zone: name('skydns.local.'),
    },
  ],
};

const SETTINGS = { consul: CONSUL, apexes: [name('skydns.local.'), name('consul.')] };

function zone(services: Readonly<Record<string, unknown>> = SERVICES, settings = SETTINGS) {
  const catalog = catalogOf(services);
  const tables = tablesOf(catalog);
  const reply = (q: string, overrides = {}) => {
    const [qname = '', type = ''] = q.split(' ');
    return respond(catalog, qname, type, {
      settings: { ...settings, ...overrides },
      facts: tables.facts,
    });
  };
  const check = (q: string, expected: Expected, overrides = {}): void => {
    const response = reply(q, overrides);
    // The name server of the domain is that of the zone with the services.
    const authority = response.authority.map((rr) => {
      assert.ok(rr.rdata.kind === 'soa');
      assert.deepEqual(rr.rdata.mname, ['ns', 'dns', 'skydns', 'local']);
      return { ...rr, rdata: { ...rr.rdata, mname: ['ns', 'dns', 'consul'] } };
    });
    assertResponse({ ...response, authority, extendedError: undefined }, expected, 'consul.');
  };
  return { catalog, tables, reply, check };
}

/** A question, and the records of its answer; `additional` are the addresses of its targets. */
type Row = readonly [q: string, answer: string | readonly string[], additional?: readonly string[]];

const R1 = '0a010a0c.addr.east.consul.';
const R2 = '0a010a0d.addr.east.consul.';
const R1_A = `${R1} 3600 IN A 10.1.10.12`;
const R2_A = `${R2} 60 IN A 10.1.10.13`;

const NXDOMAIN = 'NXDOMAIN';
const NODATA: readonly string[] = [];

const TABLE: readonly Row[] = [
  // A service, in the own data centre and in others.
  [
    'redis.service.consul. A',
    ['redis.service.consul. 60 IN A 10.1.10.12', 'redis.service.consul. 60 IN A 10.1.10.13'],
  ],
  [
    'redis.service.consul. SRV',
    [
      `redis.service.consul. 60 IN SRV 10 50 8000 ${R1}`,
      `redis.service.consul. 60 IN SRV 10 50 8001 ${R2}`,
    ],
    [R1_A, R2_A],
  ],
  [
    'redis.service.east.consul. A',
    [
      'redis.service.east.consul. 60 IN A 10.1.10.12',
      'redis.service.east.consul. 60 IN A 10.1.10.13',
    ],
  ],
  ['redis.service.west.consul. A', ['redis.service.west.consul. 3600 IN A 10.2.10.12']],
  [
    'redis.service.west.consul. SRV',
    ['redis.service.west.consul. 3600 IN SRV 10 100 9000 0a020a0c.addr.west.consul.'],
    ['0a020a0c.addr.west.consul. 3600 IN A 10.2.10.12'],
  ],
  ['redis.service.west.dc.consul. A', ['redis.service.west.dc.consul. 3600 IN A 10.2.10.12']],
  ['redis.service.dc1.consul. A', NXDOMAIN],
  ['redis.service.dc1.dc.consul. A', NXDOMAIN],
  ['nothing.service.consul. A', NXDOMAIN],
  ['nothing.service.consul. SRV', NXDOMAIN],
  ['redis.service.consul. AAAA', NODATA],
  ['v6.service.consul. AAAA', ['v6.service.consul. 3600 IN AAAA 2001:db8::11']],
  [
    'web.service.consul. SRV',
    [
      'web.service.consul. 3600 IN SRV 10 50 443 web.example.com.',
      'web.service.consul. 3600 IN SRV 10 50 80 20010db8000000000000000000000010.addr.east.consul.',
    ],
    ['20010db8000000000000000000000010.addr.east.consul. 3600 IN AAAA 2001:db8::10'],
  ],
  ['redis.service.consul. TXT', ['redis.service.consul. 3600 IN TXT "a"']],
  ['single.service.consul. A', ['single.service.consul. 3600 IN A 10.1.10.99']],
  [
    'mail.service.consul. MX',
    ['mail.service.consul. 3600 IN MX 10 0a010a19.addr.east.consul.'],
    ['0a010a19.addr.east.consul. 3600 IN A 10.1.10.25'],
  ],
  ['cdn.service.consul. CNAME', ['cdn.service.consul. 3600 IN CNAME cdn.example.com.']],
  // A tag, in any case, and one with dots.
  ['primary.redis.service.consul. A', ['primary.redis.service.consul. 3600 IN A 10.1.10.12']],
  [
    'primary.redis.service.consul. SRV',
    [`primary.redis.service.consul. 3600 IN SRV 10 100 8000 ${R1}`],
    [R1_A],
  ],
  ['REPLICA.Redis.Service.Consul. A', ['REPLICA.Redis.Service.Consul. 60 IN A 10.1.10.13']],
  ['v1.2.alpha.redis.service.consul. A', ['v1.2.alpha.redis.service.consul. 60 IN A 10.1.10.13']],
  ['2.alpha.redis.service.consul. A', NODATA],
  ['v2.redis.service.consul. A', NXDOMAIN],
  ['primary.redis.service.west.consul. A', NXDOMAIN],
  // RFC 2782.
  [
    '_redis._primary.service.consul. SRV',
    [`_redis._primary.service.consul. 3600 IN SRV 10 100 8000 ${R1}`],
    [R1_A],
  ],
  [
    '_redis._tcp.service.consul. SRV',
    [
      `_redis._tcp.service.consul. 60 IN SRV 10 50 8000 ${R1}`,
      `_redis._tcp.service.consul. 60 IN SRV 10 50 8001 ${R2}`,
    ],
    [R1_A, R2_A],
  ],
  [
    '_redis._tcp.service.west.consul. SRV',
    ['_redis._tcp.service.west.consul. 3600 IN SRV 10 100 9000 0a020a0c.addr.west.consul.'],
    ['0a020a0c.addr.west.consul. 3600 IN A 10.2.10.12'],
  ],
  [
    '_redis._primary.consul. SRV',
    [`_redis._primary.consul. 3600 IN SRV 10 100 8000 ${R1}`],
    [R1_A],
  ],
  [
    '_redis._tcp.west.consul. SRV',
    ['_redis._tcp.west.consul. 3600 IN SRV 10 100 9000 0a020a0c.addr.west.consul.'],
    ['0a020a0c.addr.west.consul. 3600 IN A 10.2.10.12'],
  ],
  [
    '_dns._udp.service.consul. SRV',
    ['_dns._udp.service.consul. 3600 IN SRV 10 100 5353 0a010a35.addr.east.consul.'],
    ['0a010a35.addr.east.consul. 3600 IN A 10.1.10.53'],
  ],
  ['_tagged._udp.service.consul. A', ['_tagged._udp.service.consul. 3600 IN A 10.1.10.60']],
  ['_redis._udp.service.consul. SRV', NXDOMAIN],
  // Nodes, and addresses in hexadecimal digits.
  ['foo.node.consul. A', ['foo.node.consul. 3600 IN A 10.1.10.12']],
  ['foo.node.west.consul. TXT', ['foo.node.west.consul. 3600 IN TXT "rack=7"']],
  ['host-1.corp.node.consul. A', ['host-1.corp.node.consul. 3600 IN A 10.1.10.13']],
  ['bar.node.consul. A', NXDOMAIN],
  ['0a010A0c.addr.consul. A', ['0a010A0c.addr.consul. 3600 IN A 10.1.10.12']],
  [
    '20010db8000000000000000000000010.addr.west.consul. AAAA',
    ['20010db8000000000000000000000010.addr.west.consul. 3600 IN AAAA 2001:db8::10'],
  ],
  ['0a010a0c.addr.consul. AAAA', NODATA],
  ['0a010a0.addr.consul. A', NXDOMAIN],
  // The domain itself.
  [
    'consul. NS',
    ['consul. 3600 IN NS a.ns.dns.skydns.local.'],
    ['a.ns.dns.skydns.local. 3600 IN A 192.0.2.53'],
  ],
  ['consul. A', NODATA],
];

describe('The forty questions', () => {
  const { check } = zone();
  for (const [q, records, additional] of TABLE) {
    it(`Consul’s name has the answer of our services (${q})`, () => {
      const expected: Expected =
        records === NXDOMAIN
          ? { rcode: 'NXDOMAIN' }
          : { answer: (records as readonly string[]).join('\n') };
      check(q, { ...expected, additional: (additional ?? []).join('\n') });
    });
  }

  it('There are at least forty questions', () => assert.ok(TABLE.length >= 40));

  it('No name is answered without the option', () => {
    for (const [q] of TABLE) {
      const [qname = '', type = ''] = q.split(' ');
      const { catalog, tables } = zone();
      const asked = { settings: { apexes: [name('skydns.local.')] }, facts: tables.facts };
      assert.throws(() => respond(catalog, qname, type, asked), /is not ours/, q);
    }
  });

  it('SOA of the domain names the name server of the zone with the services', () => {
    const { reply } = zone();
    const soa = 'ns.dns.skydns.local. hostmaster.consul. 7200 28800 7200 604800 5';
    assert.deepEqual(text(reply('consul. SOA').answer), [`consul. 3600 IN SOA ${soa}`]);
  });

  it('An alias in our zone can lead to a Consul name', () => {
    const services = { ...SERVICES, 'local/skydns/www': { host: 'primary.redis.service.consul' } };
    const { reply } = zone(services);
    assert.deepEqual(text(reply('www.skydns.local. A').answer), [
      'primary.redis.service.consul. 3600 IN A 10.1.10.12',
      'www.skydns.local. 3600 IN CNAME primary.redis.service.consul.',
    ]);
  });
});

describe('Names that only Consul has', () => {
  const { reply } = zone();
  const UNSUPPORTED = [
    'redis.connect.consul.',
    'redis.connect.east.consul.',
    'redis.ingress.consul.',
    'redis.service.default.ns.consul.',
    'redis.service.default.ns.dc1.dc.consul.',
    'redis.service.default.ns.part.ap.west.dc.consul.',
    'redis.service.other.peer.consul.',
    'redis.virtual.other.peer.consul.',
    'redis.service.group.sg.consul.',
    'connect.consul.',
  ];
  for (const qname of UNSUPPORTED) {
    it(`A name with an unsupported word is denied, with the reason (${qname})`, () => {
      const response = reply(`${qname} A`);
      assert.equal(response.rcode, Rcode.NXDOMAIN);
      assert.equal(response.extendedError?.code, Ede.NOT_SUPPORTED);
      assert.match(response.extendedError?.text ?? '', /label (connect|ingress|ns|ap|peer|sg) /);
      assert.equal(response.authority.length, 1);
    });
  }

  it('A service with the name of such a word is a service', () => {
    const { check } = zone({ ...SERVICES, [`${EAST}/connect/1`]: { host: '10.1.10.70' } });
    const answer = 'connect.service.consul. 3600 IN A 10.1.10.70';
    check('connect.service.consul. A', { answer });
  });

  it('Other names are denied without a reason', () => {
    for (const qname of [
      'redis.consul.',
      'a.b.c.consul.',
      'redis.unknown.consul.',
      '_redis.consul.',
      '_redis._tcp._x.consul.',
      '_._tcp.service.consul.',
      '*.service.consul.',
      'any.redis.service.consul.',
      'redis.service.east.west.consul.',
      'leader.redis.service.consul.',
    ]) {
      const response = reply(`${qname} A`);
      assert.equal(response.rcode, Rcode.NXDOMAIN, qname);
      assert.equal(response.extendedError, undefined, qname);
      assert.equal(response.authority[0]?.ttlSeconds, 5, qname);
    }
  });
});

describe('Names that have others below them', () => {
  const EMPTY = [
    'service.consul.',
    'node.consul.',
    'addr.consul.',
    'query.consul.',
    'virtual.consul.',
    'east.consul.',
    'dc.consul.',
    'east.dc.consul.',
    'service.west.consul.',
    'service.west.dc.consul.',
    '_tcp.consul.',
    '_udp.service.consul.',
    '_tcp.query.consul.',
    '_tcp.service.west.consul.',
  ];
  for (const qname of EMPTY) {
    it(`A name between the domain and Consul’s names exists (${qname})`, () => {
      const { check } = zone();
      for (const type of ['A', 'SRV', 'PTR', 'CNAME', 'NS']) check(`${qname} ${type}`, {});
    });
  }

  it('Every empty name of the table is empty, and the table has every empty name', () => {
    const { tables } = zone();
    const { fixed } = tables.facts.consulNames(CONSUL);
    for (const each of fixed) {
      assert.deepEqual(
        consulMeaning(each, CONSUL, () => undefined),
        { kind: 'empty' },
      );
    }
    const known = new Set(fixed.map((each) => each.join('.')));
    const labels = ['service', 'node', 'addr', 'query', 'virtual', 'dc', 'east', 'west', '_tcp'];
    for (const a of labels) {
      for (const b of ['', ...labels]) {
        for (const c of ['', ...labels]) {
          const each = [c, b, a].filter((label) => label !== '');
          const meaning = consulMeaning([...each, 'consul'], CONSUL, () => undefined);
          if (meaning.kind === 'empty') {
            assert.ok(known.has([...each, 'consul'].join('.')), each.join('.'));
          }
        }
      }
    }
  });
});

describe('Virtual addresses in Consul’s names', () => {
  const on = { virtualAddresses: true };

  it('virtual.consul has the virtual address of the service, and exists only with one', () => {
    const { tables, check } = zone();
    giveAddresses(tables, { '198.18.0.1': 'redis.production.east.skydns.local.' });
    const answer = 'redis.virtual.consul. 3600 IN A 198.18.0.1';
    check('redis.virtual.consul. A', { answer }, on);
    check('redis.virtual.consul. AAAA', {}, on);
    check('redis.virtual.consul. SRV', {}, on);
    check('web.virtual.consul. A', { rcode: 'NXDOMAIN' }, on);
    check('a.redis.virtual.consul. A', { rcode: 'NXDOMAIN' }, on);
    check('redis.virtual.east.consul. A', { rcode: 'NXDOMAIN' }, on);
    check('redis.virtual.consul. A', { rcode: 'NXDOMAIN' });
  });

  it('A service has its virtual address, its tags and its SRV targets do not', () => {
    const { tables, check } = zone();
    giveAddresses(tables, { '198.18.0.1': 'redis.production.east.skydns.local.' });
    const answer = 'redis.service.consul. 3600 IN A 198.18.0.1';
    check('redis.service.consul. A', { answer }, on);
    const primary = 'primary.redis.service.consul. 3600 IN A 10.1.10.12';
    check('primary.redis.service.consul. A', { answer: primary }, on);
    const srv = `primary.redis.service.consul. 3600 IN SRV 10 100 8000 ${R1}`;
    check('primary.redis.service.consul. SRV', { answer: srv, additional: R1_A }, on);
  });

  it('A service without instances does not exist, although it has a virtual address', () => {
    const { tables, check } = zone();
    giveAddresses(tables, { '198.18.0.1': 'idle.production.east.skydns.local.' });
    check('idle.service.consul. A', { rcode: 'NXDOMAIN' }, on);
    check('idle.virtual.consul. A', { answer: 'idle.virtual.consul. 3600 IN A 198.18.0.1' }, on);
  });
});

describe('Aliases of queries', () => {
  function aliased() {
    const all = zone();
    let revision = 0;
    const set = (id: string, value: unknown): void =>
      all.tables.query.apply([tablePut('query', id, value, ++revision)]);
    const remove = (id: string): void =>
      all.tables.query.apply([tableDelete('query', id, ++revision)]);
    return { ...all, set, remove };
  }

  it('An alias is the service, with its tag, in every form of its name', () => {
    const { set, check } = aliased();
    set('cache', { service: 'redis', tag: 'PRIMARY' });
    for (const qname of [
      'cache.query.consul.',
      'Cache.query.east.consul.',
      'cache.query.east.dc.consul.',
    ])
      check(`${qname} A`, { answer: `${qname} 3600 IN A 10.1.10.12` });
    check('_cache._tcp.query.consul. SRV', {
      answer: `_cache._tcp.query.consul. 3600 IN SRV 10 100 8000 ${R1}`,
      additional: R1_A,
    });
    for (const qname of [
      'cache.query.west.consul.',
      'a.cache.query.consul.',
      '_cache._x.query.consul.',
    ])
      check(`${qname} A`, { rcode: 'NXDOMAIN' });
  });

  it('An alias leads to the first data centre that has instances', () => {
    const { set, check } = aliased();
    set('spare', '{"service":"spare","tag":"primary","then":["nowhere","west","east"]}');
    check('spare.query.consul. SRV', {
      answer: 'spare.query.consul. 3600 IN SRV 10 100 77 0a020a4d.addr.west.consul.',
      additional: '0a020a4d.addr.west.consul. 3600 IN A 10.2.10.77',
    });
    set('spare', { service: 'spare' });
    check('spare.query.consul. SRV', { rcode: 'NXDOMAIN' });
    set('spare', '{"service":"redis","then":["west"]}');
    check('spare.query.west.consul. A', {
      answer: 'spare.query.west.consul. 3600 IN A 10.2.10.12',
    });
  });

  it('An alias that is removed or becomes invalid does not exist', () => {
    const catalog = catalogOf(SERVICES);
    const reports: string[] = [];
    const tables = tablesOf(catalog, (key, reason) => reports.push(`${key}: ${reason}`));
    const apply = (value: unknown, revision: number): void =>
      tables.query.apply([tablePut('query', 'cache', value, revision)]);
    apply({ service: 'redis' }, 1);
    assert.deepEqual([...tables.query.ids()], ['cache']);
    apply({ service: 7 }, 2);
    assert.deepEqual([...tables.query.ids()], []);
    assert.match(reports.join(), /service: must be a name/);
    apply({ service: 'redis' }, 3);
    tables.query.apply([tableDelete('query', 'cache', 4)]);
    assert.equal(tables.query.aliasOf('cache'), undefined);
  });

  const INVALID: readonly (readonly [path: string, value: unknown, reason: RegExp])[] = [
    ['a.b', { service: 'redis' }, /not one label/],
    ['', { service: 'redis' }, /not one label/],
    ['a/b', { service: '' }, /service: must be/],
    ['Upper', { service: 'redis' }, /another form of \/skydns-query\/upper/],
    ['a', 'broken', /not JSON/],
    ['a', {}, /service: must be/],
    ['a', { service: 'x', tag: 7 }, /tag: must be/],
    ['a', { service: 'x', tag: '' }, /tag: must be/],
    ['a', '{"service":"x","then":"west"}', /then: must be/],
    ['a', '{"service":"x","then":["a.b"]}', /then: must be/],
    ['a', `{"service":"x","then":[${'"west",'.repeat(16)}"west"]}`, /then: must be/],
    ['a', { service: 'x', pad: 'x'.repeat(5_000) }, /above 4096 octets/],
  ];
  for (const [path, value, reason] of INVALID) {
    it(`An invalid alias is reported once (${path} ${JSON.stringify(value).slice(0, 40)})`, () => {
      const reports: string[] = [];
      const tables = tablesOf(catalogOf({}), (_, why) => reports.push(why));
      for (const revision of [1, 2]) tables.query.apply([tablePut('query', path, value, revision)]);
      assert.equal(reports.length, 1);
      assert.match(reports[0] ?? '', reason);
      assert.deepEqual([...tables.query.ids()], []);
    });
  }
});

describe('Large services in Consul’s names', () => {
  const many = (count: number, rare: number) =>
    Object.fromEntries(
      Array.from({ length: count }, (_, i) => [
        `${EAST}/many/${i}`,
        { host: `10.3.${i >> 8}.${i & 255}`, port: 1, tags: i === rare ? ['rare'] : ['common'] },
      ]),
    );

  it('A tag that one of three thousand instances has is found', () => {
    const { check } = zone(many(3_000, 2_222));
    const answer = 'rare.many.service.consul. 3600 IN A 10.3.8.174';
    check('rare.many.service.consul. A', { answer });
    check('rare.many.service.consul. AAAA', {});
  });
});

const word = fc.constantFrom(
  'service',
  'node',
  'addr',
  'query',
  'virtual',
  'dc',
  'connect',
  'ns',
  'east',
  'west',
  '_tcp',
  '_udp',
  '_redis',
  '_primary',
  'redis',
  'primary',
  '0a010a0c',
  'any',
  '*',
  '_',
  '\0',
  'x'.repeat(63),
);

describe('The parser of Consul’s names', () => {
  it('Every name has a meaning, which names only what is below the bases and zones of its data centres', () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 7 }), (labels) => {
        const meaning = consulMeaning([...labels, 'consul'], CONSUL, () => undefined);
        if (labels.some((label) => label === '*' || label === 'any')) {
          assert.deepEqual(meaning, { kind: 'missing' });
        }
        if (meaning.kind === 'unsupported') assert.ok(labels.includes(meaning.word));
        if (meaning.kind === 'name')
          assert.ok(meaning.name.join('.').endsWith('.node.dns.skydns.local'));
        if (meaning.kind !== 'instances') return;
        assert.equal(meaning.wanted.services.length, 1);
        for (const { name: service, addressDomain } of meaning.wanted.services) {
          const base = service.slice(1).join('.');
          const dc = base.split('.')[1];
          assert.ok(CONSUL.datacenters.some((each) => each.base.join('.') === base));
          assert.equal(addressDomain.join('.'), `addr.${dc}.consul`);
          assert.ok(labels.some((label) => label === service[0] || label === `_${service[0]}`));
        }
      }),
      { numRuns: 3_000 },
    );
  });

  it('Without data centres the own one has no label', () => {
    const consul = { ...CONSUL, datacenters: [] };
    const meaning = consulMeaning(name('redis.service.consul.'), consul, () => undefined);
    assert.ok(meaning.kind === 'instances');
    assert.deepEqual(meaning.wanted.services[0]?.addressDomain, ['addr', 'consul']);
    const other = consulMeaning(name('redis.service.east.consul.'), consul, () => undefined);
    assert.deepEqual(other, { kind: 'missing' });
  });
});
