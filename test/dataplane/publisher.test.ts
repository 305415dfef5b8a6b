/**
 * Which answers are published, for how long, and which changes withdraw them: exactly those that a change can affect.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Outcome } from '../../src/dataplane/reply/fastPath.ts';
import { Control } from '../../src/dataplane/table/layout.ts';
import { decodeMessage } from '../../src/dns/decode.ts';
import { encodeQuery } from '../../src/dns/encode.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import type { Rr } from '../../src/dns/rr.ts';
import type { Decided } from '../../src/zone/answer.ts';
import { Dependents } from '../../src/zone/tree/dependents.ts';
import { Node } from '../../src/zone/tree/tree.ts';
import { externalKey } from '../../src/zone/tree/view.ts';
import { FastZone } from '../support/fastZone.ts';
import { name, question } from '../support/zone.ts';

function queryOf(qname: string, type: string): Uint8Array {
  const flags = { recursionDesired: true, checkingDisabled: false };
  return encodeQuery({ id: 1, ...flags, question: question(qname, type), edns: undefined });
}

/** A synced zone, with functions that take names without the domain. */
function zoneOf(services: Readonly<Record<string, unknown>>) {
  const zone = new FastZone();
  for (const [key, value] of Object.entries(services)) zone.put(`local/skydns/${key}`, value);
  zone.setFreshness('synced');
  const packet = (name: string, type: string) => queryOf(`${name}.skydns.local.`, type);
  return {
    zone,
    /** The table's answer section in zone-file text; undefined when it has no answer. */
    held(name: string, type = 'A'): string[] | undefined {
      const reply = zone.fast(packet(name, type));
      if (typeof reply === 'number') return undefined;
      return decodeMessage(reply)?.answer.map((rr) => printRr(rr).replace(/\s+/g, ' '));
    },
    outcome: (name: string, type = 'A') => zone.fast(packet(name, type)),
    publish: (name: string, type = 'A') => zone.publish(packet(name, type)),
    put: (key: string, value: unknown) => zone.put(`local/skydns/${key}`, value),
    delete: (key: string) => zone.delete(`local/skydns/${key}`),
  };
}

describe('changes', () => {
  const services = {
    'web/a': { host: '192.0.2.1' },
    'web/b': { host: '192.0.2.2' },
    'db/a': { host: '192.0.2.3' },
    www: { host: 'web.skydns.local' },
    mail: { host: 'a.db.skydns.local', port: 25 },
    lost: { host: 'nowhere.skydns.local', port: 1 },
  };
  const all = ['a.web', 'b.web', 'web', 'a.db', 'db', 'www', 'mail'];

  function published() {
    const zone = zoneOf(services);
    for (const name of all) zone.publish(name);
    for (const name of ['mail', 'lost']) zone.publish(name, 'SRV');
    for (const name of all) assert.ok(zone.held(name), name);
    return zone;
  }

  const left = (zone: ReturnType<typeof published>): string[] =>
    all.filter((name) => zone.held(name) !== undefined);

  it('A change invalidates the answers of its owner name, of the names above, and of aliases to these', () => {
    const zone = published();
    zone.put('web/a', { host: '192.0.2.9' });
    assert.deepEqual(left(zone), ['b.web', 'a.db', 'db', 'mail']);
    assert.ok(zone.held('mail', 'SRV'), 'its target is elsewhere');
  });

  it('A change invalidates an SRV answer with the changed name’s address', () => {
    const zone = published();
    zone.put('db/a', { host: '192.0.2.9' });
    assert.deepEqual(left(zone), ['a.web', 'b.web', 'web', 'www']);
    assert.equal(zone.held('mail', 'SRV'), undefined);
  });

  it('A change invalidates answers that depend on a missing name', () => {
    const zone = published();
    assert.ok(zone.held('lost', 'SRV'));
    zone.put('nowhere', { host: '192.0.2.9' });
    assert.equal(zone.held('lost', 'SRV'), undefined);
    assert.deepEqual(left(zone), all);
  });

  it('A delete removes its name and the names above it that have no other name below them', () => {
    const zone = published();
    zone.delete('db/a');
    assert.deepEqual(zone.held('a.db'), []);
    assert.deepEqual(zone.held('db'), [], 'NXDOMAIN');
    assert.equal(zone.held('mail'), undefined);
    assert.equal(zone.held('mail', 'SRV'), undefined);
  });

  it('A change leaves the answers of all other names that are not above the changed name', () => {
    const zone = published();
    zone.put('other/name/far/below', { host: '192.0.2.4' });
    assert.deepEqual(left(zone), all);
    assert.equal(zone.outcome('below.far.name.other'), Outcome.PENDING, 'new, and not worked out');
    assert.deepEqual(zone.held('missing.far.name.other'), []);
  });
});

describe('renewed answers', () => {
  const services = {
    'web/a': { host: '192.0.2.1' },
    www: { host: 'web.skydns.local' },
    mail: { host: 'mail.example.com' },
    'many/a': { host: '192.0.2.3' },
  };
  const asked = (zone: ReturnType<typeof zoneOf>, name: string, type = 'A'): void => {
    zone.publish(name, type);
    assert.ok(zone.held(name, type), `${name} ${type}`);
  };
  const turn = (): Promise<void> => Promise.resolve();

  it('A change renews the answers that clients ask for, with its new data, after the last change of the turn', async () => {
    const zone = zoneOf(services);
    for (const name of ['a.web', 'web', 'www']) asked(zone, name);
    zone.put('web/a', { host: '192.0.2.8' });
    zone.put('web/a', { host: '192.0.2.9' });
    for (const name of ['a.web', 'web', 'www']) assert.equal(zone.held(name), undefined);
    await turn();
    for (const name of ['a.web', 'web', 'www'])
      assert.match(String(zone.held(name)?.at(-1)), / A 192\.0\.2\.9$/, name);
  });

  it('A change also renews the empty answers of a name that clients ask for', async () => {
    const zone = zoneOf(services);
    asked(zone, 'a.web');
    asked(zone, 'a.web', 'AAAA');
    zone.put('web/a', { host: '192.0.2.9' });
    await turn();
    assert.deepEqual(zone.held('a.web', 'AAAA'), []);
    zone.put('web/a', { host: '2001:db8::9' });
    assert.equal(zone.held('a.web', 'AAAA'), undefined);
  });

  it('A change leaves answers that no client has asked for since the change before to the next question', async () => {
    const zone = zoneOf(services);
    asked(zone, 'a.web');
    zone.publish('a.many');
    zone.put('web/a', { host: '192.0.2.8' });
    zone.put('many/a', { host: '192.0.2.8' });
    await turn();
    assert.equal(zone.held('a.many'), undefined);
    zone.put('web/a', { host: '192.0.2.9' });
    await turn();
    assert.equal(zone.outcome('a.web'), Outcome.PENDING);
  });

  it('A change does not renew an answer that needs other servers, or a deleted name', async () => {
    const zone = zoneOf(services);
    const owner = name('mail.example.com.');
    const rdata = { kind: 'address', address: '192.0.2.7' } as const;
    const rr = { owner, type: 1, class: 1, ttlSeconds: 60, rdata };
    zone.zone.world.set(externalKey(owner, 1), { kind: 'found', rrs: [rr] });
    asked(zone, 'mail');
    asked(zone, 'a.web');
    zone.put('mail', { host: 'mail.example.com', ttl: 7 });
    zone.delete('web/a');
    await turn();
    assert.equal(zone.held('mail'), undefined);
    assert.deepEqual(zone.held('a.web'), []);
    assert.deepEqual(zone.held('web'), []);
  });

  it('A turn with many changes renews only some answers, and the rest wait for questions', async () => {
    const names = Array.from({ length: 500 }, (_, i) => `n${i}`);
    const zone = zoneOf(Object.fromEntries(names.map((one) => [one, { host: '192.0.2.1' }])));
    for (const one of names) asked(zone, one);
    for (const one of names) zone.put(one, { host: '192.0.2.2' });
    await turn();
    const renewed = names.filter((one) => zone.held(one) !== undefined);
    assert.ok(renewed.length > 0 && renewed.length < names.length / 4, `${renewed.length} names`);
  });
});

describe('the table', () => {
  it('The table never denies a name that is deleted and put in one batch of changes', () => {
    const zone = zoneOf({ 'web/a': { host: '192.0.2.1' } });
    zone.zone.apply([
      zone.zone.change('local/skydns/web/a', undefined),
      zone.zone.change('local/skydns/web/b', { host: '192.0.2.2' }),
    ]);
    assert.equal(zone.outcome('web'), Outcome.PENDING);
    assert.deepEqual(zone.held('a.web'), []);
    zone.publish('web');
    assert.deepEqual(zone.held('web'), ['web.skydns.local. 3600 IN A 192.0.2.2']);
    assert.equal(zone.zone.table.stats.names, 5, 'the root, local, the apex, web and b.web');
  });

  it('Questions of types that no service can have, or for missing names, do not make the table grow', () => {
    const zone = zoneOf({ 'web/a': { host: '192.0.2.1' } });
    const types = ['A', 'AAAA', 'SRV', 'TXT', 'MX', 'CNAME', 'PTR', 'NS', 'SOA', 'ANY'];
    const ask = (name: string, type: string): void => {
      zone.publish(name, type);
      zone.publish(`x.${name}`, type);
      zone.publish(`*.${name}`, type);
    };
    for (const type of types) ask('a.web', type);
    const level = zone.zone.table.stats;
    for (const type of [...types, 'HTTPS', 'CAA']) ask('a.web', type);
    for (let type = 300; type < 1300; type++) ask('a.web', `TYPE${type}`);
    assert.deepEqual(zone.zone.table.stats, level);
    assert.deepEqual(zone.held('a.web', 'TYPE999'), [], 'NODATA of any type is one');
  });

  it('The table updates the hour in SOA records by itself', () => {
    const { zone, ...asked } = zoneOf({});
    const serial = () => {
      const reply = zone.fast(queryOf('missing.skydns.local.', 'A'));
      assert.ok(typeof reply !== 'number');
      const rdata = decodeMessage(reply)?.authority[0]?.rdata;
      return rdata?.kind === 'soa' ? rdata.serial : undefined;
    };
    assert.equal(serial(), 7_200);
    zone.unixSeconds += 3600;
    zone.publisher.refresh();
    assert.equal(serial(), 10_800);
    assert.ok(asked);
  });

  it('The table updates the hour in an apex’s SOA when the system clock is set', () => {
    const { zone } = zoneOf({});
    const asked = queryOf('skydns.local.', 'SOA');
    zone.publish(asked);
    assert.deepEqual(zone.fast(asked), zone.slow(asked));
    zone.unixSeconds += 3600;
    zone.publisher.refresh();
    assert.equal(zone.fast(asked), Outcome.PENDING);
    zone.publish(asked);
    assert.deepEqual(zone.fast(asked), zone.slow(asked));
  });

  it('The table keeps nothing of deleted names', () => {
    const zone = zoneOf({ target: { host: '192.0.2.1' } });
    const level = zone.zone.table.stats.usedOctets;
    for (let i = 0; i < 2_000; i++) {
      zone.put(`alias${i}`, { host: 'target.skydns.local', port: 80 });
      zone.publish(`alias${i}`);
      zone.publish(`alias${i}`, 'SRV');
      zone.delete(`alias${i}`);
    }
    zone.zone.publisher.refresh();
    zone.zone.publisher.refresh();
    // The index may have another size than before.
    assert.ok(zone.zone.table.stats.usedOctets <= level + 100_000);
    assert.equal(zone.zone.table.stats.answers, 0);
    assert.equal(zone.zone.table.stats.names, 4);
  });
});

describe('the TTL of a lease', () => {
  const expiring = (zone: FastZone, seconds: number) => ({
    id: '1',
    ttlSeconds: seconds,
    expiresAtMs: zone.nowMs + seconds * 1000,
  });
  const ttl = (zone: FastZone): number | undefined => {
    const reply = zone.fast(queryOf('a.skydns.local.', 'A'));
    if (typeof reply === 'number') return undefined;
    return decodeMessage(reply)?.answer[0]?.ttlSeconds;
  };

  function leased(seconds: number) {
    const zone = new FastZone();
    const lease = expiring(zone, seconds);
    zone.put('local/skydns/a', { host: '192.0.2.1' }, lease);
    zone.setFreshness('synced');
    const publish = () => zone.publish(queryOf('a.skydns.local.', 'A'));
    publish();
    return { zone, lease, publish };
  }

  it('The TTL of a leased record falls every second without a new answer', () => {
    const { zone } = leased(100);
    const ttls = [0, 400, 500, 1000, 8000].map((ms) => {
      zone.nowMs += ms;
      return ttl(zone);
    });
    assert.deepEqual(ttls, [100, 100, 99, 98, 90]);
  });

  it('The answer of a leased record is computed again often enough that its TTL follows renewals', () => {
    const { zone, lease, publish } = leased(40);
    let longest = 0;
    for (let second = 0; second < 200; second++) {
      zone.nowMs += 1000;
      // A registrar renews a lease when half of it is over.
      if (second % 20 === 19) lease.expiresAtMs = zone.nowMs + 40_000;
      if (ttl(zone) === undefined) publish();
      const leftSeconds = (lease.expiresAtMs - zone.nowMs) / 1000;
      const answered = ttl(zone) ?? 0;
      assert.ok(answered <= leftSeconds + 1, `${answered} with ${leftSeconds} left`);
      assert.ok(answered >= leftSeconds * 0.4, `${answered} with ${leftSeconds} left`);
      longest = Math.max(longest, answered);
    }
    assert.ok(longest > 35);
  });

  it('The TTL of a leased record never falls below the minimum and needs a known lease', () => {
    const { zone, publish } = leased(2);
    zone.nowMs += 60_000;
    assert.equal(ttl(zone), undefined);
    publish();
    assert.equal(ttl(zone), 1);
    const unknown = { id: '2', ttlSeconds: undefined, expiresAtMs: undefined };
    zone.put('local/skydns/a', { host: '192.0.2.1' }, unknown);
    publish();
    assert.equal(ttl(zone), 5);
    zone.nowMs += 1000;
    assert.equal(ttl(zone), undefined);
  });
});

describe('dependents', () => {
  it('Dependents are kept as long as an answer depends on them', () => {
    const dependents = new Dependents();
    const node = new Node('a', undefined);
    dependents.add(7, [node, 'missing.']);
    dependents.add(7, [node]);
    dependents.add(8, [node]);
    assert.deepEqual(dependents.of(node), [7, 8]);
    assert.deepEqual(dependents.of('missing.'), [7]);
    dependents.forget(7);
    assert.deepEqual(dependents.of(node), [8]);
    assert.equal(dependents.size, 1);
    dependents.forget(8);
    dependents.forget(8);
    assert.equal(dependents.size, 0);
  });
});

describe('answers from other servers', () => {
  const www = 'www.skydns.local.';

  it('The table does not keep another server’s NXDOMAIN, and keeps its records for at most a second', () => {
    const zone = new FastZone();
    zone.put('local/skydns/www', { host: 'x.example.com' });
    zone.setFreshness('synced');
    const key = externalKey(name('x.example.com.'), 1);
    const ask = (): string[] | undefined => {
      zone.publish(queryOf(www, 'A'));
      const reply = zone.fast(queryOf(www, 'A'));
      if (typeof reply === 'number') return undefined;
      return decodeMessage(reply)?.answer.map(({ type }) => String(type));
    };
    zone.world.set(key, { kind: 'nxdomain', rrs: [] });
    assert.equal(ask(), undefined);
    const rdata = { kind: 'address', address: '192.0.2.7' } as const;
    const rr = { owner: name('x.example.com.'), type: 1, class: 1, ttlSeconds: 60, rdata };
    zone.world.set(key, { kind: 'found', rrs: [rr] });
    assert.deepEqual(ask(), ['5', '1']);
    zone.nowMs += 1000;
    assert.equal(typeof zone.fast(queryOf(www, 'A')), 'number');
  });

  it('The table does not use other servers’ answers for queries with CD, with DO or without RD', () => {
    const zone = new FastZone();
    zone.put('local/skydns/www', { host: 'x.example.com' });
    zone.put('local/skydns/own', { host: '192.0.2.1' });
    zone.setFreshness('synced');
    zone.world.set(externalKey(name('x.example.com.'), 1), { kind: 'found', rrs: [] });
    const outcomes = (qname: string): string[] => {
      zone.publish(queryOf(qname, 'A'));
      const asked = { id: 1, recursionDesired: true, question: question(qname, 'A') };
      const edns = (dnssecOk: boolean) => ({ udpSize: 1232, dnssecOk });
      return [
        encodeQuery({ ...asked, checkingDisabled: false, edns: edns(false) }),
        encodeQuery({ ...asked, checkingDisabled: true }),
        encodeQuery({ ...asked, checkingDisabled: false, edns: edns(true) }),
        encodeQuery({ ...asked, checkingDisabled: false, recursionDesired: false }),
      ].map((packet) => (typeof zone.fast(packet) === 'number' ? 'missed' : 'held'));
    };
    assert.deepEqual(outcomes(www), ['held', 'missed', 'missed', 'missed']);
    assert.deepEqual(outcomes('own.skydns.local.'), ['held', 'held', 'held', 'held']);
  });

  it('The table does not publish an empty sample of an aggregate', () => {
    const zone = new FastZone();
    for (let i = 0; i < 3_000; i++) {
      zone.put(`local/skydns/wide/${i}`, { host: i === 2_999 ? '2001:db8::1' : '192.0.2.1' });
    }
    zone.setFreshness('synced');
    for (let second = 0; second < 50; second++) {
      zone.publish(queryOf('wide.skydns.local.', 'AAAA'));
      zone.nowMs += 1000;
      assert.equal(typeof zone.fast(queryOf('wide.skydns.local.', 'AAAA')), 'number');
    }
  });
});

describe('decisions of the slow path', () => {
  const packet = queryOf('web.skydns.local.', 'A');

  function decidedOf(zone: FastZone, transport: 'udp' | 'tcp' = 'udp', query = packet): Decided {
    zone.slow(query, transport);
    assert.ok(zone.decided);
    return zone.decided;
  }

  function sampled(): FastZone {
    const zone = new FastZone({ roundRobin: true });
    for (let i = 0; i < 3_000; i++) {
      zone.put(`local/skydns/web/${i}`, { host: `10.0.${i >> 8}.${i & 255}` });
    }
    zone.setFreshness('synced');
    return zone;
  }

  for (const type of ['AXFR', 'IXFR']) {
    it(`An ${type} query for a reverse name changes no other name in the table`, () => {
      const zone = new FastZone();
      zone.put('arpa/in-addr/192/0/2/1', { host: 'web.skydns.local' });
      const queries = Array.from({ length: 40 }, (_, i) => {
        zone.put(`local/skydns/h${i}`, { host: `10.0.0.${i}` });
        return ['A', 'AAAA'].map((qtype) => queryOf(`h${i}.skydns.local.`, qtype));
      }).flat();
      zone.setFreshness('synced');
      for (const query of queries.filter((_, i) => i % 2 === 0)) zone.publish(query);
      const held = () =>
        queries.map((query) => {
          const reply = zone.fast(query);
          return typeof reply === 'number' ? 'miss' : reply.toString('hex');
        });
      const before = held();
      zone.publish(queryOf('1.2.0.192.in-addr.arpa.', type));
      assert.deepEqual(held(), before);
    });
  }

  it('Clients that ask for A and AAAA alternately get every address first, over several publications', () => {
    const zone = new FastZone({ roundRobin: true });
    for (const [i, host] of ['192.0.2.1', '192.0.2.2', '2001:db8::1', '2001:db8::2'].entries())
      zone.put(`local/skydns/web/${i}`, { host });
    zone.setFreshness('synced');
    const firsts = new Map<string, number>();
    for (let publication = 0; publication < 60; publication++) {
      zone.put('local/skydns/web/0', { host: '192.0.2.1' });
      for (const type of ['A', 'AAAA']) zone.publish(queryOf('web.skydns.local.', type));
      for (const type of ['A', 'AAAA']) {
        const reply = zone.fast(queryOf('web.skydns.local.', type));
        assert.ok(typeof reply !== 'number');
        const first =
          printRr(decodeMessage(reply)?.answer[0] as Rr)
            .split(/\s+/)
            .at(-1) ?? '';
        firsts.set(first, (firsts.get(first) ?? 0) + 1);
      }
    }
    for (const count of firsts.values()) assert.ok(count > 10, `${[...firsts]}`);
    assert.equal(firsts.size, 4);
  });

  it('A decision is published soon after the reply, unless a change was applied meanwhile', async () => {
    const zone = new FastZone();
    zone.put('local/skydns/web', { host: '192.0.2.1' });
    zone.setFreshness('synced');
    zone.publisher.publishSoon(decidedOf(zone));
    zone.put('local/skydns/web', { host: '192.0.2.2' });
    await Promise.resolve();
    assert.equal(zone.fast(packet), Outcome.PENDING);
    zone.publisher.publishSoon(decidedOf(zone));
    await Promise.resolve();
    assert.deepEqual(zone.fast(packet), zone.slow(packet));
  });

  it('A decision from settings that have changed is not published', () => {
    const zone = new FastZone();
    zone.put('local/skydns/web', { host: '192.0.2.1' });
    zone.setFreshness('synced');
    const decided = decidedOf(zone);
    zone.settings = { ...zone.settings, ttlSeconds: 7 };
    zone.publisher.refresh();
    zone.publisher.publish(decided);
    assert.equal(zone.fast(packet), Outcome.PENDING);
  });

  it('A sample for a reply over TCP is not published', () => {
    const zone = sampled();
    zone.publisher.publish(decidedOf(zone, 'tcp'));
    assert.equal(zone.fast(packet), Outcome.PENDING);
  });

  it('A sample that a client with small replies caused fills the larger replies of other clients', () => {
    const zone = sampled();
    const edns = { udpSize: 1232, dnssecOk: false };
    const large = encodeQuery({
      ...{ id: 1, recursionDesired: true, checkingDisabled: false },
      ...{ question: question('web.skydns.local.', 'A'), edns },
    });
    zone.publish(packet);
    const [toSmall, toLarge] = [packet, large].map((query) => {
      const reply = zone.fast(query);
      assert.ok(typeof reply !== 'number');
      return decodeMessage(reply)?.answer.length ?? 0;
    }) as [number, number];
    assert.ok(toSmall > 20 && toSmall < 32, `${toSmall} records`);
    assert.ok(toLarge > 65, `${toLarge} records`);
  });
});

describe('names with a meaning in the settings', () => {
  const local = ['local.dns.skydns.local.', 'A'] as const;

  it('A name that loses its meaning in the settings leaves the other answers in the table', () => {
    const zone = new FastZone({ local: name('host.skydns.local.') });
    zone.put('local/skydns/host', { host: '192.0.2.1' });
    zone.setFreshness('synced');
    zone.publish(queryOf(...local));
    assert.ok(typeof zone.fast(queryOf(...local)) !== 'number');
    zone.settings = { ...zone.settings, local: undefined };
    zone.publisher.refresh();
    zone.publisher.refresh();
    for (let i = 0; i < 50; i++) zone.put(`local/skydns/other${i}`, { host: '192.0.2.2' });
    zone.put('local/skydns/host', { host: '192.0.2.3' });
    for (let i = 0; i < 50; i++) {
      const packet = queryOf(`other${i}.skydns.local.`, 'A');
      zone.publish(packet);
      assert.deepEqual(zone.fast(packet), zone.slow(packet), `other${i}`);
    }
    assert.deepEqual(zone.fast(queryOf(...local)), zone.slow(queryOf(...local)), 'NXDOMAIN');
  });

  it('A batch that began with the old zones does not deny a name of the new zones', () => {
    const zone = new FastZone({ apexes: [name('skydns.local.'), name('sub.skydns.local.')] });
    zone.setFreshness('synced');
    const apex = queryOf('sub.skydns.local.', 'A');
    zone.settings = { ...zone.settings, apexes: [name('skydns.local.')] };
    zone.publisher.refresh();
    assert.equal(zone.fast(apex), Outcome.PENDING, 'still there for those that began before');
    zone.publisher.refresh();
    assert.deepEqual(zone.fast(apex), zone.slow(apex));
  });

  it('The root can be a zone of the table', () => {
    const zone = new FastZone({ apexes: [[]] });
    zone.put('web', { host: '192.0.2.1' });
    zone.setFreshness('synced');
    for (const type of ['SOA', 'A', 'NS', 'TXT']) {
      const packet = queryOf('.', type);
      zone.publish(packet);
      assert.deepEqual(zone.fast(packet), zone.slow(packet), type);
    }
    zone.put('web', { host: '192.0.2.2' });
    assert.equal(zone.fast(queryOf('.', 'A')), Outcome.PENDING);
  });
});

describe('a full table', () => {
  it('A full table adds names when it has room again', () => {
    const zone = new FastZone({}, 1);
    let names = 0;
    while (zone.table.stats.withoutRoom === 0) zone.put(`local/skydns/n${names++}`, {});
    zone.setFreshness('synced');
    const missing = queryOf('missing.skydns.local.', 'A');
    assert.equal(zone.fast(missing), Outcome.SLOW);
    for (let i = 0; i < names / 2; i++) zone.delete(`local/skydns/n${i}`);
    zone.publisher.refresh();
    zone.publisher.refresh();
    assert.deepEqual(zone.fast(missing), zone.slow(missing));
    assert.equal(zone.fast(queryOf(`n${names - 1}.skydns.local.`, 'A')), Outcome.PENDING);
  });

  it('A full table leaves names without room to the slow path and never denies them, not even an apex', () => {
    const zone = new FastZone({}, 1);
    let names = 0;
    while (zone.table.stats.withoutRoom === 0) zone.put(`local/skydns/n${names++}`, {});
    zone.put('arpa/foo/x', { host: '192.0.2.1' });
    zone.setFreshness('synced');
    const { apexes } = zone.settings;
    const isRefused = () => zone.table.stats.withoutRoom;
    for (let time = 0; time < 3; time++) {
      zone.settings = { ...zone.settings, apexes: [...apexes, ['foo', 'arpa']] };
      for (let i = 0; i < 6; i++) {
        zone.publisher.refresh();
        assert.equal(zone.fast(queryOf('x.foo.arpa.', 'A')), Outcome.SLOW);
      }
      zone.settings = { ...zone.settings, apexes };
      zone.publisher.refresh();
    }
    const before = isRefused();
    zone.publisher.refresh();
    assert.equal(isRefused(), before, 'a name that waits is refused once');
    zone.settings = { ...zone.settings, apexes: [...apexes, ['foo', 'arpa']] };
    zone.publisher.refresh();
    for (let i = 0; i < names / 2; i++) zone.delete(`local/skydns/n${i}`);
    zone.publisher.refresh();
    zone.publisher.refresh();
    assert.equal(zone.fast(queryOf('x.foo.arpa.', 'A')), Outcome.PENDING);
    const missing = queryOf('missing.foo.arpa.', 'A');
    assert.deepEqual(zone.fast(missing), zone.slow(missing));
    zone.delete('arpa/foo/x');
    const gone = queryOf('x.foo.arpa.', 'A');
    assert.deepEqual(zone.fast(gone), zone.slow(gone));
  });
});

it('While names come and go, and while dropped names are left, readers know it', () => {
  const zone = new FastZone();
  zone.setFreshness('synced');
  const words = new Int32Array(zone.table.handle.memory);
  const isChanging = (): boolean => ((words[Control.NAMES_VERSION] as number) & 1) === 1;
  assert.equal(isChanging(), false);
  const seen: boolean[] = [];
  const add = zone.table.add.bind(zone.table);
  zone.table.add = (name) => {
    seen.push(isChanging());
    return add(name);
  };
  const put = (label: string): void => {
    seen.length = 0;
    zone.put(`local/skydns/${label}`, { host: '10.0.0.1' });
    assert.ok(seen.length > 0 && seen.every(Boolean), label);
  };
  put('first');
  assert.equal(isChanging(), false);
  zone.settings = { ...zone.settings, local: name('x.skydns.local') };
  zone.publisher.refresh();
  zone.settings = { ...zone.settings, local: undefined };
  zone.publisher.refresh();
  assert.equal(isChanging(), true, 'a name was dropped');
  put('second');
  assert.equal(isChanging(), true, 'the dropped name is still there');
  zone.publisher.refresh();
  assert.equal(isChanging(), false);
  zone.table.add = () => {
    throw new Error('a fault');
  };
  assert.throws(() => zone.put('local/skydns/third', { host: '10.0.0.1' }));
  assert.equal(isChanging(), false, 'a fault ends the change');
});

describe('signed answers', () => {
  it('A signed answer is not published if the keys changed while it was being signed', async () => {
    const { zone, publish } = zoneOf({ web: { host: '192.0.2.1' } });
    zone.isSigned = true;
    const edns = { udpSize: 1232, dnssecOk: true };
    const asked = question('web.skydns.local.', 'A');
    const flags = { recursionDesired: true, checkingDisabled: false };
    const packet = encodeQuery({ id: 1, ...flags, question: asked, edns });
    for (const hasChanged of [true, false]) {
      publish('web');
      const decided = zone.decided as Decided;
      const onSigned = zone.publisher.publishSignedSoon(decided);
      if (hasChanged) zone.publisher.resign();
      publish('web');
      const { response } = decided;
      onSigned({ response, signatures: new Map(), refresh: 1e9, denial: undefined });
      await Promise.resolve();
      assert.equal(typeof zone.fast(packet), hasChanged ? 'number' : 'object');
    }
  });
});
