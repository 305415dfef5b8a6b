/** An engine whose machine reboots, or whose id or name changes: running containers keep their names. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { foundMessagesOf, keyOf, Site } from '../../support/clonedSites.ts';
import type { FakeEngine } from '../../support/fakeEngine.ts';
import {
  LEASE_MS,
  named,
  type RegistrarFixture,
  watchDeletes,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';

describe('a reboot within the lease', () => {
  it('A machine that reboots within its lease keeps the records of running containers and no others', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      const gone = site.engine.run(named('gone'));
      const running = site.start();
      await fixture.advance(10_000);
      site.reboot(running);
      site.engine.die(gone);
      site.engine.restart(site.container);
      await fixture.advance(4_000);
      const deletes = watchDeletes(fixture);
      const again = site.start();
      await fixture.advance(5_000);
      assert.deepEqual(deletes.keys, [`/skydns/${keyOf('gone')}`]);
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(await fixture.keys(), [site.key]);
      assert.deepEqual(deletes.keys, [`/skydns/${keyOf('gone')}`]);
      assert.deepEqual(foundMessagesOf(again), []);
    }));

  it('After a reboot with an unknown address a machine’s old records stay for at most the lease, and then it has only its new ones', () =>
    withRegistrarFixture(async (fixture) => {
      const readHostFacts = async () => ({ hostAddresses: {}, ownNetworks: [] });
      const site = new Site(fixture, 'a', { readHostFacts });
      const gone = site.engine.run(named('gone'));
      const running = site.start();
      await fixture.advance(10_000);
      site.reboot(running);
      site.engine.die(gone);
      site.engine.restart(site.container);
      await fixture.advance(4_000);
      const again = site.start();
      await fixture.advance(10_000);
      const before = await fixture.records();
      assert.deepEqual(Object.keys(before), [site.key, keyOf('gone')]);
      await fixture.advance(LEASE_MS);
      const after = await fixture.records();
      assert.deepEqual(Object.keys(after), [site.key]);
      assert.equal(after[site.key]?.owner?.s, site.container.startedAt);
      assert.deepEqual(foundMessagesOf(again), []);
    }));
});

describe('engines that change', () => {
  async function change(fixture: RegistrarFixture, engine: FakeEngine, id: string): Promise<void> {
    engine.lose();
    await fixture.advance(2_000);
    engine.engineInfo = { ...engine.engineInfo, id };
    engine.restore();
  }

  it('The names of an engine whose id alone changes are kept in place', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      const running = site.start();
      await fixture.advance(5_000);
      const deletes = watchDeletes(fixture);
      await change(fixture, site.engine, 'ENGINE:2');
      await fixture.advance(10_000);
      assert.match((await fixture.records())[site.key]?.owner?.r ?? '', /^ENGINE:2\//);
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), [site.key]);
      assert.equal(running.registrar.status().engine.id, 'ENGINE:2');
      const changes = running.events.filter(({ kind }) => kind === 'engineChanged');
      assert.equal(changes.length, 1);
      await fixture.assertQuiet(3 * LEASE_MS);
    }));

  for (const isSameRun of [true, false])
    it(`The names of an engine whose host name alone changes are kept, with dockerd ${isSameRun ? 'still running' : 'restarted'}`, () =>
      withRegistrarFixture(async (fixture) => {
        const site = new Site(fixture, 'a');
        site.engine.bridgeId = 'b1';
        const { registrar, events } = site.start();
        await fixture.advance(5_000);
        const deletes = watchDeletes(fixture);
        site.engine.lose();
        await fixture.advance(2_000);
        site.engine.engineInfo = { ...site.engine.engineInfo, name: 'renamed' };
        if (!isSameRun) site.engine.bridgeId = 'b2';
        site.engine.restore();
        await fixture.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, []);
        assert.deepEqual(await fixture.keys(), [site.key]);
        assert.equal(registrar.status().engine.name, 'renamed');
        const changes = events.filter(({ kind }) => kind === 'engineChanged');
        assert.equal(changes.length, isSameRun ? 0 : 1);
      }));

  it('The names of a replaced engine with other containers expire with their lease', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.start();
      await fixture.advance(5_000);
      const deletes = watchDeletes(fixture);
      site.engine.containers.clear();
      site.engine.run(named('new'));
      await change(fixture, site.engine, 'ENGINE:2');
      await fixture.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), ['a', 'new'].map(keyOf));
      await fixture.advance(LEASE_MS);
      assert.deepEqual(await fixture.keys(), [keyOf('new')]);
    }));

  it('An engine that changes and changes back keeps its names throughout', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.start();
      await fixture.advance(5_000);
      const deletes = watchDeletes(fixture);
      for (const id of ['ENGINE:2', 'ENGINE:1', 'ENGINE:2']) {
        await change(fixture, site.engine, id);
        await fixture.advance(6_000);
        assert.ok((await fixture.records())[site.key]?.owner?.r.startsWith(id));
      }
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), [site.key]);
    }));

  it('The names of an engine that changed while its registrar was down are kept on the same machine', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      const running = site.start({ bootKey: 'boot vm unix:///x' });
      await fixture.advance(5_000);
      fixture.kill(running);
      const deletes = watchDeletes(fixture);
      site.engine.engineInfo = { ...site.engine.engineInfo, id: 'ENGINE:2' };
      site.start({ bootKey: 'boot vm unix:///x' });
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), [site.key]);
    }));
});
