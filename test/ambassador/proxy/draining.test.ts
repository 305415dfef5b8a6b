/** What happens to connections whose backend leaves, and when the proxy ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { FakeClock } from '../../support/fakeClock.ts';
import {
  ask,
  type CarrierName,
  connectTo,
  contract,
  openProxy,
  type SceneOptions,
  setOf,
  startBackend,
  UNKNOWN,
} from '../../support/proxyScene.ts';
import { until } from '../../support/until.ts';

/** Two backends; a client is connected to the first one, which then leaves. */
async function leaving(t: TestContext, carrierName: CarrierName, options: SceneOptions = {}) {
  const [old, next] = [await startBackend(t, 'old'), await startBackend(t, 'next')];
  const clock = new FakeClock();
  const scene = await openProxy(t, {
    carrierName,
    clock,
    ...options,
    destination: { backends: setOf(old.as), ...options.destination },
  });
  const client = await connectTo(scene.at);
  assert.equal(await client.exchange('a', 5), 'old a');
  const [side] = old.sockets;
  assert.ok(side !== undefined);
  const sideClosed = new Promise((resolve) => side.on('close', resolve));
  await until('it is open', () => scene.plane.counters().connections.open === 1);
  scene.lead({ backends: setOf(next.as) });
  return { ...scene, clock, client, old, next, side, sideClosed };
}

contract(
  'Connections to a backend that left go on for the drain time, then both sides are reset',
  async (t, carrierName) => {
    const { at, plane, clock, client, side, sideClosed } = await leaving(t, carrierName);
    assert.equal(await ask(at, 'x'), 'next x');
    assert.equal(plane.counters().connections.draining, 1);
    await clock.advance(29_900);
    assert.equal(await client.exchange('b', 1), 'b');
    const draining = plane.status()[0]?.routes[0]?.states.find(({ state }) => state === 'draining');
    assert.equal(draining?.drainsInMs, 100);
    assert.equal(draining.connections, 1);
    const failed = once(side, 'error');
    await clock.advance(200);
    assert.equal(await client.closed(), 'ECONNRESET');
    const [error] = await failed;
    assert.equal(error.code, 'ECONNRESET');
    await sideClosed;
    await until('it is over', () => plane.counters().connections.draining === 0);
    assert.equal(plane.counters().drained, 1);
  },
);

contract(
  'With drain 0, connections to a backend that left are reset at once',
  async (t, carrierName) => {
    const { client, sideClosed } = await leaving(t, carrierName, { drainSeconds: 0 });
    assert.equal(await client.closed(), 'ECONNRESET');
    await sideClosed;
  },
);

contract('A destination can have its connections reset at once', async (t, carrierName) => {
  const { client } = await leaving(t, carrierName, { destination: { drainSeconds: 0 } });
  assert.equal(await client.closed(), 'ECONNRESET');
});

contract(
  'With drain -1, connections to a backend that left go on for ever',
  async (t, carrierName) => {
    const { plane, clock, client } = await leaving(t, carrierName, { drainSeconds: -1 });
    await clock.advance(10 * 86_400_000);
    assert.equal(await client.exchange('b', 1), 'b');
    const [route] = plane.status()[0]?.routes ?? [];
    assert.deepEqual(
      route?.states.map(({ state, drainsInMs }) => [state, drainsInMs]),
      [
        ['ok', undefined],
        ['draining', undefined],
      ],
    );
    client.socket.destroy();
  },
);

contract(
  'A connection stays if its backend returns before the drain time ends',
  async (t, carrierName) => {
    const { plane, clock, client, old, lead } = await leaving(t, carrierName);
    await clock.advance(20_000);
    lead({ backends: setOf(old.as) });
    assert.equal(plane.counters().connections.draining, 0);
    await clock.advance(60_000);
    assert.equal(await client.exchange('b', 1), 'b');
    client.socket.destroy();
  },
);

contract('Connections stay while the backends are unknown', async (t, carrierName) => {
  const { plane, clock, client, old, lead } = await leaving(t, carrierName);
  lead({ backends: setOf(old.as) });
  lead({ backends: UNKNOWN });
  await clock.advance(60_000);
  assert.equal(plane.counters().connections.open, 1);
  assert.equal(await client.exchange('b', 1), 'b');
  client.socket.destroy();
});

contract('A draining connection that ends by itself is not reset', async (t, carrierName) => {
  const { plane, clock, client } = await leaving(t, carrierName);
  client.socket.end();
  await client.all();
  assert.equal(await client.closed(), undefined);
  await until('it is over', () => plane.counters().connections.draining === 0);
  await clock.advance(60_000);
  assert.equal(plane.counters().drained, 0);
});

contract(
  'A proxy that ends accepts no more, and gives open connections time to end',
  async (t, carrierName) => {
    const one = await startBackend(t, 'one');
    const { at, plane } = await openProxy(t, {
      carrierName,
      destination: { backends: setOf(one.as) },
    });
    const client = await connectTo(at);
    assert.equal(await client.exchange('a', 5), 'one a');
    const closed = plane.close(20_000);
    await sleep(50);
    await assert.rejects(connectTo(at), /ECONNREFUSED/);
    assert.equal(await client.exchange('b', 1), 'b');
    client.socket.end();
    await client.all();
    await closed;
    assert.equal(await client.closed(), undefined);
  },
);

contract(
  'A proxy that ends resets the connections that are open when the time is over',
  async (t, carrierName) => {
    const one = await startBackend(t, 'one');
    const { at, plane } = await openProxy(t, {
      carrierName,
      destination: { backends: setOf(one.as) },
    });
    const client = await connectTo(at);
    assert.equal(await client.exchange('a', 5), 'one a');
    await plane.close(100);
    assert.equal(await client.closed(), 'ECONNRESET');
    await until('the backend knows', () => one.sockets.size === 0);
  },
);

contract(
  'A proxy that ends does not wait for a listener that its owner closes meanwhile',
  async (t, carrierName) => {
    const one = await startBackend(t, 'one');
    const { at, plane, listener } = await openProxy(t, {
      carrierName,
      destination: { backends: setOf(one.as) },
    });
    const client = await connectTo(at);
    assert.equal(await client.exchange('a', 5), 'one a');
    const closed = plane.close(300);
    await sleep(50);
    await listener.close(0);
    assert.equal(await client.closed(), 'ECONNRESET');
    await closed;
  },
);

contract('A proxy that ends resets the connections that wait', async (t, carrierName) => {
  const { at, plane } = await openProxy(t, { carrierName, destination: { backends: UNKNOWN } });
  const client = await connectTo(at);
  await until('it waits', () => plane.counters().connections.waiting === 1);
  await plane.close(0);
  assert.equal(await client.closed(), 'ECONNRESET');
});
