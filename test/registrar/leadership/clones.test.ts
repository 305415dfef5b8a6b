/** Engines with one id, and registrars of one engine with other work: each is served, and none loses what runs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { locksOf } from '../../../src/registrar/leadership/lock.ts';
import type { Machine } from '../../../src/registrar/observe/self.ts';
import type { FakeContainer } from '../../support/fakeContainer.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import {
  type BenchSetup,
  onBench,
  type RegistrarBench,
  type Running,
  watchDeletes,
} from '../../support/registrarBench.ts';

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
  readonly #bench: RegistrarBench;
  readonly #setup: BenchSetup;
  #bootId: string;
  #bootedAtMs: number;

  constructor(bench: RegistrarBench, name: string, { address, ...setup }: SiteSetup = {}) {
    this.#bench = bench;
    this.engine = new FakeEngine(bench.clock);
    this.engine.engineInfo = { ...this.engine.engineInfo, kernel: KERNEL };
    this.#bootId = `boot of ${name}`;
    this.#bootedAtMs = bench.clock.monotonicMs() - 3_600_000;
    const v4 = address ?? `192.0.2.${name.charCodeAt(0)}`;
    const surroundings = async () => ({ hostAddresses: { v4 }, ownNetworks: [] });
    this.#setup = { place: undefined, host: name, surroundings, ...setup };
    this.container = this.engine.run(named(name));
    this.key = keyOf(name);
  }

  start(more: BenchSetup = {}): Running {
    const bootedAtMs = this.#bootedAtMs;
    const machine: Machine = {
      bootId: this.#bootId,
      kernel: KERNEL,
      uptimeMs: () => this.#bench.clock.monotonicMs() - bootedAtMs,
    };
    return this.#bench.start({ engine: this.engine, machine, ...this.#setup, ...more });
  }

  /** All of the machine ends, and begins anew. */
  reboot(running: Running): void {
    this.#bench.kill(running);
    this.#bootId += ' again';
    this.#bootedAtMs = this.#bench.clock.monotonicMs();
    this.engine.cutEvents();
  }
}

interface SiteSetup extends BenchSetup {
  readonly address?: string;
}

const findingsOf = ({ registrar }: Running) => registrar.status().findings;
const kindsOf = (running: Running) => findingsOf(running).map(({ kind }) => kind);
const toldOf = ({ events }: Running): string[] =>
  events.flatMap((event) => (event.kind === 'found' ? [event.finding.message] : []));

describe('two machines whose engines have one id', () => {
  const both = ['a', 'b'].map(keyOf);

  it('are both served when they start one after the other', () =>
    onBench(async (bench) => {
      const running = [];
      for (const site of [new Site(bench, 'a'), new Site(bench, 'b')]) {
        running.push(site.start());
        await bench.advance(1_000);
      }
      assert.deepEqual(await bench.keys(), both);
      assert.deepEqual(
        running.map(({ registrar }) => registrar.status().role),
        ['writing', 'writing'],
      );
    }));

  it('are both served when they start at the same moment', () =>
    onBench(async (bench) => {
      for (const site of [new Site(bench, 'a'), new Site(bench, 'b')]) site.start();
      await bench.advance(1_000);
      assert.deepEqual(await bench.keys(), both);
    }));

  it('are both told of it, ready as they are, with both hosts and what to do', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a'), new Site(bench, 'b')];
      const running = [a.start()];
      await bench.advance(10_000);
      running.push(b.start());
      await bench.advance(3_000);
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
      await bench.advance(5 * LEASE_MS);
      assert.deepEqual(
        running.map(toldOf).map(({ length }) => length),
        [1, 1],
      );
    }));

  it('are no longer told of it when the other one is gone', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a').start(), new Site(bench, 'b').start()];
      await bench.advance(5_000);
      assert.deepEqual(kindsOf(a), ['duplicate']);
      await bench.end(b, 'revoke');
      assert.deepEqual(kindsOf(a), []);
    }));

  for (const end of ['kill', 'keep', 'revoke'] as const)
    for (const first of ['a', 'b'])
      for (const awayMs of [0, 5_000, 2 * LEASE_MS])
        it(`keep their own names over a restart of ${first} after ${awayMs} ms, by ${end}`, () =>
          onBench(async (bench) => {
            const sites = [new Site(bench, 'a'), new Site(bench, 'b')];
            const running = sites.map((site) => site.start());
            await bench.advance(10_000);
            const at = first === 'a' ? 0 : 1;
            const [site, other] = [sites[at] as Site, sites[1 - at] as Site];
            const deletes = watchDeletes(bench);
            if (end === 'kill') bench.kill(running[at] as Running);
            else await bench.end(running[at] as Running, end);
            await bench.advance(awayMs);
            const again = site.start();
            await bench.advance(2 * LEASE_MS);
            deletes.stop();
            assert.ok(
              !deletes.keys.includes(`/skydns/${other.key}`),
              'the other one’s name was gone',
            );
            const isLeft = end === 'revoke' || awayMs > LEASE_MS;
            if (!isLeft) assert.deepEqual(deletes.keys, []);
            assert.deepEqual(await bench.keys(), both);
            assert.equal(again.registrar.status().role, 'writing');
            other.engine.die(other.container);
            assert.deepEqual(await bench.keys(), [site.key]);
          }));

  it('keep their own names when both are killed and come back in the other order', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a'), new Site(bench, 'b')];
      const running = [a.start(), b.start()];
      await bench.advance(10_000);
      for (const one of running) bench.kill(one);
      const deletes = watchDeletes(bench);
      b.start();
      await bench.advance(10_000);
      a.start();
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), both);
    }));

  it('keep the name of a registrar that was out of reach of the store for longer than its lease', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a').start(), new Site(bench, 'b').start()];
      await bench.advance(10_000);
      a.link.lose();
      await bench.advance(2 * LEASE_MS);
      assert.deepEqual(await bench.keys(), [keyOf('b')]);
      a.link.restore();
      await bench.advance(10_000);
      assert.deepEqual(await bench.keys(), both);
      assert.equal(b.registrar.status().role, 'writing');
    }));

  it('keep a name that both want with the one that had it first', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a'), new Site(bench, 'b')];
      const [first, second] = [a.start(), b.start()];
      await bench.advance(5_000);
      a.engine.run({ ...named('both'), ip: '172.17.0.77' });
      await bench.settle();
      b.engine.run({ ...named('both'), ip: '172.17.0.88' });
      await bench.advance(2 * LEASE_MS);
      assert.equal((await bench.hosts())[keyOf('both')], '172.17.0.77');
      assert.equal(second.registrar.status().counters.conflicts, 1);
      bench.kill(first);
      await bench.advance(LEASE_MS + 1_000);
      assert.equal((await bench.hosts())[keyOf('both')], '172.17.0.88');
    }));

  it('behind NAT, with one address, are both served', () =>
    onBench(async (bench) => {
      const [a, b] = ['a', 'b'].map((name) => new Site(bench, name, { address: '10.0.2.15' }));
      const first = a?.start();
      await bench.advance(5_000);
      if (first !== undefined) bench.kill(first);
      const deletes = watchDeletes(bench);
      b?.start();
      await bench.advance(10_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), both);
    }));

  it('with engines of other folders on one machine are both served', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a'), new Site(bench, 'b')];
      b.engine.engineInfo = { ...b.engine.engineInfo, rootDir: '/mnt/docker' };
      const machine = { bootId: 'one', kernel: KERNEL, uptimeMs: () => 3_600_000 };
      const surroundings = async () => ({ hostAddresses: {}, ownNetworks: [] });
      const running = [a, b].map((site) => site.start({ machine, surroundings }));
      await bench.advance(5_000);
      assert.deepEqual(await bench.keys(), both);
      assert.deepEqual(running.map(kindsOf), [['duplicate'], ['duplicate']]);
    }));

  it('without an id of their own, as Podman’s, are both served without a word', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a'), new Site(bench, 'b')];
      for (const { engine } of [a, b])
        engine.engineInfo = { ...engine.engineInfo, id: 'podman:vm:x', isOwnId: false };
      const running = [a.start(), b.start()];
      await bench.advance(5_000);
      assert.deepEqual(await bench.keys(), both);
      assert.deepEqual(running.map(kindsOf), [[], []]);
    }));

  describe('with containers in them, which have the same ids', () => {
    const id = 'c0ffee123456'.padEnd(64, '7');
    const cloned = (bench: RegistrarBench, env: Record<string, string>) => {
      const sites = [new Site(bench, 'a'), new Site(bench, 'b')];
      // No two machines start a container in the same nanosecond, which this clock would let them do.
      sites[1]?.engine.run({});
      for (const [at, { engine }] of sites.entries())
        engine.run({ id, env, exposed: ['80/tcp'], ip: `172.17.9.${at + 1}` });
      return sites;
    };
    const addressesAt = async (bench: RegistrarBench, prefix: string) =>
      Object.entries(await bench.hosts())
        .filter(([key]) => key.startsWith(keyOf(prefix)))
        .map(([, host]) => host)
        .sort();

    it('never take a name from each other, however often one is restarted', () =>
      onBench(async (bench) => {
        const sites = cloned(bench, { DNS_NAME: 'both.skydns.local' });
        const running = sites.map((site) => site.start());
        await bench.advance(5_000);
        const holder = (await bench.hosts())[keyOf('both')];
        const at = holder === '172.17.9.1' ? 0 : 1;
        for (const how of ['end', 'kill', 'end'] as const) {
          const one = running[at];
          if (one !== undefined && how === 'end') await bench.end(one);
          else if (one !== undefined) bench.kill(one);
          await bench.advance(5_000);
          assert.equal((await bench.hosts())[keyOf('both')], holder);
          running[at] = (sites[at] as Site).start();
          await bench.advance(10_000);
          assert.equal((await bench.hosts())[keyOf('both')], holder);
        }
      }));

    for (const [what, env] of [
      ['by ids', { DNS_SERVICE: 'web' }],
      ['by numbers', { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' }],
    ] as const)
      it(`are both served under a service that tells its instances apart ${what}`, () =>
        onBench(async (bench) => {
          const sites = cloned(bench, env);
          const running = sites.map((site) => site.start());
          await bench.advance(10_000);
          const all = ['172.17.9.1', '172.17.9.2'];
          assert.deepEqual(await addressesAt(bench, 'web'), all);
          const keys = await bench.keys();
          bench.kill(running[1] as Running);
          (sites[1] as Site).start();
          await bench.advance(3 * LEASE_MS);
          assert.deepEqual(await addressesAt(bench, 'web'), all);
          assert.deepEqual(await bench.keys(), keys);
          await bench.assertQuiet(2 * LEASE_MS);
        }));
  });

  it('are both served when the first one’s registrar is of a version before', () =>
    onBench(async (bench) => {
      const [a, b] = [new Site(bench, 'a'), new Site(bench, 'b')];
      const old = new OldRegistrar(bench, `boot of a vm ${a.engine.label}`);
      await old.start(a);
      const deletes = watchDeletes(bench);
      b.start({ place: `boot of b vm ${b.engine.label}` });
      await old.live(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), both);
    }));
});

/** What a version without host parts had in the store: its lock, its records, and its answers to challenges. */
class OldRegistrar {
  readonly #bench: RegistrarBench;
  readonly #place: string;
  #lease = '';

  constructor(bench: RegistrarBench, place: string) {
    this.#bench = bench;
    this.#place = place;
  }

  async start({ engine, container, key }: Site): Promise<void> {
    const { store } = this.#bench;
    ({ id: this.#lease } = await store.grantLease(LEASE_MS / 1000));
    await this.#lock({});
    const owner = { r: engine.engineInfo.id, c: container.id.slice(0, 12), s: container.startedAt };
    const host = [...container.networks.values()][0]?.ip;
    const value = Buffer.from(JSON.stringify({ host, port: 80, ttl: 30, owner }));
    await store.put(`/skydns/${key}`, value, { lease: this.#lease });
  }

  /** Is there for so long. */
  async live(ms: number): Promise<void> {
    const { store } = this.#bench;
    for (let passedMs = 0; passedMs < ms; passedMs += 500) {
      await store.delete(`${locksOf('ENGINE:1')}challenge`);
      await store.renewLease(this.#lease);
      await this.#bench.advance(500);
    }
  }

  release(): Promise<void> {
    return this.#lock({ released: true });
  }

  async #lock(more: object): Promise<void> {
    const json = { instance: 'old', host: 'vm', place: this.#place, lease: this.#lease, ...more };
    const value = Buffer.from(JSON.stringify(json));
    await this.#bench.store.put(`${locksOf('ENGINE:1')}holder`, value, { lease: this.#lease });
  }
}

describe('an upgrade from a version without host parts', () => {
  for (const how of ['released', 'killed'] as const)
    it(`loses no name, and keeps no ghost, when the old one was ${how}`, () =>
      onBench(async (bench) => {
        const site = new Site(bench, 'a');
        const gone = new Site(bench, 'gone');
        const place = `boot of a vm ${site.engine.label}`;
        const old = new OldRegistrar(bench, place);
        await old.start(site);
        await new OldRegistrar(bench, place).start(gone);
        await old.start(site);
        if (how === 'released') await old.release();
        await bench.advance(5_000);
        const deletes = watchDeletes(bench);
        const { registrar } = site.start({ place });
        await bench.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, [`/skydns/${gone.key}`]);
        assert.deepEqual(await bench.keys(), [site.key]);
        assert.equal(registrar.status().role, 'writing');
        assert.deepEqual(registrar.status().findings, []);
      }));

  it('waits for the old one as long as it lives', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      const place = `boot of a vm ${site.engine.label}`;
      const old = new OldRegistrar(bench, place);
      await old.start(site);
      const { registrar } = site.start({ place });
      await old.live(2 * LEASE_MS);
      assert.deepEqual([registrar.status().role, registrar.status().holder], ['standby', 'vm']);
    }));

  it('to another path of the socket hands the names over in place', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      const old = new OldRegistrar(bench, 'boot of a vm unix:///var/run/docker.sock');
      await old.start(site);
      await old.release();
      const deletes = watchDeletes(bench);
      site.start({ place: 'boot of a vm unix:///host/run/docker.sock' });
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), [site.key]);
    }));
});

describe('a machine that boots within the lease', () => {
  it('takes its records over: none is gone, and what does not run any more has no ghost', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      const gone = site.engine.run(named('gone'));
      const running = site.start();
      await bench.advance(10_000);
      site.reboot(running);
      site.engine.die(gone);
      site.engine.restart(site.container);
      await bench.advance(4_000);
      const deletes = watchDeletes(bench);
      const again = site.start();
      await bench.advance(5_000);
      assert.deepEqual(deletes.keys, [`/skydns/${keyOf('gone')}`]);
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(await bench.keys(), [site.key]);
      assert.deepEqual(deletes.keys, [`/skydns/${keyOf('gone')}`]);
      assert.deepEqual(toldOf(again), []);
    }));

  it('and whose address is not known has old records for the lease at most, and then its own', () =>
    onBench(async (bench) => {
      const surroundings = async () => ({ hostAddresses: {}, ownNetworks: [] });
      const site = new Site(bench, 'a', { surroundings });
      const gone = site.engine.run(named('gone'));
      const running = site.start();
      await bench.advance(10_000);
      site.reboot(running);
      site.engine.die(gone);
      site.engine.restart(site.container);
      await bench.advance(4_000);
      const again = site.start();
      await bench.advance(10_000);
      const before = await bench.records();
      assert.deepEqual(Object.keys(before), [site.key, keyOf('gone')]);
      await bench.advance(LEASE_MS);
      const after = await bench.records();
      assert.deepEqual(Object.keys(after), [site.key]);
      assert.equal(after[site.key]?.owner?.s, site.container.startedAt);
      assert.deepEqual(toldOf(again), []);
    }));
});

describe('registrars of one engine', () => {
  const inZone = (zone: string): BenchSetup => {
    const labels = zone.split('.');
    return { context: { zones: [labels], defaultZone: labels } };
  };

  it('with other zones both write, and outlive each other', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.engine.run({ env: { DNS_NAME: 'web.a.example' }, exposed: ['80/tcp'] });
      site.engine.run({ env: { DNS_NAME: 'web.b.example' }, exposed: ['80/tcp'] });
      const [a, b] = [site.start(inZone('a.example')), site.start(inZone('b.example'))];
      await bench.advance(5_000);
      const all = ['example/a/web', 'example/b/web'];
      assert.deepEqual(await bench.keys(), all);
      assert.deepEqual([a, b].map(findingsOf), [[], []]);
      const deletes = watchDeletes(bench);
      await bench.end(a);
      await bench.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      await bench.advance(LEASE_MS);
      assert.deepEqual(await bench.keys(), ['example/b/web']);
      site.start(inZone('a.example'));
      await bench.advance(5_000);
      assert.deepEqual(await bench.keys(), all);
    }));

  it('with other metadata both write', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.engine.run({ env: { INT_NAME: 'internal.skydns.local' }, exposed: ['80/tcp'] });
      site.start();
      site.start({ context: { metadata: { env: 'INT_', label: 'int.' } } });
      await bench.advance(5_000);
      assert.deepEqual(await bench.keys(), ['a', 'internal'].map(keyOf));
    }));

  it('with some zones in common both write, each name once, and are told of it', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      const auto = { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto', DNS_DOMAIN: 'skydns.local' };
      site.engine.run({ env: auto, exposed: ['80/tcp'] });
      site.engine.run({ env: { DNS_NAME: 'web.a.example' }, exposed: ['80/tcp'] });
      site.engine.run({ env: { DNS_NAME: 'web.b.example' }, exposed: ['80/tcp'] });
      const zones = (own: string) => {
        const all = ['skydns.local', own].map((zone) => zone.split('.'));
        return { context: { zones: all, defaultZone: ['skydns', 'local'] } };
      };
      const first = site.start(zones('a.example'));
      await bench.advance(1_000);
      const second = site.start(zones('b.example'));
      await bench.advance(5_000);
      const keys = await bench.keys();
      assert.equal(keys.length, 4, keys.join());
      assert.deepEqual([first, second].map(kindsOf), [['overlapping'], ['overlapping']]);
      await bench.assertQuiet(2 * LEASE_MS);
    }));

  it('that start at the same moment and know different addresses end as one that writes', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.engine.bridgeId = 'b1';
      const at = (v4: string) => ({
        surroundings: async () => ({ hostAddresses: { v4 }, ownNetworks: [] }),
      });
      const running = [site.start(at('192.0.2.1')), site.start(at('192.0.2.2'))];
      const deletes = watchDeletes(bench);
      await bench.advance(10_000);
      const roles = running.map(({ registrar }) => registrar.status().role).sort();
      assert.deepEqual(roles, ['standby', 'writing']);
      await bench.advance(2 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(await bench.keys(), [site.key]);
      assert.deepEqual(deletes.keys, []);
      await bench.assertQuiet(2 * LEASE_MS);
      assert.deepEqual(running.map(findingsOf), [[], []]);
    }));

  for (const how of ['kill', 'end'] as const)
    it(`lose no name when one with a zone less follows by ${how}`, () =>
      onBench(async (bench) => {
        const site = new Site(bench, 'a');
        site.engine.run({ env: { DNS_NAME: 'web.b.example' }, exposed: ['80/tcp'] });
        const zones = [
          ['skydns', 'local'],
          ['b', 'example'],
        ];
        const before = site.start({ context: { zones, defaultZone: ['skydns', 'local'] } });
        await bench.advance(5_000);
        assert.deepEqual(await bench.keys(), ['example/b/web', site.key]);
        if (how === 'kill') bench.kill(before);
        else await bench.end(before);
        const deletes = watchDeletes(bench);
        site.start();
        await bench.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, ['/skydns/example/b/web']);
        assert.deepEqual(await bench.keys(), [site.key]);
      }));

  it('remove a record of their engine that no lease ends, once no registrar keeps it', () =>
    onBench(async (bench) => {
      const [site, clone] = [new Site(bench, 'a'), new Site(bench, 'b')];
      const other = clone.start();
      await bench.advance(1_000);
      const { owner } = (await bench.records())[clone.key] ?? assert.fail();
      // It would remove what it does not know.
      other.link.lose();
      for (const [name, r] of Object.entries({ kept: owner?.r, gone: 'ENGINE:1/0123456789ab' })) {
        const stamp = { r, c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
        const value = Buffer.from(JSON.stringify({ host: '192.0.2.9', ttl: 30, owner: stamp }));
        await bench.store.put(`/skydns/${keyOf(name)}`, value);
      }
      site.start();
      await bench.advance(5_000);
      assert.deepEqual(await bench.keys(), ['a', 'b', 'kept'].map(keyOf));
      await bench.advance(LEASE_MS);
      assert.deepEqual(await bench.keys(), [site.key]);
    }));

  it('of which one stands by say for whom, also of what is not written', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.start({ host: 'first' });
      await bench.advance(1_000);
      const { registrar } = site.start({ host: 'second', context: { ttlSeconds: 77 } });
      await bench.advance(1_000);
      const { role, holder, containers } = registrar.status();
      assert.deepEqual([role, holder], ['standby', 'first']);
      const [record] = containers[0]?.records ?? [];
      assert.deepEqual([record?.state, record?.reason], ['pending', 'standby for first']);
    }));

  it('in a dry run say nothing of what the one that writes has written', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.start();
      await bench.advance(1_000);
      const before = await bench.revision();
      const dry = site.start({ dryRun: true });
      await bench.advance(LEASE_MS / 6);
      assert.deepEqual(
        dry.events.filter(({ kind }) => kind === 'would'),
        [],
      );
      assert.ok((await bench.revision()) - before <= 1, 'it wrote');
      assert.equal(dry.registrar.status().containers[0]?.records[0]?.state, 'published');
    }));
});

describe('an engine that is another one after it was away', () => {
  async function change(bench: RegistrarBench, engine: FakeEngine, id: string): Promise<void> {
    engine.lose();
    await bench.advance(2_000);
    engine.engineInfo = { ...engine.engineInfo, id };
    engine.restore();
  }

  it('by its id alone has its names handed over in place', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      const running = site.start();
      await bench.advance(5_000);
      const deletes = watchDeletes(bench);
      await change(bench, site.engine, 'ENGINE:2');
      await bench.advance(10_000);
      assert.match((await bench.records())[site.key]?.owner?.r ?? '', /^ENGINE:2\//);
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), [site.key]);
      assert.equal(running.registrar.status().engine.id, 'ENGINE:2');
      const changes = running.events.filter(({ kind }) => kind === 'engineChanged');
      assert.equal(changes.length, 1);
      await bench.assertQuiet(3 * LEASE_MS);
    }));

  for (const isSameRun of [true, false])
    it(`by its host's name alone keeps its names, dockerd ${isSameRun ? 'running on' : 'restarted'}`, () =>
      onBench(async (bench) => {
        const site = new Site(bench, 'a');
        site.engine.bridgeId = 'b1';
        const { registrar, events } = site.start();
        await bench.advance(5_000);
        const deletes = watchDeletes(bench);
        site.engine.lose();
        await bench.advance(2_000);
        site.engine.engineInfo = { ...site.engine.engineInfo, name: 'renamed' };
        if (!isSameRun) site.engine.bridgeId = 'b2';
        site.engine.restore();
        await bench.advance(3 * LEASE_MS);
        deletes.stop();
        assert.deepEqual(deletes.keys, []);
        assert.deepEqual(await bench.keys(), [site.key]);
        assert.equal(registrar.status().engine.name, 'renamed');
        const changes = events.filter(({ kind }) => kind === 'engineChanged');
        assert.equal(changes.length, isSameRun ? 0 : 1);
      }));

  it('with other containers leaves the names of the one before to their lease', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.start();
      await bench.advance(5_000);
      const deletes = watchDeletes(bench);
      site.engine.containers.clear();
      site.engine.run(named('new'));
      await change(bench, site.engine, 'ENGINE:2');
      await bench.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), ['a', 'new'].map(keyOf));
      await bench.advance(LEASE_MS);
      assert.deepEqual(await bench.keys(), [keyOf('new')]);
    }));

  it('and back again has its names all the while', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      site.start();
      await bench.advance(5_000);
      const deletes = watchDeletes(bench);
      for (const id of ['ENGINE:2', 'ENGINE:1', 'ENGINE:2']) {
        await change(bench, site.engine, id);
        await bench.advance(6_000);
        assert.ok((await bench.records())[site.key]?.owner?.r.startsWith(id));
      }
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), [site.key]);
    }));

  it('while its registrar was away as well has its names handed over, when it is at the same place', () =>
    onBench(async (bench) => {
      const site = new Site(bench, 'a');
      const running = site.start({ place: 'boot vm unix:///x' });
      await bench.advance(5_000);
      bench.kill(running);
      const deletes = watchDeletes(bench);
      site.engine.engineInfo = { ...site.engine.engineInfo, id: 'ENGINE:2' };
      site.start({ place: 'boot vm unix:///x' });
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), [site.key]);
    }));
});
