import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Class, Rcode, type Rr, Type } from '../../src/dns/rr.ts';
import { answer } from '../../src/zone/answer.ts';
import { type External, externalKey } from '../../src/zone/tree/view.ts';
import {
  ask,
  assertResponse,
  catalogOf,
  type Expected,
  name,
  question,
  respond,
  type Services,
  viewOf,
} from '../support/zone.ts';

interface Case extends Expected {
  readonly what: string;
  readonly q: string;
}

function table(title: string, services: Services, cases: readonly Case[]): void {
  describe(title, () => {
    const catalog = catalogOf(services);
    for (const { what, q, ...expected } of cases) {
      it(`${what} (${q})`, () => {
        const [qname = '', type = ''] = q.split(' ');
        assertResponse(respond(catalog, qname, type), expected);
      });
    }
  });
}

const APP = 'local/skydns/east/production/rails';

table(
  'SRV',
  {
    [`${APP}/1`]: { host: 'service1.example.com', port: 8080 },
    [`${APP}/2`]: { host: '10.0.0.2', port: 8081, weight: 300 },
    [`${APP}/3`]: { host: '2001:db8::3', port: 8082, priority: 20 },
    'local/skydns/inside/a': { host: 'db.skydns.local', port: 5432 },
    'local/skydns/db/x': { host: '10.0.1.1' },
    'local/skydns/db/y': { host: '2001:db8:1::1' },
    'local/skydns/strip/deep/a': { host: '10.0.2.1', port: 1, targetstrip: 1 },
    'local/skydns/strip/deep/b': { host: '10.0.2.2', port: 1, targetstrip: 2 },
    'local/skydns/strip/far': { host: '10.0.2.3', port: 1, targetstrip: 99 },
    'local/skydns/quiet/a': { host: '10.0.3.1', port: -1 },
    'local/skydns/texts/a': { text: 'no host' },
    'local/skydns/odd/a': { host: '10.0.4.1', weight: 97 },
  },
  [
    {
      what: 'SRV weights are percentages of the total of their priority',
      q: 'rails.production.east.skydns.local. SRV',
      answer: `
        rails.production.east.skydns.local. 3600 IN SRV 10 25 8080 service1.example.com.
        rails.production.east.skydns.local. 3600 IN SRV 10 75 8081 2.rails.production.east.skydns.local.
        rails.production.east.skydns.local. 3600 IN SRV 20 100 8082 3.rails.production.east.skydns.local.`,
      additional: `
        2.rails.production.east.skydns.local. 3600 IN A 10.0.0.2
        3.rails.production.east.skydns.local. 3600 IN AAAA 2001:db8::3`,
    },
    {
      what: 'An SRV owner has the case of the question, and its target has the case of the key',
      q: '2.RAILS.production.East.SkyDNS.local. SRV',
      answer:
        '2.RAILS.production.East.SkyDNS.local. 3600 IN SRV 10 100 8081 2.rails.production.east.skydns.local.',
      additional: '2.rails.production.east.skydns.local. 3600 IN A 10.0.0.2',
    },
    {
      what: 'An SRV target in the zone has its A and AAAA records as glue',
      q: 'inside.skydns.local. SRV',
      answer: 'inside.skydns.local. 3600 IN SRV 10 100 5432 db.skydns.local.',
      additional: `
        db.skydns.local. 3600 IN A 10.0.1.1
        db.skydns.local. 3600 IN AAAA 2001:db8:1::1`,
    },
    {
      what: 'targetstrip shortens the SRV target of an address and its glue, but strips nothing if no label would be left',
      q: 'strip.skydns.local. SRV',
      answer: `
        strip.skydns.local. 3600 IN SRV 10 33 1 deep.strip.skydns.local.
        strip.skydns.local. 3600 IN SRV 10 33 1 strip.skydns.local.
        strip.skydns.local. 3600 IN SRV 10 33 1 far.strip.skydns.local.`,
      additional: `
        deep.strip.skydns.local. 3600 IN A 10.0.2.1
        strip.skydns.local. 3600 IN A 10.0.2.2
        far.strip.skydns.local. 3600 IN A 10.0.2.3`,
    },
    { what: 'A service with port -1 has no SRV record', q: 'quiet.skydns.local. SRV' },
    { what: 'A service with only a text has no SRV record', q: 'texts.skydns.local. SRV' },
    {
      what: 'An SRV weight is rounded as in Go',
      q: 'odd.skydns.local. SRV',
      answer: 'odd.skydns.local. 3600 IN SRV 10 99 0 a.odd.skydns.local.',
      additional: 'a.odd.skydns.local. 3600 IN A 10.0.4.1',
    },
    {
      what: 'An SRV query for a missing name is NXDOMAIN',
      q: 'nobody.skydns.local. SRV',
      rcode: 'NXDOMAIN',
    },
  ],
);

table(
  'A and AAAA',
  {
    'local/skydns/web/a': { host: '10.0.0.1' },
    'local/skydns/web/b': { host: '10.0.0.2' },
    'local/skydns/web/c': { host: '10.0.0.2', port: 443 },
    'local/skydns/web/d': { host: '2001:db8::1' },
    'local/skydns/alias': { host: 'web.skydns.local' },
    'local/skydns/chain': { host: 'Alias.skydns.local' },
    'local/skydns/dead': { host: 'nothing.skydns.local' },
    'local/skydns/loop/a': { host: 'b.loop.skydns.local' },
    'local/skydns/loop/b': { host: 'a.loop.skydns.local' },
    'local/skydns/self': { host: 'self.skydns.local' },
    'local/skydns/below': { host: 'x.below.skydns.local' },
    'local/skydns/two/a': { host: 'web.skydns.local' },
    'local/skydns/two/b': { host: 'one.skydns.local', ttl: 60 },
    'local/skydns/one': { host: '10.9.9.9' },
    'local/skydns/mixed/a': { host: '10.0.0.7' },
    'local/skydns/mixed/b': { host: 'one.skydns.local' },
    'local/skydns/text': { text: 'only text' },
    'local/skydns/UPPER/Key': { host: '10.0.0.8' },
    'local/skydns/ids/host.ec2.internal:app:80': { host: '10.0.0.11' },
  },
  [
    {
      what: 'A directory has the addresses of all services below it, each once',
      q: 'web.skydns.local. A',
      answer: 'web.skydns.local. 3600 IN A 10.0.0.1\nweb.skydns.local. 3600 IN A 10.0.0.2',
    },
    {
      what: 'A directory has the IPv6 addresses of all services below it',
      q: 'web.skydns.local. AAAA',
      answer: 'web.skydns.local. 3600 IN AAAA 2001:db8::1',
    },
    {
      what: 'A name with addresses of only the other family is NODATA',
      q: 'a.web.skydns.local. AAAA',
    },
    { what: 'A name below a leaf is NXDOMAIN', q: 'x.a.web.skydns.local. A', rcode: 'NXDOMAIN' },
    {
      what: 'A name with one host name has a CNAME, and its answer has the records of the host',
      q: 'alias.skydns.local. AAAA',
      answer:
        'alias.skydns.local. 3600 IN CNAME web.skydns.local.\nweb.skydns.local. 3600 IN AAAA 2001:db8::1',
    },
    {
      what: 'The answer for an alias of an alias has both CNAMEs',
      q: 'chain.skydns.local. AAAA',
      answer: `
        chain.skydns.local. 3600 IN CNAME Alias.skydns.local.
        Alias.skydns.local. 3600 IN CNAME web.skydns.local.
        web.skydns.local. 3600 IN AAAA 2001:db8::1`,
    },
    { what: 'An alias of a missing name in the zone is NODATA', q: 'dead.skydns.local. A' },
    { what: 'A loop of aliases is NODATA', q: 'a.loop.skydns.local. A' },
    { what: 'A name that is its own alias is NODATA', q: 'self.skydns.local. A' },
    { what: 'An alias of a name below itself is NODATA', q: 'below.skydns.local. A' },
    {
      what: 'A name with several host names has their addresses with the least TTL',
      q: 'two.skydns.local. A',
      answer: `
        two.skydns.local. 60 IN A 10.0.0.1
        two.skydns.local. 60 IN A 10.0.0.2
        two.skydns.local. 60 IN A 10.9.9.9`,
    },
    {
      what: 'A name with an address and a host name has the addresses of both',
      q: 'mixed.skydns.local. A',
      answer: 'mixed.skydns.local. 3600 IN A 10.0.0.7\nmixed.skydns.local. 3600 IN A 10.9.9.9',
    },
    {
      what: 'A name with only a text is NODATA for A and has no CNAME to the root',
      q: 'text.skydns.local. A',
    },
    {
      what: 'A query in lower case finds a key in upper case',
      q: 'key.upper.skydns.local. A',
      answer: 'key.upper.skydns.local. 3600 IN A 10.0.0.8',
    },
    {
      what: 'A key component with dots is several labels',
      q: 'host.ec2.internal:app:80.ids.skydns.local. A',
      answer: 'host.ec2.internal:app:80.ids.skydns.local. 3600 IN A 10.0.0.11',
    },
    { what: 'An empty non-terminal is NODATA', q: 'ec2.internal:app:80.ids.skydns.local. TXT' },
    {
      what: 'A label with a slash is not looked up as a deeper key',
      q: 'a/web.skydns.local. A',
      rcode: 'NXDOMAIN',
    },
    { what: 'An apex without services is NODATA', q: 'skydns.local. MX' },
  ],
);

table(
  'wildcards',
  {
    'local/skydns/east/production/rails/1': { host: '10.0.0.1' },
    'local/skydns/west/production/rails/1': { host: '10.0.0.2' },
    'local/skydns/west/staging/rails/1': { host: '10.0.0.3' },
    'local/skydns/west/production': { host: '10.0.0.4' },
    'local/skydns/dns/ns/a': { host: '10.9.9.1' },
  },
  [
    {
      what: 'A wildcard matches one label, and keys below the name match too',
      q: 'production.*.skydns.local. A',
      answer: `
        production.*.skydns.local. 3600 IN A 10.0.0.1
        production.*.skydns.local. 3600 IN A 10.0.0.2
        production.*.skydns.local. 3600 IN A 10.0.0.4`,
    },
    {
      what: 'The label any is a wildcard too, and a name may have several wildcards',
      q: '1.rails.any.any.skydns.local. A',
      answer: `
        1.rails.any.any.skydns.local. 3600 IN A 10.0.0.1
        1.rails.any.any.skydns.local. 3600 IN A 10.0.0.2
        1.rails.any.any.skydns.local. 3600 IN A 10.0.0.3`,
    },
    {
      what: 'A wildcard that matches nothing below an existing name is NODATA',
      q: 'nothing.*.skydns.local. A',
    },
    {
      what: 'A wildcard below a missing name is NXDOMAIN',
      q: '*.nowhere.skydns.local. A',
      rcode: 'NXDOMAIN',
    },
    {
      what: 'A wildcard does not match the reserved label dns',
      q: '*.skydns.local. A',
      answer: `
        *.skydns.local. 3600 IN A 10.0.0.1
        *.skydns.local. 3600 IN A 10.0.0.2
        *.skydns.local. 3600 IN A 10.0.0.3
        *.skydns.local. 3600 IN A 10.0.0.4`,
    },
    {
      what: 'The keys below a name hide the value of the name itself',
      q: 'production.west.skydns.local. A',
      answer: 'production.west.skydns.local. 3600 IN A 10.0.0.2',
    },
    {
      what: 'A query for a reserved name itself is answered',
      q: 'ns.dns.skydns.local. A',
      answer: 'ns.dns.skydns.local. 3600 IN A 10.9.9.1',
    },
  ],
);

table(
  'TXT, MX, NS, SOA, CNAME, PTR, ANY',
  {
    'local/skydns/txt/a': { text: 'abc', host: 'web.skydns.local' },
    'local/skydns/txt/b': { text: 'say \\"hi\\"' },
    'local/skydns/long': { text: 'x'.repeat(510) },
    'local/skydns/alias': { host: 'txt.skydns.local', ttl: 60 },
    'local/skydns/mail/a': { host: '10.0.0.25', priority: 50, mail: true, targetstrip: 1 },
    'local/skydns/mail/b': { host: 'mx.example.com', mail: true },
    'local/skydns/mail/c': { host: '10.0.0.26' },
    'local/skydns/web': { host: '10.0.0.1' },
    'local/skydns/dns/ns/a': { host: '192.0.2.1' },
    'local/skydns/dns/ns/b': { host: '2001:db8::53' },
    'local/skydns/hash/abcd1234': { host: 'web.skydns.local' },
    'arpa/in-addr/10/0/0/1': { host: 'web.skydns.local' },
    'arpa/in-addr/10/0/0/2': { host: '10.0.0.2' },
  },
  [
    {
      what: 'A directory has every text below it, without escapes',
      q: 'txt.skydns.local. TXT',
      answer: 'txt.skydns.local. 3600 IN TXT "abc"\ntxt.skydns.local. 3600 IN TXT "say \\"hi\\""',
    },
    {
      what: 'The TXT record of a text with a multiple of 255 octets has no empty string at its end',
      q: 'long.skydns.local. TXT',
      answer: `long.skydns.local. 3600 IN TXT "${'x'.repeat(255)}" "${'x'.repeat(255)}"`,
    },
    {
      what: 'The TXT answer for an alias has its CNAME and the texts of its target',
      q: 'alias.skydns.local. TXT',
      answer: `
        alias.skydns.local. 60 IN CNAME txt.skydns.local.
        txt.skydns.local. 3600 IN TXT "abc"
        txt.skydns.local. 3600 IN TXT "say \\"hi\\""`,
    },
    {
      what: 'A service with a text has the addresses of its host too',
      q: 'a.txt.skydns.local. A',
      answer: 'a.txt.skydns.local. 3600 IN A 10.0.0.1',
    },
    {
      what: 'The apex has its NS records with glue',
      q: 'SkyDNS.local. NS',
      answer:
        'SkyDNS.local. 3600 IN NS a.ns.dns.skydns.local.\nSkyDNS.local. 3600 IN NS b.ns.dns.skydns.local.',
      additional:
        'a.ns.dns.skydns.local. 3600 IN A 192.0.2.1\nb.ns.dns.skydns.local. 3600 IN AAAA 2001:db8::53',
    },
    { what: 'An NS query below the apex is NODATA', q: 'web.skydns.local. NS' },
    {
      what: 'An NS query for a missing name is NXDOMAIN',
      q: 'no.skydns.local. NS',
      rcode: 'NXDOMAIN',
    },
    {
      what: 'The apex has its SOA',
      q: 'skydns.local. SOA',
      answer:
        'skydns.local. 3600 IN SOA ns.dns.skydns.local. hostmaster.skydns.local. 7200 28800 7200 604800 5',
    },
    { what: 'An SOA query below the apex is NODATA', q: 'web.skydns.local. SOA' },
    {
      what: 'A directory with one alias has its CNAME, as external-dns needs it',
      q: 'hash.skydns.local. CNAME',
      answer: 'hash.skydns.local. 3600 IN CNAME web.skydns.local.',
    },
    { what: 'A directory with several services has no CNAME', q: 'txt.skydns.local. CNAME' },
    { what: 'A name with an address has no CNAME', q: 'web.skydns.local. CNAME' },
    {
      what: 'A CNAME query for a missing name is NXDOMAIN',
      q: 'no.skydns.local. CNAME',
      rcode: 'NXDOMAIN',
    },
    {
      what: 'The zone answers with a PTR record from the store even if its name is outside the zones',
      q: '1.0.0.10.in-addr.arpa. PTR',
      answer: '1.0.0.10.in-addr.arpa. 3600 IN PTR web.skydns.local.',
    },
    {
      what: 'An ANY query is answered with one HINFO record (RFC 8482)',
      q: 'web.skydns.local. ANY',
      answer: 'web.skydns.local. 3600 IN HINFO "RFC8482" ""',
    },
    {
      what: 'An ANY query for a missing name is NXDOMAIN',
      q: 'no.skydns.local. ANY',
      rcode: 'NXDOMAIN',
    },
    {
      what: 'A query of an unknown type for an existing name is NODATA',
      q: 'web.skydns.local. TYPE1000',
    },
    { what: 'An HTTPS query for an existing name is NODATA', q: 'web.skydns.local. HTTPS' },
  ],
);

table(
  'reverse names',
  {
    'arpa/in-addr/172/26/0/2/41d1e77d': { host: 'web.example.org', targetstrip: 1 },
    'arpa/in-addr/172/26/0/8/web': { host: 'web.example.org' },
    'arpa/in-addr/172/26/0/8/db': { host: 'db.example.org', ttl: 60 },
    'arpa/in-addr/172/26/0/9': { host: 'own.example.org' },
    'arpa/in-addr/172/26/0/9/child': { host: 'child.example.org' },
    'arpa/in-addr/172/26/0/10/a/deep': { host: 'deep.example.org' },
    'arpa/in-addr/172/26/0/11/a': { host: '192.0.2.1' },
    [`arpa/ip6/${'2.0.0.1.0.d.b.8'.replaceAll('.', '/')}/${'0/'.repeat(23)}1/x`]: {
      host: 'six.example.org',
    },
  },
  [
    {
      what: 'A host one label below an address is its PTR, as external-dns registers it',
      q: '2.0.26.172.in-addr.arpa. PTR',
      answer: '2.0.26.172.in-addr.arpa. 3600 IN PTR web.example.org.',
    },
    {
      what: 'All hosts one label below an address form one PTR RRset',
      q: '8.0.26.172.in-addr.arpa. PTR',
      answer: `
        8.0.26.172.in-addr.arpa. 60 IN PTR web.example.org.
        8.0.26.172.in-addr.arpa. 60 IN PTR db.example.org.`,
    },
    {
      what: 'The value at the address itself is part of its PTR RRset',
      q: '9.0.26.172.in-addr.arpa. PTR',
      answer: `
        9.0.26.172.in-addr.arpa. 3600 IN PTR own.example.org.
        9.0.26.172.in-addr.arpa. 3600 IN PTR child.example.org.`,
    },
    {
      what: 'A host one label below an IPv6 address is its PTR',
      q: `1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa. PTR`,
      answer: `1.${'0.'.repeat(23)}8.b.d.0.1.0.0.2.ip6.arpa. 3600 IN PTR six.example.org.`,
    },
  ],
);

describe('reverse names', () => {
  const catalog = catalogOf({
    'arpa/in-addr/172/26/0/2/41d1e77d': { host: 'web.example.org' },
    'arpa/in-addr/172/26/0/10/a/deep': { host: 'deep.example.org' },
    'arpa/in-addr/172/26/0/11/a': { host: '192.0.2.1' },
  });

  it('The zone answers every type for a reverse name in the store, because an outside NXDOMAIN would deny its PTR too (RFC 8020)', () => {
    for (const [qname, type] of [
      ['10.0.26.172.in-addr.arpa.', 'PTR'],
      ['11.0.26.172.in-addr.arpa.', 'PTR'],
      ['0.26.172.in-addr.arpa.', 'PTR'],
      ['2.0.26.172.in-addr.arpa.', 'TXT'],
      ['2.0.26.172.in-addr.arpa.', 'CNAME'],
    ] as const) {
      const decided = ask(catalog, qname, type);
      assert.ok(decided.kind === 'response', qname);
      const { rcode, answer, authoritative } = decided.response;
      assert.deepEqual([rcode, answer, authoritative], [Rcode.NOERROR, [], true], qname);
    }
    assert.deepEqual(ask(catalog, '3.0.26.172.in-addr.arpa.', 'PTR'), { kind: 'notOurs' });
  });

  it('A reverse name in one of the zones has a PTR record and no other record', () => {
    const settings = { apexes: [name('26.172.in-addr.arpa.')] };
    const apex = '26.172.in-addr.arpa.';
    const qname = '2.0.26.172.in-addr.arpa.';
    assertResponse(
      respond(catalog, qname, 'PTR', { settings }),
      { answer: `${qname} 3600 IN PTR web.example.org.` },
      apex,
    );
    for (const type of ['A', 'CNAME', 'TXT', 'HTTPS'])
      assertResponse(respond(catalog, qname, type, { settings }), {}, apex);
  });
});

table(
  'values of external-dns, and IPv4-mapped addresses',
  {
    'local/skydns/cn/33cc44dd': { host: 'lb.outside.example', targetstrip: 1, port: 80 },
    'local/skydns/int/9911ffee': { host: 'web.skydns.local', targetstrip: 1, port: 80 },
    'local/skydns/mxe/1': { host: 'web.skydns.local', targetstrip: 2, mail: true },
    'local/skydns/web': { host: '10.0.0.1' },
    'local/skydns/v4mapped': { host: '::ffff:192.0.2.77', port: 80 },
    'local/skydns/hexmapped': { host: '::FFFF:c000:24d' },
  },
  [
    {
      what: 'targetstrip does not shorten an outside SRV target',
      q: 'cn.skydns.local. SRV',
      answer: 'cn.skydns.local. 3600 IN SRV 10 100 80 lb.outside.example.',
    },
    {
      what: 'targetstrip does not shorten an SRV target that is a host name in the zone, and the target keeps its own glue',
      q: 'int.skydns.local. SRV',
      answer: 'int.skydns.local. 3600 IN SRV 10 100 80 web.skydns.local.',
      additional: 'web.skydns.local. 3600 IN A 10.0.0.1',
    },
    {
      what: 'targetstrip does not shorten a mail exchange that is a host name',
      q: 'mxe.skydns.local. MX',
      answer: 'mxe.skydns.local. 3600 IN MX 10 web.skydns.local.',
      additional: 'web.skydns.local. 3600 IN A 10.0.0.1',
    },
    {
      what: 'An IPv4-mapped address has an A record',
      q: 'v4mapped.skydns.local. A',
      answer: 'v4mapped.skydns.local. 3600 IN A 192.0.2.77',
    },
    { what: 'An IPv4-mapped address has no AAAA record', q: 'v4mapped.skydns.local. AAAA' },
    {
      what: 'An IPv4-mapped address in hexadecimal has an A record',
      q: 'hexmapped.skydns.local. A',
      answer: 'hexmapped.skydns.local. 3600 IN A 192.0.2.77',
    },
    {
      what: 'An IPv4-mapped address has an A record as glue',
      q: 'v4mapped.skydns.local. SRV',
      answer: 'v4mapped.skydns.local. 3600 IN SRV 10 100 80 v4mapped.skydns.local.',
      additional: 'v4mapped.skydns.local. 3600 IN A 192.0.2.77',
    },
  ],
);

describe('MX', () => {
  it('An MX answer has the services marked as mail, with target stripping, glue, and outside targets to resolve', () => {
    const catalog = catalogOf({
      'local/skydns/mail/a': { host: '10.0.0.25', priority: 50, mail: true, targetstrip: 1 },
      'local/skydns/mail/b': { host: 'mx.example.com', mail: true },
      'local/skydns/mail/c': { host: '10.0.0.26' },
    });
    const first = ask(catalog, 'mail.skydns.local.', 'MX');
    assert.deepEqual(first, {
      kind: 'incomplete',
      missing: [
        { question: question('mx.example.com.', 'A'), need: 'optional' },
        { question: question('mx.example.com.', 'AAAA'), need: 'optional' },
      ],
    });
    const externals = new Map<string, External>([
      outside('mx.example.com.', Type.A, [address('mx.example.com.', Type.A, '192.0.2.25')]),
      outside('mx.example.com.', Type.AAAA, []),
    ]);
    assertResponse(respond(catalog, 'mail.skydns.local.', 'MX', { externals }), {
      answer:
        'mail.skydns.local. 3600 IN MX 50 mail.skydns.local.\nmail.skydns.local. 3600 IN MX 10 mx.example.com.',
      additional: 'mail.skydns.local. 3600 IN A 10.0.0.25\nmx.example.com. 300 IN A 192.0.2.25',
    });
  });
});

describe('outside names', () => {
  const catalog = catalogOf({ 'local/skydns/www': { host: 'www.example.com', ttl: 30 } });
  const cname = 'www.skydns.local. 30 IN CNAME www.example.com.';

  it('The answer for an alias to an outside name has the CNAME first and then the outside records', () => {
    const externals = new Map([
      outside('www.example.com.', Type.A, [address('www.example.com.', Type.A, '192.0.2.80')]),
    ]);
    const response = respond(catalog, 'www.skydns.local.', 'A', { externals });
    assert.equal(response.answer[0]?.type, Type.CNAME);
    assertResponse(response, { answer: `${cname}\nwww.example.com. 300 IN A 192.0.2.80` });
  });

  it('An alias whose outside target is NXDOMAIN is NODATA without the CNAME, as in SkyDNS', () => {
    const nxdomain = new Map([outside('www.example.com.', Type.A, [], Rcode.NXDOMAIN)]);
    assertResponse(respond(catalog, 'www.skydns.local.', 'A', { externals: nxdomain }), {});
  });

  it('An alias is SERVFAIL and never NODATA when the query for its outside target fails', () => {
    const key = externalKey(name('www.example.com.'), Type.A);
    const failed = new Map<string, External>([[key, { kind: 'failed' }]]);
    const response = respond(catalog, 'www.skydns.local.', 'A', { externals: failed });
    assert.equal(response.rcode, Rcode.SERVFAIL);
    assert.equal(response.extendedError?.code, 22);
  });

  it('The zone gives no answer for a name outside the zones', () => {
    assert.deepEqual(ask(catalog, 'www.example.com.', 'A'), { kind: 'notOurs' });
    assert.deepEqual(ask(catalog, 'notskydns.local.', 'A'), { kind: 'notOurs' });
    assert.deepEqual(ask(catalog, '2.0.0.10.in-addr.arpa.', 'PTR'), { kind: 'notOurs' });
  });
});

describe('apex, zones and local', () => {
  it('The apex has the addresses below apex.dns, or else those of the whole zone', () => {
    const services = { 'local/skydns/x': { host: '10.0.0.1' } };
    assertResponse(respond(catalogOf(services), 'skydns.local.', 'A'), {
      answer: 'skydns.local. 3600 IN A 10.0.0.1',
    });
    const withApex = catalogOf({ ...services, 'local/skydns/dns/apex/a': { host: '10.0.0.9' } });
    assertResponse(respond(withApex, 'skydns.local.', 'A'), {
      answer: 'skydns.local. 3600 IN A 10.0.0.9',
    });
    assertResponse(respond(withApex, 'skydns.local.', 'AAAA'), {});
  });

  it('The longest matching apex answers, and its SOA is in negative answers', () => {
    const settings = { apexes: [name('local.'), name('skydns.local.')] };
    const catalog = catalogOf({
      'local/skydns/x': { host: '10.0.0.1' },
      'local/y': { host: '10.0.0.2' },
    });
    assertResponse(respond(catalog, 'x.skydns.local.', 'AAAA', { settings }), {}, 'skydns.local.');
    assertResponse(respond(catalog, 'y.local.', 'AAAA', { settings }), {}, 'local.');
  });

  it('local.dns.<apex> has the records of the configured local name under its own owner name', () => {
    const catalog = catalogOf({ 'local/skydns/host1': { host: '10.0.0.1' } });
    const settings = { local: name('host1.skydns.local.') };
    assertResponse(respond(catalog, 'local.dns.skydns.local.', 'A', { settings }), {
      answer: 'local.dns.skydns.local. 3600 IN A 10.0.0.1',
    });
    assertResponse(respond(catalog, 'local.dns.skydns.local.', 'A'), { rcode: 'NXDOMAIN' });
  });

  it('The setting parentValue decides whether the value at a name is hidden by the values below it, hides them or joins them', () => {
    const catalog = catalogOf({
      'local/skydns/web': { host: '10.0.0.1' },
      'local/skydns/web/a': { host: '10.0.0.2' },
    });
    const expected = { hidden: ['10.0.0.2'], wins: ['10.0.0.1'], merged: ['10.0.0.1', '10.0.0.2'] };
    for (const [parentValue, addresses] of Object.entries(expected)) {
      const settings = { parentValue: parentValue as 'hidden' };
      assertResponse(respond(catalog, 'web.skydns.local.', 'A', { settings }), {
        answer: addresses.map((a) => `web.skydns.local. 3600 IN A ${a}`).join('\n'),
      });
    }
  });
});

describe('TTL', () => {
  const leases = { 'local/skydns/a': { id: '1', ttlSeconds: 60, expiresAtMs: 60_000 } };
  const services = (ttl: number) => ({ 'local/skydns/a': { host: '10.0.0.1', ttl } });
  for (const [title, ttl, nowMs, expected] of [
    ['The TTL of a record with a fresh lease is the whole lease', 0, 0, 60],
    ['The TTL of a leased record is the rest of the lease', 0, 30_500, 30],
    ['The TTL of a leased record is its own TTL when that is less', 10, 0, 10],
    ['The TTL of a leased record is the lease when its own TTL is more', 100, 0, 60],
    ['The TTL of a record whose lease has ended is one second and not the default', 0, 61_000, 1],
    ['The TTL of a record with its own TTL whose lease has ended is one second', 100, 61_000, 1],
  ] as const) {
    it(title, () => {
      const catalog = catalogOf(services(ttl), leases);
      assertResponse(respond(catalog, 'a.skydns.local.', 'A', { nowMs }), {
        answer: `a.skydns.local. ${expected} IN A 10.0.0.1`,
      });
    });
  }

  for (const [title, ttl, expected] of [
    ['The TTL of a record with an unknown lease is a few seconds', 0, 5],
    ['The TTL of a record with an unknown lease is its own TTL when that is less', 2, 2],
    ['The TTL of a record with an unknown lease is a few seconds when its own TTL is more', 100, 5],
  ] as const) {
    it(title, () => {
      const unknown = { id: '1', ttlSeconds: undefined, expiresAtMs: undefined };
      const catalog = catalogOf(services(ttl), { 'local/skydns/a': unknown });
      assertResponse(respond(catalog, 'a.skydns.local.', 'A', { nowMs: 0 }), {
        answer: `a.skydns.local. ${expected} IN A 10.0.0.1`,
      });
    });
  }

  it('All records of an RRset have the same TTL (RFC 2181)', () => {
    const catalog = catalogOf({
      'local/skydns/w/a': { host: '10.0.0.1', ttl: 30 },
      'local/skydns/w/b': { host: '10.0.0.2', ttl: 7200 },
      'local/skydns/w/c': { host: '10.0.0.3' },
    });
    assertResponse(respond(catalog, 'w.skydns.local.', 'A'), {
      answer: [1, 2, 3].map((i) => `w.skydns.local. 30 IN A 10.0.0.${i}`).join('\n'),
    });
    assertResponse(respond(catalog, 'b.w.skydns.local.', 'A'), {
      answer: 'b.w.skydns.local. 7200 IN A 10.0.0.2',
    });
  });
});

describe('classes', () => {
  const view = viewOf(catalogOf({}));
  it('The zone refuses HS queries', () => {
    const hesiod = answer(view, question('skydns.local.', 'A', Class.HS));
    assert.ok(hesiod.kind === 'response' && hesiod.response.rcode === Rcode.REFUSED);
  });
});

function address(owner: string, type: number, text: string): Rr {
  const rdata = { kind: 'address', address: text } as const;
  return { owner: name(owner), type, class: Class.IN, ttlSeconds: 300, rdata };
}

function outside(
  qname: string,
  qtype: number,
  rrs: readonly Rr[],
  rcode: number = Rcode.NOERROR,
): [string, External] {
  return [
    externalKey(name(qname), qtype),
    rcode === Rcode.NOERROR ? { kind: 'found', rrs } : { kind: 'nxdomain', rrs },
  ];
}
