/** The records of a container through its life: start, pause, health, networks, stop, checks and numbers. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  KEY,
  named,
  WEB,
  watchDeletes,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';

const AUTO = {
  env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' },
  exposed: ['80/tcp'],
};

const CHECKED = {
  context: {
    compat: ['registrator'],
    exposedByDefault: true,
    registrator: { hostName: '', rawIds: false, tags: [] },
  },
} as const;
const CHECKED_WEB = {
  name: 'web',
  env: { SERVICE_NAME: 'web', SERVICE_CHECK_TCP: 'true', SERVICE_CHECK_INTERVAL: '2s' },
  exposed: ['80/tcp'],
};
const CHECKED_KEY = 'local/skydns/web/fakehost-web-80';

/** A probe without a result until `end` is called. */
function heldProbe() {
  const probes: ((isPassing: boolean) => void)[] = [];
  return {
    probe: () => new Promise<boolean>((resolve) => probes.push(resolve)),
    end: (isPassing: boolean) => {
      assert.equal(probes.length, 1, 'one probe is running');
      probes.pop()?.(isPassing);
    },
  };
}

describe('records of a container', () => {
  it("The registrar writes a container's record when it starts and deletes it when it dies", () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      await fixture.settle();
      const web = fixture.engine.run(WEB);
      const { owner, ...service } =
        (await fixture.records())[KEY] ?? assert.fail('it is not there');
      assert.deepEqual(service, { host: '172.17.0.2', port: 80, ttl: 30, expose: 80 });
      assert.match(owner?.r ?? '', /^ENGINE:1\/[0-9a-f]{12}$/);
      assert.deepEqual([owner?.c, owner?.s], [web.id.slice(0, 12), web.startedAt]);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('The registrar registers containers that ran before it, and writes nothing while nothing happens', () =>
    withRegistrarFixture(async (fixture) => {
      for (let i = 0; i < 300; i++) fixture.engine.run(named(`web${i}`));
      const { registrar } = fixture.start();
      await fixture.settle();
      assert.equal((await fixture.keys()).length, 300);
      assert.deepEqual(registrar.readiness(), { isReady: true, reasons: [] });
      await fixture.assertQuiet(10 * 60_000);
    }));

  it('A record is absent while its container is paused', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.pause(web);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.unpause(web);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it("A record exists while the container's HEALTHCHECK passes", () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run({ ...WEB, health: 'starting' });
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.setHealth(web, 'healthy');
      assert.deepEqual(await fixture.keys(), [KEY]);
      fixture.engine.setHealth(web, 'unhealthy');
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('A record stays while an ignored HEALTHCHECK fails', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run({
        ...named('web', { DNS_HEALTH: 'ignore' }),
        health: 'healthy',
      });
      await fixture.settle();
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      fixture.engine.setHealth(web, 'unhealthy');
      await fixture.advance(1_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('A record follows the networks of its container', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { networks: ['blue'] } });
      const web = fixture.engine.run(WEB);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
      fixture.engine.connect(web, 'blue', '10.1.0.9');
      assert.deepEqual(await fixture.hosts(), { [KEY]: '10.1.0.9' });
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      fixture.engine.disconnect(web, 'blue');
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
      deletes.stop();
      assert.deepEqual(deletes.keys, [], 'it was never without a record');
    }));

  it('The stop signal and SIGKILL end a record before the container ends; other signals do not', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run({ ...WEB, stopSignal: 'SIGQUIT' });
      for (const signal of ['1', '15', '10']) {
        fixture.engine.signal(web, signal);
        assert.deepEqual(await fixture.keys(), [KEY], `signal ${signal}`);
      }
      fixture.engine.signal(web, '3');
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.restart(web);
      assert.deepEqual(await fixture.keys(), [KEY]);
      fixture.engine.signal(web, '9');
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('With DNS_STOP=die a record stays until its container ends', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(named('web', { DNS_STOP: 'die' }));
      await fixture.settle();
      fixture.engine.signal(web, '15');
      assert.deepEqual(await fixture.keys(), [KEY]);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('A record with a check exists only while the check passes', () =>
    withRegistrarFixture(async (fixture) => {
      let isUp = false;
      const running = fixture.start({ ...CHECKED, probe: async () => isUp });
      fixture.engine.run(CHECKED_WEB);
      assert.deepEqual(await fixture.keys(), []);
      assert.equal(running.registrar.status().containers[0]?.records[0]?.state, 'unchecked');
      isUp = true;
      await fixture.advance(2_100);
      assert.deepEqual(await fixture.keys(), [CHECKED_KEY]);
      isUp = false;
      await fixture.advance(2_100);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('Before the first result of its check a record is not stored, and is unchecked in the status', () =>
    withRegistrarFixture(async (fixture) => {
      const { probe, end } = heldProbe();
      const running = fixture.start({ ...CHECKED, probe });
      fixture.engine.run(CHECKED_WEB);
      await fixture.advance(2_100);
      assert.deepEqual(await fixture.keys(), []);
      assert.equal(running.registrar.status().containers[0]?.records[0]?.state, 'unchecked');
      end(true);
      assert.deepEqual(await fixture.keys(), [CHECKED_KEY]);
    }));

  it('A record that an earlier registrar stored stays until the first result of its check', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start({ ...CHECKED, probe: async () => true });
      fixture.engine.run(CHECKED_WEB);
      assert.deepEqual(await fixture.keys(), [CHECKED_KEY]);
      await fixture.end(first);
      const { probe, end } = heldProbe();
      const second = fixture.start({ ...CHECKED, probe });
      await fixture.advance(2_100);
      assert.equal(second.registrar.status().role, 'writing');
      assert.deepEqual(await fixture.keys(), [CHECKED_KEY]);
      end(false);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('A record that got its alternative name stays there until the first result of its check', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start({ ...CHECKED, probe: async () => true });
      const env = { ...CHECKED_WEB.env, SERVICE_ID: 'same' };
      for (const name of ['web1', 'web2']) fixture.engine.run({ ...CHECKED_WEB, name, env });
      const keys = await fixture.keys();
      assert.match(keys.join(), /^local\/skydns\/web\/same,local\/skydns\/web\/same-[0-9a-f]{12}$/);
      await fixture.end(first);
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      const second = fixture.start({ ...CHECKED, probe: () => new Promise<boolean>(() => {}) });
      await fixture.advance(2_100);
      deletes.stop();
      assert.equal(second.registrar.status().role, 'writing');
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), keys);
    }));

  it('A numbered instance gets the smallest free number and keeps it for its life', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const [first, second] = [fixture.engine.run(AUTO), fixture.engine.run(AUTO)];
      const third = fixture.engine.run(AUTO);
      await fixture.settle();
      const before = await fixture.hosts();
      const base = Object.keys(before)[0]?.replace(/\/1$/, '');
      assert.deepEqual(
        Object.keys(before),
        [1, 2, 3].map((number) => `${base}/${number}`),
      );
      fixture.engine.die(first);
      await fixture.settle();
      assert.deepEqual(
        await fixture.keys(),
        [2, 3].map((number) => `${base}/${number}`),
      );
      fixture.engine.restart(third);
      fixture.engine.run(AUTO);
      const after = await fixture.hosts();
      assert.deepEqual(Object.keys(after), Object.keys(before));
      assert.equal(after[`${base}/2`], [...second.networks.values()][0]?.ip);
      assert.equal(after[`${base}/3`], [...third.networks.values()][0]?.ip);
    }));

  it('A numbered instance keeps its number when the registrar restarts', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      const [first, second] = [fixture.engine.run(AUTO), fixture.engine.run(AUTO)];
      await fixture.settle();
      const before = await fixture.hosts();
      await fixture.end(running);
      fixture.start();
      await fixture.advance(1_000);
      for (const each of [first, second]) fixture.engine.die(each);
      assert.deepEqual(await fixture.keys(), []);
      for (const each of [second, first]) fixture.engine.start(each);
      assert.deepEqual(await fixture.hosts(), before);
    }));

  it('The registrar gives each instance its own number, and skips numbers that others hold in the store', () =>
    withRegistrarFixture(async (fixture) => {
      const other = { ...AUTO };
      fixture.start();
      for (let i = 0; i < 3; i++) fixture.engine.run(other);
      const [first = ''] = await fixture.keys();
      const base = `/skydns/${first.replace(/\/1$/, '')}`;
      await fixture.store.put(`${base}/4`, Buffer.from('{"host":"192.0.2.77"}'));
      fixture.engine.run(AUTO);
      const hosts = await fixture.hosts();
      assert.deepEqual(
        Object.keys(hosts).map((key) => key.split('/').at(-1)),
        ['1', '2', '3', '4', '5'],
      );
      assert.equal(hosts[`${base}/4`.slice('/skydns/'.length)], '192.0.2.77');
    }));
});
