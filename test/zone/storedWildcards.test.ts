/** Stored wildcards: the cases of RFC 4592, the keys that external-dns writes, and the limits of aggregates. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printRr } from '../../src/dns/presentation/presentation.ts';
import { Rcode } from '../../src/dns/rr.ts';
import type { ZoneSettings } from '../../src/zone/tree/view.ts';
import { catalogOf, name, respond, type Services } from '../support/zone.ts';

/** The answer as text, or the rcode of a reply without one. */
function outcome(services: Services, q: string, settings: Partial<ZoneSettings> = {}): string {
  const [qname = '', type = ''] = q.split(' ');
  const { rcode, answer } = respond(catalogOf(services), `${qname}.`, type, { settings });
  if (rcode === Rcode.NXDOMAIN) return 'NXDOMAIN';
  return answer.length === 0
    ? 'NODATA'
    : answer
        .map((rr) => printRr(rr).replaceAll('\t', ' '))
        .sort()
        .join('\n');
}

describe('RFC 4592 §2.2.1', () => {
  const RFC: Services = {
    'example/*': { text: 'this is a wildcard' },
    'example/*/m': { host: 'host1.example', mail: true },
    'example/*/sub': { text: 'this is not a wildcard', aggregate: false },
    'example/host1': { host: '192.0.2.1' },
    'example/host1/_tcp/_ssh': { host: 'host1.example', port: 22, aggregate: false },
    'example/host2/_tcp/_ssh': { host: 'host1.example', port: 22, aggregate: false },
  };
  const settings = {
    apexes: [name('example.')],
    questionWildcards: 'none',
    parentValue: 'merged',
  } as const;
  const CASES: readonly (readonly [q: string, expected: string])[] = [
    ['host3.example MX', 'host3.example. 3600 IN MX 10 host1.example.'],
    ['host3.example AAAA', 'NODATA'],
    ['foo.bar.example TXT', 'foo.bar.example. 3600 IN TXT "this is a wildcard"'],
    ['host1.example MX', 'NODATA'],
    ['sub.*.example MX', 'NODATA'],
    ['_telnet._tcp.host1.example SRV', 'NXDOMAIN'],
    ['ghost.*.example MX', 'NXDOMAIN'],
  ];
  for (const [q, expected] of CASES) {
    it(`The zone of RFC 4592 answers ${q} as the RFC says`, () => {
      assert.equal(outcome(RFC, q, settings), expected);
    });
  }
});

describe('a stored wildcard', () => {
  const SERVICES: Services = {
    'local/skydns/apps/*/6381a3bb': { host: '192.0.2.1', port: 80, targetstrip: 1 },
    'local/skydns/apps/*/7a2c44d0': { host: '192.0.2.2', port: 80, targetstrip: 1 },
    'local/skydns/apps/b/real': { host: '192.0.2.3' },
    'local/skydns/web/1': { host: '192.0.2.4' },
    'local/skydns/dns/ns/a': { host: '192.0.2.53' },
  };
  const A = (q: string): string => {
    return [1, 2].map((n) => `${q}. 3600 IN A 192.0.2.${n}`).join('\n');
  };
  const CASES: readonly (readonly [what: string, q: string, expected: string])[] = [
    ['has its members’ addresses', 'x.apps.skydns.local A', A('x.apps.skydns.local')],
    ['answers below missing names', 'x.y.apps.skydns.local A', A('x.y.apps.skydns.local')],
    ['has no other types', 'x.apps.skydns.local AAAA', 'NODATA'],
    [
      'has the question’s name as SRV target',
      'x.apps.skydns.local SRV',
      'x.apps.skydns.local. 3600 IN SRV 10 100 80 x.apps.skydns.local.',
    ],
    ['does not answer below a name that exists', 'x.b.apps.skydns.local A', 'NXDOMAIN'],
    ['does not answer beside another encloser', 'x.web.skydns.local A', 'NXDOMAIN'],
  ];
  for (const [what, q, expected] of CASES) {
    it(`A stored wildcard ${what}: ${q}`, () => {
      assert.equal(outcome(SERVICES, q), expected);
    });
  }

  it('A wildcard at the apex answers for no reserved name, and not below a leader', () => {
    const services = { ...SERVICES, 'local/skydns/*': { host: '192.0.2.9' } };
    for (const q of ['x.dns.skydns.local A', 'x.leader.skydns.local A']) {
      assert.equal(outcome(services, q), 'NXDOMAIN', q);
    }
    assert.equal(
      outcome(services, 'leader.web.skydns.local A'),
      outcome(SERVICES, 'leader.web.skydns.local A'),
    );
    assert.match(outcome(services, 'skydns.local NS'), /ns\.dns/);
  });

  it('--stored-wildcards=false leaves a stored wildcard to its literal name', () => {
    assert.equal(
      outcome(SERVICES, 'x.apps.skydns.local A', { storedWildcards: false }),
      'NXDOMAIN',
    );
  });
});

describe('aggregates', () => {
  const SERVICES: Services = {
    'local/skydns/web': { host: '192.0.2.1' },
    'local/skydns/web/a': { host: '192.0.2.2' },
    'local/skydns/web/a/b': { host: '192.0.2.3' },
    'local/skydns/web/c': { host: '192.0.2.4', aggregate: false },
  };
  const at = (n: number): string => `web.skydns.local. 3600 IN A 192.0.2.${n}`;
  const DEPTHS: readonly (readonly [depth: number, expected: string])[] = [
    [0, at(1)],
    [1, at(2)],
    [2, `${at(2)}\n${at(3)}`],
    [Number.POSITIVE_INFINITY, `${at(2)}\n${at(3)}`],
  ];
  for (const [aggregateDepth, expected] of DEPTHS) {
    it(`With --aggregate-depth ${aggregateDepth} a name gathers the services that many labels below it`, () => {
      assert.equal(outcome(SERVICES, 'web.skydns.local A', { aggregateDepth }), expected);
    });
  }

  it('A service with "aggregate": false answers for its own name only', () => {
    assert.equal(
      outcome(SERVICES, 'c.web.skydns.local A'),
      'c.web.skydns.local. 3600 IN A 192.0.2.4',
    );
    assert.ok(!outcome(SERVICES, '*.web.skydns.local A').includes('192.0.2.4'));
  });
});
