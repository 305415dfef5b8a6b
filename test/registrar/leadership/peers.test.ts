/** Registrars of one engine with different work: each writes its own names, and only one writes a common name. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findingKindsOf, findingsOf, keyOf, Site } from '../../support/clonedSites.ts';
import {
  type FixtureSetup,
  LEASE_MS,
  watchDeletes,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';

describe('registrars of one engine', () => {
  const inZone = (zone: string): FixtureSetup => {
    const labels = zone.split('.');
    return { context: { zones: [labels], defaultZone: labels } };
  };

  it('Registrars of one engine with different zones both write and outlive each other', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.engine.run({ env: { DNS_NAME: 'web.a.example' }, exposed: ['80/tcp'] });
      site.engine.run({ env: { DNS_NAME: 'web.b.example' }, exposed: ['80/tcp'] });
      const [a, b] = [site.start(inZone('a.example')), site.start(inZone('b.example'))];
      await fixture.advance(5_000);
      const all = ['example/a/web', 'example/b/web'];
      assert.deepEqual(await fixture.keys(), all);
      assert.deepEqual([a, b].map(findingsOf), [[], []]);
      const deletes = watchDeletes(fixture);
      await fixture.end(a);
      await fixture.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      await fixture.advance(LEASE_MS);
      assert.deepEqual(await fixture.keys(), ['example/b/web']);
      site.start(inZone('a.example'));
      await fixture.advance(5_000);
      assert.deepEqual(await fixture.keys(), all);
    }));

  it('Registrars of one engine with different metadata both write', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.engine.run({ env: { INT_NAME: 'internal.skydns.local' }, exposed: ['80/tcp'] });
      site.start();
      site.start({ context: { envPrefix: 'INT_', labelPrefix: 'int.' } });
      await fixture.advance(5_000);
      assert.deepEqual(await fixture.keys(), ['a', 'internal'].map(keyOf));
    }));

  it('Registrars of one engine with common zones write each name once and warn', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      const auto = { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto', DNS_DOMAIN: 'skydns.local' };
      site.engine.run({ env: auto, exposed: ['80/tcp'] });
      site.engine.run({ env: { DNS_NAME: 'web.a.example' }, exposed: ['80/tcp'] });
      site.engine.run({ env: { DNS_NAME: 'web.b.example' }, exposed: ['80/tcp'] });
      const zones = (own: string) => {
        const all = ['skydns.local', own].map((zone) => zone.split('.'));
        return { context: { zones: all, defaultZone: ['skydns', 'local'] } };
      };
      const first = site.start(zones('a.example'));
      await fixture.advance(1_000);
      const second = site.start(zones('b.example'));
      await fixture.advance(5_000);
      const keys = await fixture.keys();
      assert.equal(keys.length, 4, keys.join());
      assert.deepEqual([first, second].map(findingKindsOf), [['overlapping'], ['overlapping']]);
      await fixture.assertQuiet(2 * LEASE_MS);
    }));

  it('Registrars of one engine that start at once with different addresses end with one that writes', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.engine.bridgeId = 'b1';
      const at = (v4: string) => ({
        readHostFacts: async () => ({ hostAddresses: { v4 }, ownNetworks: [] }),
      });
      const running = [site.start(at('192.0.2.1')), site.start(at('192.0.2.2'))];
      const deletes = watchDeletes(fixture);
      await fixture.advance(10_000);
      const roles = running.map(({ registrar }) => registrar.status().role).sort();
      assert.deepEqual(roles, ['standby', 'writing']);
      await fixture.advance(2 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(await fixture.keys(), [site.key]);
      assert.deepEqual(deletes.keys, []);
      await fixture.assertQuiet(2 * LEASE_MS);
      assert.deepEqual(running.map(findingsOf), [[], []]);
    }));

  for (const how of ['kill', 'end'] as const)
    it(`No name is lost when a registrar with one zone fewer takes over by ${how}`, () =>
      withRegistrarFixture(async (fixture) => {
        const site = new Site(fixture, 'a');
        site.engine.run({ env: { DNS_NAME: 'web.b.example' }, exposed: ['80/tcp'] });
        const zones = [
          ['skydns', 'local'],
          ['b', 'example'],
        ];
        const before = site.start({ context: { zones, defaultZone: ['skydns', 'local'] } });
        await fixture.advance(5_000);
        assert.deepEqual(await fixture.keys(), ['example/b/web', site.key]);
        if (how === 'kill') fixture.kill(before);
        else await fixture.end(before);
        const deletes = watchDeletes(fixture);
        site.start();
        await fixture.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, ['/skydns/example/b/web']);
        assert.deepEqual(await fixture.keys(), [site.key]);
      }));

  it('A record of the engine without a lease is removed when no registrar keeps it', () =>
    withRegistrarFixture(async (fixture) => {
      const [site, clone] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      const other = clone.start();
      await fixture.advance(1_000);
      const { owner } = (await fixture.records())[clone.key] ?? assert.fail();
      // Otherwise the other registrar would remove these records.
      other.link.lose();
      for (const [name, r] of Object.entries({ kept: owner?.r, gone: 'ENGINE:1/0123456789ab' })) {
        const stamp = { r, c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
        const value = Buffer.from(JSON.stringify({ host: '192.0.2.9', ttl: 30, owner: stamp }));
        await fixture.store.put(`/skydns/${keyOf(name)}`, value);
      }
      site.start();
      await fixture.advance(5_000);
      assert.deepEqual(await fixture.keys(), ['a', 'b', 'kept'].map(keyOf));
      await fixture.advance(LEASE_MS);
      assert.deepEqual(await fixture.keys(), [site.key]);
    }));

  it('A standby registrar names the registrar that writes, even as the reason for records that are not written', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.start({ host: 'first' });
      await fixture.advance(1_000);
      const { registrar } = site.start({ host: 'second', context: { recordTtlSeconds: 77 } });
      await fixture.advance(1_000);
      const { role, holder, containers } = registrar.status();
      assert.deepEqual([role, holder], ['standby', 'first']);
      const [record] = containers[0]?.records ?? [];
      assert.deepEqual([record?.state, record?.reason], ['pending', 'standby for first']);
    }));

  it('A dry run does not report the records of the registrar that writes', () =>
    withRegistrarFixture(async (fixture) => {
      const site = new Site(fixture, 'a');
      site.start();
      await fixture.advance(1_000);
      const before = await fixture.revision();
      const dry = site.start({ dryRun: true });
      await fixture.advance(LEASE_MS / 6);
      assert.deepEqual(
        dry.events.filter(({ kind }) => kind === 'would'),
        [],
      );
      assert.ok((await fixture.revision()) - before <= 1, 'it wrote');
      assert.equal(dry.registrar.status().containers[0]?.records[0]?.state, 'published');
    }));
});
