/** A registrar that succeeds a registrar of an earlier version. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { locksOf } from '../../../src/registrar/leadership/lock.ts';
import { keyOf, Site } from '../../support/clonedSites.ts';
import {
  LEASE_MS,
  named,
  type RegistrarFixture,
  watchDeletes,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';
import { entriesOf } from '../../support/storeCalls.ts';

/** What a registrar of a version without host parts writes: its lock, its records, its answers to challenges. */
class OldRegistrar {
  readonly #fixture: RegistrarFixture;
  readonly #bootKey: string;
  #lease = '';

  constructor(fixture: RegistrarFixture, bootKey: string) {
    this.#fixture = fixture;
    this.#bootKey = bootKey;
  }

  async start({ engine, container, key }: Site): Promise<void> {
    const { store } = this.#fixture;
    ({ id: this.#lease } = await store.grantLease(LEASE_MS / 1000));
    await this.#lock({});
    const owner = { r: engine.engineInfo.id, c: container.id.slice(0, 12), s: container.startedAt };
    const host = [...container.networks.values()][0]?.ip;
    const value = Buffer.from(JSON.stringify({ host, port: 80, ttl: 30, owner }));
    await store.put(`/skydns/${key}`, value, { lease: this.#lease });
  }

  /** Answers challenges and renews its lease for that time. */
  async live(ms: number): Promise<void> {
    const { store } = this.#fixture;
    for (let passedMs = 0; passedMs < ms; passedMs += 500) {
      await store.delete(`${locksOf('ENGINE:1')}challenge`);
      await store.renewLease(this.#lease);
      await this.#fixture.advance(500);
    }
  }

  release(): Promise<void> {
    return this.#lock({ released: true });
  }

  async #lock(more: object): Promise<void> {
    const json = { instance: 'old', host: 'vm', place: this.#bootKey, lease: this.#lease, ...more };
    const value = Buffer.from(JSON.stringify(json));
    await this.#fixture.store.put(`${locksOf('ENGINE:1')}holder`, value, { lease: this.#lease });
  }
}

describe('upgrades from a version without host parts', () => {
  for (const how of ['released', 'killed'] as const)
    it(`An upgrade keeps every name and no stale record when the old registrar was ${how}`, () =>
      withRegistrarFixture(async (fixture) => {
        const site = new Site(fixture, 'a');
        const gone = new Site(fixture, 'gone');
        const bootKey = `boot of a vm ${site.engine.label}`;
        const old = new OldRegistrar(fixture, bootKey);
        await old.start(site);
        await new OldRegistrar(fixture, bootKey).start(gone);
        await old.start(site);
        if (how === 'released') await old.release();
        await fixture.advance(5_000);
        const deletes = watchDeletes(fixture);
        const { registrar } = site.start({ bootKey });
        await fixture.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, [`/skydns/${gone.key}`]);
        assert.deepEqual(await fixture.keys(), [site.key]);
        assert.equal(registrar.status().role, 'writing');
        assert.deepEqual(registrar.status().findings, []);
      }));

  it('An upgraded registrar waits while the old one lives', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      const bootKey = `boot of a vm ${site.engine.label}`;
      const old = new OldRegistrar(fixture, bootKey);
      await old.start(site);
      const { registrar } = site.start({ bootKey });
      await old.live(2 * LEASE_MS);
      assert.deepEqual([registrar.status().role, registrar.status().holder], ['standby', 'vm']);
    }));

  it('An upgrade with another socket path takes the names over in place', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      const old = new OldRegistrar(fixture, 'boot of a vm unix:///var/run/docker.sock');
      await old.start(site);
      await old.release();
      const deletes = watchDeletes(fixture);
      site.start({ bootKey: 'boot of a vm unix:///host/run/docker.sock' });
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), [site.key]);
    }));

  it('Cloned containers are both served when the first registrar has an earlier version', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      const old = new OldRegistrar(fixture, `boot of a vm ${a.engine.label}`);
      await old.start(a);
      const deletes = watchDeletes(fixture);
      b.start({ bootKey: `boot of b vm ${b.engine.label}` });
      await old.live(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), ['a', 'b'].map(keyOf));
    }));
});

describe('upgrades from a version whose records lack the container’s own port', () => {
  for (const how of ['ended', 'killed'] as const)
    it(`An upgrade completes each record of a registrar that was ${how}, and removes none meanwhile`, () =>
      withRegistrarFixture(async (fixture) => {
        const one = { ...named('one'), ip: '10.1.0.1' };
        const many = { env: { DNS_NAME: 'many', DNS_INSTANCE: 'auto' }, exposed: ['53/udp'] };
        fixture.engine.run(one);
        for (const ip of ['10.1.0.2', '10.1.0.3']) fixture.engine.run({ ...many, ip });
        fixture.engine.run({ ...named('both'), ip: '10.1.0.4', ip6: 'fd00::4' });
        const old = fixture.start();
        await fixture.advance(1_000);
        if (how === 'ended') await fixture.end(old);
        else fixture.kill(old);
        const entries = await entriesOf(fixture.store, '/skydns/');
        assert.equal(entries.length, 5);
        for (const { key, value, lease } of entries) {
          const { expose, ...before } = JSON.parse(Buffer.from(value).toString());
          assert.ok(expose !== undefined, key);
          assert.ok(lease !== undefined, key);
          await fixture.store.put(key, Buffer.from(JSON.stringify(before)), { lease: lease.id });
        }
        const deletes = watchDeletes(fixture);
        fixture.start();
        await fixture.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, []);
        const after = await entriesOf(fixture.store, '/skydns/');
        const facts = (list: typeof entries) =>
          list.map(({ key, value, createRevision }) => [
            key,
            createRevision,
            Buffer.from(value).toString(),
          ]);
        assert.deepEqual(facts(after), facts(entries));
        await fixture.assertQuiet(60_000);
      }));
});
