/** Records of any type from the field `rr` of services, and names whose hosts' addresses stand in place of a CNAME. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Name } from '../../src/dns/name.ts';
import { Rcode, type Rr } from '../../src/dns/rr.ts';
import { contentsAt, listingView } from '../../src/zone/contents.ts';
import type { External } from '../../src/zone/tree/view.ts';
import { externalKey } from '../../src/zone/tree/view.ts';
import {
  type Asked,
  ask,
  catalogOf,
  name,
  respond,
  type Services,
  text,
  viewOf,
} from '../support/zone.ts';

const CAA = 'CAA 0 issue "ca.example"';
const HTTPS = 'HTTPS 1 . alpn="h2,h3"';

function answers(services: Services, qname: string, type: string, asked: Asked = {}): string[] {
  return text(respond(catalogOf(services), qname, type, asked).answer);
}

describe('A record in the field rr', () => {
  it('A record answers questions for its type at the name of its service, with the TTL of the service', () => {
    const services = { 'local/skydns/www': { host: '10.0.0.1', rr: [CAA, HTTPS], ttl: 300 } };
    assert.deepEqual(answers(services, 'www.skydns.local.', 'CAA'), [
      'www.skydns.local. 300 IN CAA 0 issue "ca.example"',
    ]);
    assert.deepEqual(answers(services, 'WWW.skydns.local.', 'HTTPS'), [
      'WWW.skydns.local. 300 IN HTTPS 1 . alpn="h2,h3"',
    ]);
    assert.deepEqual(answers(services, 'www.skydns.local.', 'A'), [
      'www.skydns.local. 300 IN A 10.0.0.1',
    ]);
    assert.deepEqual(answers(services, 'www.skydns.local.', 'TLSA'), []);
  });

  it('A record does not count in the answers of the names above its service', () => {
    const services = {
      'local/skydns/web': { host: '10.0.0.9' },
      'local/skydns/web/a/b': { host: '10.0.0.1', rr: [CAA, 'TXT "x"', 'MX 5 mail.example.'] },
    };
    for (const type of ['CAA', 'TXT', 'MX'])
      for (const owner of ['web.skydns.local.', 'skydns.local.'])
        assert.deepEqual(answers(services, owner, type), [], owner);
  });

  it('A name without a service has the records of the services one label below it, as one RRset', () => {
    const services = {
      'local/skydns/x/1': { rr: [CAA], ttl: 60 },
      'local/skydns/x/2': { rr: ['CAA 0 issuewild ";"'], ttl: 30 },
    };
    assert.deepEqual(answers(services, 'x.skydns.local.', 'CAA').sort(), [
      'x.skydns.local. 30 IN CAA 0 issue "ca.example"',
      'x.skydns.local. 30 IN CAA 0 issuewild ";"',
    ]);
    assert.deepEqual(answers(services, 'skydns.local.', 'CAA'), []);
  });

  it('A name with a service has its own records only, also if the services below hide that service', () => {
    const services = {
      'local/skydns/x': { host: '10.0.0.9', rr: ['CAA 0 issue "own"'] },
      'local/skydns/x/1': { host: '10.0.0.1', rr: [CAA] },
    };
    assert.deepEqual(answers(services, 'x.skydns.local.', 'A'), [
      'x.skydns.local. 3600 IN A 10.0.0.1',
    ]);
    assert.deepEqual(answers(services, 'x.skydns.local.', 'CAA'), [
      'x.skydns.local. 3600 IN CAA 0 issue "own"',
    ]);
  });

  it('A service with nothing but records does not hide the service above it', () => {
    const services = {
      'local/skydns/web': { host: '10.0.0.1' },
      'local/skydns/web/_tcp/_443': { rr: ['TLSA 3 1 1 00'] },
    };
    assert.deepEqual(answers(services, 'web.skydns.local.', 'A'), [
      'web.skydns.local. 3600 IN A 10.0.0.1',
    ]);
    assert.deepEqual(answers(services, '_443._tcp.web.skydns.local.', 'TLSA'), [
      '_443._tcp.web.skydns.local. 3600 IN TLSA 3 1 1 00',
    ]);
  });

  it('The apex has the records of the services at the domain itself and at apex.dns', () => {
    const services = {
      'local/skydns': { rr: [CAA] },
      'local/skydns/dns/apex': { host: '10.0.0.1', rr: [HTTPS] },
      'local/skydns/www': { rr: ['CAA 0 issue "www"'] },
    };
    assert.deepEqual(answers(services, 'skydns.local.', 'CAA'), [
      'skydns.local. 3600 IN CAA 0 issue "ca.example"',
    ]);
    assert.deepEqual(answers(services, 'skydns.local.', 'HTTPS'), [
      'skydns.local. 3600 IN HTTPS 1 . alpn="h2,h3"',
    ]);
  });

  it('Records of TXT and MX join those of the fields text and mail', () => {
    const services = {
      'local/skydns/m': {
        host: '10.0.0.1',
        text: 'a',
        mail: true,
        rr: ['TXT "b" "c"', 'MX 5 mail.example.'],
      },
    };
    assert.deepEqual(answers(services, 'm.skydns.local.', 'TXT'), [
      'm.skydns.local. 3600 IN TXT "a"',
      'm.skydns.local. 3600 IN TXT "b" "c"',
    ]);
    assert.deepEqual(answers(services, 'm.skydns.local.', 'MX'), [
      'm.skydns.local. 3600 IN MX 10 m.skydns.local.',
      'm.skydns.local. 3600 IN MX 5 mail.example.',
    ]);
    const only = { 'local/skydns/m': { rr: ['MX 5 mail.example.'] } };
    assert.deepEqual(answers(only, 'm.skydns.local.', 'MX'), [
      'm.skydns.local. 3600 IN MX 5 mail.example.',
    ]);
  });

  it('An alias leads to the records of its target', () => {
    const services = {
      'local/skydns/old': { host: 'www.skydns.local' },
      'local/skydns/www': { host: '10.0.0.1', rr: [HTTPS] },
    };
    assert.deepEqual(answers(services, 'old.skydns.local.', 'HTTPS'), [
      'old.skydns.local. 3600 IN CNAME www.skydns.local.',
      'www.skydns.local. 3600 IN HTTPS 1 . alpn="h2,h3"',
    ]);
  });

  it('A stored wildcard gives its records to names that do not exist', () => {
    const services = {
      'local/skydns/apps/*': { host: '10.0.0.1', rr: [HTTPS] },
      'local/skydns/apps/x': { host: '10.0.0.2' },
    };
    assert.deepEqual(answers(services, 'y.apps.skydns.local.', 'HTTPS'), [
      'y.apps.skydns.local. 3600 IN HTTPS 1 . alpn="h2,h3"',
    ]);
    assert.deepEqual(answers(services, 'x.apps.skydns.local.', 'HTTPS'), []);
    const alias = { 'local/skydns/apps/*': { host: 'www.skydns.local', rr: [HTTPS] } };
    assert.deepEqual(answers(alias, 'y.apps.skydns.local.', 'CNAME'), []);
  });

  it('A CNAME makes the name an alias without SRV records', () => {
    const services = { 'local/skydns/old': { rr: ['CNAME www.skydns.local.'] } };
    assert.deepEqual(answers(services, 'old.skydns.local.', 'CNAME'), [
      'old.skydns.local. 3600 IN CNAME www.skydns.local.',
    ]);
    assert.deepEqual(answers(services, 'old.skydns.local.', 'SRV'), []);
  });

  it('A record of any type makes the name no alias', () => {
    const services = {
      'local/skydns/old': { host: 'www.skydns.local', rr: [CAA] },
      'local/skydns/www': { host: '10.0.0.1' },
    };
    assert.deepEqual(answers(services, 'old.skydns.local.', 'A'), [
      'old.skydns.local. 3600 IN A 10.0.0.1',
    ]);
    assert.deepEqual(answers(services, 'old.skydns.local.', 'CNAME'), []);
  });

  it('The contents of a zone have all records of each name', () => {
    const catalog = catalogOf({
      'local/skydns/www': { host: '10.0.0.1', port: -1, rr: [HTTPS, CAA, 'TYPE65400 \\# 1 ab'] },
      'local/skydns/*': { rr: ['CAA 0 issue "any"'] },
    });
    const view = listingView(viewOf(catalog));
    const listed = (owner: Name): readonly Rr[] =>
      contentsAt(view, owner, { aggregates: true }).rrs;
    assert.deepEqual(text(listed(name('www.skydns.local.'))).sort(), [
      'www.skydns.local. 3600 IN A 10.0.0.1',
      'www.skydns.local. 3600 IN CAA 0 issue "ca.example"',
      'www.skydns.local. 3600 IN HTTPS 1 . alpn="h2,h3"',
      'www.skydns.local. 3600 IN TYPE65400 \\# 1 AB',
    ]);
    assert.deepEqual(text(listed(name('*.skydns.local.'))), [
      '*.skydns.local. 3600 IN CAA 0 issue "any"',
    ]);
  });
});

describe('A name with the field alias', () => {
  const world = new Map<string, External>([
    [
      externalKey(name('lb.example.net.'), 1),
      {
        kind: 'found',
        rrs: [
          {
            owner: name('lb.example.net.'),
            type: 5,
            class: 1,
            ttlSeconds: 20,
            rdata: { kind: 'name', target: name('a.example.net.') },
          },
          {
            owner: name('a.example.net.'),
            type: 1,
            class: 1,
            ttlSeconds: 90,
            rdata: { kind: 'address', address: '192.0.2.7' },
          },
        ],
      },
    ],
  ]);
  const externals = world;

  it('The name has the addresses of its host, with the least TTL of the chain', () => {
    const services = { 'local/skydns/shop': { host: 'lb.example.net', alias: true } };
    assert.deepEqual(answers(services, 'shop.skydns.local.', 'A', { externals }), [
      'shop.skydns.local. 20 IN A 192.0.2.7',
    ]);
    assert.deepEqual(answers(services, 'shop.skydns.local.', 'CNAME', { externals }), []);
  });

  it('The host at apex.dns gives the apex its addresses, also to a client that does not want recursion', () => {
    const services = { 'local/skydns/dns/apex': { host: 'lb.example.net' } };
    for (const recursionDesired of [true, false])
      assert.deepEqual(answers(services, 'skydns.local.', 'A', { externals, recursionDesired }), [
        'skydns.local. 20 IN A 192.0.2.7',
      ]);
  });

  it('If no server may be asked, the answer is an error and never a CNAME', () => {
    const unavailable: External = { kind: 'unavailable' };
    const none = new Map([[externalKey(name('lb.example.net.'), 1), unavailable]]);
    const services = { 'local/skydns/dns/apex': { host: 'lb.example.net' } };
    const decided = ask(catalogOf(services), 'skydns.local.', 'A', { externals: none });
    assert.ok(decided.kind === 'response');
    assert.deepEqual([decided.response.rcode, decided.response.answer], [Rcode.SERVFAIL, []]);
  });
});
