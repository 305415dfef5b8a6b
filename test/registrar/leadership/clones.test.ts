/** Engines with one id, as cloned machines have: each is served, and no registrar removes the records of another. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  findingKindsOf,
  findingsOf,
  foundMessagesOf,
  KERNEL,
  keyOf,
  Site,
} from '../../support/clonedSites.ts';
import {
  LEASE_MS,
  named,
  type RegistrarFixture,
  type Running,
  watchDeletes,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';

describe('engines with one id', () => {
  const both = ['a', 'b'].map(keyOf);

  it('Two engines with one id are both served when they start one after the other', () =>
    withRegistrarFixture(async (fixture) => {
      const running = [];
      for (const site of [new Site(fixture, 'a'), new Site(fixture, 'b')]) {
        running.push(site.start());
        await fixture.advance(1_000);
      }
      assert.deepEqual(await fixture.keys(), both);
      assert.deepEqual(
        running.map(({ registrar }) => registrar.status().role),
        ['writing', 'writing'],
      );
    }));

  it('Two engines with one id are both served when they start at the same moment', () =>
    withRegistrarFixture(async (fixture) => {
      for (const site of [new Site(fixture, 'a'), new Site(fixture, 'b')]) site.start();
      await fixture.advance(1_000);
      assert.deepEqual(await fixture.keys(), both);
    }));

  it('Both registrars of engines with one id are ready and warn with both hosts and a remedy', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      const running = [a.start()];
      await fixture.advance(10_000);
      running.push(b.start());
      await fixture.advance(3_000);
      for (const one of running) {
        const [finding, ...others] = findingsOf(one);
        assert.equal(others.length, 0);
        assert.match(finding?.message ?? '', /two Docker engines have the same id, ENGINE:1/);
        for (const address of ['192.0.2.97', '192.0.2.98'])
          assert.ok(finding?.message.includes(address), finding?.message);
        assert.match(finding?.fix ?? '', /rm -f \/var\/lib\/docker\/engine-id/);
        assert.equal(foundMessagesOf(one).length, 1);
        assert.ok(one.registrar.readiness().isReady);
      }
      await fixture.advance(5 * LEASE_MS);
      assert.deepEqual(
        running.map(foundMessagesOf).map(({ length }) => length),
        [1, 1],
      );
    }));

  it('The warning about engines with one id ends when one of them is gone', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a').start(), new Site(fixture, 'b').start()];
      await fixture.advance(5_000);
      assert.deepEqual(findingKindsOf(a), ['duplicate']);
      await fixture.end(b, 'revoke');
      assert.deepEqual(findingKindsOf(a), []);
    }));

  for (const end of ['kill', 'keep', 'revoke'] as const)
    for (const first of ['a', 'b'])
      for (const awayMs of [0, 5_000, 2 * LEASE_MS])
        it(`Engines with one id keep their own names when ${first} restarts after ${awayMs} ms, by ${end}`, () =>
          withRegistrarFixture(async (fixture) => {
            const sites = [new Site(fixture, 'a'), new Site(fixture, 'b')];
            const running = sites.map((site) => site.start());
            await fixture.advance(10_000);
            const at = first === 'a' ? 0 : 1;
            const [site, other] = [sites[at] as Site, sites[1 - at] as Site];
            const deletes = watchDeletes(fixture);
            if (end === 'kill') fixture.kill(running[at] as Running);
            else await fixture.end(running[at] as Running, end);
            await fixture.advance(awayMs);
            const again = site.start();
            await fixture.advance(2 * LEASE_MS);
            deletes.stop();
            assert.ok(
              !deletes.keys.includes(`/skydns/${other.key}`),
              'the other one’s name was gone',
            );
            const isLeft = end === 'revoke' || awayMs > LEASE_MS;
            if (!isLeft) assert.deepEqual(deletes.keys, []);
            assert.deepEqual(await fixture.keys(), both);
            assert.equal(again.registrar.status().role, 'writing');
            other.engine.die(other.container);
            assert.deepEqual(await fixture.keys(), [site.key]);
          }));

  it('Engines with one id keep their own names when both registrars are killed and restart in the other order', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      const running = [a.start(), b.start()];
      await fixture.advance(10_000);
      for (const one of running) fixture.kill(one);
      const deletes = watchDeletes(fixture);
      b.start();
      await fixture.advance(10_000);
      a.start();
      await fixture.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), both);
    }));

  it('A registrar that loses the store for longer than its lease gets its names back beside an engine with the same id', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a').start(), new Site(fixture, 'b').start()];
      await fixture.advance(10_000);
      a.link.lose();
      await fixture.advance(2 * LEASE_MS);
      assert.deepEqual(await fixture.keys(), [keyOf('b')]);
      a.link.restore();
      await fixture.advance(10_000);
      assert.deepEqual(await fixture.keys(), both);
      assert.equal(b.registrar.status().role, 'writing');
    }));

  it('A name that two engines with one id claim stays with its first holder', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      const [first, second] = [a.start(), b.start()];
      await fixture.advance(5_000);
      a.engine.run({ ...named('both'), ip: '172.17.0.77' });
      await fixture.settle();
      b.engine.run({ ...named('both'), ip: '172.17.0.88' });
      await fixture.advance(2 * LEASE_MS);
      assert.equal((await fixture.hosts())[keyOf('both')], '172.17.0.77');
      assert.equal(second.registrar.status().counters.conflicts, 1);
      fixture.kill(first);
      await fixture.advance(LEASE_MS + 1_000);
      assert.equal((await fixture.hosts())[keyOf('both')], '172.17.0.88');
    }));

  it('Engines with one id behind NAT, with one address, are both served', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = ['a', 'b'].map((name) => new Site(fixture, name, { address: '10.0.2.15' }));
      const first = a?.start();
      await fixture.advance(5_000);
      if (first !== undefined) fixture.kill(first);
      const deletes = watchDeletes(fixture);
      b?.start();
      await fixture.advance(10_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await fixture.keys(), both);
    }));

  it('Engines with one id and different folders on one machine are both served', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      b.engine.engineInfo = { ...b.engine.engineInfo, rootDir: '/mnt/docker' };
      const machine = { bootId: 'one', kernel: KERNEL, uptimeMs: () => 3_600_000 };
      const readHostFacts = async () => ({ hostAddresses: {}, ownNetworks: [] });
      const running = [a, b].map((site) => site.start({ machine, readHostFacts }));
      await fixture.advance(5_000);
      assert.deepEqual(await fixture.keys(), both);
      assert.deepEqual(running.map(findingKindsOf), [['duplicate'], ['duplicate']]);
    }));

  it('Engines without a stable id, such as Podman, are both served without a warning', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      for (const { engine } of [a, b])
        engine.engineInfo = { ...engine.engineInfo, id: 'podman:vm:x', isOwnId: false };
      const running = [a.start(), b.start()];
      await fixture.advance(5_000);
      assert.deepEqual(await fixture.keys(), both);
      assert.deepEqual(running.map(findingKindsOf), [[], []]);
    }));

  describe('containers with the same ids', () => {
    const id = 'c0ffee123456'.padEnd(64, '7');
    const cloned = (fixture: RegistrarFixture, env: Record<string, string>) => {
      const sites = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      // Real machines do not start containers in the same nanosecond. On the fake clock this run sets them apart.
      sites[1]?.engine.run({});
      for (const [at, { engine }] of sites.entries())
        engine.run({ id, env, exposed: ['80/tcp'], ip: `172.17.9.${at + 1}` });
      return sites;
    };
    const addressesAt = async (fixture: RegistrarFixture, prefix: string) =>
      Object.entries(await fixture.hosts())
        .filter(([key]) => key.startsWith(keyOf(prefix)))
        .map(([, host]) => host)
        .sort();

    it('Cloned containers never take a name from each other through restarts', () =>
      withRegistrarFixture(async (fixture) => {
        const sites = cloned(fixture, { DNS_NAME: 'both.skydns.local' });
        const running = sites.map((site) => site.start());
        await fixture.advance(5_000);
        const holder = (await fixture.hosts())[keyOf('both')];
        const at = holder === '172.17.9.1' ? 0 : 1;
        for (const how of ['end', 'kill', 'end'] as const) {
          const one = running[at];
          if (one !== undefined && how === 'end') await fixture.end(one);
          else if (one !== undefined) fixture.kill(one);
          await fixture.advance(5_000);
          assert.equal((await fixture.hosts())[keyOf('both')], holder);
          running[at] = (sites[at] as Site).start();
          await fixture.advance(10_000);
          assert.equal((await fixture.hosts())[keyOf('both')], holder);
        }
      }));

    for (const [what, env] of [
      ['by ids', { DNS_SERVICE: 'web' }],
      ['by numbers', { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' }],
    ] as const)
      it(`Cloned containers are both served under a service that distinguishes its instances ${what}`, () =>
        withRegistrarFixture(async (fixture) => {
          const sites = cloned(fixture, env);
          const running = sites.map((site) => site.start());
          await fixture.advance(10_000);
          const all = ['172.17.9.1', '172.17.9.2'];
          assert.deepEqual(await addressesAt(fixture, 'web'), all);
          const keys = await fixture.keys();
          fixture.kill(running[1] as Running);
          (sites[1] as Site).start();
          await fixture.advance(3 * LEASE_MS);
          assert.deepEqual(await addressesAt(fixture, 'web'), all);
          assert.deepEqual(await fixture.keys(), keys);
          await fixture.assertQuiet(2 * LEASE_MS);
        }));
  });
});
