import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { printRdata } from '../../src/dns/presentation/presentation.ts';
import { inRandomOrder, shuffle } from '../../src/zone/rrset.ts';
import { srvWeight } from '../../src/zone/targets.ts';
import { catalogOf, question, respond, settingsOf } from '../support/zone.ts';

describe('srvWeight', () => {
  for (const [weights, expected] of [
    [
      [100, 100, 100],
      [33, 33, 33],
    ],
    [
      [120, 100, 130],
      [34, 28, 37],
    ],
    [
      [130, 80, 150],
      [36, 22, 41],
    ],
    [
      [1, 1_000_000],
      [1, 99],
    ],
  ] as const) {
    it(`The SRV weights of the service weights ${weights} are ${expected}`, () => {
      const total = weights.reduce((sum: number, weight) => sum + weight, 0);
      assert.deepEqual(
        weights.map((weight) => srvWeight(weight, total)),
        expected,
      );
    });
  }

  it('A single service has the weight 99 exactly where IEEE rounding gives it, as in SkyDNS', () => {
    const odd = [];
    for (let weight = 1; weight <= 300; weight++)
      if (srvWeight(weight, weight) !== 100) odd.push(weight);
    assert.deepEqual(odd, [97, 161, 167, 193, 194, 195, 199, 289]);
  });

  it('An SRV weight is from 1 to 100, at most its share, and keeps the order of the service weights', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 65_535 }), { minLength: 1, maxLength: 300 });
    fc.assert(
      fc.property(weights, (all) => {
        const total = all.reduce((sum, weight) => sum + weight, 0);
        const shares = all.map((weight) => srvWeight(weight, total));
        all.forEach((weight, i) => {
          const share = shares[i] as number;
          assert.ok(share >= 1 && share <= 100);
          assert.ok(share <= Math.max(1, (100 * weight) / total + 1e-9));
          all.forEach((other, j) => {
            if (other > weight) assert.ok((shares[j] as number) >= share);
          });
        });
      }),
      { numRuns: 50 },
    );
  });
});

interface Member {
  readonly path: string;
  readonly group: string;
}

const member: fc.Arbitrary<Member> = fc.record({
  path: fc
    .array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 3 })
    .map((labels) => labels.join('/')),
  group: fc.constantFrom('', '', 'g1', 'g2'),
});

describe('groups', () => {
  it('Groups do not depend on the order in which keys were added', () => {
    const members = fc.uniqueArray(member, { maxLength: 8, selector: ({ path }) => path });
    fc.assert(
      fc.property(members, fc.integer(), (all, seed) => {
        assert.deepEqual(addresses(all), addresses(reordered(all, seed)));
      }),
      { numRuns: 300 },
    );
  });

  it('The zone keeps the group of the shallowest services, or all services if the shallowest ones disagree', () => {
    const of = (members: Record<string, string>) =>
      addresses(Object.entries(members).map(([path, group]) => ({ path, group }))).length;
    assert.equal(of({ a: 'g1', 'sub/b': 'g1' }), 2);
    assert.equal(of({ a: 'g1', 'sub/b': 'g2' }), 1);
    assert.equal(of({ a: 'g1', 'sub/b': '' }), 2);
    assert.equal(of({ a: '', 'sub/b': 'g2' }), 2);
    assert.equal(of({ a: 'g1', b: 'g2', 'sub/c': 'g3' }), 3);
  });
});

describe('equal services', () => {
  const same = { host: '10.0.0.1', port: 80 };
  const paths = ['b', 'a', 'c/deep'];
  const webWith = (order: readonly string[], service: object) =>
    catalogOf(Object.fromEntries(order.map((path) => [`local/skydns/web/${path}`, service])));

  it('Equal services have one address record', () => {
    const { answer } = respond(webWith(paths, same), 'web.skydns.local.', 'A');
    assert.deepEqual(answer.map(printRdata), ['10.0.0.1']);
  });

  it('Equal services have one SRV record each, and each weight is a share among these records', () => {
    for (const order of [paths, [...paths].reverse()]) {
      const { answer } = respond(webWith(order, same), 'web.skydns.local.', 'SRV');
      assert.deepEqual(answer.map(printRdata).sort(), [
        '10 33 80 a.web.skydns.local.',
        '10 33 80 b.web.skydns.local.',
        '10 33 80 deep.c.web.skydns.local.',
      ]);
    }
  });

  it('Services with the same target name have one SRV record with one weight and all addresses', () => {
    const catalog = catalogOf({
      'local/skydns/web/ipv4': { host: '10.0.0.1', port: 80, targetstrip: 1 },
      'local/skydns/web/ipv6': { host: '2001:db8::1', port: 80, targetstrip: 1 },
    });
    const { answer, additional } = respond(catalog, 'web.skydns.local.', 'SRV');
    assert.deepEqual(answer.map(printRdata), ['10 100 80 web.skydns.local.']);
    assert.deepEqual(additional.map(printRdata), ['10.0.0.1', '2001:db8::1']);
  });

  it('Equal services of two priorities have separate weights', () => {
    const catalog = catalogOf({
      'local/skydns/web/a': { host: 'x.example.com', port: 80, priority: 1 },
      'local/skydns/web/b': { host: 'x.example.com', port: 80, priority: 1 },
      'local/skydns/web/c': { host: 'x.example.com', port: 80, priority: 2 },
      'local/skydns/web/d': { host: 'y.example.com', port: 80, priority: 2, weight: 300 },
    });
    const { answer } = respond(catalog, 'web.skydns.local.', 'SRV');
    assert.deepEqual(answer.map(printRdata).sort(), [
      '1 100 80 x.example.com.',
      '2 25 80 x.example.com.',
      '2 75 80 y.example.com.',
    ]);
  });
});

describe('round robin', () => {
  it('Round robin brings every address to the front and never puts a CNAME after its address', () => {
    const services: Record<string, unknown> = { 'local/skydns/www': { host: 'web.skydns.local' } };
    for (let i = 1; i <= 3; i++) services[`local/skydns/web/${i}`] = { host: `10.0.0.${i}` };
    const catalog = catalogOf(services);
    const firsts = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const settings = settingsOf({ roundRobin: true });
      const response = respond(catalog, 'www.skydns.local.', 'A', { settings });
      const asked = question('www.skydns.local.', 'A');
      const ordered = inRandomOrder(asked, response, settings, Math.random);
      const [cname, first] = ordered.answer.map(printRdata);
      assert.equal(cname, 'web.skydns.local.');
      firsts.add(first as string);
    }
    assert.equal(firsts.size, 3);
  });

  it('Round robin shuffles evenly', () => {
    const counts = new Map<string, number>();
    let seed = 1;
    const random = () => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed / 2_147_483_647;
    };
    for (let i = 0; i < 6_000; i++) {
      const order = shuffle(['a', 'b', 'c'], random).join('');
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    assert.equal(counts.size, 6);
    for (const [order, count] of counts)
      assert.ok(Math.abs(count - 1_000) < 150, `${order}: ${count}`);
  });
});

function addresses(members: readonly Member[]): string[] {
  const services = members.map(({ path, group }) => {
    const host = `10.0.0.${[...path].reduce((sum, char) => sum * 4 + char.charCodeAt(0) - 94, 0) % 250}`;
    return [`local/skydns/dom/${path}`, { host, group, port: path.length, text: path }] as const;
  });
  const { answer } = respond(catalogOf(Object.fromEntries(services)), 'dom.skydns.local.', 'TXT');
  return answer.map(printRdata).sort();
}

function reordered<T>(items: readonly T[], seed: number): T[] {
  let state = Math.abs(seed) + 1;
  return shuffle([...items], () => {
    state = (state * 48_271) % 2_147_483_647;
    return state / 2_147_483_647;
  });
}
