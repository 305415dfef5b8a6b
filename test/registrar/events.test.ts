/** Events that are lost, late, repeated or many, and containers that cannot be inspected: cases 6 to 9 of the specification. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  KEY,
  named,
  troubles,
  WEB,
  watchDeletes,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';
import { entriesOf } from '../support/storeCalls.ts';

describe('events', () => {
  it('The next list makes up for lost events', () =>
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

  it('The next list restores the records of containers that were resumed or healed without an event', () =>
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

  it('A container that starts between the subscription and the first list is registered once', () =>
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

  it('A container in a crash loop is registered only when it keeps running', () =>
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

  it('A container in a crash loop is registered at once when its HEALTHCHECK passes', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run({ ...WEB, health: 'starting' });
      for (let i = 0; i < 4; i++) fixture.engine.restart(web);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.setHealth(web, 'healthy');
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('A hundred events of one container cost a few inspections and writes', () =>
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

  it('A container with constant events keeps its record until it is paused', () =>
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

  it("An inspection that is overtaken by the container's death writes nothing", () =>
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

  it('The late event of an earlier death deletes nothing', () =>
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

  it('After a restart the registrar keeps the records of containers that it has not inspected yet', () =>
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
      assert.match(troubles(second), /not all inspected/);
      await fixture.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.ok(second.registrar.readiness().isReady);
    }));

  it('A record stays while its container cannot be inspected', () =>
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

  it('The registrar deletes the record of a dead or paused container without waiting for an inspection', () =>
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
});
