/** The registrar's failure cases, by the numbers of the specification, on a fake engine, store and clock. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { printReason } from '../../src/registrar/status.ts';
import {
  type BenchSetup,
  onBench,
  type RegistrarBench,
  type Running,
  watchDeletes,
} from '../support/registrarBench.ts';
import { entriesOf } from '../support/storeCalls.ts';

const LEASE_MS = 30_000;

function named(name: string, more: Record<string, string> = {}) {
  return { env: { DNS_NAME: `${name}.skydns.local`, ...more }, exposed: ['80/tcp'] };
}

const WEB = named('web');
const KEY = 'local/skydns/web';

/** What keeps it from being ready, as people read it. */
const troubles = ({ registrar }: Pick<Running, 'registrar'>): string =>
  registrar.readiness().reasons.map(printReason).join();

const kindsOf = ({ events }: Running): string[] => events.map(({ kind }) => kind);

describe('a container in DNS', () => {
  it('appears when it starts and goes when it dies', () =>
    onBench(async (bench) => {
      bench.start();
      await bench.settle();
      const web = bench.engine.run(WEB);
      const { owner, ...service } = (await bench.records())[KEY] ?? assert.fail('it is not there');
      assert.deepEqual(service, { host: '172.17.0.2', port: 80, ttl: 30 });
      assert.match(owner?.r ?? '', /^ENGINE:1\/[0-9a-f]{12}$/);
      assert.deepEqual([owner?.c, owner?.s], [web.id.slice(0, 12), web.startedAt]);
      bench.engine.die(web);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('that ran before is found, and nothing is written when nothing happens', () =>
    onBench(async (bench) => {
      for (let i = 0; i < 300; i++) bench.engine.run(named(`web${i}`));
      const { registrar } = bench.start();
      await bench.settle();
      assert.equal((await bench.keys()).length, 300);
      assert.deepEqual(registrar.readiness(), { isReady: true, reasons: [] });
      await bench.assertQuiet(10 * 60_000);
    }));

  it('pauses with its container', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.pause(web);
      assert.deepEqual(await bench.keys(), []);
      bench.engine.unpause(web);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('is there while its HEALTHCHECK passes', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run({ ...WEB, health: 'starting' });
      assert.deepEqual(await bench.keys(), []);
      bench.engine.setHealth(web, 'healthy');
      assert.deepEqual(await bench.keys(), [KEY]);
      bench.engine.setHealth(web, 'unhealthy');
      assert.deepEqual(await bench.keys(), []);
    }));

  it('stays when its health is to be ignored', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run({
        ...named('web', { DNS_HEALTH: 'ignore' }),
        health: 'healthy',
      });
      await bench.settle();
      const deletes = watchDeletes(bench);
      await bench.settle();
      bench.engine.setHealth(web, 'unhealthy');
      await bench.advance(1_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('follows its networks', () =>
    onBench(async (bench) => {
      bench.start({ context: { networks: ['blue'] } });
      const web = bench.engine.run(WEB);
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.2' });
      bench.engine.connect(web, 'blue', '10.1.0.9');
      assert.deepEqual(await bench.hosts(), { [KEY]: '10.1.0.9' });
      const deletes = watchDeletes(bench);
      await bench.settle();
      bench.engine.disconnect(web, 'blue');
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.2' });
      deletes.stop();
      assert.deepEqual(deletes.keys, [], 'it was never without a record');
    }));

  it('drains at its stop signal or SIGKILL, and at no other', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run({ ...WEB, stopSignal: 'SIGQUIT' });
      for (const signal of ['1', '15', '10']) {
        bench.engine.signal(web, signal);
        assert.deepEqual(await bench.keys(), [KEY], `signal ${signal}`);
      }
      bench.engine.signal(web, '3');
      assert.deepEqual(await bench.keys(), []);
      bench.engine.restart(web);
      assert.deepEqual(await bench.keys(), [KEY]);
      bench.engine.signal(web, '9');
      assert.deepEqual(await bench.keys(), []);
    }));

  it('stays until its end when it says so', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(named('web', { DNS_STOP: 'die' }));
      await bench.settle();
      bench.engine.signal(web, '15');
      assert.deepEqual(await bench.keys(), [KEY]);
      bench.engine.die(web);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('has its check to pass, and all the while', () =>
    onBench(async (bench) => {
      let isUp = false;
      const context = { compat: 'registrator', exposedByDefault: true } as const;
      const registrator = { hostName: '', rawIds: false, tags: [] };
      const probe = async (): Promise<boolean> => isUp;
      const running = bench.start({ context: { ...context, registrator }, probe });
      bench.engine.run({
        name: 'web',
        env: { SERVICE_NAME: 'web', SERVICE_CHECK_TCP: 'true', SERVICE_CHECK_INTERVAL: '2s' },
        exposed: ['80/tcp'],
      });
      assert.deepEqual(await bench.keys(), []);
      assert.equal(running.registrar.status().containers[0]?.records[0]?.state, 'unchecked');
      isUp = true;
      await bench.advance(2_100);
      assert.deepEqual(await bench.keys(), ['local/skydns/web/fakehost-web-80']);
      isUp = false;
      await bench.advance(2_100);
      assert.deepEqual(await bench.keys(), []);
    }));
});

describe('instances that are numbered', () => {
  const AUTO = {
    env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' },
    exposed: ['80/tcp'],
  };

  it('take the smallest free number and keep it for their life', () =>
    onBench(async (bench) => {
      bench.start();
      const [first, second] = [bench.engine.run(AUTO), bench.engine.run(AUTO)];
      const third = bench.engine.run(AUTO);
      await bench.settle();
      const before = await bench.hosts();
      const base = Object.keys(before)[0]?.replace(/\/1$/, '');
      assert.deepEqual(
        Object.keys(before),
        [1, 2, 3].map((number) => `${base}/${number}`),
      );
      bench.engine.die(first);
      await bench.settle();
      assert.deepEqual(
        await bench.keys(),
        [2, 3].map((number) => `${base}/${number}`),
      );
      bench.engine.restart(third);
      bench.engine.run(AUTO);
      const after = await bench.hosts();
      assert.deepEqual(Object.keys(after), Object.keys(before));
      assert.equal(after[`${base}/2`], [...second.networks.values()][0]?.ip);
      assert.equal(after[`${base}/3`], [...third.networks.values()][0]?.ip);
    }));

  it('keep it also when the registrar has been restarted meanwhile', () =>
    onBench(async (bench) => {
      const running = bench.start();
      const [first, second] = [bench.engine.run(AUTO), bench.engine.run(AUTO)];
      await bench.settle();
      const before = await bench.hosts();
      await bench.end(running);
      bench.start();
      await bench.advance(1_000);
      for (const each of [first, second]) bench.engine.die(each);
      assert.deepEqual(await bench.keys(), []);
      for (const each of [second, first]) bench.engine.start(each);
      assert.deepEqual(await bench.hosts(), before);
    }));

  it('share the numbers with other engines, each number once', () =>
    onBench(async (bench) => {
      const other = { ...AUTO };
      bench.start();
      for (let i = 0; i < 3; i++) bench.engine.run(other);
      const [first = ''] = await bench.keys();
      const base = `/skydns/${first.replace(/\/1$/, '')}`;
      await bench.store.put(`${base}/4`, Buffer.from('{"host":"192.0.2.77"}'));
      bench.engine.run(AUTO);
      const hosts = await bench.hosts();
      assert.deepEqual(
        Object.keys(hosts).map((key) => key.split('/').at(-1)),
        ['1', '2', '3', '4', '5'],
      );
      assert.equal(hosts[`${base}/4`.slice('/skydns/'.length)], '192.0.2.77');
    }));
});

describe('the 20 failure cases', () => {
  it('1: killed and restarted, the names never go; what died meanwhile does', () =>
    onBench(async (bench) => {
      const [stays, goes] = [bench.engine.run(WEB), bench.engine.run(named('gone'))];
      const first = bench.start();
      await bench.advance(12_000);
      assert.equal((await bench.keys()).length, 2);
      const before = await entriesOf(bench.store, '/skydns/local/');
      bench.kill(first);
      bench.engine.die(goes);
      const deletes = watchDeletes(bench);
      const second = bench.start();
      await bench.advance(2_500);
      assert.deepEqual(deletes.keys, ['/skydns/local/skydns/gone']);
      await bench.advance(2 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, ['/skydns/local/skydns/gone']);
      const after = await entriesOf(bench.store, '/skydns/local/');
      const kept = before.filter(({ key }) => key.endsWith(KEY));
      assert.deepEqual(after.map(modRevisionOf), kept.map(modRevisionOf), 'adopted, not rewritten');
      assert.equal(second.registrar.status().role, 'writing');
      assert.ok(stays.isRunning);
    }));

  it('2: without a store at the start it waits, says so, and begins when there is one', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const running = bench.start();
      running.link.lose();
      await bench.advance(60_000);
      const { isReady, reasons } = running.registrar.readiness();
      assert.ok(!isReady && reasons.some(({ about }) => about === 'store'), troubles(running));
      running.link.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), [KEY]);
      assert.ok(running.registrar.readiness().isReady);
    }));

  it('3: what happened while the store was gone is compared, not replayed', () =>
    onBench(async (bench) => {
      const stays = bench.engine.run(WEB);
      const running = bench.start();
      await bench.settle();
      running.link.lose();
      for (let i = 0; i < 50; i++) {
        const passing = bench.engine.run(named('passing'));
        await bench.advance(200);
        bench.engine.remove(passing);
      }
      bench.engine.run(named('new'));
      const { put: putsBefore, delete: deletesBefore } = running.link.counts;
      running.link.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), ['local/skydns/new', KEY]);
      assert.equal(running.link.counts.put - putsBefore, 1);
      assert.equal(running.link.counts.delete - deletesBefore, 0);
      assert.ok(stays.isRunning);
      const failures = kindsOf(running).filter((kind) => kind === 'leaseFailed').length;
      assert.ok(failures < 30, `${failures} lines in the log`);
    }));

  it('3: a write that nobody answers holds up nothing, and may arrive at any time', () =>
    onBench(async (bench) => {
      const { link, events, registrar } = bench.start();
      await bench.settle();
      const late: (() => void)[] = [];
      link.delay = (operation) =>
        operation === 'put' ? new Promise((resolve) => late.push(resolve)) : undefined;
      const web = bench.engine.run(WEB);
      await bench.settle();
      link.delay = undefined;
      bench.engine.run(named('other'));
      await bench.advance(1_900);
      assert.deepEqual(await bench.keys(), []);
      await bench.advance(300);
      assert.deepEqual(await bench.keys(), ['local/skydns/other', KEY]);
      assert.ok(registrar.readiness().isReady);

      // It finds the key taken by then.
      for (const arrive of late.splice(0)) arrive();
      const revision = await bench.revision();
      await bench.settle();
      assert.equal(await bench.revision(), revision);
      bench.engine.die(web);
      assert.deepEqual(await bench.keys(), ['local/skydns/other']);
      assert.equal(events.filter(({ kind }) => kind === 'wrote').length, 3);
    }));

  it('3: a write that arrives late, of one that has died meanwhile, is taken back and told', () =>
    onBench(async (bench) => {
      const { link, events } = bench.start();
      await bench.settle();
      let arrive = (): void => {};
      const answer = new Promise<void>((resolve) => {
        arrive = resolve;
      });
      link.delay = (operation) => (operation === 'put' ? answer : undefined);
      const web = bench.engine.run(WEB);
      await bench.advance(1_000);
      bench.engine.die(web);
      await bench.advance(2_000);
      arrive();
      assert.deepEqual(await bench.keys(), []);
      const written = events.flatMap((event) =>
        event.kind === 'wrote' ? [event.operation.kind] : [],
      );
      assert.deepEqual(written.sort(), ['delete', 'put']);
      await bench.assertQuiet(60_000);
    }));

  it('3: a write whose answer was lost is found, not done twice', () =>
    onBench(async (bench) => {
      const running = bench.start();
      await bench.settle();
      let left = 3;
      running.link.loseAnswer = (operation) => operation === 'put' && left-- > 0;
      bench.engine.run(WEB);
      await bench.advance(5_000);
      const [entry] = await entriesOf(bench.store, '/skydns/');
      assert.equal(entry?.createRevision, entry?.modRevision);
      await bench.assertQuiet(60_000);
    }));

  it('3: a store that is only slow is not asked for everything twice', () =>
    onBench(async (bench) => {
      const { link, registrar } = bench.start();
      await bench.settle();
      link.delay = (operation) =>
        operation === 'put'
          ? new Promise((resolve) => bench.clock.startTimer(2_500, resolve))
          : undefined;
      const before = link.counts.put;
      for (let i = 0; i < 200; i++) bench.engine.run(named(`web${i}`));
      await bench.advance(40_000);
      assert.equal((await bench.keys()).length, 200);
      assert.ok(registrar.readiness().isReady, troubles({ registrar }));
      const puts = link.counts.put - before;
      assert.ok(puts < 250, `${puts} puts for 200 names`);
    }));

  for (const [how, end] of [
    ['revoked behind its back', (bench: RegistrarBench, id: string) => bench.store.revokeLease(id)],
    [
      'expired while the store was out of reach',
      async (bench: RegistrarBench, _id: string, running: Running) => {
        running.link.lose();
        await bench.advance(LEASE_MS + 1_000);
        assert.deepEqual(await bench.keys(), []);
        running.link.restore();
      },
    ],
  ] as const) {
    it(`4: a lease ${how}: everything is registered again`, () =>
      onBench(async (bench) => {
        for (let i = 0; i < 400; i++) bench.engine.run(named(`web${i}`));
        const running = bench.start();
        await bench.settle();
        const { lease } = running.registrar.status();
        await end(bench, lease?.id ?? '', running);
        await bench.advance(6_000);
        assert.equal((await bench.keys()).length, 400);
        const renewed = running.registrar.status().lease;
        assert.notEqual(renewed?.id, lease?.id);
        await bench.assertQuiet(5 * LEASE_MS);
        assert.equal((await bench.keys()).length, 400);
      }));
  }

  it('4: a lease that cannot be had is asked for ever more seldom', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const running = bench.start();
      running.link.fault = (operation) => (operation === 'lease' ? 'unavailable' : undefined);
      await bench.advance(60_000);
      const tries = kindsOf(running).filter((kind) => kind === 'leaseFailed').length;
      assert.ok(tries > 10 && tries < 40, `${tries}`);
      assert.match(troubles(running), /lease: /);
      running.link.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('5: without Docker the records stay, for a while', () =>
    onBench(async (bench) => {
      const [web, gone] = [bench.engine.run(WEB), bench.engine.run(named('gone'))];
      const running = bench.start({ dockerGraceMs: 300_000 });
      await bench.settle();
      bench.engine.lose();
      gone.state = 'exited';
      await bench.advance(299_000);
      assert.equal((await bench.keys()).length, 2);
      assert.match(troubles(running), /docker: .*refused/);
      await bench.advance(2_000);
      assert.deepEqual(await bench.keys(), []);
      bench.engine.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), [KEY]);
      assert.equal(running.registrar.status().counters.engineReconnects, 1);
      assert.ok(web.isRunning);
    }));

  it('5: without Docker the records stay as long as the registrar runs, when no time is given', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      bench.start();
      await bench.settle();
      bench.engine.lose();
      const deletes = watchDeletes(bench);
      await bench.advance(6 * 3_600_000);
      bench.engine.restore();
      await bench.advance(10_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('5: the time does not count while a mount holds an old socket', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      let isUnlinked = true;
      let isReplaced = false;
      const socket = {
        isMounted: () => true,
        noteReached: () => {},
        isUnlinked: () => isUnlinked,
        isReplaced: () => isReplaced,
      };
      const running = bench.start({ dockerGraceMs: 5_000, socket });
      await bench.settle();
      bench.engine.lose();
      await bench.advance(60_000);
      assert.deepEqual(await bench.keys(), [KEY]);
      isReplaced = true;
      await bench.advance(60_000);
      const told = kindsOf(running).filter((kind) => kind.startsWith('socket'));
      assert.deepEqual(told, ['socketMounted', 'socketReplaced']);
      isUnlinked = false;
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('5: what was withdrawn comes back only once it was inspected', () =>
    onBench(async (bench) => {
      const [, gone] = [bench.engine.run(WEB), bench.engine.run(named('gone'))];
      bench.start({ dockerGraceMs: 60_000 });
      await bench.settle();
      bench.engine.lose();
      gone.state = 'exited';
      await bench.advance(61_000);
      let answer = (): void => {};
      const mayAnswer = new Promise<void>((resolve) => {
        answer = resolve;
      });
      bench.engine.faults.beforeAnswer = () => mayAnswer;
      bench.engine.restore();
      await bench.advance(6_000);
      assert.equal(bench.engine.calls.list, 2, 'it is connected');
      assert.deepEqual(await bench.keys(), []);
      answer();
      await bench.advance(100);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('5: one that ended while the daemon was down is gone after the reconnect', () =>
    onBench(async (bench) => {
      const [, gone] = [bench.engine.run(WEB), bench.engine.run(named('gone'))];
      bench.start();
      await bench.settle();
      bench.engine.lose();
      await bench.advance(3_000);
      gone.state = 'exited';
      bench.engine.restore();
      await bench.advance(5_100);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('5: a daemon that comes only later is waited for', () =>
    onBench(async (bench) => {
      bench.engine.lose();
      bench.engine.run(WEB);
      const running = bench.start();
      await bench.advance(120_000);
      assert.ok(!running.registrar.readiness().isReady);
      assert.equal(running.registrar.status().engine.state, 'connecting');
      bench.engine.restore();
      await bench.advance(5_100);
      assert.deepEqual(await bench.keys(), [KEY]);
      assert.ok(running.registrar.readiness().isReady);
    }));

  describe('5: what an earlier run left', () => {
    /** A run that ended by SIGKILL, and the daemon with it; its container did not. */
    async function leave(bench: RegistrarBench, setup: BenchSetup = {}) {
      const earlier = bench.start(setup);
      const container = bench.engine.run(WEB);
      await bench.settle();
      bench.kill(earlier);
      bench.engine.lose();
      return container;
    }

    it('stays without Docker as long as what this one would have written', () =>
      onBench(async (bench) => {
        const web = await leave(bench);
        const deletes = watchDeletes(bench);
        await bench.advance(LEASE_MS / 2);
        const { registrar } = bench.start({ dockerGraceMs: 300_000 });
        await bench.advance(290_000);
        assert.deepEqual(await bench.keys(), [KEY]);
        bench.engine.restore();
        await bench.advance(6_000);
        assert.ok(registrar.readiness().isReady, troubles({ registrar }));
        await bench.assertQuiet(LEASE_MS * 3);
        assert.deepEqual(deletes.keys, []);
        bench.engine.die(web);
        assert.deepEqual(await bench.keys(), []);
        deletes.stop();
      }));

    it('stays without Docker as long as this one runs, when no time is given', () =>
      onBench(async (bench) => {
        await leave(bench);
        const running = bench.start();
        await bench.advance(6 * 3_600_000);
        assert.deepEqual(await bench.keys(), [KEY]);
        bench.kill(running);
        await bench.advance(LEASE_MS + 1_000);
        assert.deepEqual(await bench.keys(), []);
      }));

    it('... and with a time no longer than that', () =>
      onBench(async (bench) => {
        await leave(bench);
        bench.start({ dockerGraceMs: 300_000 });
        await bench.advance(299_000);
        assert.deepEqual(await bench.keys(), [KEY]);
        await bench.advance(1_000 + LEASE_MS);
        assert.deepEqual(await bench.keys(), []);
      }));

    it('is not withdrawn when Docker is back after the grace, before the lease has ended', () =>
      onBench(async (bench) => {
        await leave(bench);
        await bench.advance(LEASE_MS / 2);
        bench.start({ dockerGraceMs: 300_000 });
        await bench.advance(302_000);
        assert.deepEqual(await bench.keys(), [KEY]);
        const deletes = watchDeletes(bench);
        const list = bench.engine.list.bind(bench.engine);
        bench.engine.list = async () => {
          await new Promise<void>((resolve) => bench.clock.startTimer(3_000, resolve));
          return list();
        };
        bench.engine.restore();
        await bench.advance(15_000);
        deletes.stop();
        assert.deepEqual(deletes.keys, []);
        assert.deepEqual(await bench.keys(), [KEY]);
      }));

    it('... also when the store is there only later', () =>
      onBench(async (bench) => {
        await leave(bench);
        const { link } = bench.start();
        link.lose();
        await bench.advance(LEASE_MS * 0.8);
        link.restore();
        await bench.advance(LEASE_MS * 2);
        assert.deepEqual(await bench.keys(), [KEY]);
      }));

    for (const [what, before, now] of [
      ['the machine was started anew', { place: 'earlier' }, {}],
      ['its place is not known', { place: undefined }, {}],
      ['no place is known', { place: undefined }, { place: undefined }],
    ] as const) {
      it(`goes with its lease when ${what}`, () =>
        onBench(async (bench) => {
          await leave(bench, before);
          bench.start(now);
          await bench.advance(LEASE_MS * 0.9);
          assert.deepEqual(await bench.keys(), [KEY]);
          await bench.advance(LEASE_MS * 0.2);
          assert.deepEqual(await bench.keys(), []);
        }));
    }

    it('goes with its lease when another engine comes in its place', () =>
      onBench(async (bench) => {
        await leave(bench);
        bench.start();
        await bench.advance(LEASE_MS * 2);
        bench.engine.engineInfo = { ...bench.engine.engineInfo, id: 'ENGINE:2' };
        bench.engine.containers.clear();
        bench.engine.run(named('new'));
        bench.engine.restore();
        await bench.advance(6_000);
        assert.deepEqual(await bench.keys(), ['local/skydns/new', KEY]);
        await bench.advance(LEASE_MS);
        assert.deepEqual(await bench.keys(), ['local/skydns/new']);
      }));

    it('is not touched in a dry run', () =>
      onBench(async (bench) => {
        await leave(bench);
        bench.start({ dryRun: true });
        await bench.advance(LEASE_MS * 1.5);
        assert.deepEqual(await bench.keys(), []);
      }));
  });

  it('5: a connection that never lasts is tried ever more seldom, one that lasted at once', () =>
    onBench(async (bench) => {
      bench.start();
      await bench.settle();
      await bench.advance(10_000);
      for (let ms = 0; ms < 60_000; ms += 50) {
        bench.engine.cutEvents();
        await bench.clock.advance(50);
      }
      const connects = bench.engine.calls.events;
      assert.ok(connects < 60_000 / 2_500, `${connects} connects in a minute`);
      await bench.advance(20_000);
      const before = bench.engine.calls.events;
      bench.engine.cutEvents();
      await bench.advance(200);
      assert.equal(bench.engine.calls.events, before + 1);
    }));

  it('6: lost events are made up for by the next list', () =>
    onBench(async (bench) => {
      const gone = bench.engine.run(named('gone'));
      const restarted = bench.engine.run(WEB);
      bench.start();
      await bench.settle();
      bench.engine.faults.drop = () => true;
      bench.engine.die(gone);
      bench.engine.run(named('new'));
      bench.engine.die(restarted);
      restarted.join('bridge', '172.17.9.9');
      bench.engine.start(restarted);
      await bench.advance(31_000);
      assert.deepEqual(await bench.hosts(), {
        'local/skydns/new': '172.17.0.4',
        [KEY]: '172.17.9.9',
      });
      await bench.assertQuiet(120_000);
    }));

  it('6: what was so only between two lists, and whose end nobody told, is made up for too', () =>
    onBench(async (bench) => {
      const paused = bench.engine.run(WEB);
      const ill = bench.engine.run({ ...named('ill'), health: 'healthy' });
      bench.start();
      const both = await bench.keys();
      assert.equal(both.length, 2);
      bench.engine.pause(paused);
      bench.engine.setHealth(ill, 'unhealthy');
      assert.deepEqual(await bench.keys(), []);
      bench.engine.faults.drop = () => true;
      bench.engine.unpause(paused);
      bench.engine.setHealth(ill, 'healthy');
      await bench.advance(31_000);
      assert.deepEqual(await bench.keys(), both);
    }));

  it('6: a container that starts between the subscription and the list is in both, and once in DNS', () =>
    onBench(async (bench) => {
      const { engine } = bench;
      const list = engine.list.bind(engine);
      engine.list = async () => {
        engine.run(WEB);
        engine.list = list;
        return list();
      };
      bench.start();
      assert.deepEqual(await bench.keys(), [KEY]);
      const [entry] = await entriesOf(bench.store, '/skydns/');
      assert.equal(entry?.createRevision, entry?.modRevision);
    }));

  it('8: a crash loop is held back until the container lasts', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      for (let i = 0; i < 3; i++) {
        bench.engine.die(web);
        await bench.advance(1_000);
        bench.engine.start(web);
        await bench.settle();
      }
      assert.deepEqual(await bench.keys(), []);
      await bench.advance(2_000);
      bench.engine.restart(web);
      await bench.assertQuiet(4_900);
      assert.deepEqual(await bench.keys(), []);
      await bench.advance(200);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('8: in a crash loop good health counts at once', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run({ ...WEB, health: 'starting' });
      for (let i = 0; i < 4; i++) bench.engine.restart(web);
      assert.deepEqual(await bench.keys(), []);
      bench.engine.setHealth(web, 'healthy');
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('8: a hundred events of one container cost a few inspections and writes', () =>
    onBench(async (bench) => {
      const web = bench.engine.run(WEB);
      const running = bench.start();
      await bench.settle();
      const { inspect } = bench.engine.calls;
      const { put } = running.link.counts;
      for (let i = 0; i < 100; i++) bench.engine.emit(web, 'unpause');
      await bench.advance(1_000);
      assert.ok(bench.engine.calls.inspect - inspect <= 4);
      assert.equal(running.link.counts.put, put);
    }));

  it('8: one to which something happens all the time is there, until it is paused', () =>
    onBench(async (bench) => {
      bench.start();
      await bench.settle();
      bench.engine.faults.beforeAnswer = () =>
        new Promise((resolve) => bench.clock.startTimer(100, resolve));
      const web = bench.engine.run(WEB);
      const keysWhileBusy = async (): Promise<string[]> => {
        for (let i = 0; i < 40; i++) {
          bench.engine.emit(web, 'rename');
          await bench.clock.advance(50);
        }
        return bench.keys();
      };
      assert.deepEqual(await keysWhileBusy(), [KEY]);
      bench.engine.pause(web);
      assert.deepEqual(await keysWhileBusy(), []);
    }));

  it('9: an inspection that is overtaken by the death writes nothing', () =>
    onBench(async (bench) => {
      bench.start();
      await bench.settle();
      let answer = (): void => undefined;
      bench.engine.faults.beforeAnswer = () =>
        new Promise((resolve) => {
          bench.engine.faults.beforeAnswer = undefined;
          answer = resolve;
        });
      const before = await bench.revision();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.die(web);
      await bench.settle();
      answer();
      await bench.settle();
      assert.deepEqual(await bench.keys(), []);
      assert.equal(await bench.revision(), before);
    }));

  it('9: the death of an earlier life, heard late, takes nothing away', () =>
    onBench(async (bench) => {
      const web = bench.engine.run(WEB);
      bench.start();
      await bench.settle();
      let late: Parameters<NonNullable<typeof bench.engine.faults.drop>>[0] | undefined;
      bench.engine.faults.drop = (event) => {
        if (event.action === 'die') late = event;
        return event.action === 'die';
      };
      bench.engine.restart(web);
      await bench.settle();
      assert.deepEqual(await bench.keys(), [KEY]);
      const deletes = watchDeletes(bench);
      await bench.settle();
      bench.engine.faults.drop = undefined;
      assert.ok(late !== undefined);
      bench.engine.replay(late);
      await bench.settle();
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('10: of two registrars one stands by, and takes over without a gap', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const first = bench.start();
      await bench.advance(5_000);
      const second = bench.start();
      await bench.advance(5_000);
      assert.equal(first.registrar.status().role, 'writing');
      assert.equal(second.registrar.status().role, 'standby');
      assert.ok(second.registrar.readiness().isReady);
      assert.match(second.registrar.status().holder ?? '', /^host-/);
      await bench.assertQuiet(5 * LEASE_MS);
      const deletes = watchDeletes(bench);
      bench.kill(first);
      await bench.advance(2 * LEASE_MS);
      assert.equal(second.registrar.status().role, 'writing');
      bench.engine.run(named('new'));
      assert.equal((await bench.keys()).length, 2);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('10: one that ends in order is succeeded at once', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const first = bench.start();
      await bench.advance(1_000);
      const second = bench.start();
      await bench.advance(5_000);
      await bench.end(first);
      assert.equal(second.registrar.status().role, 'writing');
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('10: when the lock is deleted one of the two has it again, and all records', () =>
    onBench(async (bench) => {
      for (let i = 0; i < 20; i++) bench.engine.run(named(`web${i}`));
      const running = [bench.start()];
      await bench.advance(1_000);
      running.push(bench.start());
      await bench.advance(5_000);
      const deletes = watchDeletes(bench);
      await bench.settle();
      const [lock = ''] = await bench.locks();
      await bench.store.delete(lock);
      await bench.advance(2 * LEASE_MS);
      const roles = running.map(({ registrar }) => registrar.status().role).sort();
      assert.deepEqual(roles, ['standby', 'writing']);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.equal((await bench.keys()).length, 20);
      await bench.assertQuiet(2 * LEASE_MS);
    }));

  it('11: a key of somebody else is waited for, and taken when it is free', () =>
    onBench(async (bench) => {
      const foreign = Buffer.from('{"host":"192.0.2.99"}');
      await bench.store.put(`/skydns/${KEY}`, foreign);
      const running = bench.start();
      bench.engine.run(WEB);
      await bench.advance(60_000);
      assert.deepEqual(await bench.hosts(), { [KEY]: '192.0.2.99' });
      const [container] = running.registrar.status().containers;
      assert.equal(container?.records[0]?.state, 'conflict');
      assert.match(container?.records[0]?.reason ?? '', /no registrar/);
      assert.equal(running.registrar.status().counters.conflicts, 1);
      assert.equal(kindsOf(running).filter((kind) => kind === 'conflict').length, 1);
      await bench.store.delete(`/skydns/${KEY}`);
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.2' });
    }));

  it('11: of two containers with one name the first has it, then the other', () =>
    onBench(async (bench) => {
      bench.start();
      const first = bench.engine.run(WEB);
      await bench.settle();
      const second = bench.engine.run(WEB);
      await bench.settle();
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.2' });
      bench.engine.die(first);
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.3' });
      assert.ok(second.isRunning);
    }));

  it('11: a key of ours that is deleted or overwritten by others is put back or left', () =>
    onBench(async (bench) => {
      bench.start();
      bench.engine.run(WEB);
      await bench.settle();
      await bench.store.delete(`/skydns/${KEY}`);
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.2' });
      await bench.store.put(`/skydns/${KEY}`, Buffer.from('{"host":"192.0.2.99"}'));
      await bench.advance(60_000);
      assert.deepEqual(await bench.hosts(), { [KEY]: '192.0.2.99' });
    }));

  it('12: an address that is used again at once is never answered for the dead one', () =>
    onBench(async (bench) => {
      bench.start();
      const first = bench.engine.run({ ...named('first'), ip: '172.17.0.50' });
      await bench.settle();
      bench.engine.die(first);
      bench.engine.run({ ...named('second'), ip: '172.17.0.50' });
      assert.deepEqual(await bench.hosts(), { 'local/skydns/second': '172.17.0.50' });
    }));

  it('12: a container in the network of another one goes with it', () =>
    onBench(async (bench) => {
      bench.start();
      const parent = bench.engine.run({ ip: '172.17.0.7' });
      const child = bench.engine.run({ ...WEB, network: `container:${parent.id}` });
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.7' });
      bench.engine.die(parent);
      assert.deepEqual(await bench.keys(), []);
      bench.engine.start(parent);
      await bench.advance(100);
      assert.deepEqual(await bench.keys(), [], 'its network is dead until it restarts itself');
      bench.engine.restart(child);
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.7' });
    }));

  it('13: another host address is written everywhere, without an inspection', () =>
    onBench(async (bench) => {
      bench.start({ context: { mode: 'published' } });
      bench.engine.run({ env: { DNS_NAME: 'web' }, publish: ['8080:80'] });
      assert.deepEqual(await bench.hosts(), { [KEY]: '192.0.2.1' });
      const { inspect } = bench.engine.calls;
      bench.hostAddress = '192.0.2.2';
      await bench.advance(16_000);
      assert.deepEqual(await bench.hosts(), { [KEY]: '192.0.2.2' });
      assert.equal(bench.engine.calls.inspect, inspect);
    }));

  it('looks for its address no longer once it is closed', () =>
    onBench(async (bench) => {
      const running = bench.start();
      await bench.advance(16_000);
      await bench.end(running, 'revoke');
      const { fired } = bench.clock;
      await bench.advance(60_000);
      assert.equal(bench.clock.fired, fired, 'a timer was left');
    }));

  it('14: a wall clock that jumps changes nothing', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      bench.start();
      await bench.advance(1_000);
      for (const ms of [3_600_000, -7_200_000]) {
        bench.clock.jumpWall(ms);
        await bench.assertQuiet(2 * LEASE_MS);
        assert.deepEqual(await bench.keys(), [KEY]);
      }
      bench.engine.run(named('new'));
      assert.equal((await bench.keys()).length, 2);
    }));

  it('15: a rename moves the name: the new one first, then the old one goes', () =>
    onBench(async (bench) => {
      const context = { compat: 'registrator', exposedByDefault: true } as const;
      const registrator = { hostName: 'node1', rawIds: false, tags: [] };
      bench.start({ context: { ...context, registrator } });
      const web = bench.engine.run({ name: 'old', image: 'web', exposed: ['80/tcp'] });
      assert.deepEqual(await bench.keys(), ['local/skydns/web/node1-old-80']);
      const before = await bench.revision();
      bench.engine.rename(web, 'new');
      assert.deepEqual(await bench.keys(), ['local/skydns/web/node1-new-80']);
      const [entry] = await entriesOf(bench.store, '/skydns/');
      assert.equal(entry?.modRevision, before + 1);
    }));

  it('15: a rename that is in no key writes nothing', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      const before = await bench.revision();
      bench.engine.rename(web, 'new');
      await bench.advance(1_000);
      assert.equal(await bench.revision(), before);
    }));

  it('16: bad metadata costs its own record and is said once', () =>
    onBench(async (bench) => {
      const running = bench.start();
      bench.engine.run(named('web', { DNS_WEIGHT: '99999999' }));
      bench.engine.run({
        env: { DNS_NAME: 'a.skydns.local,x.other.tld,../../etc' },
        exposed: ['1/tcp'],
      });
      bench.engine.run(named('good'));
      await bench.advance(120_000);
      assert.ok((await bench.keys()).includes('local/skydns/good'));
      assert.ok((await bench.keys()).every((key) => key.startsWith('local/skydns/')));
      const refused = running.events.filter(({ kind }) => kind === 'refused');
      assert.equal(refused.length, running.registrar.status().counters.refusals);
      assert.equal(refused.length, 2);
    }));

  it('17: without an address nothing is written, and it is asked for again', () =>
    onBench(async (bench) => {
      const running = bench.start();
      const web = bench.engine.run({ ...WEB, ip: '' });
      assert.deepEqual(await bench.keys(), []);
      assert.match(running.registrar.status().containers[0]?.reason ?? '', /./);
      const { inspect } = bench.engine.calls;
      await bench.advance(25_000);
      assert.equal(bench.engine.calls.inspect - inspect, 3, 'after 0.2, 1 and 5 s');
      web.join('bridge', '172.17.0.9');
      await bench.advance(10_000);
      assert.deepEqual(await bench.hosts(), { [KEY]: '172.17.0.9' });
    }));

  it('18: at its end it leaves the records, which the next one adopts', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const first = bench.start();
      await bench.settle();
      const deletes = watchDeletes(bench);
      await bench.end(first);
      await bench.advance(20_000);
      assert.deepEqual(await bench.keys(), [KEY]);
      const second = bench.start();
      await bench.settle();
      assert.equal(
        second.registrar.status().role,
        'writing',
        'without asking whether anyone is there',
      );
      await bench.advance(3 * LEASE_MS);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
    }));

  it('18: or takes them with it', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const first = bench.start();
      await bench.settle();
      await bench.end(first, 'revoke');
      assert.deepEqual(await bench.keys(), []);
      assert.deepEqual(await bench.locks(), []);
    }));

  it('18: while it ends it still serves the deaths of the others', () =>
    onBench(async (bench) => {
      const web = bench.engine.run(WEB);
      const first = bench.start();
      await bench.settle();
      const ended = bench.end(first, 'keep', 5_000);
      bench.engine.signal(web, '15');
      bench.engine.die(web);
      await bench.settle();
      assert.deepEqual(await bench.keys(), []);
      await ended;
    }));

  it('19: a host without power is gone after one lease', () =>
    onBench(async (bench) => {
      for (let i = 0; i < 50; i++) bench.engine.run(named(`web${i}`));
      const running = bench.start();
      await bench.advance(11_000);
      bench.kill(running);
      await bench.advance(LEASE_MS + 500);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('20: a store that is full or forbids writing still loses what is dead', () =>
    onBench(async (bench) => {
      const web = bench.engine.run(WEB);
      const running = bench.start();
      await bench.settle();
      running.link.fault = (operation) => (operation === 'put' ? 'denied' : undefined);
      bench.engine.run(named('new'));
      bench.engine.die(web);
      await bench.advance(20_000);
      assert.deepEqual(await bench.keys(), []);
      assert.match(troubles(running), /writing: /);
      const tries = kindsOf(running).filter((kind) => kind === 'writeFailed').length;
      assert.ok(tries < 15, `${tries} tries in 20 s`);
      running.link.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), ['local/skydns/new']);
      assert.ok(running.registrar.readiness().isReady);
    }));
});

describe('what must not be lost or touched', () => {
  it('records of containers that are not inspected yet stay after a restart', () =>
    onBench(async (bench) => {
      for (let i = 0; i < 20; i++) bench.engine.run(named(`web${i}`));
      const first = bench.start();
      await bench.settle();
      await bench.end(first);
      const deletes = watchDeletes(bench);
      await bench.settle();
      bench.engine.faults.beforeAnswer = () =>
        new Promise((resolve) => bench.clock.startTimer(500, () => resolve()));
      const second = bench.start();
      await bench.advance(700);
      assert.equal(second.registrar.status().role, 'writing');
      assert.match(troubles(second), /not all seen/);
      await bench.advance(5_000);
      deletes.stop();
      assert.deepEqual(deletes.keys, []);
      assert.ok(second.registrar.readiness().isReady);
    }));

  it('the record of a container that cannot be inspected stays until it can', () =>
    onBench(async (bench) => {
      const web = bench.engine.run(WEB);
      const first = bench.start();
      await bench.settle();
      await bench.end(first);
      bench.engine.faults.failInspect = (id) => id === web.id;
      const second = bench.start();
      await bench.advance(20_000);
      assert.deepEqual(await bench.keys(), [KEY]);
      assert.equal(second.registrar.status().containers[0]?.reason, 'has not been inspected yet');
      bench.engine.die(web);
      bench.engine.faults.failInspect = undefined;
      await bench.advance(31_000);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('a death is served before any inspection', () =>
    onBench(async (bench) => {
      bench.start();
      const [dies, pauses] = [bench.engine.run(WEB), bench.engine.run(named('other'))];
      await bench.settle();
      bench.engine.faults.beforeAnswer = () => new Promise(() => undefined);
      bench.engine.die(dies);
      assert.deepEqual(await bench.keys(), ['local/skydns/other']);
      bench.engine.pause(pauses);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('the record of another engine at a key of ours stays', () =>
    onBench(async (bench) => {
      const owner = { r: 'ENGINE:2', c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
      const value = Buffer.from(JSON.stringify({ host: '192.0.2.9', ttl: 30, owner }));
      await bench.store.put(`/skydns/${KEY}`, value);
      const running = bench.start();
      bench.engine.run(WEB);
      await bench.advance(60_000);
      assert.deepEqual(await bench.hosts(), { [KEY]: '192.0.2.9' });
      const [record] = running.registrar.status().containers[0]?.records ?? [];
      assert.match(record?.reason ?? '', /0123456789ab of engine ENGINE:2/);
    }));

  it('a write that finds no lease has it replaced, though no watch tells', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const running = bench.start();
      await bench.advance(1_000);
      running.link.fault = (operation) => (operation === 'watch' ? 'unavailable' : undefined);
      running.link.cutWatches();
      await bench.store.revokeLease(running.registrar.status().lease?.id ?? '');
      bench.engine.run(named('new'));
      await bench.advance(1_000);
      assert.deepEqual(await bench.keys(), ['local/skydns/new', KEY]);
    }));

  it('a lease that the lock only names is not taken over: it may be another’s', () =>
    onBench(async (bench) => {
      const theirs = await bench.store.grantLease(3_600);
      await bench.store.put('/other', Buffer.from('x'), { lease: theirs.id });
      const holder = { instance: 'x', host: 'x', lease: theirs.id, released: true };
      const value = Buffer.from(JSON.stringify(holder));
      await bench.store.put('/registrar/ENGINE%3A1/holder', value, { ttlSeconds: 3_600 });
      const running = bench.start();
      await bench.advance(5_000);
      assert.equal(running.registrar.status().role, 'writing');
      assert.notEqual(running.registrar.status().lease?.id, theirs.id);
      await bench.end(running, 'revoke');
      assert.ok((await bench.store.get('/other')).entry !== undefined);
    }));

  it('one that was taken for dead stands by when it sees that', () =>
    onBench(async (bench) => {
      bench.engine.run(WEB);
      const first = bench.start();
      await bench.advance(1_000);
      first.link.lose();
      const second = bench.start();
      await bench.advance(5_000);
      assert.equal(second.registrar.status().role, 'writing');
      first.link.restore();
      await bench.advance(10_000);
      assert.equal(first.registrar.status().role, 'standby');
      assert.equal(second.registrar.status().role, 'writing');
      await bench.assertQuiet(3 * LEASE_MS);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));
});

describe('other zones', () => {
  const ZONES = [['skydns', 'local']];

  it('move the names that end in none, refuse those outside, and touch nothing else', () =>
    onBench(async (bench) => {
      const { registrar, events } = bench.start();
      for (const name of ['fixed.skydns.local', 'moves', 'later.example.org']) {
        bench.engine.run({ env: { DNS_NAME: name }, exposed: ['80/tcp'] });
      }
      bench.engine.run({
        env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' },
        exposed: ['80/tcp'],
      });
      const before = ['local/skydns/fixed', 'local/skydns/moves', 'local/skydns/n/1'];
      assert.deepEqual(await bench.keys(), before);
      const { entry } = await bench.store.get('/skydns/local/skydns/fixed');

      const org = ['example', 'org'];
      registrar.setZones({ zones: [org, ...ZONES], defaultZone: org });
      const both = [
        'local/skydns/fixed',
        ...['later', 'moves', 'n/1'].map((n) => `org/example/${n}`),
      ];
      assert.deepEqual(await bench.keys(), both);
      const after = await bench.store.get('/skydns/local/skydns/fixed');
      assert.equal(after.entry?.modRevision, entry?.modRevision, 'it was written again');

      const revision = await bench.revision();
      registrar.setZones({ zones: [org, ...ZONES], defaultZone: org });
      await bench.settle();
      assert.equal(await bench.revision(), revision);

      registrar.setZones({ zones: [org], defaultZone: org });
      assert.deepEqual(await bench.keys(), both.slice(1));
      const refusals = events.flatMap((event) => (event.kind === 'refused' ? [event.refusal] : []));
      assert.deepEqual(
        refusals.map(({ about }) => about),
        ['later.example.org', 'fixed.skydns.local'],
      );
    }));

  it('count also when the engine comes only later', () =>
    onBench(async (bench) => {
      bench.engine.lose();
      const { registrar } = bench.start();
      bench.engine.run({ env: { DNS_NAME: 'web' }, exposed: ['80/tcp'] });
      await bench.settle();
      registrar.setZones({ zones: [['example']], defaultZone: ['example'] });
      bench.engine.restore();
      await bench.advance(10_000);
      assert.deepEqual(await bench.keys(), ['example/web']);
    }));
});

describe('a dry run', () => {
  it('says what it would write and writes nothing', () =>
    onBench(async (bench) => {
      const running = bench.start({ dryRun: true });
      bench.engine.run(WEB);
      await bench.assertQuiet(60_000);
      assert.deepEqual(await bench.keys(), []);
      const would = running.events.filter(({ kind }) => kind === 'would');
      assert.deepEqual(
        would.map((event) => event.kind === 'would' && [event.operation.kind, event.operation.key]),
        [['put', `/skydns/${KEY}`]],
      );
      assert.equal(running.registrar.status().role, 'dry-run');
    }));
});

function modRevisionOf({ modRevision }: { modRevision: number }): number {
  return modRevision;
}
