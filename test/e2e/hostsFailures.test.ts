/** How long other hosts see missing or wrong names when part of a host fails. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LEASE_TTL_SECONDS } from '../support/host.ts';
import { type Hosts, useHosts } from '../support/hosts.ts';
import { reportMs } from '../support/measurement.ts';
import { assertNeverWrong, nowMs, type Prober, startProber } from '../support/prober.ts';
import { query } from '../support/server.ts';
import { until } from '../support/until.ts';
import { question } from '../support/zone.ts';

const hosts = useHosts();
const NAME = 'web.skydns.local';
const PORT = 8080;
const GONE = 'NXDOMAIN';
const LEASE_MS = LEASE_TTL_SECONDS * 1000;

/** Covers etcd's detection of an expired lease, a new leader that restarts all leases, and a slow machine. */
const MARGIN_MS = LEASE_MS + 10_000;

/** A loaded machine restarts soradns well within this lease. */
const LONG_LEASE = { leaseTtlSeconds: 15 };

interface Scene extends Hosts {
  /** Id of the host's container with the name NAME; Docker restarts it when possible. */
  readonly container: string;
  /** Queries host A for NAME. */
  readonly fromA: Prober;
}

/** Runs the body after host A answers for a container on the owner host. */
function watching(owner: 'b' | 'c', body: (scene: Scene) => Promise<void>) {
  return hosts.on(async (all) => {
    const fromA = await startProber(all.a.dns, NAME);
    try {
      const host = all[owner];
      const startMs = nowMs();
      const container = await host.serve({ name: NAME, port: PORT, args: ['--restart=always'] });
      await fromA.waitFor(host.address, startMs);
      await body({ ...all, container, fromA });
    } finally {
      fromA.stop();
    }
  });
}

/** The records of a failed host stay for their lease and then expire. */
function assertEndedWithLease(goneAfterMs: number): void {
  assert.ok(goneAfterMs > LEASE_MS / 2, `gone after only ${goneAfterMs} ms`);
  assert.ok(goneAfterMs < LEASE_MS + MARGIN_MS, `still there after ${goneAfterMs} ms`);
}

test(
  'A container’s name appears after the container starts and disappears after the container is killed',
  hosts.options,
  watching('b', async ({ b, container, fromA }) => {
    const startedMs = await b.timeOf('StartedAt', container);
    reportMs('container started: missing', await fromA.waitFor(b.address, startedMs));
    const beforeMs = nowMs();
    await b.dockerd.docker('kill', container);
    await fromA.waitFor(GONE, beforeMs);
    const endedMs = await b.timeOf('FinishedAt', container);
    reportMs('container killed: wrong', await fromA.waitFor(GONE, endedMs));
  }),
);

test(
  'The names of a host whose soradns is killed stay for the lease and return when soradns restarts',
  hosts.options,
  watching('b', async ({ b, fromA }) => {
    const killedMs = nowMs();
    await b.soradns.end('SIGKILL');
    const goneAfterMs = await fromA.waitFor(GONE, killedMs);
    reportMs('registrar killed for good: its names stay', goneAfterMs);
    assertEndedWithLease(goneAfterMs);
    const startMs = nowMs();
    await b.startSoradns();
    reportMs('registrar started again: missing', await fromA.waitFor(b.address, startMs));
  }),
);

test(
  'No name is missing when a host’s soradns is killed and restarted at once',
  hosts.options,
  watching('b', async ({ a, b, fromA }) => {
    await b.soradns.end();
    await b.startSoradns(LONG_LEASE);
    await fromA.waitFor(b.address, nowMs());
    // Until then the record has the short lease of the registrar that has ended.
    await until('the record has the long lease', async () => {
      const { answer } = await query(a.dns, question(`${NAME}.`, 'A'));
      return answer.some(({ ttlSeconds }) => ttlSeconds > LEASE_TTL_SECONDS);
    });
    const killedMs = nowMs();
    await b.soradns.end('SIGKILL');
    await b.startSoradns(LONG_LEASE);
    await sleep(LONG_LEASE.leaseTtlSeconds * 1000 + 1_000);
    assertNeverWrong(fromA, b.address, killedMs, 'registrar killed and started again');
    await b.soradns.end();
    await b.startSoradns();
  }),
);

test(
  'The names of a disconnected host expire with the lease, its containers reach each other, and the names return later',
  hosts.options,
  watching('b', async ({ a, b, fromA }) => {
    const cutMs = nowMs();
    b.disconnect();
    await a.serve({ name: 'new.skydns.local', port: PORT });
    const goneAfterMs = await fromA.waitFor(GONE, cutMs);
    reportMs('host cut off: its names stay', goneAfterMs);
    assertEndedWithLease(goneAfterMs);
    const output = await b.inContainer({}, 'peer-glibc', 'a', NAME, String(PORT), 'hello');
    assert.equal(output, `${b.address} ${PORT} b got hello`);
    const mendedMs = nowMs();
    b.reconnect();
    const fromB = await startProber(b.dns, 'new.skydns.local');
    try {
      reportMs(
        'host back on the network: its names missing',
        await fromA.waitFor(b.address, mendedMs),
      );
      reportMs('host back on the network: knows less', await fromB.waitFor(a.address, mendedMs));
    } finally {
      fromB.stop();
    }
  }),
);

test(
  'Names disappear and return with the containers when dockerd restarts',
  hosts.options,
  watching('b', async ({ b, container, fromA }) => {
    const stopMs = nowMs();
    await b.dockerd.terminate();
    await fromA.waitFor(GONE, stopMs);
    await b.dockerd.start();
    await fromA.waitFor(b.address, nowMs());
    const startedMs = await b.timeOf('StartedAt', container);
    reportMs(
      'dockerd restarted: missing once the container runs',
      await fromA.waitFor(b.address, startedMs),
    );
  }),
);

test(
  'No name is missing when dockerd restarts with live-restore',
  hosts.options,
  watching('c', async ({ c, fromA }) => {
    const stopMs = nowMs();
    await c.dockerd.terminate();
    await sleep(1_000);
    await c.dockerd.start();
    await sleep(1_000);
    assertNeverWrong(fromA, c.address, stopMs, 'dockerd restarted with live-restore');
  }),
);

test(
  'The names of a host that loses power expire with the lease and return after the host starts',
  hosts.options,
  watching('b', async ({ b, fromA }) => {
    const crashMs = nowMs();
    await b.crash();
    const goneAfterMs = await fromA.waitFor(GONE, crashMs);
    reportMs('host without power: its names stay', goneAfterMs);
    assertEndedWithLease(goneAfterMs);
    await b.dockerd.start();
    await b.etcd.restart();
    const startMs = nowMs();
    await b.startSoradns();
    reportMs(
      'host started again: missing since soradns was',
      await fromA.waitFor(b.address, startMs),
    );
  }),
);

test(
  'The other hosts lose no name and get new names when the host of the etcd member in use loses power',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const [fromC, newFromC] = await Promise.all([
      startProber(c.dns, NAME),
      startProber(c.dns, 'new.skydns.local'),
    ]);
    try {
      await b.serve({ name: NAME, port: PORT });
      await fromC.waitFor(b.address, 0);
      const crashMs = nowMs();
      await a.crash();
      const started = await b.serve({ name: 'new.skydns.local', port: PORT + 1 });
      const startedMs = await b.timeOf('StartedAt', started);
      const missingMs = await newFromC.waitFor(b.address, startedMs);
      reportMs(
        'host of the etcd in use without power: a container started then is missing',
        missingMs,
      );
      await sleep(LEASE_MS + 1_000);
      assertNeverWrong(fromC, b.address, crashMs, 'host of the etcd in use without power');
    } finally {
      fromC.stop();
      newFromC.stop();
    }
  }),
);
