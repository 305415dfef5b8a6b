/** Containers choose the number and interval of their checks: how many the registrar runs, and for which containers. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StampedRecord } from '../../../src/registrar/describe/storedValue.ts';
import { describeContainer } from '../../../src/registrar/describeContainer.ts';
import {
  asContainerId,
  type ContainerId,
  shortIdOf,
} from '../../../src/registrar/engine/containerId.ts';
import { Checks } from '../../../src/registrar/observe/checks.ts';
import { probe } from '../../../src/registrar/observe/probe.ts';
import { ProbeScheduler } from '../../../src/registrar/observe/probeScheduler.ts';
import { systemClock } from '../../../src/timing/clock.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { inspection, registrarContext } from '../../support/inspection.ts';
import { until } from '../../support/until.ts';

const never = new AbortController().signal;

/** Probes that end when the test ends them. */
class Probes {
  readonly started: string[] = [];
  readonly #ends: (() => void)[] = [];
  readonly #turns: ProbeScheduler;

  constructor(turns: ProbeScheduler) {
    this.#turns = turns;
  }

  ask(id: string, signal: AbortSignal = never): Promise<boolean> {
    return this.#turns.run(asContainerId(id), signal, () => {
      this.started.push(id);
      return new Promise((resolve) => this.#ends.push(() => resolve(true)));
    });
  }

  /** Ends the oldest probes. */
  async end(count: number): Promise<void> {
    for (const end of this.#ends.splice(0, count)) end();
    await new Promise((resolve) => setImmediate(resolve));
  }

  get open(): number {
    return this.#ends.length;
  }

  startedOf(id: string): number {
    return this.started.filter((one) => one === id).length;
  }
}

test('A container has at most 8 open probes, and all containers together at most 50', async () => {
  const clock = new FakeClock();
  const probes = new Probes(new ProbeScheduler({ clock }));
  for (let i = 0; i < 64; i++) void probes.ask('first');
  await clock.advance(10_000);
  assert.equal(probes.open, 8);
  for (const id of ['b', 'c', 'd', 'e', 'f', 'g', 'h', 'i'])
    for (let i = 0; i < 64; i++) void probes.ask(id);
  await clock.advance(10_000);
  assert.equal(probes.open, 50);
  await probes.end(10);
  await clock.advance(10_000);
  assert.equal(probes.open, 50);
});

test('At most 200 probes start in a second, even after a pause', async () => {
  const clock = new FakeClock();
  const probes = new Probes(new ProbeScheduler({ clock }));
  await clock.advance(60_000);
  for (let id = 0; id < 100; id++) for (let i = 0; i < 64; i++) void probes.ask(`${id}`);
  for (let second = 1; second <= 5; second++) {
    for (let ms = 0; ms < 1000; ms += 50) {
      await probes.end(probes.open);
      await clock.advance(50);
    }
    const { length } = probes.started;
    assert.ok(length >= 190 * second && length <= 200 * second + 21, `${length} in ${second} s`);
  }
});

test('Containers start probes in rotation, so a check waits for at most one of each other container', async () => {
  const clock = new FakeClock();
  const probes = new Probes(new ProbeScheduler({ clock }));
  for (let id = 0; id < 10; id++) for (let i = 0; i < 64; i++) void probes.ask(`${id}`);
  await clock.advance(10_000);
  assert.equal(probes.open, 50);
  void probes.ask('modest');
  const before = probes.started.length;
  for (let ended = 0; probes.startedOf('modest') === 0; ended++) {
    assert.ok(ended <= 11, `${probes.started.length - before} others came first`);
    await probes.end(1);
    await clock.advance(5);
  }
});

test('An aborted probe leaves the queue or lets another one start', async () => {
  const clock = new FakeClock();
  const turns = new ProbeScheduler({ clock, maxOpen: 1 });
  const probes = new Probes(turns);
  const first = probes.ask('a');
  const abort = new AbortController();
  const second = probes.ask('b', abort.signal);
  const third = probes.ask('c');
  await clock.advance(100);
  assert.deepEqual(probes.started, ['a']);
  abort.abort();
  assert.equal(await second, false);
  await probes.end(1);
  assert.equal(await first, true);
  await clock.advance(100);
  assert.deepEqual(probes.started, ['a', 'c']);
  await probes.end(1);
  assert.equal(await third, true);
  assert.equal(await turns.run(asContainerId('d'), AbortSignal.abort(), async () => true), false);
  await assert.rejects(
    turns.run(asContainerId('e'), never, () => Promise.reject(new Error('broken'))),
    /broken/,
  );
  assert.equal(await turns.run(asContainerId('f'), never, async () => true), true);
});

/** The records of a container whose 64 ports have a check each, all at one address. */
function hostileRecords(containerId: ContainerId, port: number, path: string): StampedRecord[] {
  const ports = Array.from({ length: 64 }, (_, at) => `${at + 1}/tcp`);
  const publish = Object.fromEntries(ports.map((one, at) => [one, [`0.0.0.0:${at + 1}`]]));
  const env = { SERVICE_NAME: 'x', SERVICE_CHECK_HTTP: path, SERVICE_CHECK_INTERVAL: '100ms' };
  const context = registrarContext({ compat: ['registrator'], exposedByDefault: true });
  const described = describeContainer(inspection({ id: containerId, publish, env }), context);
  if (described.kind !== 'described') return assert.fail(described.reason);
  const owner = {
    id: 'ENGINE',
    shortId: shortIdOf(containerId),
    startedAt: 'now',
  };
  return described.records.map((record) => ({
    containerId,
    owner,
    // Each port has another path, and this server serves all of them.
    record: {
      ...record,
      fields: { ...record.fields, host: '127.0.0.1', port },
      ...(record.check?.kind === 'http' && {
        check: { ...record.check, path: `${path}?${record.fields.port}` },
      }),
    },
    value: new Uint8Array(),
  }));
}

test('10 containers with 64 ports and an interval of 100 ms get 200 requests a second and 50 at once', async () => {
  let answered = 0;
  let open = 0;
  let mostOpen = 0;
  const modest: number[] = [];
  const server = createServer((request, response) => {
    mostOpen = Math.max(mostOpen, ++open);
    response.on('close', () => open--);
    if (request.url === '/modest') modest.push(performance.now());
    else answered++;
    if (!request.url?.startsWith('/silent')) response.end();
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const run = async (path: string, seconds: number): Promise<void> => {
    const ids = Array.from({ length: 10 }, (_, at) => asContainerId(`${at}`.repeat(64)));
    const hostile = ids.flatMap((id) => hostileRecords(id, port, path));
    assert.equal(hostile.length, 640);
    const [one] = hostile;
    const check = { kind: 'http', path: '/modest', method: 'GET' } as const;
    const times = { intervalMs: 1_000, timeoutMs: 10_000 };
    const stamped = one && {
      ...one,
      containerId: asContainerId('f'.repeat(64)),
      record: { ...one.record, check: { ...check, ...times } },
    };
    const checks = new Checks({ probe, clock: systemClock, onChange: () => {} });
    checks.run([...hostile, ...(stamped ? [stamped] : [])]);
    await sleep(seconds * 1000);
    checks.close();
  };
  try {
    await run('/', 3);
    assert.ok(answered > 300 && answered <= 3 * 200 + 60, `${answered} requests in 3 s`);
    assert.ok(modest.length >= 2, `the modest one was checked ${modest.length} times`);
    modest.length = 0;
    await run('/silent', 2);
    assert.ok(mostOpen <= 50, `${mostOpen} at once`);
    await until('all of them have ended', () => open === 0);
  } finally {
    server.closeAllConnections();
    server.close();
  }
});
