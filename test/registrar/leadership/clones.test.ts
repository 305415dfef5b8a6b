/** Engines with one id, and registrars of one engine with other work: each is served, and none loses what runs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { locksOf } from '../../../src/registrar/leadership/lock.ts';
import type { Machine } from '../../../src/registrar/observe/self.ts';
import type { FakeContainer } from '../../support/fakeContainer.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import {
  type FixtureSetup,
  type RegistrarFixture,
  type Running,
  watchDeletes,
  withRegistrarFixture,
} from '../../support/registrarFixture.ts';

const LEASE_MS = 30_000;
const KERNEL = '6.1.0';

const named = (name: string) => ({
  env: { DNS_NAME: `${name}.skydns.local` },
  exposed: ['80/tcp'],
});
const keyOf = (name: string): string => `local/skydns/${name}`;

/** A machine with a Docker whose id every other site has too. */
class Site {
  readonly engine: FakeEngine;
  readonly container: FakeContainer;
  readonly key: string;
  readonly #fixture: RegistrarFixture;
  readonly #setup: FixtureSetup;
  #bootId: string;
  #bootedAtMs: number;

  constructor(fixture: RegistrarFixture, name: string, { address, ...setup }: SiteSetup = {}) {
    this.#fixture = fixture;
    this.engine = new FakeEngine(fixture.clock);
    this.engine.engineInfo = { ...this.engine.engineInfo, kernel: KERNEL };
    this.#bootId = `boot of ${name}`;
    this.#bootedAtMs = fixture.clock.monotonicMs() - 3_600_000;
    const v4 = address ?? `192.0.2.${name.charCodeAt(0)}`;
    const readHostFacts = async () => ({ hostAddresses: { v4 }, ownNetworks: [] });
    this.#setup = { bootKey: undefined, host: name, readHostFacts, ...setup };
    this.container = this.engine.run(named(name));
    this.key = keyOf(name);
  }

  start(more: FixtureSetup = {}): Running {
    const bootedAtMs = this.#bootedAtMs;
    const machine: Machine = {
      bootId: this.#bootId,
      kernel: KERNEL,
      uptimeMs: () => this.#fixture.clock.monotonicMs() - bootedAtMs,
    };
    return this.#fixture.start({ engine: this.engine, machine, ...this.#setup, ...more });
  }

  /** All of the machine ends, and begins anew. */
  reboot(running: Running): void {
    this.#fixture.kill(running);
    this.#bootId += ' again';
    this.#bootedAtMs = this.#fixture.clock.monotonicMs();
    this.engine.cutEvents();
  }
}

interface SiteSetup extends FixtureSetup {
  readonly address?: string;
}

const findingsOf = ({ registrar }: Running) => registrar.status().findings;
const kindsOf = (running: Running) => findingsOf(running).map(({ kind }) => kind);
const toldOf = ({ events }: Running): string[] =>
  events.flatMap((event) => (event.kind === 'found' ? [event.finding.message] : []));

describe('engines with one id', () => {
  const both = ['a', 'b'].map(keyOf);

  it('Both of two engines with one id are served when they start one after the other', () =>
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

  it('Both of two engines with one id are served when they start at the same moment', () =>
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
        assert.equal(toldOf(one).length, 1);
        assert.ok(one.registrar.readiness().isReady);
      }
      await fixture.advance(5 * LEASE_MS);
      assert.deepEqual(
        running.map(toldOf).map(({ length }) => length),
        [1, 1],
      );
    }));

  it('The warning about engines with one id ends when the other one is gone', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a').start(), new Site(fixture, 'b').start()];
      await fixture.advance(5_000);
      assert.deepEqual(kindsOf(a), ['duplicate']);
      await fixture.end(b, 'revoke');
      assert.deepEqual(kindsOf(a), []);
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
      assert.deepEqual(running.map(kindsOf), [['duplicate'], ['duplicate']]);
    }));

  it('Engines without a stable id, such as Podman, are both served without a warning', () =>
    withRegistrarFixture(async (fixture) => {
      const [a, b] = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      for (const { engine } of [a, b])
        engine.engineInfo = { ...engine.engineInfo, id: 'podman:vm:x', isOwnId: false };
      const running = [a.start(), b.start()];
      await fixture.advance(5_000);
      assert.deepEqual(await fixture.keys(), both);
      assert.deepEqual(running.map(kindsOf), [[], []]);
    }));

  describe('containers with the same ids', () => {
    const id = 'c0ffee123456'.padEnd(64, '7');
    const cloned = (fixture: RegistrarFixture, env: Record<string, string>) => {
      const sites = [new Site(fixture, 'a'), new Site(fixture, 'b')];
      // No two machines start a container in the same nanosecond, which this clock would let them do.
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
      assert.deepEqual(await fixture.keys(), both);
    }));
});

/** What a version without host parts had in the store: its lock, its records, and its answers to challenges. */
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

  /** Is there for so long. */
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
});

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
      assert.deepEqual(toldOf(again), []);
    }));

  it('A machine that reboots with an unknown address has its old records for at most the lease and then its own', () =>
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
      assert.deepEqual(toldOf(again), []);
    }));
});

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
      assert.deepEqual([first, second].map(kindsOf), [['overlapping'], ['overlapping']]);
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
    it(`No name is lost when a registrar with one zone less takes over by ${how}`, () =>
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
      // It would remove what it does not know.
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

  it('A standby registrar names the one that writes, also for names that are not written', () =>
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
