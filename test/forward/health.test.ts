import assert from 'node:assert/strict';
import test from 'node:test';
import { UpstreamHealth } from '../../src/forward/health.ts';

const a = { address: '192.0.2.1', port: 53 };
const b = { address: '192.0.2.2', port: 53 };
const c = { address: '192.0.2.3', port: 53 };

test('Upstreams are tried in the listed order, and those that are down last', () => {
  const health = new UpstreamHealth([a, b, c]);
  health.failed(a, 0);
  assert.deepEqual(health.order(), [a, b, c], 'one lost packet is no outage');
  health.failed(a, 0);
  assert.deepEqual(health.order(), [b, c, a]);
  assert.ok(health.isDown(a));
  health.succeeded(a);
  assert.deepEqual(health.order(), [a, b, c]);
});

test('A reply between two failures keeps an upstream up', () => {
  const health = new UpstreamHealth([a, b]);
  health.failed(a, 0);
  health.succeeded(a);
  health.failed(a, 0);
  assert.ok(!health.isDown(a));
});

test('An upstream that is down is probed after 2, 4, 8, 16 and then every 30 seconds', () => {
  const health = new UpstreamHealth([a]);
  assert.ok(!health.takeProbe(a, 0), 'it is up');
  health.failed(a, 500);
  health.failed(a, 500);
  const probes: number[] = [];
  for (let nowMs = 500; nowMs < 120_000; nowMs += 500) {
    if (!health.takeProbe(a, nowMs)) continue;
    probes.push(nowMs);
    health.failed(a, nowMs + 400);
  }
  assert.deepEqual(
    probes.map((at, i) => at - (probes[i - 1] ?? 500)),
    [2_000, 4_000, 8_000, 16_000, 30_000, 30_000],
  );
  health.succeeded(a);
  health.failed(a, 200_000);
  health.failed(a, 200_000);
  assert.ok(health.takeProbe(a, 202_000), 'a success starts over');
});
