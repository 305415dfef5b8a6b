/** The registrar's failure cases, by the numbers of the specification, on a fake engine, store and clock. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printReason } from '../../src/registrar/status.ts';
import {
  type FixtureSetup,
  type RegistrarFixture,
  type Running,
  watchDeletes,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';
import { entriesOf } from '../support/storeCalls.ts';

const LEASE_MS = 30_000;

function named(name: string, more: Record<string, string> = {}) {
  return { env: { DNS_NAME: `${name}.skydns.local`, ...more }, exposed: ['80/tcp'] };
}

const WEB = named('web');
const KEY = 'local/skydns/web';

/** What keeps it from being ready, as people read it. */
const troubles = ({ registrar }: Pick<Running, 'registrar'>): string =>
  registrar.readiness().reasons.map(printReason).join();

const kindsOf = ({ events }: Running): string[] => events.map(({ kind }) => kind);

describe('a container in DNS', () => {
  it('appears when it starts and goes when it dies', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      await fixture.settle();
      const web = fixture.engine.run(WEB);
      const { owner, ...service } =
        (await fixture.records())[KEY] ?? assert.fail('it is not there');
      assert.deepEqual(service, { host: '172.17.0.2', port: 80, ttl: 30 });
      assert.match(owner?.r ?? '', /^ENGINE:1\/[0-9a-f]{12}$/);
      assert.deepEqual([owner?.c, owner?.s], [web.id.slice(0, 12), web.startedAt]);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('that ran before is found, and nothing is written when nothing happens', () =>
    withRegistrarFixture(async (fixture) => {
      for (let i = 0; i < 300; i++) fixture.engine.run(named(`web${i}`));
      const { registrar } = fixture.start();
      await fixture.settle();
      assert.equal((await fixture.keys()).length, 300);
      assert.deepEqual(registrar.readiness(), { isReady: true, reasons: [] });
      await fixture.assertQuiet(10 * 60_000);
    }));

  it('pauses with its container', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.pause(web);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.unpause(web);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('is there while its HEALTHCHECK passes', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run({ ...WEB, health: 'starting' });
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.setHealth(web, 'healthy');
      assert.deepEqual(await fixture.keys(), [KEY]);
      fixture.engine.setHealth(web, 'unhealthy');
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('stays when its health is to be ignored', () =>
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

  it('follows its networks', () =>
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

  it('drains at its stop signal or SIGKILL, and at no other', () =>
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

  it('stays until its end when it says so', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(named('web', { DNS_STOP: 'die' }));
      await fixture.settle();
      fixture.engine.signal(web, '15');
      assert.deepEqual(await fixture.keys(), [KEY]);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('has its check to pass, and all the while', () =>
    withRegistrarFixture(async (fixture) => {
      let isUp = false;
      const context = { compat: 'registrator', exposedByDefault: true } as const;
      const registrator = { hostName: '', rawIds: false, tags: [] };
      const probe = async (): Promise<boolean> => isUp;
      const running = fixture.start({ context: { ...context, registrator }, probe });
      fixture.engine.run({
        name: 'web',
        env: { SERVICE_NAME: 'web', SERVICE_CHECK_TCP: 'true', SERVICE_CHECK_INTERVAL: '2s' },
        exposed: ['80/tcp'],
      });
      assert.deepEqual(await fixture.keys(), []);
      assert.equal(running.registrar.status().containers[0]?.records[0]?.state, 'unchecked');
      isUp = true;
      await fixture.advance(2_100);
      assert.deepEqual(await fixture.keys(), ['local/skydns/web/fakehost-web-80']);
      isUp = false;
      await fixture.advance(2_100);
      assert.deepEqual(await fixture.keys(), []);
    }));
});

describe('instances that are numbered', () => {
  const AUTO = {
    env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' },
    exposed: ['80/tcp'],
  };

  it('take the smallest free number and keep it for their life', () =>
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

  it('keep it also when the registrar has been restarted meanwhile', () =>
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

  it('share the numbers with other engines, each number once', () =>
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

describe('the 20 failure cases', () => {
  it('1: killed and restarted, the names never go; what died meanwhile does', () =>
    withRegistrarFixture(async (fixture) => {
      const [stays, goes] = [fixture.engine.run(WEB), fixture.engine.run(named('gone'))];
      const first = fixture.start();
      await fixture.advance(12_000);
      assert.equal((await fixture.keys()).length, 2);
      const before = await entriesOf(fixture.store, '/skydns/local/');
      fixture.kill(first);
      fixture.engine.die(goes);
      const deletes = watchDeletes(fixture);
      const second = fixture.start();
      await fixture.advance(2_500);
      assert.deepEqual(deletes.keys, ['/skydns/local/skydns/gone']);
      await fixture.advance(2 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, ['/skydns/local/skydns/gone']);
      const after = await entriesOf(fixture.store, '/skydns/local/');
      const kept = before.filter(({ key }) => key.endsWith(KEY));
      assert.deepEqual(after.map(modRevisionOf), kept.map(modRevisionOf), 'adopted, not rewritten');
      assert.equal(second.registrar.status().role, 'writing');
      assert.ok(stays.isRunning);
    }));

  it('2: without a store at the start it waits, says so, and begins when there is one', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const running = fixture.start();
      running.link.lose();
      await fixture.advance(60_000);
      const { isReady, reasons } = running.registrar.readiness();
      assert.ok(!isReady && reasons.some(({ about }) => about === 'store'), troubles(running));
      running.link.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
      assert.ok(running.registrar.readiness().isReady);
    }));

  it('3: what happened while the store was gone is compared, not replayed', () =>
    withRegistrarFixture(async (fixture) => {
      const stays = fixture.engine.run(WEB);
      const running = fixture.start();
      await fixture.settle();
      running.link.lose();
      for (let i = 0; i < 50; i++) {
        const passing = fixture.engine.run(named('passing'));
        await fixture.advance(200);
        fixture.engine.remove(passing);
      }
      fixture.engine.run(named('new'));
      const { put: putsBefore, delete: deletesBefore } = running.link.counts;
      running.link.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), ['local/skydns/new', KEY]);
      assert.equal(running.link.counts.put - putsBefore, 1);
      assert.equal(running.link.counts.delete - deletesBefore, 0);
      assert.ok(stays.isRunning);
      const failures = kindsOf(running).filter((kind) => kind === 'leaseFailed').length;
      assert.ok(failures < 30, `${failures} lines in the log`);
    }));

  it('3: a write that nobody answers holds up nothing, and may arrive at any time', () =>
    withRegistrarFixture(async (fixture) => {
      const { link, events, registrar } = fixture.start();
      await fixture.settle();
      const late: (() => void)[] = [];
      link.delay = (operation) =>
        operation === 'put' ? new Promise((resolve) => late.push(resolve)) : undefined;
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      link.delay = undefined;
      fixture.engine.run(named('other'));
      await fixture.advance(1_900);
      assert.deepEqual(await fixture.keys(), []);
      await fixture.advance(300);
      assert.deepEqual(await fixture.keys(), ['local/skydns/other', KEY]);
      assert.ok(registrar.readiness().isReady);

      // It finds the key taken by then.
      for (const arrive of late.splice(0)) arrive();
      const revision = await fixture.revision();
      await fixture.settle();
      assert.equal(await fixture.revision(), revision);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.keys(), ['local/skydns/other']);
      assert.equal(events.filter(({ kind }) => kind === 'wrote').length, 3);
    }));

  it('3: a write that arrives late, of one that has died meanwhile, is taken back and told', () =>
    withRegistrarFixture(async (fixture) => {
      const { link, events } = fixture.start();
      await fixture.settle();
      let arrive = (): void => {};
      const answer = new Promise<void>((resolve) => {
        arrive = resolve;
      });
      link.delay = (operation) => (operation === 'put' ? answer : undefined);
      const web = fixture.engine.run(WEB);
      await fixture.advance(1_000);
      fixture.engine.die(web);
      await fixture.advance(2_000);
      arrive();
      assert.deepEqual(await fixture.keys(), []);
      const written = events.flatMap((event) =>
        event.kind === 'wrote' ? [event.operation.kind] : [],
      );
      assert.deepEqual(written.sort(), ['delete', 'put']);
      await fixture.assertQuiet(60_000);
    }));

  it('3: a write whose answer was lost is found, not done twice', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      await fixture.settle();
      let left = 3;
      running.link.loseAnswer = (operation) => operation === 'put' && left-- > 0;
      fixture.engine.run(WEB);
      await fixture.advance(5_000);
      const [entry] = await entriesOf(fixture.store, '/skydns/');
      assert.equal(entry?.createRevision, entry?.modRevision);
      await fixture.assertQuiet(60_000);
    }));

  it('3: a store that is only slow is not asked for everything twice', () =>
    withRegistrarFixture(async (fixture) => {
      const { link, registrar } = fixture.start();
      await fixture.settle();
      link.delay = (operation) =>
        operation === 'put'
          ? new Promise((resolve) => fixture.clock.startTimer(2_500, resolve))
          : undefined;
      const before = link.counts.put;
      for (let i = 0; i < 200; i++) fixture.engine.run(named(`web${i}`));
      await fixture.advance(40_000);
      assert.equal((await fixture.keys()).length, 200);
      assert.ok(registrar.readiness().isReady, troubles({ registrar }));
      const puts = link.counts.put - before;
      assert.ok(puts < 250, `${puts} puts for 200 names`);
    }));

  for (const [how, end] of [
    [
      'revoked behind its back',
      (fixture: RegistrarFixture, id: string) => fixture.store.revokeLease(id),
    ],
    [
      'expired while the store was out of reach',
      async (fixture: RegistrarFixture, _id: string, running: Running) => {
        running.link.lose();
        await fixture.advance(LEASE_MS + 1_000);
        assert.deepEqual(await fixture.keys(), []);
        running.link.restore();
      },
    ],
  ] as const) {
    it(`4: a lease ${how}: everything is registered again`, () =>
      withRegistrarFixture(async (fixture) => {
        for (let i = 0; i < 400; i++) fixture.engine.run(named(`web${i}`));
        const running = fixture.start();
        await fixture.settle();
        const { lease } = running.registrar.status();
        await end(fixture, lease?.id ?? '', running);
        await fixture.advance(6_000);
        assert.equal((await fixture.keys()).length, 400);
        const renewed = running.registrar.status().lease;
        assert.notEqual(renewed?.id, lease?.id);
        await fixture.assertQuiet(5 * LEASE_MS);
        assert.equal((await fixture.keys()).length, 400);
      }));
  }

  it('4: a lease that cannot be had is asked for ever more seldom', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const running = fixture.start();
      running.link.fault = (operation) => (operation === 'lease' ? 'unavailable' : undefined);
      await fixture.advance(60_000);
      const tries = kindsOf(running).filter((kind) => kind === 'leaseFailed').length;
      assert.ok(tries > 10 && tries < 40, `${tries}`);
      assert.match(troubles(running), /lease: /);
      running.link.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('5: without Docker the records stay, for a while', () =>
    withRegistrarFixture(async (fixture) => {
      const [web, gone] = [fixture.engine.run(WEB), fixture.engine.run(named('gone'))];
      const running = fixture.start({ dockerGraceSeconds: 300 });
      await fixture.settle();
      fixture.engine.lose();
      gone.state = 'exited';
      await fixture.advance(299_000);
      assert.equal((await fixture.keys()).length, 2);
      assert.match(troubles(running), /docker: .*refused/);
      await fixture.advance(2_000);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
      assert.equal(running.registrar.status().counters.engineReconnects, 1);
      assert.ok(web.isRunning);
    }));

  it('5: without Docker the records stay as long as the registrar runs, when no time is given', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      fixture.start();
      await fixture.settle();
      fixture.engine.lose();
      const deletes = watchDeletes(fixture);
      await fixture.advance(6 * 3_600_000);
      fixture.engine.restore();
      await fixture.advance(10_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('5: the time does not count while a mount holds an old socket', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      let isUnlinked = true;
      let isReplaced = false;
      const socket = {
        isMounted: () => true,
        noteReached: () => {},
        isUnlinked: () => isUnlinked,
        isReplaced: () => isReplaced,
      };
      const running = fixture.start({ dockerGraceSeconds: 5, socket });
      await fixture.settle();
      fixture.engine.lose();
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
      isReplaced = true;
      await fixture.advance(60_000);
      const told = kindsOf(running).filter((kind) => kind.startsWith('socket'));
      assert.deepEqual(told, ['socketMounted', 'socketReplaced']);
      isUnlinked = false;
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('5: what was withdrawn comes back only once it was inspected', () =>
    withRegistrarFixture(async (fixture) => {
      const [, gone] = [fixture.engine.run(WEB), fixture.engine.run(named('gone'))];
      fixture.start({ dockerGraceSeconds: 60 });
      await fixture.settle();
      fixture.engine.lose();
      gone.state = 'exited';
      await fixture.advance(61_000);
      let answer = (): void => {};
      const mayAnswer = new Promise<void>((resolve) => {
        answer = resolve;
      });
      fixture.engine.faults.beforeAnswer = () => mayAnswer;
      fixture.engine.restore();
      await fixture.advance(6_000);
      assert.equal(fixture.engine.calls.list, 2, 'it is connected');
      assert.deepEqual(await fixture.keys(), []);
      answer();
      await fixture.advance(100);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('5: one that ended while the daemon was down is gone after the reconnect', () =>
    withRegistrarFixture(async (fixture) => {
      const [, gone] = [fixture.engine.run(WEB), fixture.engine.run(named('gone'))];
      fixture.start();
      await fixture.settle();
      fixture.engine.lose();
      await fixture.advance(3_000);
      gone.state = 'exited';
      fixture.engine.restore();
      await fixture.advance(5_100);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('5: a daemon that comes only later is waited for', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.lose();
      fixture.engine.run(WEB);
      const running = fixture.start();
      await fixture.advance(120_000);
      assert.ok(!running.registrar.readiness().isReady);
      assert.equal(running.registrar.status().engine.state, 'connecting');
      fixture.engine.restore();
      await fixture.advance(5_100);
      assert.deepEqual(await fixture.keys(), [KEY]);
      assert.ok(running.registrar.readiness().isReady);
    }));

  describe('5: what an earlier run left', () => {
    /** A run that ended by SIGKILL, and the daemon with it; its container did not. */
    async function leave(fixture: RegistrarFixture, setup: FixtureSetup = {}) {
      const earlier = fixture.start(setup);
      const container = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.kill(earlier);
      fixture.engine.lose();
      return container;
    }

    it('stays without Docker as long as what this one would have written', () =>
      withRegistrarFixture(async (fixture) => {
        const web = await leave(fixture);
        const deletes = watchDeletes(fixture);
        await fixture.advance(LEASE_MS / 2);
        const { registrar } = fixture.start({ dockerGraceSeconds: 300 });
        await fixture.advance(290_000);
        assert.deepEqual(await fixture.keys(), [KEY]);
        fixture.engine.restore();
        await fixture.advance(6_000);
        assert.ok(registrar.readiness().isReady, troubles({ registrar }));
        await fixture.assertQuiet(LEASE_MS * 3);
        assert.deepEqual(deletes.keys, []);
        fixture.engine.die(web);
        assert.deepEqual(await fixture.keys(), []);
        deletes.stop();
      }));

    it('stays without Docker as long as this one runs, when no time is given', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        const running = fixture.start();
        await fixture.advance(6 * 3_600_000);
        assert.deepEqual(await fixture.keys(), [KEY]);
        fixture.kill(running);
        await fixture.advance(LEASE_MS + 1_000);
        assert.deepEqual(await fixture.keys(), []);
      }));

    it('... and with a time no longer than that', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        fixture.start({ dockerGraceSeconds: 300 });
        await fixture.advance(299_000);
        assert.deepEqual(await fixture.keys(), [KEY]);
        await fixture.advance(1_000 + LEASE_MS);
        assert.deepEqual(await fixture.keys(), []);
      }));

    it('is not withdrawn when Docker is back after the grace, before the lease has ended', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        await fixture.advance(LEASE_MS / 2);
        fixture.start({ dockerGraceSeconds: 300 });
        await fixture.advance(302_000);
        assert.deepEqual(await fixture.keys(), [KEY]);
        const deletes = watchDeletes(fixture);
        const list = fixture.engine.list.bind(fixture.engine);
        fixture.engine.list = async () => {
          await new Promise<void>((resolve) => fixture.clock.startTimer(3_000, resolve));
          return list();
        };
        fixture.engine.restore();
        await fixture.advance(15_000);
        deletes.stop();
        assert.deepEqual(deletes.keys, []);
        assert.deepEqual(await fixture.keys(), [KEY]);
      }));

    it('... also when the store is there only later', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        const { link } = fixture.start();
        link.lose();
        await fixture.advance(LEASE_MS * 0.8);
        link.restore();
        await fixture.advance(LEASE_MS * 2);
        assert.deepEqual(await fixture.keys(), [KEY]);
      }));

    for (const [what, before, now] of [
      ['the machine was started anew', { bootKey: 'earlier' }, {}],
      ['its place is not known', { bootKey: undefined }, {}],
      ['no place is known', { bootKey: undefined }, { bootKey: undefined }],
    ] as const) {
      it(`goes with its lease when ${what}`, () =>
        withRegistrarFixture(async (fixture) => {
          await leave(fixture, before);
          fixture.start(now);
          await fixture.advance(LEASE_MS * 0.9);
          assert.deepEqual(await fixture.keys(), [KEY]);
          await fixture.advance(LEASE_MS * 0.2);
          assert.deepEqual(await fixture.keys(), []);
        }));
    }

    it('goes with its lease when another engine comes in its place', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        fixture.start();
        await fixture.advance(LEASE_MS * 2);
        fixture.engine.engineInfo = { ...fixture.engine.engineInfo, id: 'ENGINE:2' };
        fixture.engine.containers.clear();
        fixture.engine.run(named('new'));
        fixture.engine.restore();
        await fixture.advance(6_000);
        assert.deepEqual(await fixture.keys(), ['local/skydns/new', KEY]);
        await fixture.advance(LEASE_MS);
        assert.deepEqual(await fixture.keys(), ['local/skydns/new']);
      }));

    it('is not touched in a dry run', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        fixture.start({ dryRun: true });
        await fixture.advance(LEASE_MS * 1.5);
        assert.deepEqual(await fixture.keys(), []);
      }));
  });

  it('5: a connection that never lasts is tried ever more seldom, one that lasted at once', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      await fixture.settle();
      await fixture.advance(10_000);
      for (let ms = 0; ms < 60_000; ms += 50) {
        fixture.engine.cutEvents();
        await fixture.clock.advance(50);
      }
      const connects = fixture.engine.calls.events;
      assert.ok(connects < 60_000 / 2_500, `${connects} connects in a minute`);
      await fixture.advance(20_000);
      const before = fixture.engine.calls.events;
      fixture.engine.cutEvents();
      await fixture.advance(200);
      assert.equal(fixture.engine.calls.events, before + 1);
    }));

  it('6: lost events are made up for by the next list', () =>
    withRegistrarFixture(async (fixture) => {
      const gone = fixture.engine.run(named('gone'));
      const restarted = fixture.engine.run(WEB);
      fixture.start();
      await fixture.settle();
      fixture.engine.faults.drop = () => true;
      fixture.engine.die(gone);
      fixture.engine.run(named('new'));
      fixture.engine.die(restarted);
      restarted.join('bridge', '172.17.9.9');
      fixture.engine.start(restarted);
      await fixture.advance(31_000);
      assert.deepEqual(await fixture.hosts(), {
        'local/skydns/new': '172.17.0.4',
        [KEY]: '172.17.9.9',
      });
      await fixture.assertQuiet(120_000);
    }));

  it('6: what was so only between two lists, and whose end nobody told, is made up for too', () =>
    withRegistrarFixture(async (fixture) => {
      const paused = fixture.engine.run(WEB);
      const ill = fixture.engine.run({ ...named('ill'), health: 'healthy' });
      fixture.start();
      const both = await fixture.keys();
      assert.equal(both.length, 2);
      fixture.engine.pause(paused);
      fixture.engine.setHealth(ill, 'unhealthy');
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.faults.drop = () => true;
      fixture.engine.unpause(paused);
      fixture.engine.setHealth(ill, 'healthy');
      await fixture.advance(31_000);
      assert.deepEqual(await fixture.keys(), both);
    }));

  it('6: a container that starts between the subscription and the list is in both, and once in DNS', () =>
    withRegistrarFixture(async (fixture) => {
      const { engine } = fixture;
      const list = engine.list.bind(engine);
      engine.list = async () => {
        engine.run(WEB);
        engine.list = list;
        return list();
      };
      fixture.start();
      assert.deepEqual(await fixture.keys(), [KEY]);
      const [entry] = await entriesOf(fixture.store, '/skydns/');
      assert.equal(entry?.createRevision, entry?.modRevision);
    }));

  it('8: a crash loop is held back until the container lasts', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      for (let i = 0; i < 3; i++) {
        fixture.engine.die(web);
        await fixture.advance(1_000);
        fixture.engine.start(web);
        await fixture.settle();
      }
      assert.deepEqual(await fixture.keys(), []);
      await fixture.advance(2_000);
      fixture.engine.restart(web);
      await fixture.assertQuiet(4_900);
      assert.deepEqual(await fixture.keys(), []);
      await fixture.advance(200);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('8: in a crash loop good health counts at once', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run({ ...WEB, health: 'starting' });
      for (let i = 0; i < 4; i++) fixture.engine.restart(web);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.setHealth(web, 'healthy');
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('8: a hundred events of one container cost a few inspections and writes', () =>
    withRegistrarFixture(async (fixture) => {
      const web = fixture.engine.run(WEB);
      const running = fixture.start();
      await fixture.settle();
      const { inspect } = fixture.engine.calls;
      const { put } = running.link.counts;
      for (let i = 0; i < 100; i++) fixture.engine.emit(web, 'unpause');
      await fixture.advance(1_000);
      assert.ok(fixture.engine.calls.inspect - inspect <= 4);
      assert.equal(running.link.counts.put, put);
    }));

  it('8: one to which something happens all the time is there, until it is paused', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      await fixture.settle();
      fixture.engine.faults.beforeAnswer = () =>
        new Promise((resolve) => fixture.clock.startTimer(100, resolve));
      const web = fixture.engine.run(WEB);
      const keysWhileBusy = async (): Promise<string[]> => {
        for (let i = 0; i < 40; i++) {
          fixture.engine.emit(web, 'rename');
          await fixture.clock.advance(50);
        }
        return fixture.keys();
      };
      assert.deepEqual(await keysWhileBusy(), [KEY]);
      fixture.engine.pause(web);
      assert.deepEqual(await keysWhileBusy(), []);
    }));

  it('9: an inspection that is overtaken by the death writes nothing', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      await fixture.settle();
      let answer = (): void => undefined;
      fixture.engine.faults.beforeAnswer = () =>
        new Promise((resolve) => {
          fixture.engine.faults.beforeAnswer = undefined;
          answer = resolve;
        });
      const before = await fixture.revision();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.die(web);
      await fixture.settle();
      answer();
      await fixture.settle();
      assert.deepEqual(await fixture.keys(), []);
      assert.equal(await fixture.revision(), before);
    }));

  it('9: the death of an earlier life, heard late, takes nothing away', () =>
    withRegistrarFixture(async (fixture) => {
      const web = fixture.engine.run(WEB);
      fixture.start();
      await fixture.settle();
      let late: Parameters<NonNullable<typeof fixture.engine.faults.drop>>[0] | undefined;
      fixture.engine.faults.drop = (event) => {
        if (event.action === 'die') late = event;
        return event.action === 'die';
      };
      fixture.engine.restart(web);
      await fixture.settle();
      assert.deepEqual(await fixture.keys(), [KEY]);
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      fixture.engine.faults.drop = undefined;
      assert.ok(late !== undefined);
      fixture.engine.replay(late);
      await fixture.settle();
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('10: of two registrars one stands by, and takes over without a gap', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.advance(5_000);
      const second = fixture.start();
      await fixture.advance(5_000);
      assert.equal(first.registrar.status().role, 'writing');
      assert.equal(second.registrar.status().role, 'standby');
      assert.ok(second.registrar.readiness().isReady);
      assert.match(second.registrar.status().holder ?? '', /^host-/);
      await fixture.assertQuiet(5 * LEASE_MS);
      const deletes = watchDeletes(fixture);
      fixture.kill(first);
      await fixture.advance(2 * LEASE_MS);
      assert.equal(second.registrar.status().role, 'writing');
      fixture.engine.run(named('new'));
      assert.equal((await fixture.keys()).length, 2);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('10: one that ends in order is succeeded at once', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.advance(1_000);
      const second = fixture.start();
      await fixture.advance(5_000);
      await fixture.end(first);
      assert.equal(second.registrar.status().role, 'writing');
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('10: when the lock is deleted one of the two has it again, and all records', () =>
    withRegistrarFixture(async (fixture) => {
      for (let i = 0; i < 20; i++) fixture.engine.run(named(`web${i}`));
      const running = [fixture.start()];
      await fixture.advance(1_000);
      running.push(fixture.start());
      await fixture.advance(5_000);
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      const [lock = ''] = await fixture.locks();
      await fixture.store.delete(lock);
      await fixture.advance(2 * LEASE_MS);
      const roles = running.map(({ registrar }) => registrar.status().role).sort();
      assert.deepEqual(roles, ['standby', 'writing']);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.equal((await fixture.keys()).length, 20);
      await fixture.assertQuiet(2 * LEASE_MS);
    }));

  it('11: a key of somebody else is waited for, and taken when it is free', () =>
    withRegistrarFixture(async (fixture) => {
      const foreign = Buffer.from('{"host":"192.0.2.99"}');
      await fixture.store.put(`/skydns/${KEY}`, foreign);
      const running = fixture.start();
      fixture.engine.run(WEB);
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.99' });
      const [container] = running.registrar.status().containers;
      assert.equal(container?.records[0]?.state, 'conflict');
      assert.match(container?.records[0]?.reason ?? '', /no registrar/);
      assert.equal(running.registrar.status().counters.conflicts, 1);
      assert.equal(kindsOf(running).filter((kind) => kind === 'conflict').length, 1);
      await fixture.store.delete(`/skydns/${KEY}`);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
    }));

  it('11: of two containers with one name the first has it, then the other', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const first = fixture.engine.run(WEB);
      await fixture.settle();
      const second = fixture.engine.run(WEB);
      await fixture.settle();
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
      fixture.engine.die(first);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.3' });
      assert.ok(second.isRunning);
    }));

  it('11: a key of ours that is deleted or overwritten by others is put back or left', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      fixture.engine.run(WEB);
      await fixture.settle();
      await fixture.store.delete(`/skydns/${KEY}`);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
      await fixture.store.put(`/skydns/${KEY}`, Buffer.from('{"host":"192.0.2.99"}'));
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.99' });
    }));

  it('12: an address that is used again at once is never answered for the dead one', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const first = fixture.engine.run({ ...named('first'), ip: '172.17.0.50' });
      await fixture.settle();
      fixture.engine.die(first);
      fixture.engine.run({ ...named('second'), ip: '172.17.0.50' });
      assert.deepEqual(await fixture.hosts(), { 'local/skydns/second': '172.17.0.50' });
    }));

  it('12: a container in the network of another one goes with it', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const parent = fixture.engine.run({ ip: '172.17.0.7' });
      const child = fixture.engine.run({ ...WEB, network: `container:${parent.id}` });
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.7' });
      fixture.engine.die(parent);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.start(parent);
      await fixture.advance(100);
      assert.deepEqual(await fixture.keys(), [], 'its network is dead until it restarts itself');
      fixture.engine.restart(child);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.7' });
    }));

  it('13: another host address is written everywhere, without an inspection', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { mode: 'published' } });
      fixture.engine.run({ env: { DNS_NAME: 'web' }, publish: ['8080:80'] });
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.1' });
      const { inspect } = fixture.engine.calls;
      fixture.hostAddress = '192.0.2.2';
      await fixture.advance(16_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.2' });
      assert.equal(fixture.engine.calls.inspect, inspect);
    }));

  it('looks for its address no longer once it is closed', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      await fixture.advance(16_000);
      await fixture.end(running, 'revoke');
      const { fired } = fixture.clock;
      await fixture.advance(60_000);
      assert.equal(fixture.clock.fired, fired, 'a timer was left');
    }));

  it('14: a wall clock that jumps changes nothing', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      fixture.start();
      await fixture.advance(1_000);
      for (const ms of [3_600_000, -7_200_000]) {
        fixture.clock.jumpWall(ms);
        await fixture.assertQuiet(2 * LEASE_MS);
        assert.deepEqual(await fixture.keys(), [KEY]);
      }
      fixture.engine.run(named('new'));
      assert.equal((await fixture.keys()).length, 2);
    }));

  it('15: a rename moves the name: the new one first, then the old one goes', () =>
    withRegistrarFixture(async (fixture) => {
      const context = { compat: 'registrator', exposedByDefault: true } as const;
      const registrator = { hostName: 'node1', rawIds: false, tags: [] };
      fixture.start({ context: { ...context, registrator } });
      const web = fixture.engine.run({ name: 'old', image: 'web', exposed: ['80/tcp'] });
      assert.deepEqual(await fixture.keys(), ['local/skydns/web/node1-old-80']);
      const before = await fixture.revision();
      fixture.engine.rename(web, 'new');
      assert.deepEqual(await fixture.keys(), ['local/skydns/web/node1-new-80']);
      const [entry] = await entriesOf(fixture.store, '/skydns/');
      assert.equal(entry?.modRevision, before + 1);
    }));

  it('15: a rename that is in no key writes nothing', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      const before = await fixture.revision();
      fixture.engine.rename(web, 'new');
      await fixture.advance(1_000);
      assert.equal(await fixture.revision(), before);
    }));

  it('16: bad metadata costs its own record and is said once', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      fixture.engine.run(named('web', { DNS_WEIGHT: '99999999' }));
      fixture.engine.run({
        env: { DNS_NAME: 'a.skydns.local,x.other.tld,../../etc' },
        exposed: ['1/tcp'],
      });
      fixture.engine.run(named('good'));
      await fixture.advance(120_000);
      assert.ok((await fixture.keys()).includes('local/skydns/good'));
      assert.ok((await fixture.keys()).every((key) => key.startsWith('local/skydns/')));
      const refused = running.events.filter(({ kind }) => kind === 'refused');
      assert.equal(refused.length, running.registrar.status().counters.refusals);
      assert.equal(refused.length, 2);
    }));

  it('17: without an address nothing is written, and it is asked for again', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      const web = fixture.engine.run({ ...WEB, ip: '' });
      assert.deepEqual(await fixture.keys(), []);
      assert.match(running.registrar.status().containers[0]?.reason ?? '', /./);
      const { inspect } = fixture.engine.calls;
      await fixture.advance(25_000);
      assert.equal(fixture.engine.calls.inspect - inspect, 3, 'after 0.2, 1 and 5 s');
      web.join('bridge', '172.17.0.9');
      await fixture.advance(10_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.9' });
    }));

  it('18: at its end it leaves the records, which the next one adopts', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.settle();
      const deletes = watchDeletes(fixture);
      await fixture.end(first);
      await fixture.advance(20_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
      const second = fixture.start();
      await fixture.settle();
      assert.equal(
        second.registrar.status().role,
        'writing',
        'without asking whether anyone is there',
      );
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('18: or takes them with it', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.settle();
      await fixture.end(first, 'revoke');
      assert.deepEqual(await fixture.keys(), []);
      assert.deepEqual(await fixture.locks(), []);
    }));

  it('18: while it ends it still serves the deaths of the others', () =>
    withRegistrarFixture(async (fixture) => {
      const web = fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.settle();
      const ended = fixture.end(first, 'keep', 5_000);
      fixture.engine.signal(web, '15');
      fixture.engine.die(web);
      await fixture.settle();
      assert.deepEqual(await fixture.keys(), []);
      await ended;
    }));

  it('19: a host without power is gone after one lease', () =>
    withRegistrarFixture(async (fixture) => {
      for (let i = 0; i < 50; i++) fixture.engine.run(named(`web${i}`));
      const running = fixture.start();
      await fixture.advance(11_000);
      fixture.kill(running);
      await fixture.advance(LEASE_MS + 500);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('20: a store that is full or forbids writing still loses what is dead', () =>
    withRegistrarFixture(async (fixture) => {
      const web = fixture.engine.run(WEB);
      const running = fixture.start();
      await fixture.settle();
      running.link.fault = (operation) => (operation === 'put' ? 'denied' : undefined);
      fixture.engine.run(named('new'));
      fixture.engine.die(web);
      await fixture.advance(20_000);
      assert.deepEqual(await fixture.keys(), []);
      assert.match(troubles(running), /writing: /);
      const tries = kindsOf(running).filter((kind) => kind === 'writeFailed').length;
      assert.ok(tries < 15, `${tries} tries in 20 s`);
      running.link.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), ['local/skydns/new']);
      assert.ok(running.registrar.readiness().isReady);
    }));
});

describe('what must not be lost or touched', () => {
  it('records of containers that are not inspected yet stay after a restart', () =>
    withRegistrarFixture(async (fixture) => {
      for (let i = 0; i < 20; i++) fixture.engine.run(named(`web${i}`));
      const first = fixture.start();
      await fixture.settle();
      await fixture.end(first);
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      fixture.engine.faults.beforeAnswer = () =>
        new Promise((resolve) => fixture.clock.startTimer(500, () => resolve()));
      const second = fixture.start();
      await fixture.advance(700);
      assert.equal(second.registrar.status().role, 'writing');
      assert.match(troubles(second), /not all seen/);
      await fixture.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.ok(second.registrar.readiness().isReady);
    }));

  it('the record of a container that cannot be inspected stays until it can', () =>
    withRegistrarFixture(async (fixture) => {
      const web = fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.settle();
      await fixture.end(first);
      fixture.engine.faults.failInspect = (id) => id === web.id;
      const second = fixture.start();
      await fixture.advance(20_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
      assert.equal(second.registrar.status().containers[0]?.reason, 'has not been inspected yet');
      fixture.engine.die(web);
      fixture.engine.faults.failInspect = undefined;
      await fixture.advance(31_000);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('a death is served before any inspection', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const [dies, pauses] = [fixture.engine.run(WEB), fixture.engine.run(named('other'))];
      await fixture.settle();
      fixture.engine.faults.beforeAnswer = () => new Promise(() => undefined);
      fixture.engine.die(dies);
      assert.deepEqual(await fixture.keys(), ['local/skydns/other']);
      fixture.engine.pause(pauses);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('the record of another engine at a key of ours stays', () =>
    withRegistrarFixture(async (fixture) => {
      const owner = { r: 'ENGINE:2', c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
      const value = Buffer.from(JSON.stringify({ host: '192.0.2.9', ttl: 30, owner }));
      await fixture.store.put(`/skydns/${KEY}`, value);
      const running = fixture.start();
      fixture.engine.run(WEB);
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.9' });
      const [record] = running.registrar.status().containers[0]?.records ?? [];
      assert.match(record?.reason ?? '', /0123456789ab of engine ENGINE:2/);
    }));

  it('a write that finds no lease has it replaced, though no watch tells', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const running = fixture.start();
      await fixture.advance(1_000);
      running.link.fault = (operation) => (operation === 'watch' ? 'unavailable' : undefined);
      running.link.cutWatches();
      await fixture.store.revokeLease(running.registrar.status().lease?.id ?? '');
      fixture.engine.run(named('new'));
      await fixture.advance(1_000);
      assert.deepEqual(await fixture.keys(), ['local/skydns/new', KEY]);
    }));

  it('a lease that the lock only names is not taken over: it may be another’s', () =>
    withRegistrarFixture(async (fixture) => {
      const theirs = await fixture.store.grantLease(3_600);
      await fixture.store.put('/other', Buffer.from('x'), { lease: theirs.id });
      const holder = { instance: 'x', host: 'x', lease: theirs.id, released: true };
      const value = Buffer.from(JSON.stringify(holder));
      await fixture.store.put('/registrar/ENGINE%3A1/holder', value, { ttlSeconds: 3_600 });
      const running = fixture.start();
      await fixture.advance(5_000);
      assert.equal(running.registrar.status().role, 'writing');
      assert.notEqual(running.registrar.status().lease?.id, theirs.id);
      await fixture.end(running, 'revoke');
      assert.ok((await fixture.store.get('/other')).entry !== undefined);
    }));

  it('one that was taken for dead stands by when it sees that', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.advance(1_000);
      first.link.lose();
      const second = fixture.start();
      await fixture.advance(5_000);
      assert.equal(second.registrar.status().role, 'writing');
      first.link.restore();
      await fixture.advance(10_000);
      assert.equal(first.registrar.status().role, 'standby');
      assert.equal(second.registrar.status().role, 'writing');
      await fixture.assertQuiet(3 * LEASE_MS);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));
});

describe('other zones', () => {
  const ZONES = [['skydns', 'local']];

  it('move the names that end in none, refuse those outside, and touch nothing else', () =>
    withRegistrarFixture(async (fixture) => {
      const { registrar, events } = fixture.start();
      for (const name of ['fixed.skydns.local', 'moves', 'later.example.org']) {
        fixture.engine.run({ env: { DNS_NAME: name }, exposed: ['80/tcp'] });
      }
      fixture.engine.run({
        env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' },
        exposed: ['80/tcp'],
      });
      const before = ['local/skydns/fixed', 'local/skydns/moves', 'local/skydns/n/1'];
      assert.deepEqual(await fixture.keys(), before);
      const { entry } = await fixture.store.get('/skydns/local/skydns/fixed');

      const org = ['example', 'org'];
      registrar.setZones({ zones: [org, ...ZONES], defaultZone: org });
      const both = [
        'local/skydns/fixed',
        ...['later', 'moves', 'n/1'].map((n) => `org/example/${n}`),
      ];
      assert.deepEqual(await fixture.keys(), both);
      const after = await fixture.store.get('/skydns/local/skydns/fixed');
      assert.equal(after.entry?.modRevision, entry?.modRevision, 'it was written again');

      const revision = await fixture.revision();
      registrar.setZones({ zones: [org, ...ZONES], defaultZone: org });
      await fixture.settle();
      assert.equal(await fixture.revision(), revision);

      registrar.setZones({ zones: [org], defaultZone: org });
      assert.deepEqual(await fixture.keys(), both.slice(1));
      const refusals = events.flatMap((event) => (event.kind === 'refused' ? [event.refusal] : []));
      assert.deepEqual(
        refusals.map(({ about }) => about),
        ['later.example.org', 'fixed.skydns.local'],
      );
    }));

  it('count also when the engine comes only later', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.lose();
      const { registrar } = fixture.start();
      fixture.engine.run({ env: { DNS_NAME: 'web' }, exposed: ['80/tcp'] });
      await fixture.settle();
      registrar.setZones({ zones: [['example']], defaultZone: ['example'] });
      fixture.engine.restore();
      await fixture.advance(10_000);
      assert.deepEqual(await fixture.keys(), ['example/web']);
    }));
});

describe('a dry run', () => {
  it('says what it would write and writes nothing', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start({ dryRun: true });
      fixture.engine.run(WEB);
      await fixture.assertQuiet(60_000);
      assert.deepEqual(await fixture.keys(), []);
      const would = running.events.filter(({ kind }) => kind === 'would');
      assert.deepEqual(
        would.map((event) => event.kind === 'would' && [event.operation.kind, event.operation.key]),
        [['put', `/skydns/${KEY}`]],
      );
      assert.equal(running.registrar.status().role, 'dry-run');
    }));
});

function modRevisionOf({ modRevision }: { modRevision: number }): number {
  return modRevision;
}
