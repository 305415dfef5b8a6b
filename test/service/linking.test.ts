/** The fields of a stored service that only soradns reads: wrong values count as absent, and the service stays valid. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import {
  type Linking,
  MAX_TAGS,
  NO_LINKING,
  parseExposedPort,
  printExposedPort,
} from '../../src/service/linking.ts';
import { parseService } from '../../src/service/service.ts';

function linkingOf(fields: object): Linking {
  const text = JSON.stringify({ host: '10.0.0.1', port: 80, ...fields });
  const parsed = parseService(new TextEncoder().encode(text));
  assert.ok(parsed.kind === 'service', text);
  assert.equal(parsed.service.attributes.port, 80);
  return parsed.service.attributes.linking;
}

describe('the linking fields of a service', () => {
  for (const [fields, linking] of [
    [{}, {}],
    [{ expose: 5432 }, { expose: { number: 5432, protocol: 'tcp' } }],
    [{ expose: '5432' }, { expose: { number: 5432, protocol: 'tcp' } }],
    [{ expose: '5432/tcp' }, { expose: { number: 5432, protocol: 'tcp' } }],
    [{ expose: '53/udp' }, { expose: { number: 53, protocol: 'udp' } }],
    [{ EXPOSE: 53 }, { expose: { number: 53, protocol: 'tcp' } }],
    [{ tags: ['a', 'v1.2', 'ä b'] }, { tags: ['a', 'v1.2', 'ä b'] }],
    [{ vip: 'auto' }, { vip: 'auto' }],
    [{ vip: '198.18.0.7' }, { vip: '198.18.0.7' }],
    [{ vip: 'FD00:0::7' }, { vip: 'fd00::7' }],
    [{ vipName: 'Web.skydns.local.' }, { vipName: ['web', 'skydns', 'local'] }],
    [{ vipPort: 80 }, { vipPort: { number: 80, protocol: 'tcp' } }],
    [{ vipPort: '80/udp' }, { vipPort: { number: 80, protocol: 'udp' } }],
    [{ leader: 'oldest' }, { leader: 'oldest' }],
    [{ leader: 'manual' }, { leader: 'manual' }],
    [{ leader: 'never' }, { leader: 'never' }],
    [{ leader: 'yes' }, { leader: 'yes' }],
    [{ proxyProtocol: true }, { proxyProtocol: true }],
  ] as const) {
    it(`The fields ${JSON.stringify(fields)} of a service are read`, () =>
      assert.deepEqual(linkingOf(fields), { ...NO_LINKING, ...linking }));
  }

  for (const fields of [
    { expose: 0 },
    { expose: -1 },
    { expose: 65_536 },
    { expose: 1.5 },
    { expose: '53/sctp' },
    { expose: '053/udp/tcp' },
    { expose: ' 53' },
    { expose: [53] },
    { expose: { number: 53 } },
    { expose: true },
    { tags: 'a,b' },
    { tags: {} },
    { tags: [1, null, '', ['a'], 'x'.repeat(256)] },
    { vip: true },
    { vip: 'AUTO' },
    { vip: '198.18.0' },
    { vip: ['198.18.0.1'] },
    { vipName: '' },
    { vipName: '.' },
    { vipName: 'a..b' },
    { vipName: 7 },
    { vipPort: 'http' },
    { leader: 'Oldest' },
    { leader: ['oldest'] },
    { leader: true },
    { proxyProtocol: 'true' },
    { proxyProtocol: 1 },
    { expose: null, tags: null, vip: null, leader: null, proxyProtocol: null },
  ]) {
    it(`A service with ${JSON.stringify(fields).slice(0, 60)} is valid and linked as without it`, () =>
      assert.deepEqual(linkingOf(fields), NO_LINKING));
  }

  it('A service keeps its usable tags up to the limit', () => {
    const many = Array.from({ length: 200 }, (_, i) => `t${i}`);
    assert.deepEqual(linkingOf({ tags: many }).tags, many.slice(0, MAX_TAGS));
    assert.deepEqual(linkingOf({ tags: ['a', 7, 'b'] }).tags, ['a', 'b']);
  });

  it('No value of a linking field makes a service invalid', () => {
    const field = fc.constantFrom('expose', 'tags', 'vip', 'vipName', 'vipPort', 'leader');
    fc.assert(
      fc.property(field, fc.jsonValue({ maxDepth: 3 }), (name, value) => {
        linkingOf({ [name]: value });
      }),
    );
  });

  it('An exposed port that is printed is parsed as itself', () => {
    const port = fc.record({
      number: fc.integer({ min: 1, max: 65_535 }),
      protocol: fc.constantFrom('tcp' as const, 'udp' as const),
    });
    fc.assert(
      fc.property(port, (one) => {
        assert.deepEqual(parseExposedPort(printExposedPort(one)), { ...one });
      }),
    );
  });
});
