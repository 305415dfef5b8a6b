/** A name is an alias for every type or for none. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Class, type Rdata, type Rr, Type } from '../../src/dns/rr.ts';
import { type External, externalKey } from '../../src/zone/tree/view.ts';
import { assertResponse, catalogOf, name, respond, type Services, text } from '../support/zone.ts';

const TYPES = ['A', 'AAAA', 'TXT', 'MX', 'CNAME', 'NS', 'SOA', 'HTTPS', 'CAA', 'TYPE65280'];

const services: Services = {
  'local/skydns/dual/a': { host: '10.0.3.4' },
  'local/skydns/dual/b': { host: 'lb.outside.example' },
  'local/skydns/dual6/a': { host: '2001:db8::3' },
  'local/skydns/dual6/b': { host: 'web.skydns.local' },
  'local/skydns/two/a': { host: 'lb.outside.example' },
  'local/skydns/two/b': { host: 'web.skydns.local' },
  'local/skydns/rails/1': { host: 'lb.outside.example', port: 8080 },
  'local/skydns/cn/33cc44dd': {
    host: 'lb.outside.example',
    text: '"heritage=external-dns"',
    targetstrip: 1,
  },
  'local/skydns/note/a': { host: 'lb.outside.example' },
  'local/skydns/note/b': { text: 'beside it' },
  'local/skydns/pure': { host: 'web.skydns.local' },
  'local/skydns/hash/abcd1234': { host: 'web.skydns.local', targetstrip: 1 },
  'local/skydns/same/a': { host: 'web.skydns.local', ttl: 60 },
  'local/skydns/same/b': { host: 'Web.SkyDNS.local.', ttl: 30 },
  'local/skydns/quiet': { host: 'web.skydns.local', port: -1 },
  'local/skydns/web': { host: '10.0.0.1' },
  'local/skydns/post': { host: '10.0.0.25', mail: true },
  'local/skydns/mx': { host: 'post.skydns.local' },
  'local/skydns/above': { host: 'lb.outside.example' },
  'local/skydns/above/1': { host: 'web.skydns.local' },
  'local/skydns/text': { text: 'hidden' },
  'local/skydns/text/1': { host: 'web.skydns.local' },
};
const catalog = catalogOf(services);
const externals = new Map<string, External>([
  said('lb.outside.example.', Type.A, { kind: 'address', address: '198.51.100.7' }),
  said('lb.outside.example.', Type.AAAA, { kind: 'address', address: '2001:db8::7' }),
  said('lb.outside.example.', Type.TXT, { kind: 'txt', strings: ['of the balancer'] }),
]);

function said(owner: string, type: number, rdata: Rdata): [string, External] {
  const rr: Rr = { owner: name(owner), type, class: Class.IN, ttlSeconds: 300, rdata };
  return [externalKey(name(owner), type), { kind: 'found', rrs: [rr] }];
}

function cnamesOf(qname: string, type: string): string[] {
  const { answer } = respond(catalog, qname, type, { externals });
  return text(answer).filter((rr) => rr.startsWith(qname) && rr.includes(' CNAME '));
}

describe('names that are not aliases', () => {
  for (const qname of ['dual', 'dual6', 'two', 'rails', '1.rails', 'cn', 'note']) {
    it(`${qname} is not an alias and has no CNAME for any type`, () => {
      for (const type of TYPES)
        assert.deepEqual(cnamesOf(`${qname}.skydns.local.`, type), [], type);
    });
  }

  it('A name with several hosts has the IPv4 and IPv6 addresses of all its hosts', () => {
    for (const [qname, type, addresses] of [
      ['dual', 'A', ['10.0.3.4', '198.51.100.7']],
      ['dual', 'AAAA', ['2001:db8::7']],
      ['dual6', 'A', ['10.0.0.1']],
      ['dual6', 'AAAA', ['2001:db8::3']],
      ['two', 'A', ['10.0.0.1', '198.51.100.7']],
      ['1.rails', 'A', ['198.51.100.7']],
      ['cn', 'AAAA', ['2001:db8::7']],
    ] as const) {
      const { answer } = respond(catalog, `${qname}.skydns.local.`, type, { externals });
      const found = text(answer).map((rr) => rr.split(' ').at(-1));
      assert.deepEqual(found, [...addresses], `${qname} ${type}`);
      for (const { owner } of answer) assert.deepEqual(owner, name(`${qname}.skydns.local.`));
    }
  });

  it('A name with a host and a port or a text has its own SRV or TXT record', () => {
    assertResponse(respond(catalog, '1.rails.skydns.local.', 'SRV', { externals }), {
      answer: '1.rails.skydns.local. 3600 IN SRV 10 100 8080 lb.outside.example.',
      additional:
        'lb.outside.example. 300 IN A 198.51.100.7\nlb.outside.example. 300 IN AAAA 2001:db8::7',
    });
    assertResponse(respond(catalog, 'cn.skydns.local.', 'TXT', { externals }), {
      answer: 'cn.skydns.local. 3600 IN TXT "\\"heritage=external-dns\\""',
    });
  });
});

describe('aliases', () => {
  for (const [qname, target, ttl] of [
    ['pure', 'web.skydns.local.', 3600],
    ['hash', 'web.skydns.local.', 3600],
    ['abcd1234.hash', 'web.skydns.local.', 3600],
    ['same', 'web.skydns.local.', 30],
    ['quiet', 'web.skydns.local.', 3600],
    ['above', 'web.skydns.local.', 3600],
    ['text', 'web.skydns.local.', 3600],
  ] as const) {
    it(`${qname}, which has one host and nothing else, has a CNAME for every type`, () => {
      const owner = `${qname}.skydns.local.`;
      for (const type of TYPES) {
        const expected = `${owner} ${ttl} IN CNAME ${target}`;
        assert.deepEqual(cnamesOf(owner, type), [expected], type);
      }
    });
  }

  it('An MX query for an alias is answered with the mail exchanges of its target', () => {
    assertResponse(respond(catalog, 'mx.skydns.local.', 'MX'), {
      answer: `
        mx.skydns.local. 3600 IN CNAME post.skydns.local.
        post.skydns.local. 3600 IN MX 10 post.skydns.local.`,
    });
  });

  it('An SRV query for an alias is answered with an SRV record to its target, as in SkyDNS', () => {
    assertResponse(respond(catalog, 'pure.skydns.local.', 'SRV'), {
      answer: 'pure.skydns.local. 3600 IN SRV 10 100 0 web.skydns.local.',
      additional: 'web.skydns.local. 3600 IN A 10.0.0.1',
    });
  });
});
