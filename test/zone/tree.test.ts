import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { Change } from '../../src/service/change.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { type LookupState, newLookupState } from '../../src/zone/tree/lookupState.ts';
import { isWildcard, type Purpose, type Selection, select } from '../../src/zone/tree/select.ts';
import { findNode, type Node } from '../../src/zone/tree/tree.ts';
import { viewOf } from '../support/zone.ts';

const component = fc.constantFrom('a', 'b', 'c', 'A', 'a.b', '__proto__', 'constructor', '1', '2');
const key = fc
  .array(component, { minLength: 1, maxLength: 4 })
  .map((components) => `/skydns/${components.join('/')}`);
const value = fc.constantFrom('{"host":"10.0.0.1"}', '{"host":"x.y"}', 'broken', '');
const step = fc.record({ key, value, isPut: fc.boolean() });

function change(
  { key, value, isPut }: { key: string; value: string; isPut: boolean },
  n: number,
): Change {
  if (!isPut) return { kind: 'delete', key, modRevision: n, previous: undefined };
  const entry = {
    key,
    value: Buffer.from(value),
    createRevision: n,
    modRevision: n,
    lease: undefined,
  };
  return { kind: 'put', entry, previous: undefined };
}

describe('Catalog', () => {
  it('The catalog has the keys that the changes leave, and counts their services', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const catalog = new Catalog({ prefix: '/skydns/' });
        const model = new Map<string, { n: number; isService: boolean }>();
        steps.forEach((s, n) => {
          catalog.apply([change(s, n)]);
          if (s.isPut) model.set(s.key, { n, isService: s.value.startsWith('{') });
          else model.delete(s.key);
        });
        const expected = [...model].map(([k, { n }]) => [k, n] as const);
        assert.deepEqual(sorted(catalog.revisions()), sorted(expected));
        assert.equal(catalog.size, [...model.values()].filter((m) => m.isService).length);
        assertCounts(catalog.root);
      }),
      { numRuns: 500 },
    );
  });

  it('The catalog finds each child of a name whose children become many, few, and many again', () => {
    const labels = Array.from({ length: 40 }, (_, i) => `child${i}`);
    const bounds = fc.array(fc.integer({ min: 0, max: labels.length }), { maxLength: 12 });
    fc.assert(
      fc.property(bounds, fc.shuffledSubarray(labels, { minLength: 40 }), (sizes, order) => {
        const catalog = new Catalog({ prefix: '/skydns/' });
        let count = 0;
        let revision = 0;
        const apply = (label: string, isPut: boolean): void => {
          const [key, value] = [`/skydns/web/${label}`, '{"host":"10.0.0.1"}'];
          catalog.apply([change({ key, value, isPut }, revision++)]);
        };
        for (const size of sizes) {
          for (; count < size; count++) apply(order[count] as string, true);
          // Others stay than those that came first.
          for (const label of order.slice(0, count - size)) apply(label, false);
          order.push(...order.splice(0, Math.max(0, count - size)));
          count = Math.min(count, size);
          const stored = order.slice(0, count);
          const web = findNode(catalog.root, ['web']);
          for (const label of order)
            assert.equal(web?.child(label)?.label, stored.includes(label) ? label : undefined);
          assert.equal(catalog.root.serviceCount, count);
        }
      }),
      { numRuns: 100 },
    );
  });

  it('The catalog reports an invalid value once with its key and forgets it when the value is corrected', () => {
    const reports: string[] = [];
    const catalog = new Catalog({
      prefix: '/skydns/',
      onInvalid: (k, reason) => reports.push(`${k}: ${reason}`),
    });
    catalog.apply([
      change({ key: '/skydns/local/a', value: '{"host":"10.0.0.1"}', isPut: true }, 1),
    ]);
    catalog.apply([change({ key: '/skydns/local/a', value: '[]', isPut: true }, 2)]);
    assert.deepEqual(reports, ['/skydns/local/a: not a JSON object']);
    assert.equal(catalog.size, 0);
    assert.deepEqual([...catalog.invalid.keys()], ['/skydns/local/a']);
    catalog.apply([
      change({ key: '/skydns/local/a', value: '{"host":"10.0.0.1"}', isPut: true }, 3),
    ]);
    assert.equal(catalog.size, 1);
    assert.equal(catalog.invalid.size, 0);
  });

  it('The catalog does not count a directory marker of the keys API as a service', () => {
    const catalog = new Catalog({
      prefix: '/skydns/',
      onInvalid: () => assert.fail('not invalid'),
    });
    catalog.apply([change({ key: '/skydns/local/dir/', value: '', isPut: true }, 1)]);
    assert.equal(catalog.size, 0);
    assert.deepEqual([...catalog.revisions()], [['/skydns/local/dir/', 1]]);
  });
});

/** Sample starts in the server's sequence. */
function sampleStartOf(question: number): number {
  return (question * 0.618_033_988_749_894_9) % 1;
}

function workOn(catalog: Catalog, sampleStart = 0): LookupState {
  return newLookupState(viewOf(catalog, { sampleStart }));
}

function labelsOf(selection: Selection): string[] {
  assert.ok(selection.kind === 'exists');
  return selection.services.map(({ node }) => node.label);
}

const EVERY: Purpose = { isUseful: () => true, octetsOf: () => 0, mergesAddresses: false };

describe('select', () => {
  // The A queries of a client that alternates A and AAAA get only every second sample start.
  for (const stride of [1, 2, 3]) {
    it(`select takes a thousand of many services, and sample starts in steps of ${stride} reach all of them`, () => {
      const catalog = flat(2_500);
      const seen = new Set<string>();
      for (let i = 0; i < 30; i++) {
        const state = workOn(catalog, sampleStartOf(i * stride));
        const labels = labelsOf(select(state, ['skydns', 'local'], EVERY));
        assert.equal(labels.length, 1_000);
        for (const label of labels) seen.add(label);
      }
      assert.equal(seen.size, 2_500);
    });
  }

  it('Sample starts reach all services even in unequal, nested directories', () => {
    const catalog = new Catalog({ prefix: '/skydns/' });
    let n = 0;
    for (const [parent, count] of [
      ['x', 1_500],
      ['y', 3],
      ['z', 1_200],
      ['w', 1_100],
    ] as const) {
      for (let i = 0; i < count; i++) put(catalog, `local/skydns/${parent}/${i}`, n++);
    }
    const seen = new Set<unknown>();
    for (let i = 0; i < 4_000; i += 2) {
      const selection = select(workOn(catalog, sampleStartOf(i)), ['skydns', 'local'], EVERY);
      assert.ok(selection.kind === 'exists');
      for (const { node } of selection.services) seen.add(node);
    }
    assert.equal(seen.size, n);
  });

  it('select samples only useful services, so that it finds a single useful service among many', () => {
    const catalog = flat(3_000);
    const isRare: Purpose = { ...EVERY, isUseful: ({ address }) => address === '10.0.11.183' };
    const selection = select(workOn(catalog, 0.3), ['skydns', 'local'], isRare);
    assert.deepEqual(labelsOf(selection), ['2999']);
  });

  it('A wildcard without a match visits a bounded number of names', () => {
    const catalog = flat(50_000);
    const state = workOn(catalog);
    const selection = select(state, ['nothing', '*', 'skydns', 'local'], EVERY);
    assert.deepEqual(labelsOf(selection), []);
    assert.ok(state.nodesLeft <= 0 && state.nodesLeft >= -2);
  });

  it('select finds the same services as a filter over all keys', () => {
    const label = fc.constantFrom('a', 'b', 'c', 'any', '*');
    const path = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(
        fc.uniqueArray(path, { maxLength: 20, selector: (p) => p.join('/') }),
        fc.array(label, { minLength: 1, maxLength: 4 }),
        (paths, query) => {
          const catalog = new Catalog({ prefix: '/skydns/' });
          paths.forEach((p, n) => {
            put(catalog, p.join('/'), n);
          });
          const selection = select(workOn(catalog), [...query].reverse(), EVERY);
          const found = selection.kind === 'missing' ? [] : selection.services;
          const keys = found.map(({ node }) => [...node.owner()].reverse().join('/')).sort();
          assert.deepEqual(keys, filterKeys(paths, query));
        },
      ),
      { numRuns: 1_000 },
    );
  });
});

/** CoreDNS's rule, on a list of keys: a range below the part before the first wildcard, filtered by component. */
function filterKeys(paths: readonly string[][], query: readonly string[]): string[] {
  const matching = paths.filter((path) =>
    query.every((label, i) => path[i] !== undefined && (isWildcard(label) || path[i] === label)),
  );
  const isPlain = !query.some(isWildcard);
  const below = matching.filter((path) => !isPlain || path.length > query.length);
  return (below.length > 0 ? below : matching).map((path) => path.join('/')).sort();
}

function put(catalog: Catalog, path: string, n: number): void {
  const text = `{"host":"10.${n >> 16}.${(n >> 8) & 255}.${n & 255}"}`;
  catalog.apply([change({ key: `/skydns/${path}`, value: text, isPut: true }, n)]);
}

function flat(count: number): Catalog {
  const catalog = new Catalog({ prefix: '/skydns/' });
  for (let i = 0; i < count; i++) put(catalog, `local/skydns/${i}`, i);
  return catalog;
}

function assertCounts(node: Node): number {
  let services = 0;
  for (let at = node.first; at !== undefined; at = at.next) services++;
  node.children?.forEach((child, position) => {
    assert.equal(child.position, position);
    assert.equal(findNode(node, [child.label]), child);
    services += assertCounts(child);
  });
  assert.equal(node.serviceCount, services);
  if (node.parent !== undefined) assert.ok(services > 0, 'an empty node is left');
  return services;
}

function sorted(pairs: Iterable<readonly [string, number]>): (readonly [string, number])[] {
  return [...pairs].sort(([a], [b]) => (a < b ? -1 : 1));
}
