/** The registrar while its store is missing, slow or full, or lost its lease: specification, cases 2 to 4 and 20. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  KEY,
  kindsOf,
  LEASE_MS,
  named,
  type RegistrarFixture,
  type Running,
  troubles,
  WEB,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';
import { entriesOf } from '../support/storeCalls.ts';

describe('store outage', () => {
  it('Without a store the registrar starts, reports that it is not ready, and registers when the store answers', () =>
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

  it('After a store outage the registrar compares the present state and does not replay past events', () =>
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

  it('A write without an answer delays no other write for longer than its deadline, and may take effect at any time', () =>
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

      // The late write finds that the key exists.
      for (const arrive of late.splice(0)) arrive();
      const revision = await fixture.revision();
      await fixture.settle();
      assert.equal(await fixture.revision(), revision);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.keys(), ['local/skydns/other']);
      assert.equal(events.filter(({ kind }) => kind === 'wrote').length, 3);
    }));

  it('A late write of a container that has died is deleted again, and reported', () =>
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

  it('A write whose answer was lost is found in the store and not repeated', () =>
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

  it('The registrar does not repeat writes to a slow store', () =>
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
      'revoked by another client',
      (fixture: RegistrarFixture, id: string) => fixture.store.revokeLease(id),
    ],
    [
      'lost in a store outage',
      async (fixture: RegistrarFixture, _id: string, running: Running) => {
        running.link.lose();
        await fixture.advance(LEASE_MS + 1_000);
        assert.deepEqual(await fixture.keys(), []);
        running.link.restore();
      },
    ],
  ] as const) {
    it(`After its lease was ${how}, the registrar registers everything again`, () =>
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

  it('The registrar requests a refused lease less and less often', () =>
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

  it('The registrar deletes the records of dead containers even if the store refuses puts because it is full or read-only', () =>
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

  it('The registrar replaces a lease that a write finds missing, even if no watch reports it', () =>
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
});
