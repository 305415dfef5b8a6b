/** `--near`: the order of a name's services, and which of them an answer has. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { rotationsOf } from '../../src/dataplane/publish/rotations.ts';
import type { Response } from '../../src/dns/message.ts';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import type { Nearness } from '../../src/service/service.ts';
import { contentsAt } from '../../src/zone/contents.ts';
import { inRandomOrder } from '../../src/zone/rrset.ts';
import type { NearSettings, ZoneSettings } from '../../src/zone/tree/view.ts';
import {
  catalogOf,
  name,
  question,
  respond,
  type Services,
  settingsOf,
  viewOf,
} from '../support/zone.ts';

const WEB = 'local/skydns/east/web';
const SERVICES: Services = {
  'local/skydns/west/web/1': { host: '192.0.2.1', port: 80, weight: 30 },
  [`${WEB}/2`]: { host: '192.0.2.2', port: 80, weight: 10 },
  [`${WEB}/3`]: { host: '192.0.2.3', port: 80, weight: 10 },
  'local/skydns/west/web/4': { host: '192.0.2.4', port: 80, weight: 50 },
};

function near(how: Nearness, here: readonly string[], region?: string): NearSettings {
  const labels = region === undefined ? undefined : region.split('.');
  return { how, isHere: (address) => here.includes(address), region: labels };
}

function asked(services: Services, q: string, settings: Partial<ZoneSettings>): Response {
  const [qname = '', type = ''] = q.split(' ');
  return respond(catalogOf(services), `${qname}.`, type, { settings });
}

/** The last numbers of the addresses, in the order of the answer. */
function order({ answer }: Response): string {
  const ends = answer.map(({ rdata }) =>
    rdata.kind === 'address' ? rdata.address.split('.').at(-1) : '?',
  );
  return ends.join(' ');
}

/** `services`, and `field` as the field `near` of the service with the address 192.0.2.2. */
function withField(field: unknown): Services {
  return { ...SERVICES, [`${WEB}/2`]: { host: '192.0.2.2', near: field } };
}

describe('the order of a name’s services', () => {
  const plain = order(asked(SERVICES, 'skydns.local A', {}));
  const rest = (...front: string[]): string =>
    [...front, ...plain.split(' ').filter((each) => !front.includes(each))].join(' ');
  const CASES: readonly (readonly [what: string, settings: NearSettings, expected: string])[] = [
    ['off changes nothing', near('off', ['192.0.2.4'], 'east'), plain],
    ['first: this host’s, then the rest', near('first', ['192.0.2.4']), rest('4')],
    [
      'first: this host’s, its region’s, the rest',
      near('first', ['192.0.2.4'], 'east'),
      rest('4', '2', '3'),
    ],
    ['first without one on this host: its region’s', near('first', [], 'east'), rest('2', '3')],
    ['first without near ones: as off', near('first', [], 'north'), plain],
    ['only: this host’s alone', near('only', ['192.0.2.4'], 'east'), '4'],
    ['only without one on this host: its region’s', near('only', [], 'east'), '2 3'],
    ['only without near ones: all', near('only', [], 'north'), plain],
    ['a region of two labels', near('only', [], 'east.skydns'), '2 3'],
    ['a part of the region’s labels is no region', near('only', [], 'east.local'), plain],
  ];
  for (const [what, settings, expected] of CASES) {
    it(`--near ${what}`, () => {
      assert.equal(order(asked(SERVICES, 'skydns.local A', { near: settings })), expected);
    });
  }

  it('A service’s field comes before the option, and the strictest of a name’s fields counts', () => {
    const here = ['192.0.2.4'];
    const of = (services: Services, how: Nearness) =>
      order(asked(services, 'skydns.local A', { near: near(how, here) }));
    assert.equal(of(withField('only'), 'off'), '4');
    assert.equal(of(withField('first'), 'only'), rest('4'));
    assert.equal(of(withField('off'), 'only'), plain);
    assert.equal(
      of({ ...withField('off'), [`${WEB}/3`]: { host: '192.0.2.3', near: 'only' } }, 'off'),
      '4',
    );
    assert.equal(of(withField('yes'), 'only'), '4', 'other programs’ fields count as none');
    const elsewhere = asked(withField('only'), 'west.skydns.local A', { near: near('off', here) });
    assert.equal(order(elsewhere), '1 4', 'the service is not a member of this name');
  });

  it('A host name’s addresses take the place of its service in the order', () => {
    const services = {
      ...SERVICES,
      [`${WEB}/5`]: { host: 'db.skydns.local' },
      'local/skydns/db': { host: '192.0.2.9' },
    };
    const answer = asked(services, 'east.skydns.local A', { near: near('first', ['192.0.2.3']) });
    assert.equal(order(answer).split(' ')[0], '3');
    assert.deepEqual(order(answer).split(' ').sort(), ['2', '3', '9']);
  });

  it('A leader keeps the addresses of both families', () => {
    const services = {
      'local/skydns/db/1/ipv4': { host: '192.0.2.1', targetstrip: 1, leader: 'oldest' },
      'local/skydns/db/1/ipv6': { host: '2001:db8::1', targetstrip: 1, leader: 'oldest' },
    };
    const settings = { near: near('only', ['192.0.2.1']) };
    const { answer } = asked(services, 'leader.db.skydns.local AAAA', settings);
    assert.deepEqual(
      answer.map(({ rdata }) => rdata),
      [{ kind: 'address', address: '2001:db8::1' }],
    );
  });

  it('Without the settings the fields have no effect, and transfers carry all services', () => {
    assert.equal(order(asked(withField('only'), 'skydns.local A', { near: undefined })), plain);
    const view = viewOf(catalogOf(SERVICES), { settings: { near: near('only', ['192.0.2.4']) } });
    const listing = { inOrder: ({ children }: { children?: unknown }) => children ?? [] } as never;
    const listed = contentsAt({ ...view, listing }, name('skydns.local.'), { aggregates: true });
    assert.equal(listed.rrs.filter(({ type }) => type === 1).length, 4);
  });
});

describe('records of other types', () => {
  const srv = (settings: NearSettings): string[] =>
    asked(SERVICES, 'skydns.local SRV', { near: settings }).answer.map((rr) =>
      printRr(rr).replaceAll('\t', ' '),
    );

  it('SRV keeps priorities and weights with first; with only the weights are shares of those that stay', () => {
    const all = srv(near('off', []));
    const first = srv(near('first', ['192.0.2.2', '192.0.2.3']));
    assert.deepEqual([...first].sort(), [...all].sort());
    assert.match(first[0] ?? '', / 2\.web\.east\.| 3\.web\.east\./);
    assert.deepEqual(
      srv(near('only', ['192.0.2.2', '192.0.2.3'])).sort(),
      [2, 3].map((n) => `skydns.local. 5 IN SRV 10 50 80 ${n}.web.east.skydns.local.`),
    );
  });

  it('The TTLs with only are --min-ttl at most, also where all services are far', () => {
    const ttls = (settings: NearSettings) =>
      asked(SERVICES, 'skydns.local A', { near: settings }).answer.map((rr) => rr.ttlSeconds);
    assert.deepEqual(ttls(near('only', ['192.0.2.4'])), [5]);
    assert.deepEqual(ttls(near('only', [])), [5, 5, 5, 5]);
    assert.deepEqual(ttls(near('first', ['192.0.2.4'])), [3600, 3600, 3600, 3600]);
  });

  it('A zone keeps all of its name servers', () => {
    const services = {
      'local/skydns/dns/ns/a': { host: '192.0.2.1' },
      'local/skydns/dns/ns/b': { host: '192.0.2.2' },
    };
    const { answer } = asked(services, 'skydns.local NS', { near: near('only', ['192.0.2.2']) });
    assert.equal(answer.length, 2);
  });
});

/** Each address once, with the group that it is in. */
const members = fc.uniqueArray(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.nat(2)), {
  minLength: 1,
  maxLength: 20,
  selector: ([number]) => number,
});

describe('the orders of a reply', () => {
  const groupsOf = (rrs: Response['answer'], groups: ReadonlyMap<string, number>): number[] =>
    rrs.map(({ rdata }) => groups.get(rdata.kind === 'address' ? rdata.address : '') ?? -1);

  it('Every order, of the main thread and of the table, has the groups one after the other, and each record comes first in its group', () => {
    fc.assert(
      fc.property(members, fc.double({ min: 0, max: 0.999, noNaN: true }), (list, start) => {
        const groups = new Map(list.map(([n, group]) => [`192.0.2.${n}`, group]));
        const services = Object.fromEntries(
          list.map(([n, group]) => {
            const region = group === 1 ? 'east' : 'west';
            return [`local/skydns/${region}/${n}`, { host: `192.0.2.${n}` }];
          }),
        );
        const here = list.flatMap(([n, group]) => (group === 0 ? [`192.0.2.${n}`] : []));
        const settings = { near: near('first', here, 'east'), roundRobin: true };
        const response = asked(services, 'skydns.local A', settings);
        const q = question('skydns.local.', 'A');
        const rules = { roundRobin: true, mayBeCut: false, start };
        const { rotations, isComplete } = rotationsOf(q, response, rules);
        const shuffled = inRandomOrder(q, response, settingsOf(settings), () => start);
        for (const { answer } of [...rotations, shuffled]) {
          const order = groupsOf(answer, groups);
          assert.deepEqual(
            order,
            [...order].sort((a, b) => a - b),
          );
          assert.equal(new Set(order.map((_, i) => answer[i])).size, list.length);
        }
        if (!isComplete) return;
        const least = Math.min(...groups.values());
        const firsts = new Set(
          rotations.map(({ answer }) => order({ answer } as Response).split(' ')[0]),
        );
        assert.equal(firsts.size, list.filter(([, group]) => group === least).length);
      }),
    );
  });

  it('The records of the first group come first equally often', () => {
    const services = Object.fromEntries(
      [1, 2, 3, 4, 5].map((n) => [`local/skydns/${n}`, { host: `192.0.2.${n}` }]),
    );
    const response = asked(services, 'skydns.local A', {
      near: near('first', ['192.0.2.1', '192.0.2.2']),
    });
    const rules = { roundRobin: true, mayBeCut: false, start: 0 };
    const { rotations } = rotationsOf(question('skydns.local.', 'A'), response, rules);
    const firsts = rotations.map((each) => order(each).split(' ')[0]);
    for (const each of ['1', '2'])
      assert.equal(firsts.filter((first) => first === each).length, rotations.length / 2);
    const seconds = new Set(rotations.map((each) => order(each).split(' ')[2]));
    assert.deepEqual([...seconds].sort(), ['3', '4', '5']);
  });
});
