import assert from 'node:assert/strict';
import test from 'node:test';
import { Latencies } from '../../../bench/generator/latency.ts';
import { dueAfter, intendedMs, latestOfId } from '../../../bench/generator/pacing.ts';

test('Queries are due at even intervals, the first one at once', () => {
  assert.equal(dueAfter(-1, 20_000), 0);
  assert.equal(dueAfter(0, 20_000), 1);
  assert.equal(dueAfter(0.049, 20_000), 1);
  assert.equal(dueAfter(0.05, 20_000), 2);
  assert.equal(dueAfter(1000, 20_000), 20_001);
});

test('A query is due at its intended time and not earlier', () => {
  for (const perSecond of [1, 333, 20_000, 123_456]) {
    for (let index = 0; index < 5000; index += 7) {
      const ms = intendedMs(index, perSecond);
      assert.equal(dueAfter(ms, perSecond), index + 1);
      assert.equal(dueAfter(ms - 1e-3, perSecond), index);
    }
  }
});

test('latestOfId gives the latest query with the id', () => {
  assert.equal(latestOfId(0, 1), 0);
  assert.equal(latestOfId(5, 6), 5);
  assert.equal(latestOfId(0xffff, 0x10000), 0xffff);
  assert.equal(latestOfId(0, 0x10001), 0x10000);
  assert.equal(latestOfId(1, 0x10001), 1);
  for (let sent = 1; sent < 400_000; sent += 1237) {
    const index = Math.max(0, sent - 1 - (sent % 0x10000));
    assert.equal(latestOfId(index & 0xffff, sent), index);
  }
  assert.ok(latestOfId(9, 5) < 0, 'never sent');
});

test('Latencies gives exact percentiles and counts a lost query as slower than all others', () => {
  const latencies = new Latencies(100);
  for (let micros = 100; micros > 0; micros--) latencies.record(micros);
  latencies.record(7); // one more than the capacity
  assert.deepEqual(latencies.summary(0), { p50: 50, p90: 90, p99: 99, max: 100 });
  assert.deepEqual(latencies.summary(1), { p50: 51, p90: 91, p99: 100, max: null });
  assert.deepEqual(latencies.summary(100), { p50: 100, p90: null, p99: null, max: null });
  const none = { p50: null, p90: null, p99: null, max: null };
  assert.deepEqual(new Latencies(1).summary(0), none);
});
