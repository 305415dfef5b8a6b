import assert from 'node:assert/strict';
import test, { type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { openNftPlane } from '../../../src/ambassador/nft/nftPlane.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { routeTo, virtual } from '../../support/kernelTableScene.ts';
import { until } from '../../support/until.ts';

/** Longer than the thread takes for an order that it was given. */
const AMPLE_MS = 100;

/** A plane whose first order to the thread is over. Its clock stands still. */
async function openPlane(context: TestContext) {
  const clock = new FakeClock();
  let lost = 0;
  const opened = await openNftPlane({
    ...{ forms: [], drainSeconds: 30, crossBridge: false, clock },
    onState: () => {},
    onCorrected: () => {},
    onThreadLost: () => lost++,
    entry: new URL('../../support/countingNftThread.mjs', import.meta.url),
  });
  assert.ok(opened.kind === 'opened');
  const { plane } = opened;
  context.after(() => plane.close());
  const orders = (): number => plane.counters?.updates ?? 0;
  const hasOrders = (count: number) => until(`${count} orders`, () => orders() === count);
  const setRoutes = (...addresses: readonly string[]): void => {
    for (const address of addresses)
      assert.equal(plane.set(routeTo(virtual(address, 80, 'tcp'), '10.0.0.1')), undefined);
  };
  plane.release();
  await hasOrders(1);
  return { plane, clock, orders, hasOrders, setRoutes, lost: () => lost };
}

test('A change that comes alone is written without a wait', async (context) => {
  const { hasOrders, setRoutes } = await openPlane(context);
  setRoutes('198.18.0.1');
  await hasOrders(2);
});

test('Changes that are made together are one transaction', async (context) => {
  const { plane, hasOrders, setRoutes } = await openPlane(context);
  setRoutes('198.18.0.1', '198.18.0.2', '198.18.0.3');
  await hasOrders(2);
  assert.equal(plane.counters?.rebuilt, 3);
});

test('Changes in a row are joined for two milliseconds', async (context) => {
  const { plane, clock, orders, hasOrders, setRoutes } = await openPlane(context);
  setRoutes('198.18.0.1');
  await hasOrders(2);
  setRoutes('198.18.0.2');
  await clock.advance(1);
  setRoutes('198.18.0.3');
  await sleep(AMPLE_MS);
  assert.equal(orders(), 2);
  await clock.advance(1);
  await hasOrders(3);
  assert.equal(plane.counters?.rebuilt, 2);
});

test('Tables that were cleared are not written again by changes before', async (context) => {
  const { plane, clock, hasOrders, setRoutes } = await openPlane(context);
  setRoutes('198.18.0.1');
  await hasOrders(2);
  setRoutes('198.18.0.2');
  await plane.clear();
  await clock.advance(2);
  await sleep(AMPLE_MS);
  assert.equal(plane.counters, undefined);
});

test('A new thread gets all routes before any change', async (context) => {
  const { plane, clock, orders, hasOrders, setRoutes, lost } = await openPlane(context);
  setRoutes('198.18.0.1');
  await hasOrders(2);
  await clock.advance(3_600_000);
  plane.noteDeath(['10.0.0.1']);
  await until('the thread ends', () => lost() === 1);
  const before = plane.updateTimes.seconds;
  await clock.advance(1_000);
  setRoutes('198.18.0.2');
  await clock.advance(2);
  await hasOrders(1);
  await sleep(AMPLE_MS);
  assert.deepEqual([orders(), plane.trouble], [1, undefined]);
  // The outage counts, and not the time since the last change before it.
  assert.ok(plane.updateTimes.seconds - before < 2, `${plane.updateTimes.seconds} s`);
});
