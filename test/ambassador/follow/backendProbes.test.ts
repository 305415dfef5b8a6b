import assert from 'node:assert/strict';
import test from 'node:test';
import { BackendProbes } from '../../../src/ambassador/follow/backendProbes.ts';
import type { Backend } from '../../../src/ambassador/route.ts';
import { printSocketAddress } from '../../../src/dns/address.ts';
import { FakeClock } from '../../support/fakeClock.ts';

const [A, B] = ['10.0.0.1', '10.0.0.2'].map((address) => {
  return { address, port: 80, priority: 10, weight: 100, key: undefined };
}) as [Backend, Backend];

/** Probes of A and B each second; `refusing` holds the addresses that refuse connections. */
function probesOf() {
  const clock = new FakeClock();
  const refusing = new Set<string>();
  const changes: string[] = [];
  let backends: readonly Backend[] = [A, B];
  const probes = new BackendProbes({
    everyMs: 1_000,
    connect: async ({ address }) => !refusing.has(address),
    backends: () => backends,
    clock,
    onChange: (backend, isUp) =>
      changes.push(`${printSocketAddress(backend)} ${isUp ? 'up' : 'down'}`),
  });
  probes.start();
  return {
    probes,
    refusing,
    changes,
    setBackends: (now: readonly Backend[]) => {
      backends = now;
    },
    round: () => clock.advance(1_000),
    serving: () => probes.withoutFailed([A, B], () => true).map(({ address }) => address),
  };
}

test('A backend that refuses two probes in a row is left out, and one success brings it back', async () => {
  const { refusing, changes, round, serving } = probesOf();
  refusing.add(A.address);
  await round();
  assert.deepEqual(serving(), [A.address, B.address]);
  await round();
  assert.deepEqual(serving(), [B.address]);
  refusing.clear();
  await round();
  assert.deepEqual(serving(), [A.address, B.address]);
  assert.deepEqual(changes, ['10.0.0.1:80 down', '10.0.0.1:80 up']);
});

test('All backends serve when all of them refuse probes', async () => {
  const { refusing, round, serving } = probesOf();
  for (const { address } of [A, B]) refusing.add(address);
  await round();
  await round();
  assert.deepEqual(serving(), [A.address, B.address]);
});

test('A backend that left and comes back has no failures', async () => {
  const { refusing, setBackends, round, serving } = probesOf();
  refusing.add(A.address);
  await round();
  await round();
  setBackends([B]);
  await round();
  assert.deepEqual(serving(), [A.address, B.address]);
});
