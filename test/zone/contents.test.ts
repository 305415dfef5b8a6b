import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { printName } from '../../src/dns/name.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { type Rr, Type } from '../../src/dns/rr.ts';
import { contentsAt, listingView, namesOf } from '../../src/zone/contents.ts';
import type { Catalog } from '../../src/zone/tree/catalog.ts';
import type { ZoneSettings } from '../../src/zone/tree/view.ts';
import { catalogOf, name, respond, type Services, viewOf } from '../support/zone.ts';

interface Listed {
  readonly settings?: Partial<ZoneSettings>;
  readonly aggregates?: boolean;
}

function recordsIn(catalog: Catalog, apex: string, { settings, aggregates = true }: Listed = {}) {
  const view = listingView(viewOf(catalog, { ...(settings && { settings }) }));
  return [...namesOf(view, name(apex))].flatMap(
    (owner) => contentsAt(view, owner, { aggregates }).rrs,
  );
}

/** The records as text with single blanks, sorted. */
function linesOf(rrs: readonly Rr[]): string[] {
  return rrs.map((rr) => printRr(rr).replaceAll('\t', ' ')).sort();
}

function assertContents(services: Services, expected: string, listed: Listed = {}): void {
  const lines = expected
    .trim()
    .split(/\n\s*/)
    .filter((line) => line !== '')
    .sort();
  assert.deepEqual(linesOf(recordsIn(catalogOf(services), 'skydns.local.', listed)), lines);
}

describe('The contents of a zone', () => {
  it('An address with a port gives its name and each name above it A and SRV records', () => {
    assertContents(
      { 'local/skydns/web/a': { host: '10.0.0.1', port: 80 } },
      `a.web.skydns.local. 3600 IN A 10.0.0.1
       a.web.skydns.local. 3600 IN SRV 10 100 80 a.web.skydns.local.
       web.skydns.local. 3600 IN A 10.0.0.1
       web.skydns.local. 3600 IN SRV 10 100 80 a.web.skydns.local.
       skydns.local. 3600 IN A 10.0.0.1
       skydns.local. 3600 IN SRV 10 100 80 a.web.skydns.local.`,
    );
  });

  it('Without aggregates only names with a service of their own have records', () => {
    assertContents(
      { 'local/skydns/web/a': { host: '10.0.0.1', port: -1 } },
      'a.web.skydns.local. 3600 IN A 10.0.0.1',
      { aggregates: false },
    );
  });

  it('An alias has its CNAME and no other record', () => {
    const records = recordsIn(
      catalogOf({ 'local/skydns/old': { host: 'www.example.com' } }),
      'skydns.local.',
      { aggregates: false },
    );
    assert.deepEqual(linesOf(records), ['old.skydns.local. 3600 IN CNAME www.example.com.']);
  });

  it('An outside host with a port has an SRV record, and no CNAME beside it', () => {
    assertContents(
      { 'local/skydns/db': { host: 'db.example.com', port: 5432 } },
      `db.skydns.local. 3600 IN SRV 10 100 5432 db.example.com.
       db.skydns.local. 3600 IN PTR db.example.com.`,
      { aggregates: false },
    );
  });

  it('Above two outside hosts there is no CNAME, and an own address beside them stays', () => {
    assertContents(
      {
        'local/skydns/x/1': { host: 'a.example.com', port: -1 },
        'local/skydns/x/2': { host: 'b.example.com', port: -1 },
        'local/skydns/x/3': { host: '10.0.0.3', port: -1 },
      },
      `1.x.skydns.local. 3600 IN CNAME a.example.com.
       2.x.skydns.local. 3600 IN CNAME b.example.com.
       3.x.skydns.local. 3600 IN A 10.0.0.3
       x.skydns.local. 5 IN A 10.0.0.3
       skydns.local. 5 IN A 10.0.0.3`,
    );
  });

  it('Below `dns` only the addresses of the name servers are listed, and the apex has NS records', () => {
    assertContents(
      {
        'local/skydns/dns/ns/a': { host: '10.0.0.1' },
        'local/skydns/dns/apex/1': { host: '10.0.0.9' },
        'local/skydns/dns/other': { host: '10.0.0.8' },
      },
      `skydns.local. 3600 IN NS a.ns.dns.skydns.local.
       skydns.local. 3600 IN A 10.0.0.9
       ns.dns.skydns.local. 3600 IN A 10.0.0.1
       a.ns.dns.skydns.local. 3600 IN A 10.0.0.1`,
    );
  });

  it('Names with the label any are left out, and their services count in the names above', () => {
    assertContents(
      { 'local/skydns/web/any': { host: '10.0.0.1', port: -1 } },
      `web.skydns.local. 3600 IN A 10.0.0.1
       skydns.local. 3600 IN A 10.0.0.1`,
    );
  });

  it('Names with the label any are listed if it matches no other label', () => {
    const services = { 'local/skydns/web/any': { host: '10.0.0.1', port: -1 } };
    const settings = { questionWildcards: 'none' } as const;
    const records = recordsIn(catalogOf(services), 'skydns.local.', { settings });
    assert.ok(linesOf(records).includes('any.web.skydns.local. 3600 IN A 10.0.0.1'));
  });

  it('Names below a wildcard are listed as they are stored, because they keep it from answering', () => {
    assertContents(
      {
        'local/skydns/*/a': { host: '10.0.0.1', port: -1, aggregate: false },
        'local/skydns/b/x': { host: '10.0.0.2', port: -1, aggregate: false },
      },
      `a.*.skydns.local. 3600 IN A 10.0.0.1
       x.b.skydns.local. 3600 IN A 10.0.0.2`,
    );
  });

  it('A zone does not list the names of a zone below it', () => {
    const apexes = [name('skydns.local.'), name('team.skydns.local.')];
    const services = {
      'local/skydns/a': { host: '10.0.0.1', port: -1 },
      'local/skydns/team/b': { host: '10.0.0.2', port: -1 },
    };
    const records = recordsIn(catalogOf(services), 'team.skydns.local.', { settings: { apexes } });
    assert.deepEqual(linesOf(records), [
      'b.team.skydns.local. 3600 IN A 10.0.0.2',
      'team.skydns.local. 3600 IN A 10.0.0.2',
    ]);
    const above = recordsIn(catalogOf(services), 'skydns.local.', {
      settings: { apexes },
      aggregates: false,
    });
    assert.deepEqual(linesOf(above), ['a.skydns.local. 3600 IN A 10.0.0.1']);
  });

  it("A record's TTL is its own, whatever is left of its lease", () => {
    const lease = { id: '1', ttlSeconds: 30, expiresAtMs: 7_000 };
    const catalog = catalogOf(
      {
        'local/skydns/a': { host: '10.0.0.1', port: -1 },
        'local/skydns/b': { host: '10.0.0.2', port: -1, ttl: 20 },
      },
      { 'local/skydns/a': lease, 'local/skydns/b': lease },
    );
    const records = recordsIn(catalog, 'skydns.local.', { aggregates: false });
    assert.deepEqual(linesOf(records), [
      'a.skydns.local. 3600 IN A 10.0.0.1',
      'b.skydns.local. 20 IN A 10.0.0.2',
    ]);
  });

  it('Of more than a thousand services the first by name count, in whatever order they came', () => {
    const keys = Array.from({ length: 1_500 }, (_, i) => `n${String(i).padStart(4, '0')}`);
    const catalogFrom = (order: readonly string[]): Catalog =>
      catalogOf(
        Object.fromEntries(
          order.map((key) => [
            `local/skydns/${key}`,
            { host: `10.1.${Number(key.slice(1)) >> 8}.${Number(key.slice(1)) & 255}`, port: -1 },
          ]),
        ),
      );
    const apexOf = (catalog: Catalog): string[] => {
      const view = listingView(viewOf(catalog));
      return linesOf(contentsAt(view, name('skydns.local.'), { aggregates: true }).rrs);
    };
    const records = apexOf(catalogFrom(keys));
    assert.equal(records.length, 1_000);
    assert.ok(records.includes('skydns.local. 3600 IN A 10.1.3.231'));
    assert.deepEqual(apexOf(catalogFrom(keys.toReversed())), records);
  });

  it('Every RRset in the contents is the answer to a question for its name and type', () => {
    const label = fc.constantFrom('a', 'b', 'c', 'leader', 'dns', 'ns');
    const host = fc.constantFrom(
      '10.0.0.1',
      '10.0.0.2',
      'fd00::1',
      'out.example.com',
      'a.skydns.local',
      '',
    );
    const service = fc.record({
      host,
      port: fc.constantFrom(-1, 0, 80),
      text: fc.constantFrom('', 'hello'),
      mail: fc.boolean(),
      ttl: fc.constantFrom(0, 60),
      group: fc.constantFrom('', 'g1'),
    });
    const services = fc.array(fc.tuple(fc.array(label, { minLength: 1, maxLength: 3 }), service), {
      maxLength: 8,
    });
    fc.assert(
      fc.property(services, (all) => {
        const catalog = catalogOf(
          Object.fromEntries(all.map(([path, value]) => [`local/skydns/${path.join('/')}`, value])),
        );
        for (const rrs of setsOf(recordsIn(catalog, 'skydns.local.'))) {
          const { owner, type } = rrs[0] as Rr;
          const answered = respond(catalog, printName(owner), typeText(type), {
            recursionDesired: false,
          }).answer;
          const own = answered.filter(
            (rr) => rr.type === type && printName(rr.owner) === printName(owner),
          );
          assert.deepEqual(linesOf(rrs), linesOf(own));
        }
      }),
      { numRuns: 300 },
    );
  });
});

function setsOf(rrs: readonly Rr[]): Rr[][] {
  const sets = new Map<string, Rr[]>();
  for (const rr of rrs) {
    const key = `${printName(rr.owner)} ${rr.type}`;
    sets.set(key, [...(sets.get(key) ?? []), rr]);
  }
  return [...sets.values()];
}

function typeText(type: number): string {
  const found = Object.entries(Type).find(([, code]) => code === type);
  assert.ok(found !== undefined);
  return found[0];
}
