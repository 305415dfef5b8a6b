import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import { cacheKey, lifetimeSeconds, ReplyCache } from '../../src/forward/cache.ts';
import type { Forwarded } from '../../src/forward/outcome.ts';
import { type MessageText, messageOf, printed, questionOf } from '../support/messages.ts';

const LIMITS = { maxEntries: 100, maxOctets: 1_000_000 };
const WWW = questionOf('www.example.com');

function answered(text: MessageText, question = WWW): Forwarded {
  return { kind: 'answered', message: messageOf(question, text) };
}

function lines(outcome: Forwarded | undefined): string[] | undefined {
  if (outcome?.kind !== 'answered') return undefined;
  return printed([...outcome.message.answer, ...outcome.message.authority]);
}

test('The cache lowers TTLs by whole seconds, and an entry expires with its shortest TTL', () => {
  const cache = new ReplyCache(LIMITS);
  const text = {
    answer: ['www.example.com. 10 CNAME a.example.com.', 'a.example.com. 100 A 192.0.2.1'],
  };
  cache.put('k', answered(text), 5_000);
  const at = (nowMs: number) => lines(cache.get('k', nowMs))?.map((line) => line.split(' ')[1]);
  assert.deepEqual(at(5_000), ['10', '100']);
  assert.deepEqual(at(5_999), ['10', '100']);
  assert.deepEqual(at(6_000), ['9', '99']);
  assert.deepEqual(at(14_999), ['1', '91']);
  assert.deepEqual(at(15_000), undefined);
  assert.equal(cache.size, 0);
  assert.equal(cache.octets, 0);
});

const SOA = 'example.com. 60 SOA ns.example.com. host.example.com. 1 2 3 4 60';

const lifetimes: readonly [string, Forwarded, number][] = [
  ['a positive answer', answered({ answer: ['www.example.com. 10 A 192.0.2.1'] }), 10],
  ['a TTL of zero', answered({ answer: ['www.example.com. 0 A 192.0.2.1'] }), 0],
  ['NXDOMAIN with SOA', answered({ rcode: 3, authority: [SOA] }), 60],
  ['NXDOMAIN without SOA (RFC 2308 §5)', answered({ rcode: 3 }), 0],
  ['NODATA with SOA', answered({ authority: [SOA] }), 60],
  ['NODATA without SOA', answered({}), 0],
  [
    'a CNAME to NODATA without SOA',
    answered({ answer: ['www.example.com. 10 CNAME a.example.com.'] }),
    0,
  ],
  [
    'a CNAME to NODATA with SOA',
    answered({ answer: ['www.example.com. 10 CNAME a.example.com.'], authority: [SOA] }),
    10,
  ],
  ['SERVFAIL', answered({ rcode: 2 }), 1],
  ['REFUSED', answered({ rcode: 5 }), 1],
  ['no reply', { kind: 'failed', reason: 'timeout', text: '' }, 1],
  ['the forwarder’s own refusal', { kind: 'refused', text: '' }, 0],
];

for (const [what, outcome, seconds] of lifetimes)
  test(`The cache keeps ${what} for ${seconds} s`, () =>
    assert.equal(lifetimeSeconds(outcome), seconds));

test('The cache evicts the least recently used entry first', () => {
  const cache = new ReplyCache({ ...LIMITS, maxEntries: 3 });
  const outcome = answered({ answer: ['www.example.com. 10 A 192.0.2.1'] });
  for (const key of ['a', 'b', 'c']) cache.put(key, outcome, 0);
  cache.get('a', 1);
  cache.put('d', outcome, 1);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].filter((key) => cache.get(key, 1) !== undefined),
    ['a', 'c', 'd'],
  );
});

test('Expired answers leave before those that have not expired, the one that was served last after the others', () => {
  const cache = new ReplyCache({ ...LIMITS, maxEntries: 4, staleSeconds: 1_000 });
  const lasting = (ttl: number) => answered({ answer: [`www.example.com. ${ttl} A 192.0.2.1`] });
  cache.put('fresh', lasting(100), 0);
  cache.put('a', lasting(10), 0);
  cache.put('b', lasting(12), 0);
  cache.put('c', lasting(14), 0);
  // Without a look-up no one has noticed that they expired.
  const nowMs = 20_000;
  assert.ok(cache.getStale('a', nowMs));
  cache.put('new', lasting(100), nowMs);
  const left = () => ['fresh', 'a', 'b', 'c', 'new'].filter((key) => has(cache, key, nowMs));
  assert.deepEqual(left(), ['fresh', 'b', 'c', 'new']);
  cache.put('a', lasting(100), nowMs);
  assert.deepEqual(left(), ['fresh', 'a', 'c', 'new']);
});

function has(cache: ReplyCache, key: string, nowMs: number): boolean {
  return (cache.get(key, nowMs) ?? cache.getStale(key, nowMs)) !== undefined;
}

test('Failures evict no answer, and their number is limited too', () => {
  const cache = new ReplyCache({ ...LIMITS, maxEntries: 16, staleSeconds: 1_000 });
  for (let i = 0; i < 16; i++)
    cache.put(`k${i}`, answered({ answer: ['www.example.com. 10 A 192.0.2.1'] }), 0);
  for (let i = 0; i < 1_000; i++) cache.put(`f${i}`, answered({ rcode: 2 }), 11_000);
  const names = (prefix: string, count: number) =>
    Array.from({ length: count }, (_, i) => `${prefix}${i}`);
  const known = (keys: readonly string[]) => keys.filter((key) => has(cache, key, 11_000)).length;
  assert.deepEqual([known(names('k', 16)), known(names('f', 1_000))], [16, 2]);
});

test('A failure replaces no answer that may be served, and one that came after its time of staleness does', () => {
  const cache = new ReplyCache({ ...LIMITS, staleSeconds: 100 });
  cache.put('k', answered({ answer: ['www.example.com. 10 A 192.0.2.1'] }), 0);
  const failure: Forwarded = { kind: 'failed', reason: 'timeout', text: '' };
  cache.put('k', failure, 50_000);
  assert.equal(cache.get('k', 50_000), undefined);
  assert.ok(cache.isPostponed('k', 54_999) && !cache.isPostponed('k', 55_000));
  assert.ok(cache.getStale('k', 109_999));
  cache.put('k', failure, 110_000);
  assert.equal(cache.getStale('k', 110_000), undefined);
  assert.deepEqual(cache.get('k', 110_000), failure);
  assert.equal(cache.octets, 0);
});

test('The cache keeps its limits of entries and octets for any sequence of puts', () => {
  const texts = fc.array(fc.integer({ min: 1, max: 200 }), { maxLength: 60 });
  fc.assert(
    fc.property(texts, fc.integer({ min: 1, max: 9_000 }), (sizes, stepMs) => {
      const cache = new ReplyCache({ maxEntries: 20, maxOctets: 30_000, staleSeconds: 20 });
      for (const [step, size] of sizes.entries()) {
        const nowMs = step * stepMs;
        const answer = Array.from({ length: size }, () => 'www.example.com. 10 TXT x');
        const key = `k${step % 30}`;
        cache.getStale(`k${size % 30}`, nowMs);
        cache.put(key, answered({ answer }, questionOf('www.example.com', 'TXT')), nowMs);
        assert.ok(cache.size <= 20);
        assert.ok(cache.octets <= 30_000 && cache.octets >= 0);
        assert.equal(cache.size === 0, cache.octets === 0);
      }
    }),
    { numRuns: 50 },
  );
});

test('A new outcome replaces the cached one, even when the new one is not cacheable', () => {
  const cache = new ReplyCache(LIMITS);
  const outcome = answered({ answer: ['www.example.com. 10 A 192.0.2.1'] });
  cache.put('k', outcome, 0);
  const { octets } = cache;
  cache.put('k', outcome, 0);
  assert.equal(cache.octets, octets);
  cache.put('k', answered({ rcode: 3 }), 0);
  assert.equal(cache.get('k', 0), undefined);
  assert.equal(cache.octets, 0);
});

test('Cache keys ignore letter case and distinguish type, DO, CD and label boundaries', () => {
  const plain = { checkingDisabled: false, dnssecOk: false, client: '192.0.2.200' };
  const key = cacheKey(WWW, plain);
  assert.equal(cacheKey(questionOf('WWW.Example.com'), plain), key);
  const others = [
    cacheKey(questionOf('www.example.com', 'AAAA'), plain),
    cacheKey(WWW, { ...plain, dnssecOk: true }),
    cacheKey(WWW, { ...plain, checkingDisabled: true }),
    cacheKey({ ...WWW, qclass: 3 }, plain),
    cacheKey(questionOf('www\\.example.com'), plain),
    cacheKey(questionOf('ww.wexample.com'), plain),
  ];
  assert.equal(new Set([key, ...others]).size, others.length + 1);
});
