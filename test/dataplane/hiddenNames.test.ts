/** Domains inside a zone that other servers answer for: the table has none of their names, and denies none. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { ForwardedNames } from '../../src/zone/tree/forwardedNames.ts';
import { FastZone } from '../support/fastZone.ts';
import { name, question } from '../support/zone.ts';

function packetOf(qname: string): Uint8Array {
  const flags = { recursionDesired: true, checkingDisabled: false };
  return encodeQuery({ id: 1, ...flags, question: question(qname, 'A'), edns: undefined });
}

function setUp() {
  const zone = new FastZone();
  for (const path of ['dev/team/a', 'dev/team/b', 'dev/other/a', 'web'])
    zone.put(`local/skydns/${path}`, { host: '192.0.2.1' });
  zone.setFreshness('synced');
  /** The answered address, the rcode, or the outcome without a reply. */
  const ask = (qname: string): string | number => {
    zone.publish(packetOf(qname));
    const reply = zone.fast(packetOf(qname));
    if (typeof reply === 'number') return reply;
    const message = decodeMessage(reply);
    const rdata = message?.answer[0]?.rdata;
    return rdata?.kind === 'address' ? rdata.address : `rcode ${message?.rcode}`;
  };
  const forward = (...domains: readonly string[]): void => {
    const names = domains.map((domain) => name(domain));
    zone.settings = {
      ...zone.settings,
      forwarded: new ForwardedNames(names, zone.settings.apexes),
    };
    zone.publisher.refresh();
  };
  return { zone, ask, forward };
}

describe('domains of other servers inside a zone', () => {
  it('Names in the domain leave the table, and come back after it', () => {
    const { zone, ask, forward } = setUp();
    const { names } = zone.table.stats;
    assert.equal(ask('a.team.dev.skydns.local.'), '192.0.2.1');
    forward('team.dev.skydns.local.');
    zone.publisher.refresh();
    assert.equal(zone.table.stats.names, names - 3);
    for (const qname of ['a.team.dev.skydns.local.', 'none.team.dev.skydns.local.'])
      for (let i = 0; i < 3; i++) assert.equal(ask(qname), Outcome.SLOW, qname);
    assert.equal(ask('other.dev.skydns.local.'), '192.0.2.1');
    assert.equal(ask('none.dev.skydns.local.'), 'rcode 3');
    forward();
    zone.publisher.refresh();
    assert.equal(zone.table.stats.names, names);
    assert.equal(ask('a.team.dev.skydns.local.'), '192.0.2.1');
    assert.equal(ask('none.team.dev.skydns.local.'), 'rcode 3');
  });

  it('A batch that began before the domain does not deny its names', () => {
    const { zone, forward } = setUp();
    const packet = packetOf('a.team.dev.skydns.local.');
    forward('team.dev.skydns.local.');
    assert.equal(zone.fast(packet), Outcome.PENDING, 'still there for those that began before');
    zone.publisher.refresh();
    assert.equal(zone.fast(packet), Outcome.SLOW);
  });

  it('Names that come into the domain and leave it do not enter the table', () => {
    const { zone, ask, forward } = setUp();
    forward('team.dev.skydns.local.', 'x.y.skydns.local.');
    zone.publisher.refresh();
    const { names } = zone.table.stats;
    zone.put('local/skydns/dev/team/c', { host: '192.0.2.3' });
    zone.put('local/skydns/y/x/c', { host: '192.0.2.4' });
    assert.equal(ask('c.team.dev.skydns.local.'), Outcome.SLOW);
    assert.equal(ask('y.skydns.local.'), 'rcode 0');
    assert.equal(zone.table.stats.names, names);
    zone.delete('local/skydns/y/x/c');
    zone.delete('local/skydns/dev/team/c');
    assert.equal(ask('c.team.dev.skydns.local.'), Outcome.SLOW);
    assert.equal(ask('y.skydns.local.'), 'rcode 0');
    assert.equal(zone.table.stats.names, names);
  });
});
