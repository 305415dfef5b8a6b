/** What others see of a host's names when something on it fails, and for how long. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { report } from '../support/figure.ts';
import { LEASE_TTL_SECONDS } from '../support/host.ts';
import { type Hosts, useHosts } from '../support/hosts.ts';
import { neverWrong, nowMs, type Prober, startProber } from '../support/prober.ts';

const hosts = useHosts();
const NAME = 'web.skydns.local';
const PORT = 8080;
const GONE = 'NXDOMAIN';
const LEASE_MS = LEASE_TTL_SECONDS * 1000;

/** For etcd to see that a lease has ended, for a new leader, who gives all leases their full time again, and for a slow machine. */
const MARGIN_MS = LEASE_MS + 10_000;

interface Scene extends Hosts {
  /** Of the host, known as NAME; Docker starts it again when it can. */
  readonly container: string;
  /** Asks A for NAME. */
  readonly fromA: Prober;
}

/** Runs the body once A knows a container of the host. */
function watching(owner: 'b' | 'c', body: (scene: Scene) => Promise<void>) {
  return hosts.on(async (all) => {
    const fromA = await startProber(all.a.dns, NAME);
    try {
      const host = all[owner];
      const startMs = nowMs();
      const container = await host.serve({ name: NAME, port: PORT, args: ['--restart=always'] });
      await fromA.sees(host.address, startMs);
      await body({ ...all, container, fromA });
    } finally {
      fromA.stop();
    }
  });
}

/** The records of a host that is gone outlive it, but not for longer than their lease. */
function endedWithLease(goneAfterMs: number): void {
  assert.ok(goneAfterMs > LEASE_MS / 2, `gone after ${goneAfterMs} ms already`);
  assert.ok(goneAfterMs < LEASE_MS + MARGIN_MS, `gone after ${goneAfterMs} ms only`);
}

test(
  'a container: there once it runs, gone once it has ended',
  hosts.options,
  watching('b', async ({ b, container, fromA }) => {
    const startedMs = await b.timeOf('StartedAt', container);
    report('container started: missing', await fromA.sees(b.address, startedMs));
    const beforeMs = nowMs();
    await b.dockerd.docker('kill', container);
    await fromA.sees(GONE, beforeMs);
    const endedMs = await b.timeOf('FinishedAt', container);
    report('container killed: wrong', await fromA.sees(GONE, endedMs));
  }),
);

test(
  'soradns of a host killed: its names stay for the lease, and are back once it is',
  hosts.options,
  watching('b', async ({ b, fromA }) => {
    const killedMs = nowMs();
    await b.soradns.end('SIGKILL');
    const goneAfterMs = await fromA.sees(GONE, killedMs);
    report('registrar killed for good: its names stay', goneAfterMs);
    endedWithLease(goneAfterMs);
    const startMs = nowMs();
    await b.startSoradns();
    report('registrar started again: missing', await fromA.sees(b.address, startMs));
  }),
);

test(
  'soradns of a host killed and started again: no name is missed',
  hosts.options,
  watching('b', async ({ b, fromA }) => {
    const killedMs = nowMs();
    await b.soradns.end('SIGKILL');
    await b.startSoradns();
    await sleep(LEASE_MS + 1_000);
    neverWrong(fromA, b.address, killedMs, 'registrar killed and started again');
  }),
);

test(
  'a host cut off: its names go with the lease, its own containers find each other; then all are back',
  hosts.options,
  watching('b', async ({ a, b, fromA }) => {
    const cutMs = nowMs();
    b.cut();
    await a.serve({ name: 'new.skydns.local', port: PORT });
    const goneAfterMs = await fromA.sees(GONE, cutMs);
    report('host cut off: its names stay', goneAfterMs);
    endedWithLease(goneAfterMs);
    const said = await b.inContainer({}, 'peer-glibc', 'a', NAME, String(PORT), 'hello');
    assert.equal(said, `${b.address} ${PORT} b got hello`);
    const mendedMs = nowMs();
    b.mend();
    const fromB = await startProber(b.dns, 'new.skydns.local');
    try {
      report('host back on the network: its names missing', await fromA.sees(b.address, mendedMs));
      report('host back on the network: knows less', await fromB.sees(a.address, mendedMs));
    } finally {
      fromB.stop();
    }
  }),
);

test(
  'dockerd restarted: names go with the containers and come with them',
  hosts.options,
  watching('b', async ({ b, container, fromA }) => {
    const stopMs = nowMs();
    await b.dockerd.terminate();
    await fromA.sees(GONE, stopMs);
    await b.dockerd.start();
    await fromA.sees(b.address, nowMs());
    const startedMs = await b.timeOf('StartedAt', container);
    report(
      'dockerd restarted: missing once the container runs',
      await fromA.sees(b.address, startedMs),
    );
  }),
);

test(
  'dockerd restarted with live-restore: no name is missed',
  hosts.options,
  watching('c', async ({ c, fromA }) => {
    const stopMs = nowMs();
    await c.dockerd.terminate();
    await sleep(1_000);
    await c.dockerd.start();
    await sleep(1_000);
    neverWrong(fromA, c.address, stopMs, 'dockerd restarted with live-restore');
  }),
);

test(
  'a host without power: its names go with the lease, and are back after the start',
  hosts.options,
  watching('b', async ({ b, fromA }) => {
    const crashMs = nowMs();
    await b.crash();
    const goneAfterMs = await fromA.sees(GONE, crashMs);
    report('host without power: its names stay', goneAfterMs);
    endedWithLease(goneAfterMs);
    await b.dockerd.start();
    await b.etcd.restart();
    const startMs = nowMs();
    await b.startSoradns();
    report('host started again: missing since soradns was', await fromA.sees(b.address, startMs));
  }),
);

test(
  'the host whose etcd all others talk to loses its power: they lose no name, and new ones come',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const [fromC, newFromC] = await Promise.all([
      startProber(c.dns, NAME),
      startProber(c.dns, 'new.skydns.local'),
    ]);
    try {
      await b.serve({ name: NAME, port: PORT });
      await fromC.sees(b.address, 0);
      const crashMs = nowMs();
      await a.crash();
      const started = await b.serve({ name: 'new.skydns.local', port: PORT + 1 });
      const startedMs = await b.timeOf('StartedAt', started);
      const missingMs = await newFromC.sees(b.address, startedMs);
      report(
        'host of the etcd in use without power: a container started then is missing',
        missingMs,
      );
      await sleep(LEASE_MS + 1_000);
      neverWrong(fromC, b.address, crashMs, 'host of the etcd in use without power');
    } finally {
      fromC.stop();
      newFromC.stop();
    }
  }),
);
