/** How many connections the proxy carries, and where it never connects to. */
import assert from 'node:assert/strict';
import { whyForbidden } from '../../../src/ambassador/proxy/addressPolicy.ts';
import { MAX_HELD } from '../../../src/ambassador/proxy/admission.ts';
import type { SocketAddress } from '../../../src/dns/address.ts';
import {
  ask,
  backend,
  connectTo,
  contract,
  openProxy,
  setOf,
  startBackend,
} from '../../support/proxyScene.ts';
import { until } from '../../support/until.ts';

contract(
  'A connection above the limit waits, with all that its client sent, until another one ends',
  async (t, carrierName) => {
    const one = await startBackend(t, 'one');
    const { at, plane, events } = await openProxy(t, {
      carrierName,
      maxConnections: 2,
      destination: { backends: setOf(one.as) },
    });
    const [first, second] = [await connectTo(at), await connectTo(at)];
    assert.equal(await first.exchange('a', 5), 'one a');
    assert.equal(await second.exchange('b', 5), 'one b');
    const third = connectTo(at).then((client) => client.exchange('third', 9));
    const fourth = connectTo(at);
    await fourth;
    // Other carriers can leave them in the kernel's queue.
    if (carrierName === 'net')
      await until('they are held', () => plane.counters().connections.held === 2);
    assert.equal(one.accepted, 2);
    first.socket.end();
    await first.all();
    assert.equal(await third, 'one third');
    assert.equal(one.accepted, 3);
    second.socket.destroy();
    assert.equal(await (await fourth).exchange('d', 5), 'one d');
    (await fourth).socket.destroy();
    assert.deepEqual(events, []);
  },
);

contract(
  'Connections that neither run nor can be held are reset, with one event',
  async (t, carrierName) => {
    if (carrierName !== 'net') return; // other carriers leave them in the kernel's queue
    const one = await startBackend(t, 'one');
    const { at, plane, events } = await openProxy(t, {
      carrierName,
      maxConnections: 1,
      destination: { backends: setOf(one.as) },
    });
    const clients = [];
    for (let i = 0; i < 1 + MAX_HELD; i++) clients.push(await connectTo(at));
    await until('they are held', () => plane.counters().connections.held === MAX_HELD);
    for (let i = 0; i < 3; i++) await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    assert.equal(plane.counters().refused.connectionLimit, 3);
    assert.deepEqual(events, [
      { kind: 'limited', limit: 'connections', source: '127.0.0.1', times: 1 },
    ]);
    for (const { socket } of clients) socket.resetAndDestroy();
    await until('all are over', () => plane.counters().connections.held === 0);
    assert.equal(await ask(at, 'x'), 'one x');
  },
);

contract(
  'A source address with too many connections gets no more, and others do',
  async (t, carrierName) => {
    const one = await startBackend(t, 'one');
    const { at, plane, events } = await openProxy(t, {
      carrierName,
      maxPerSource: 3,
      destination: { backends: setOf(one.as) },
    });
    const localAddress = '127.0.0.7';
    const clients = [];
    for (let i = 0; i < 3; i++) clients.push(await connectTo(at, { localAddress }));
    await until('all are open', () => plane.counters().connections.open === 3);
    for (let i = 0; i < 2; i++) await assert.rejects(ask(at, 'x', { localAddress }), /ECONNRESET/);
    assert.equal(await ask(at, 'x', { localAddress: '127.0.0.8' }), 'one x');
    assert.equal(plane.counters().refused.sourceLimit, 2);
    assert.deepEqual(events, [
      { kind: 'limited', limit: 'connectionsPerSource', source: localAddress, times: 1 },
    ]);
    const [first] = clients;
    first?.socket.end();
    await first?.all();
    await until('one is over', () => plane.counters().connections.open === 2);
    assert.equal(await ask(at, 'x', { localAddress }), 'one x');
    for (const { socket } of clients) socket.destroy();
  },
);

contract(
  'A backend at a forbidden address is never connected to, unless the destination is static',
  async (t, carrierName) => {
    const loopback = await startBackend(t, 'loopback');
    const { at, plane, events, lead } = await openProxy(t, {
      carrierName,
      addressPolicy: whyForbidden,
      destination: { backends: setOf(loopback.as) },
    });
    for (let i = 0; i < 3; i++) await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    const { refused, forbiddenBackends } = plane.counters();
    assert.equal(refused.forbidden, 3);
    assert.equal(forbiddenBackends, 3);
    assert.equal(loopback.accepted, 0);
    assert.deepEqual(events, [
      {
        kind: 'forbidden',
        route: 'route',
        backend: `127.0.0.1:${loopback.port}`,
        why: 'loopback',
        times: 1,
      },
    ]);
    lead({ backends: setOf(loopback.as), isStatic: true });
    assert.equal(await ask(at, 'x'), 'loopback x');
  },
);

contract(
  'A forbidden backend is left out, and the others of its route serve',
  async (t, carrierName) => {
    const [bad, good] = [await startBackend(t, 'bad'), await startBackend(t, 'good')];
    const { at } = await openProxy(t, {
      carrierName,
      addressPolicy: (address) => (address === '127.0.0.66' ? 'metadata' : undefined),
      destination: {
        backends: setOf(backend({ address: '127.0.0.66', port: bad.port }), backend(good)),
      },
    });
    for (let i = 0; i < 20; i++) assert.equal(await ask(at, 'x'), 'good x');
    assert.equal(bad.accepted, 0);
  },
);

contract(
  'The proxy never connects to a listener of its own, even if a static destination says so',
  async (t, carrierName) => {
    let to: SocketAddress = { address: '127.0.0.1', port: 1 };
    const { at, plane, events, lead } = await openProxy(t, {
      carrierName,
      destination: { backends: setOf(), isStatic: true },
    });
    to = at;
    lead({ backends: setOf(backend(to)) });
    await assert.rejects(ask(at, 'x'), /ECONNRESET/);
    assert.equal(plane.counters().refused.forbidden, 1);
    assert.deepEqual(events.at(-1), {
      kind: 'forbidden',
      route: 'route',
      backend: `127.0.0.1:${at.port}`,
      why: 'ownListener',
      times: 1,
    });
  },
);

contract(
  'The state of a backend that refuses is reported, however many have refused before',
  async (t, carrierName) => {
    const { at, plane, lead } = await openProxy(t, { carrierName });
    const addresses = Array.from({ length: 1_040 }, (_, i) => `127.9.${i >> 8}.${i & 255}`);
    const backends = addresses.map((address) => backend({ address, port: 1 }));
    for (let i = 0; i < backends.length; i += 5) {
      lead({ backends: setOf(...backends.slice(i, i + 5)) });
      await assert.rejects(ask(at, 'x'));
    }
    const [route] = plane.status()[0]?.routes ?? [];
    const states = route?.states.map(({ state }) => state);
    assert.deepEqual(
      states,
      Array.from({ length: 5 }, () => 'unreachable'),
    );
  },
);
