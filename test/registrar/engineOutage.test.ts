/** What the registrar keeps and removes while the engine is down, and after it is back: case 5 of the specification. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  type FixtureSetup,
  KEY,
  kindsOf,
  LEASE_MS,
  named,
  type RegistrarFixture,
  troubles,
  WEB,
  watchDeletes,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';

describe('engine outage', () => {
  it('While Docker is down, records stay for the grace period', () =>
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

  it('Without a grace period, records stay as long as the registrar runs while Docker is down', () =>
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

  it('The grace period does not run while a mount holds an old socket', () =>
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
      const kinds = kindsOf(running).filter((kind) => kind.startsWith('socket'));
      assert.deepEqual(kinds, ['socketMounted', 'socketReplaced']);
      isUnlinked = false;
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('After the grace period a record comes back only once its container has been inspected', () =>
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

  it('A container that ended while Docker was down has no record after the reconnect', () =>
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

  it('The registrar waits for a Docker daemon that starts later', () =>
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

  describe('records of an earlier run', () => {
    /** A run that was killed together with the daemon, while its container kept running. */
    async function leave(fixture: RegistrarFixture, setup: FixtureSetup = {}) {
      const earlier = fixture.start(setup);
      const container = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.kill(earlier);
      fixture.engine.lose();
      return container;
    }

    it("While Docker is down, the records of an earlier run stay as long as this run's own would", () =>
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

    it('Without a grace period, the records of an earlier run stay as long as this run lasts', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        const running = fixture.start();
        await fixture.advance(6 * 3_600_000);
        assert.deepEqual(await fixture.keys(), [KEY]);
        fixture.kill(running);
        await fixture.advance(LEASE_MS + 1_000);
        assert.deepEqual(await fixture.keys(), []);
      }));

    it('The records of an earlier run expire after the grace period', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        fixture.start({ dockerGraceSeconds: 300 });
        await fixture.advance(299_000);
        assert.deepEqual(await fixture.keys(), [KEY]);
        await fixture.advance(1_000 + LEASE_MS);
        assert.deepEqual(await fixture.keys(), []);
      }));

    it('The records of an earlier run stay when Docker returns after the grace period and before the lease expires', () =>
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

    it('The records of an earlier run stay when the store answers later than the start', () =>
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
      ['the machine has booted since', { bootKey: 'earlier' }, {}],
      ['its boot key is unknown', { bootKey: undefined }, {}],
      ['no boot key is known', { bootKey: undefined }, { bootKey: undefined }],
    ] as const) {
      it(`The records of an earlier run expire with their lease when ${what}`, () =>
        withRegistrarFixture(async (fixture) => {
          await leave(fixture, before);
          fixture.start(now);
          await fixture.advance(LEASE_MS * 0.9);
          assert.deepEqual(await fixture.keys(), [KEY]);
          await fixture.advance(LEASE_MS * 0.2);
          assert.deepEqual(await fixture.keys(), []);
        }));
    }

    it('The records of an earlier run expire with their lease when another engine answers', () =>
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

    it('A dry run does not renew the lease of an earlier run', () =>
      withRegistrarFixture(async (fixture) => {
        await leave(fixture);
        fixture.start({ dryRun: true });
        await fixture.advance(LEASE_MS * 1.5);
        assert.deepEqual(await fixture.keys(), []);
      }));
  });

  it('The registrar reconnects less and less often while no connection lasts, and at once after one that lasted', () =>
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
});
