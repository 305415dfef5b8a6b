/**
 * The ends of chains of aliases: without data, outside our zones, back in them, or at a host that cannot be resolved.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Class, Rcode, type Rr, Type } from '../../src/dns/rr.ts';
import { type External, externalKey } from '../../src/zone/tree/view.ts';
import {
  type Asked,
  assertResponse,
  catalogOf,
  name,
  respond,
  type Services,
  text,
} from '../support/zone.ts';

const OWN_SOA =
  'skydns.local. 5 IN SOA ns.dns.skydns.local. hostmaster.skydns.local. 7200 28800 7200 604800 5';
const UP_SOA = 'up.example. 7 IN SOA ns.up.example. host.up.example. 1 2 3 4 30';

function soa(ttlSeconds: number, owner = 'up.example.'): Rr {
  const rdata = {
    kind: 'soa',
    mname: name(`ns.${owner}`),
    rname: name(`host.${owner}`),
    serial: 1,
    refreshSeconds: 2,
    retrySeconds: 3,
    expireSeconds: 4,
    minimumSeconds: 30,
  } as const;
  return { owner: name(owner), type: Type.SOA, class: Class.IN, ttlSeconds, rdata };
}

function cname(owner: string, target: string): Rr {
  const rdata = { kind: 'name', target: name(target) } as const;
  return { owner: name(owner), type: Type.CNAME, class: Class.IN, ttlSeconds: 60, rdata };
}

function a(owner: string, address: string): Rr {
  const rdata = { kind: 'address', address } as const;
  return { owner: name(owner), type: Type.A, class: Class.IN, ttlSeconds: 60, rdata };
}

function saying(said: Readonly<Record<string, External>>): ReadonlyMap<string, External> {
  return new Map(
    Object.entries(said).map(([question, external]) => {
      const [qname = '', type = 'A'] = question.split(' ');
      return [externalKey(name(qname), Type[type as keyof typeof Type]), external];
    }),
  );
}

function sections(services: Services, qname: string, type: string, asked: Asked = {}) {
  const { rcode, answer, authority } = respond(catalogOf(services), qname, type, asked);
  return { rcode, answer: text(answer), authority: text(authority) };
}

describe('chains that end without data', () => {
  const services = {
    'local/skydns/int': { host: 'web.skydns.local' },
    'local/skydns/far': { host: 'int.skydns.local' },
    'local/skydns/web': { host: '10.0.0.1' },
    'org/example/web': { host: '10.0.0.2' },
    'local/skydns/zones': { host: 'web.example.org' },
    'local/skydns/flip': { host: 'flip.up.example', ttl: 900 },
    'local/skydns/one': { host: 'server3' },
  };
  const int = 'int.skydns.local. 3600 IN CNAME web.skydns.local.';

  it('A chain that ends without data in the zone keeps its CNAMEs and has the SOA of the zone', () => {
    assert.deepEqual(sections(services, 'int.skydns.local.', 'AAAA'), {
      rcode: Rcode.NOERROR,
      answer: [int],
      authority: [OWN_SOA],
    });
    assert.deepEqual(sections(services, 'far.skydns.local.', 'AAAA'), {
      rcode: Rcode.NOERROR,
      answer: ['far.skydns.local. 3600 IN CNAME int.skydns.local.', int],
      authority: [OWN_SOA],
    });
  });

  it('A chain that ends without data in another of the zones has the SOA of that zone', () => {
    const settings = { apexes: [name('skydns.local.'), name('example.org.')] };
    const { answer, authority } = sections(services, 'zones.skydns.local.', 'AAAA', { settings });
    assert.deepEqual(answer, ['zones.skydns.local. 3600 IN CNAME web.example.org.']);
    assert.match(String(authority), /^example\.org\. 5 IN SOA /);
  });

  it('A chain that ends without data outside has the SOA of the other server’s denial', () => {
    const externals = saying({ 'flip.up.example. A': { kind: 'found', rrs: [], soa: soa(7) } });
    assert.deepEqual(sections(services, 'flip.skydns.local.', 'A', { externals }), {
      rcode: Rcode.NOERROR,
      answer: ['flip.skydns.local. 900 IN CNAME flip.up.example.'],
      authority: [UP_SOA],
    });
  });

  it('A chain that ends without data outside keeps the outside CNAMEs', () => {
    const rrs = [cname('flip.up.example.', 'end.up.example.')];
    const externals = saying({ 'flip.up.example. A': { kind: 'found', rrs, soa: soa(7) } });
    assert.deepEqual(sections(services, 'flip.skydns.local.', 'A', { externals }), {
      rcode: Rcode.NOERROR,
      answer: [
        'flip.skydns.local. 900 IN CNAME flip.up.example.',
        'flip.up.example. 60 IN CNAME end.up.example.',
      ],
      authority: [UP_SOA],
    });
  });

  it('A chain that ends without data outside and without an SOA has at most the negative TTL', () => {
    const answer = ['flip.skydns.local. 5 IN CNAME flip.up.example.'];
    for (const said of [
      { kind: 'found', rrs: [] },
      // Another server has no authority over our zone, so its SOA does not count.
      { kind: 'found', rrs: [], soa: soa(7, 'skydns.local.') },
      { kind: 'unavailable' },
    ] as const) {
      const externals = saying({ 'flip.up.example. A': said });
      assert.deepEqual(sections(services, 'flip.skydns.local.', 'A', { externals }), {
        rcode: Rcode.NOERROR,
        answer,
        authority: [],
      });
    }
  });

  it('A chain that ends at a host of one label, for which the server never forwards, keeps its CNAMEs', () => {
    assert.deepEqual(sections(services, 'one.skydns.local.', 'A'), {
      rcode: Rcode.NOERROR,
      answer: ['one.skydns.local. 5 IN CNAME server3.'],
      authority: [],
    });
  });
});

describe('outside targets with a CNAME into the zones', () => {
  const services = {
    'local/skydns/web': { host: '192.0.2.10' },
    'local/skydns/f1/a': { host: '10.7.7.7', port: 1 },
    'local/skydns/f1/b': { host: 'back.up.example', port: 2 },
    'local/skydns/loop': { host: 'loop.up.example', port: 3 },
    'local/skydns/mail/a': { host: 'back.up.example', mail: true },
    'local/skydns/dns/ns/a': { host: 'back.up.example' },
    'local/skydns/pure': { host: 'loop2.up.example' },
  };
  const back = (owner: string, target: string): External => ({
    kind: 'found',
    rrs: [cname(owner, target)],
  });
  const both = (owner: string, target: string) => ({
    [`${owner} A`]: back(owner, target),
    [`${owner} AAAA`]: back(owner, target),
  });
  const externals = saying({
    ...both('back.up.example.', 'web.skydns.local.'),
    ...both('loop.up.example.', 'loop.skydns.local.'),
    ...both('loop2.up.example.', 'pure.skydns.local.'),
  });
  const glue = `
    back.up.example. 60 IN CNAME web.skydns.local.
    web.skydns.local. 3600 IN A 192.0.2.10`;
  const catalog = catalogOf(services);

  it('An outside SRV target with a CNAME into the zone has its addresses as glue', () => {
    assertResponse(respond(catalog, 'f1.skydns.local.', 'SRV', { externals }), {
      answer: `
        f1.skydns.local. 3600 IN SRV 10 50 1 a.f1.skydns.local.
        f1.skydns.local. 3600 IN SRV 10 50 2 back.up.example.`,
      additional: `a.f1.skydns.local. 3600 IN A 10.7.7.7${glue}`,
    });
  });

  it('An outside mail exchange or name server with a CNAME into the zone has its addresses as glue', () => {
    assertResponse(respond(catalog, 'mail.skydns.local.', 'MX', { externals }), {
      answer: 'mail.skydns.local. 3600 IN MX 10 back.up.example.',
      additional: glue,
    });
    assertResponse(respond(catalog, 'skydns.local.', 'NS', { externals }), {
      answer: 'skydns.local. 3600 IN NS back.up.example.',
      additional: glue,
    });
  });

  it('An outside CNAME back to the queried name does not loop', () => {
    assertResponse(respond(catalog, 'loop.skydns.local.', 'SRV', { externals }), {
      answer: 'loop.skydns.local. 3600 IN SRV 10 100 3 loop.up.example.',
      additional: '',
    });
    assertResponse(respond(catalog, 'pure.skydns.local.', 'A', { externals }), {});
    assertResponse(respond(catalog, 'loop.skydns.local.', 'A', { externals }), {});
  });

  it('An outside CNAME that loops does not affect the names above', () => {
    for (const type of ['SRV', 'MX', 'A', 'AAAA', 'TXT']) {
      const { rcode } = respond(catalog, 'skydns.local.', type, { externals });
      assert.equal(rcode, Rcode.NOERROR, type);
    }
  });
});

describe('faults in glue', () => {
  it('The zone reports a fault that occurs while it collects glue, and leaves out only the glue', () => {
    const faults: unknown[] = [];
    const fault = new Error('a fault of ours');
    const response = respond(
      catalogOf({ 'local/skydns/f1': { host: 'bad.up.example', port: 2 } }),
      'f1.skydns.local.',
      'SRV',
      {
        externals: {
          get() {
            throw fault;
          },
        } as unknown as ReadonlyMap<string, External>,
        onFault: (error) => faults.push(error),
      },
    );
    assertResponse(response, { answer: 'f1.skydns.local. 3600 IN SRV 10 100 2 bad.up.example.' });
    assert.deepEqual(faults, [fault, fault]);
  });
});

describe('answers without an unavailable host', () => {
  const services = {
    'local/skydns/part/a': { host: '10.0.4.1' },
    'local/skydns/part/b': { host: 'slow.up.example' },
    'local/skydns/www': { host: 'part.skydns.local' },
    'local/skydns/many/a': { host: 'good.up.example' },
    'local/skydns/many/b': { host: 'slow.up.example' },
    'local/skydns/srv/a': { host: 'slow.up.example', port: 1 },
    'local/skydns/srv/b': { host: '10.0.4.2', port: 1 },
  };
  const externals = saying({
    'slow.up.example. A': { kind: 'failed' },
    'good.up.example. A': { kind: 'found', rrs: [a('good.up.example.', '192.0.2.5')] },
  });
  const settings = { minTtlSeconds: 4 };

  it('An answer without an unavailable host has at most the negative TTL', () => {
    for (const [qname, answer] of [
      ['part', ['part.skydns.local. 4 IN A 10.0.4.1']],
      ['many', ['many.skydns.local. 4 IN A 192.0.2.5']],
      [
        'www',
        ['part.skydns.local. 4 IN A 10.0.4.1', 'www.skydns.local. 4 IN CNAME part.skydns.local.'],
      ],
    ] as const) {
      const asked = { externals, settings };
      assert.deepEqual(sections(services, `${qname}.skydns.local.`, 'A', asked).answer, answer);
    }
  });

  const SOA = /^skydns\.local\. 4 IN SOA /;
  const HALF = saying({
    'slow.up.example. AAAA': { kind: 'failed' },
    'slow.up.example. TXT': { kind: 'failed' },
    'good.up.example. AAAA': { kind: 'found', rrs: [] },
    'good.up.example. TXT': { kind: 'failed' },
  });

  it('A name with only one unavailable host is NODATA for a type that none of its known values has', () => {
    for (const [qname, qtype] of [
      ['part', 'AAAA'],
      ['part', 'TXT'],
      ['many', 'AAAA'],
      ['www', 'AAAA'],
    ] as const) {
      const asked = { externals: HALF, settings };
      const { answer, authority } = sections(services, `${qname}.skydns.local.`, qtype, asked);
      assert.deepEqual(
        answer.filter((rr) => !/ CNAME /.test(rr)),
        [],
      );
      assert.match(authority[0] ?? '', SOA, `${qname} ${qtype}`);
    }
  });

  it('A name whose hosts are all unavailable is SERVFAIL', () => {
    const asked = { externals: HALF, settings };
    const response = respond(catalogOf(services), 'many.skydns.local.', 'TXT', asked);
    assert.equal(response.rcode, Rcode.SERVFAIL);
  });

  it('An SRV answer that lacks only the glue of an unavailable host keeps its full TTL', () => {
    const { answer } = sections(services, 'srv.skydns.local.', 'SRV', { externals, settings });
    for (const rr of answer) assert.match(rr, /^srv\.skydns\.local\. 3600 /);
  });
});

describe('queries without RD', () => {
  const services = {
    'local/skydns/alias': { host: 'refused.up.example' },
    'local/skydns/via': { host: 'alias.skydns.local' },
    'local/skydns/rails/1': { host: 'lb.up.example', port: 8080 },
    'local/skydns/dual/a': { host: '10.0.0.1' },
    'local/skydns/dual/b': { host: 'lb.up.example' },
    'local/skydns/two/a': { host: 'lb1.up.example' },
    'local/skydns/two/b': { host: 'lb2.up.example' },
  };
  const asked: Asked = {
    recursionDesired: false,
    externals: {
      get() {
        throw new Error('another server was asked');
      },
    } as unknown as ReadonlyMap<string, External>,
  };
  const alias = 'alias.skydns.local. 3600 IN CNAME refused.up.example.';

  it('A query without RD gets only the CNAMEs, and the server does not forward', () => {
    for (const type of ['A', 'AAAA', 'TXT', 'HTTPS']) {
      assert.deepEqual(sections(services, 'alias.skydns.local.', type, asked), {
        rcode: Rcode.NOERROR,
        answer: [alias],
        authority: [],
      });
    }
    assert.deepEqual(sections(services, 'via.skydns.local.', 'A', asked).answer, [
      alias,
      'via.skydns.local. 3600 IN CNAME alias.skydns.local.',
    ]);
  });

  it('A query without RD gets SRV records without outside glue', () => {
    assertResponse(respond(catalogOf(services), '1.rails.skydns.local.', 'SRV', asked), {
      answer: '1.rails.skydns.local. 3600 IN SRV 10 100 8080 lb.up.example.',
    });
  });

  it('A query without RD for a name that is not an alias gets the known part with a short TTL', () => {
    assert.deepEqual(sections(services, 'dual.skydns.local.', 'A', asked).answer, [
      'dual.skydns.local. 5 IN A 10.0.0.1',
    ]);
    for (const type of ['AAAA', 'TXT', 'CNAME', 'MX']) {
      const { rcode, answer, authority } = sections(services, 'dual.skydns.local.', type, asked);
      assert.deepEqual([rcode, answer, authority], [Rcode.NOERROR, [], [OWN_SOA]], type);
    }
    // A resolver that sends such a query follows the CNAME itself, but must soon query the name's SRV again.
    assert.deepEqual(sections(services, '1.rails.skydns.local.', 'A', asked).answer, [
      '1.rails.skydns.local. 5 IN CNAME lb.up.example.',
    ]);
    assert.equal(sections(services, 'two.skydns.local.', 'A', asked).rcode, Rcode.SERVFAIL);
  });
});
