/** The types that a signed denial lists: exactly those for which the zone has an answer. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { typeName } from '../../src/dns/presentation/mnemonic.ts';
import { typesAt } from '../../src/zone/nameTypes.ts';
import { catalogOf, name, type Services, viewOf } from '../support/zone.ts';

const SERVICES: Services = {
  'local/skydns/web': { host: '192.0.2.8', port: 80, text: 'x' },
  'local/skydns/web/a': { rr: ['CAA 0 issue "ca.example"'] },
  'local/skydns/records/1': { rr: ['HTTPS 1 . alpn=h2'] },
  'local/skydns/records/2': { rr: ['TYPE65400 \\# 1 00'] },
  'local/skydns/alias': { host: 'web.skydns.local' },
  'local/skydns/hidden': { host: 'web.skydns.local' },
  'local/skydns/hidden/1': { host: '192.0.2.9', port: -1 },
  'local/skydns/deep/er/1': { host: '192.0.2.9', port: -1 },
  'local/skydns/apps/*': { host: '192.0.2.7', rr: ['TLSA 3 1 1 00'], port: -1 },
};

function typesOf(qname: string): readonly string[] {
  const { types } = typesAt(viewOf(catalogOf(SERVICES)), name(qname));
  return types.map(typeName).sort();
}

test('A denial lists the types of the records that services give by any field', () => {
  assert.deepEqual(typesOf('a.web.skydns.local.'), ['CAA']);
  assert.deepEqual(typesOf('1.records.skydns.local.'), ['HTTPS']);
  assert.deepEqual(typesOf('records.skydns.local.'), ['HTTPS', 'TYPE65400']);
  assert.deepEqual(typesOf('deep.skydns.local.'), ['A']);
});

test('A denial for a name below a stored wildcard lists the types of the wildcard', () => {
  assert.deepEqual(typesOf('x.y.apps.skydns.local.'), ['A', 'TLSA']);
});

test('A denial lists no type of a record that counts for another name alone', () => {
  assert.ok(!typesOf('web.skydns.local.').includes('CAA'));
  assert.ok(!typesOf('skydns.local.').includes('HTTPS'));
});

test('A denial says that a name is an alias only if the answers for all types are its CNAME', () => {
  assert.ok(typesOf('alias.skydns.local.').includes('CNAME'));
  assert.deepEqual(typesOf('hidden.skydns.local.'), ['A', 'PTR']);
});
