/** How long names are missing or wrong when a follower, the leader, or every member of etcd fails. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Host } from '../support/host.ts';
import { useHosts } from '../support/hosts.ts';
import { reportMs } from '../support/measurement.ts';
import { assertNeverWrong, nowMs, startProber } from '../support/prober.ts';

const hosts = useHosts();
const NAME = 'web.skydns.local';
const OLD = 'old.skydns.local';
const NEW = 'new.skydns.local';
const GONE = 'NXDOMAIN';
const UNKNOWN = 'SERVFAIL';
const OUTAGE_MS = 60_000;

async function isLeader({ etcd }: Host): Promise<boolean> {
  const status = await etcd.etcdctl(['endpoint', 'status', '--write-out', 'json']);
  const [{ Status }] = JSON.parse(status);
  return Status.leader === Status.header.member_id;
}

/** Watches B's names from A while the leader or a follower of etcd is killed. */
function withoutMember(which: 'the leader' | 'a follower') {
  return hosts.on(async ({ a, b, c }) => {
    const fromA = await startProber(a.dns, NAME);
    const newFromA = await startProber(a.dns, NEW);
    try {
      await b.serve({ name: NAME, port: 8080 });
      await fromA.waitFor(b.address, 0);
      let victim: Host | undefined;
      for (const host of [a, b, c]) {
        if ((await isLeader(host)) === (which === 'the leader')) victim = host;
      }
      assert.ok(victim !== undefined, `etcd has no such member: ${which}`);
      const killedMs = nowMs();
      await victim.etcd.kill();
      const started = await b.serve({ name: NEW, port: 8081 });
      const startedMs = await b.timeOf('StartedAt', started);
      const missingMs = await newFromA.waitFor(b.address, startedMs);
      reportMs(`${which} of etcd killed: a container started then is missing`, missingMs);
      await sleep(3_000);
      const backMs = nowMs();
      await victim.etcd.restart();
      await sleep(1_000);
      reportMs(`${which} of etcd started again after`, backMs - killedMs);
      assertNeverWrong(fromA, b.address, killedMs, `${which} of etcd killed and started again`);
    } finally {
      fromA.stop();
      newFromA.stop();
    }
  });
}

test(
  'No name is lost when a follower of etcd is killed',
  hosts.options,
  withoutMember('a follower'),
);

test(
  'No name is lost when the leader of etcd is killed',
  hosts.options,
  withoutMember('the leader'),
);

test(
  'Names stay while all of etcd is down for a minute, and later changes appear soon after it returns',
  hosts.options,
  hosts.on(async ({ a, b, c }) => {
    const fromC = await startProber(c.dns, NAME);
    const [web, old, fresh] = await Promise.all([
      startProber(a.dns, NAME),
      startProber(a.dns, OLD),
      startProber(a.dns, NEW),
    ]);
    try {
      await b.serve({ name: NAME, port: 8080 });
      const ending = await b.serve({ name: OLD, port: 8081 });
      for (const prober of [web, old]) await prober.waitFor(b.address, 0);
      const killedMs = nowMs();
      const members = [a, b, c].map(({ etcd }) => etcd);
      await Promise.all(members.map((etcd) => etcd.kill()));
      await b.dockerd.docker('rm', '--force', ending);
      await b.serve({ name: NEW, port: 8082 });
      await sleep(OUTAGE_MS / 3);
      const output = await a.inContainer({}, 'peer-glibc', 'srv', NAME, 'hello');
      assert.equal(output, `${b.address} 8080 b got hello`);
      await c.soradns.end('SIGKILL');
      await c.startSoradns({ until: 'serving' });
      await fromC.waitFor(UNKNOWN, killedMs);
      const dns = [c.bridge, a.address];
      for (const client of ['peer-glibc', 'peer-musl']) {
        const reply = await c.inContainer({ dns }, client, 'srv', NAME, 'hello');
        assert.equal(reply, `${b.address} 8080 b got hello`, client);
      }
      await sleep(killedMs + OUTAGE_MS - nowMs());
      const backMs = nowMs();
      await Promise.all(members.map((etcd) => etcd.restart()));
      const upMs = nowMs();
      reportMs('all of etcd gone for a minute: needs for its own start', upMs - backMs);
      reportMs(
        'etcd back: what started meanwhile is missing',
        await fresh.waitFor(b.address, upMs),
      );
      const startedMs = await fromC.waitFor(b.address, upMs);
      reportMs('etcd back: a soradns started meanwhile knows nothing', startedMs);
      reportMs('etcd back: what ended meanwhile is wrong', await old.waitFor(GONE, upMs));
      await sleep(7_000); // longer than the lease
      assertNeverWrong(web, b.address, killedMs, 'all of etcd gone for a minute');
    } finally {
      for (const prober of [fromC, web, old, fresh]) prober.stop();
    }
  }),
);
