/** The rate limit's counts: a token bucket for each network and subject, in a memory of fixed size. */
import assert from 'node:assert/strict';
import test from 'node:test';
import fc from 'fast-check';
import {
  Admission,
  ERRORS,
  newRateMemory,
  RateLimiter,
} from '../../src/dataplane/reply/rateLimiter.ts';
import type { RateLimit } from '../../src/dataplane/sockets/clientPolicy.ts';
import { sockaddrOf } from '../../src/dataplane/sockets/layout.ts';

const LIMIT = { perSecond: 10, slip: 0, ipv4Bits: 24, ipv6Bits: 56, exempt: [] };

function limiterOf(fields: Partial<RateLimit> = {}) {
  const limiter = new RateLimiter({ ...LIMIT, memory: newRateMemory(12345), ...fields });
  return (nowMs: number, address: string, subject = 1): boolean => {
    limiter.setTime(nowMs);
    limiter.setClient(sockaddrOf(address), 0);
    return limiter.admit(subject) === Admission.SEND;
  };
}

test('A network gets a second’s worth of replies at once, and then as many a second as the limit says', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 400 }), { maxLength: 200 }), (waits) => {
      const isSent = limiterOf();
      let nowMs = 5000;
      let tokens = 10;
      for (const waitMs of waits) {
        nowMs += waitMs;
        tokens = Math.min(10, tokens + waitMs / 100);
        const expected = tokens >= 1;
        // The limiter counts in finer steps, which differ at the very limit.
        if (Math.abs(tokens - 1) < 0.01) return;
        assert.equal(isSent(nowMs, '198.51.100.1'), expected, `${tokens} tokens`);
        if (expected) tokens -= 1;
      }
    }),
  );
});

test('The clients of one network share its limit, and other networks and subjects have their own', () => {
  const isSent = limiterOf();
  for (let i = 0; i < 10; i++) assert.ok(isSent(0, `198.51.100.${i}`));
  assert.ok(!isSent(0, '198.51.100.77'));
  assert.ok(!isSent(0, '::ffff:198.51.100.78'));
  assert.ok(isSent(0, '198.51.101.77'));
  assert.ok(isSent(0, '198.51.100.77', 2));
  assert.ok(isSent(0, '198.51.100.77', ERRORS));
  for (let i = 0; i < 10; i++) assert.ok(isSent(0, `2001:db8:0:0${i}::1`));
  assert.ok(!isSent(0, '2001:db8:0:ff::1'));
  assert.ok(isSent(0, '2001:db8:0:100::1'));
});

test('An exempt client has no limit', () => {
  const isSent = limiterOf({ exempt: [{ address: '10.0.0.0', prefixLength: 8 }] });
  for (let i = 0; i < 100; i++) assert.ok(isSent(0, '10.1.2.3'));
});

test('Threads with one memory have one limit', () => {
  const memory = newRateMemory(1);
  const threads = [limiterOf({ memory }), limiterOf({ memory })];
  let sent = 0;
  for (let i = 0; i < 40; i++) if (threads[i % 2]?.(0, '198.51.100.1')) sent++;
  assert.equal(sent, 10);
});

test('A flood from many forged networks costs other clients nothing', () => {
  const isSent = limiterOf();
  for (let i = 0; i < 200_000; i++)
    isSent(i / 100, `${(i >> 16) + 1}.${(i >> 8) & 255}.${i & 255}.1`, i);
  for (let i = 0; i < 1000; i++)
    assert.ok(isSent(2000, `200.${i >> 8}.${i & 255}.1`, 7), `network ${i}`);
});

test('A network that has been silent has its whole bucket, even after the clock’s words have wrapped', () => {
  const isSent = limiterOf();
  for (const minutes of [0, 1, 34, 35, 68, 69, 500, 100_000]) {
    for (let i = 0; i < 10; i++) assert.ok(isSent(minutes * 60_000, '198.51.100.1'), `${minutes}`);
    assert.ok(!isSent(minutes * 60_000, '198.51.100.1'));
  }
});

test('One in N replies over the limit slips, on average', () => {
  for (const slip of [1, 2, 5]) {
    const limiter = new RateLimiter({ ...LIMIT, slip, memory: newRateMemory(99) });
    limiter.setTime(0);
    limiter.setClient(sockaddrOf('198.51.100.1'), 0);
    const outcomes = Array.from({ length: 10_010 }, () => limiter.admit(1));
    const slipped = outcomes.filter((outcome) => outcome === Admission.SLIP).length;
    assert.ok(Math.abs(slipped - 10_000 / slip) < 400, `${slipped} at slip ${slip}`);
  }
});
