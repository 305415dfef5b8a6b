/** How one registrar follows another at the same engine: cases 1, 10, 18 and 19 of the specification. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  KEY,
  LEASE_MS,
  named,
  WEB,
  watchDeletes,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';
import { entriesOf } from '../support/storeCalls.ts';

describe('handover', () => {
  it('A restart after SIGKILL keeps the names, except those of containers that died meanwhile', () =>
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

  it('Of two registrars one stands by and takes over without a gap', () =>
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

  it('The next registrar takes over at once from one that closed', () =>
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

  it('When the lock is deleted, one of two registrars takes it again with all records', () =>
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

  it('At its end a registrar leaves its records, and the next one adopts them', () =>
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
      assert.equal(second.registrar.status().role, 'writing', 'without a challenge');
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  for (const [how, leaseTtlSeconds] of [
    ['longer', 90],
    ['shorter', 12],
  ] as const)
    it(`A registrar with a ${how} lease than its predecessor's keeps the records, on a lease of its own`, () =>
      withRegistrarFixture(async (fixture) => {
        fixture.engine.run(WEB);
        const first = fixture.start();
        await fixture.settle();
        const deletes = watchDeletes(fixture);
        await fixture.end(first);
        const second = fixture.start({ leaseTtlSeconds });
        await fixture.advance(3 * LEASE_MS + 90_000);
        deletes.stop();
        assert.deepEqual(deletes.keys, []);
        fixture.kill(second);
        await fixture.advance(leaseTtlSeconds * 600);
        assert.deepEqual(await fixture.keys(), [KEY]);
        await fixture.advance(leaseTtlSeconds * 400 + 500);
        assert.deepEqual(await fixture.keys(), []);
      }));

  it('A registrar that closes with `revoke` deletes its records', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.settle();
      await fixture.end(first, 'revoke');
      assert.deepEqual(await fixture.keys(), []);
      assert.deepEqual(await fixture.locks(), []);
    }));

  it('While a registrar ends, it still deletes the records of containers that die', () =>
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

  it('The records of a host without power expire after one lease', () =>
    withRegistrarFixture(async (fixture) => {
      for (let i = 0; i < 50; i++) fixture.engine.run(named(`web${i}`));
      const running = fixture.start();
      await fixture.advance(11_000);
      fixture.kill(running);
      await fixture.advance(LEASE_MS + 500);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('A registrar does not take over a lease that a lock names if the lock is not stored under that lease', () =>
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

  it('A registrar that counted as dead stands by when it sees the new holder', () =>
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

  it('A registrar that closes with `revoke` keeps the lease if another one has taken it over unnoticed', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.advance(1_000);
      const second = fixture.start();
      await fixture.advance(1_000);
      const leaseId = first.registrar.status().lease?.id;
      first.link.lose();
      await fixture.advance(LEASE_MS);
      assert.equal(second.registrar.status().lease?.id, leaseId, 'the lease is taken over');
      const deletes = watchDeletes(fixture);
      await fixture.settle();
      first.link.restore();
      await fixture.end(first, 'revoke');
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));
});

function modRevisionOf({ modRevision }: { modRevision: number }): number {
  return modRevision;
}
