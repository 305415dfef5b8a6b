/** Types without a word of their own in the table: one word has the answer for one of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { FastZone } from '../support/fastZone.ts';
import { question } from '../support/zone.ts';

function queryOf(qname: string, type: string): Uint8Array {
  const flags = { recursionDesired: true, checkingDisabled: false };
  return encodeQuery({ id: 1, ...flags, question: question(qname, type), edns: undefined });
}

function zoneOf(services: Readonly<Record<string, unknown>>): FastZone {
  const zone = new FastZone();
  for (const [key, value] of Object.entries(services)) zone.put(`local/skydns/${key}`, value);
  zone.setFreshness('synced');
  return zone;
}

/** Whether the table has the slow path's answer; asserts that it has no other one. */
function isHeld(zone: FastZone, qname: string, type: string): boolean {
  const packet = queryOf(`${qname}.skydns.local.`, type);
  const reply = zone.fast(packet);
  if (typeof reply === 'number') {
    assert.ok(reply === Outcome.SLOW || reply === Outcome.PENDING);
    return false;
  }
  assert.deepEqual(reply, zone.slow(packet), `${qname} ${type}`);
  return true;
}

const RR = ['HTTPS 1 . alpn=h2', 'CAA 0 issue "ca.example"', 'MX 5 mail.example.', 'TXT "x"'];
const ALL = ['HTTPS', 'CAA', 'TLSA', 'A', 'MX', 'TXT', 'AAAA', 'DS'];

for (const [title, services, qname] of [
  ['at its own name', { www: { host: '192.0.2.1', rr: RR } }, 'www'],
  ['beside a text', { www: { host: '192.0.2.1', text: 'y', rr: RR } }, 'www'],
  ['of a stored wildcard', { '*': { host: '192.0.2.1', rr: RR } }, 'www'],
  ['at the end of an alias', { x: { host: 'w.skydns.local' }, w: { rr: RR } }, 'x'],
] as const) {
  test(`The table never answers one type with the records of another, for records ${title}`, () => {
    for (const first of ALL) {
      const zone = zoneOf(services);
      zone.publish(queryOf(`${qname}.skydns.local.`, first));
      // The shared answer of all names without records has no type. A reader never answers DS.
      const hasType = first !== 'TLSA' || title.includes('alias');
      assert.equal(isHeld(zone, qname, first), hasType && first !== 'DS', first);
      for (const type of ALL) if (type !== first) assert.equal(isHeld(zone, qname, type), false);
      for (const type of ALL) zone.publish(queryOf(`${qname}.skydns.local.`, type));
      for (const type of ALL) isHeld(zone, qname, type);
    }
  });
}

test('One answer is for all types that a name without such records has not', () => {
  const zone = zoneOf({ www: { host: '192.0.2.1' } });
  zone.publish(queryOf('www.skydns.local.', 'HTTPS'));
  for (const type of ['HTTPS', 'CAA', 'TLSA']) assert.equal(isHeld(zone, 'www', type), true);
});

test('A record that is added or removed withdraws the answer for its type', () => {
  const zone = zoneOf({ www: { host: '192.0.2.1' } });
  const packet = queryOf('www.skydns.local.', 'HTTPS');
  for (const rr of [RR, [], ['HTTPS 2 .'], RR]) {
    zone.publish(packet);
    zone.put('local/skydns/www', { host: '192.0.2.1', rr });
    assert.equal(isHeld(zone, 'www', 'HTTPS'), false);
    zone.publish(packet);
    assert.equal(isHeld(zone, 'www', 'HTTPS'), true);
  }
});
