/**
 * The hosts of a cluster share one etcd: registrars of simulated engines write their names, and mirrors follow them. etcd
 * is killed, it forgets revisions that the mirrors need, and all mirrors and registrars start again at once.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { EtcdStore } from '../../src/store/etcd/etcdStore.ts';
import type { LeaseStore } from '../../src/store/store.ts';
import { type Etcd, startEtcd } from '../support/etcd.ts';
import {
  HOSTS_PREFIX,
  HostMirrors,
  type MirrorCheck,
  TIMED_PREFIX,
} from '../support/hostMirrors.ts';
import { RegisteredHost } from '../support/registeredHost.ts';

const HOSTS = 20;
const CONTAINERS = 100;
/** As `soradns up` has: the server's and the registrar's. */
const MIRRORS_PER_HOST = 2;
const STORM_MS = 60_000;
/** A look at all names takes time that the hosts of this process need. */
const LOOK_EVERY_MS = 250;

describe('twenty hosts on one etcd', { concurrency: 1 }, () => {
  let etcd: Etcd;
  let client: LeaseStore;
  /** Mirrors that run all the time, and mirrors that the last test starts again. */
  let steady: HostMirrors;
  let restarted: HostMirrors;
  const hosts = Array.from(
    { length: HOSTS },
    (_, number) => new RegisteredHost(number, CONTAINERS),
  );

  before(async () => {
    etcd = await startEtcd();
    client = new EtcdStore({ endpoints: [etcd.endpoint] });
    for (const host of hosts) host.start(etcd.endpoint);
    await stored();
    steady = new HostMirrors(etcd.endpoint, MIRRORS_PER_HOST);
    restarted = new HostMirrors(etcd.endpoint, MIRRORS_PER_HOST);
    steady.start(5);
    restarted.start(HOSTS);
    await agree();
  });
  after(async () => {
    await steady?.close();
    await restarted?.close();
    await Promise.all(hosts.map((host) => host.end()));
    await client?.close();
    await etcd?.stop();
  });

  /** Names of etcd that are not as the engines' containers want them. */
  async function differences(): Promise<string> {
    const wanted = new Map(hosts.flatMap((host) => host.wanted()));
    const wrong: string[] = [];
    for await (const { entries } of client.snapshot(HOSTS_PREFIX)) {
      for (const { key, value } of entries) {
        if (key.startsWith(TIMED_PREFIX)) continue;
        const { host } = JSON.parse(Buffer.from(value).toString()) as { host: string };
        if (wanted.get(key) !== host) wrong.push(`${key}: ${host}`);
        wanted.delete(key);
      }
    }
    return [...wrong, ...wanted.keys()].join();
  }

  /** Waits until etcd has exactly the names of all containers. */
  async function stored(): Promise<void> {
    const deadlineMs = performance.now() + STORM_MS;
    for (;;) {
      await sleep(LOOK_EVERY_MS);
      const found = await differences();
      if (found === '') return;
      if (performance.now() > deadlineMs) assert.fail(found.slice(0, 1_000));
    }
  }

  async function mark(name = 'mark'): Promise<number> {
    const result = await client.put(TIMED_PREFIX + name, Buffer.from('{"host":"10.0.0.1"}'));
    assert.ok(result.done);
    return result.entry.modRevision;
  }

  /** Waits until every mirror has a new change, and compares all mirrors with etcd. */
  async function agree(): Promise<readonly MirrorCheck[]> {
    const revision = await mark();
    await Promise.all([steady.agree(revision), restarted.agree(revision)]);
    const checks = [await steady.check(), await restarted.check()];
    for (const { wrong, missing, losses, leastSize } of checks) {
      assert.deepEqual({ wrong, missing, losses }, { wrong: 0, missing: 0, losses: 0 });
      assert.ok(leastSize >= HOSTS * CONTAINERS, `a mirror had only ${leastSize} names`);
    }
    return checks;
  }

  it('No name is wrong or missing after etcd was killed, and no mirror lists the names again', async () => {
    await etcd.kill();
    for (const host of hosts) host.run();
    await etcd.restart();
    await stored();
    const checks = await agree();
    assert.ok(checks.every(({ relists }) => relists === 0));
    assert.ok(checks.every(({ failures, mirrors }) => failures >= mirrors));
  });

  it('Every mirror lists the names again in one step after etcd forgot the revisions that it needs', async () => {
    steady.cut();
    restarted.cut();
    for (let i = 0; i < 10; i++) await mark(`${i}`);
    await etcd.etcdctl(['compact', String(await mark())]);
    steady.restore();
    restarted.restore();
    const checks = await agree();
    assert.ok(checks.every(({ relists, mirrors }) => relists === mirrors));
  });

  it('No name goes when all registrars start again at once, and the mirrors that start with them agree', async () => {
    await Promise.all(hosts.map((host) => host.end()));
    await restarted.close();
    for (const host of hosts) {
      host.run();
      host.start(etcd.endpoint);
    }
    restarted.start(HOSTS);
    await stored();
    await agree();
  });
});
