/** The names that the server answers for itself: its identity in class CH, and `resolver.arpa`. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Ede } from '../../src/dns/message.ts';
import { Class, Rcode } from '../../src/dns/rr.ts';
import { chaosAnswer, resolverArpaAnswer, type ServerTexts } from '../../src/server/ownNames.ts';
import { question, text } from '../support/zone.ts';

const DEFAULTS: ServerTexts = { identity: undefined, version: 'soradns' };
const chaos = (qname: string, texts: ServerTexts = DEFAULTS, type = 'TXT') =>
  chaosAnswer(question(qname, type, Class.CH), texts);

describe('class CH', () => {
  it('The names of the version and of the identity have the texts of SkyDNS by default', () => {
    for (const [qname, expected] of [
      ['version.bind.', 'soradns'],
      ['version.server.', 'soradns'],
      ['hostname.bind.', 'localhost'],
      ['ID.Server.', 'localhost'],
    ] as const) {
      const { rcode, answer } = chaos(qname);
      assert.equal(rcode, Rcode.NOERROR);
      assert.deepEqual(text(answer), [`${qname} 0 CH TXT "${expected}"`]);
    }
  });

  it('The names of the identity and of the version have the texts of the options', () => {
    const texts = { identity: 'dns1', version: 'not telling' };
    assert.deepEqual(text(chaos('id.server.', texts).answer), ['id.server. 0 CH TXT "dns1"']);
    assert.deepEqual(text(chaos('hostname.bind.', texts).answer), [
      'hostname.bind. 0 CH TXT "dns1"',
    ]);
    assert.deepEqual(text(chaos('version.server.', texts).answer), [
      'version.server. 0 CH TXT "not telling"',
    ]);
  });

  it('The version is REFUSED if the operator hides it, and everything else always is', () => {
    const hidden = chaos('version.bind.', { ...DEFAULTS, version: undefined });
    assert.deepEqual([hidden.rcode, hidden.extendedError?.code], [Rcode.REFUSED, Ede.PROHIBITED]);
    for (const [qname, type] of [
      ['authors.bind.', 'TXT'],
      ['trustanchor.unbound.', 'TXT'],
      ['version.bind.', 'A'],
      ['id.server.', 'ANY'],
      ['local.dns.skydns.local.', 'A'],
    ] as const) {
      const { rcode, answer, extendedError } = chaos(qname, DEFAULTS, type);
      assert.deepEqual([rcode, answer], [Rcode.REFUSED, []], qname);
      assert.equal(extendedError?.code, Ede.NOT_AUTHORITATIVE);
    }
  });
});

const SOA = 'resolver.arpa. 10800 IN SOA resolver.arpa. nobody.invalid. 1 3600 1200 604800 10800';

describe('resolver.arpa', () => {
  for (const [qname, type, rcode, answer, authority] of [
    ['Resolver.ARPA.', 'SOA', Rcode.NOERROR, [SOA.replace('resolver.arpa', 'Resolver.ARPA')], []],
    ['resolver.arpa.', 'A', Rcode.NOERROR, [], [SOA]],
    ['resolver.arpa.', 'SVCB', Rcode.NOERROR, [], [SOA]],
    ['_dns.resolver.arpa.', 'SVCB', Rcode.NXDOMAIN, [], [SOA]],
    ['a.b.resolver.arpa.', 'TXT', Rcode.NXDOMAIN, [], [SOA]],
  ] as const) {
    it(`${qname} ${type} is answered from here`, () => {
      const response = resolverArpaAnswer(question(qname, type));
      assert.ok(response !== undefined);
      assert.deepEqual([response.rcode, response.authoritative], [rcode, true]);
      assert.deepEqual(text(response.answer), answer);
      assert.deepEqual(text(response.authority), authority);
    });
  }

  it('Names outside resolver.arpa are not answered from here', () => {
    for (const qname of ['arpa.', 'xresolver.arpa.', 'resolver.arpa.example.com.', '.'])
      assert.equal(resolverArpaAnswer(question(qname, 'A')), undefined);
  });
});
