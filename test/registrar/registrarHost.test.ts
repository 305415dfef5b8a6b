/** What an ambassador reads of a running registrar: consumers and local backends, from events, as soon as they happen. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import type { EngineEvent } from '../../src/registrar/engine/engine.ts';
import type { Registrar } from '../../src/registrar/registrar.ts';
import { policyOf } from '../support/policyCases.ts';
import {
  KEY,
  named,
  type RegistrarFixture,
  type Running,
  WEB,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';

const APP = { name: 'app', env: { DNS_LINK_6379: 'redis.skydns.local' } };
const WEB_KEY = `/skydns/${KEY}`;

/** As in the fake engine's inspections. */
const networkId = (name: string): string => createHash('sha256').update(name).digest('hex');

function addresses({ host }: Registrar): string[] {
  return host
    .consumers()
    .flatMap((consumer) => consumer.addresses.map(({ address }) => `${consumer.name} ${address}`));
}

function states({ host }: Registrar): Record<string, string> {
  const backends = [...host.localBackends()].map(([key, backend]) => {
    if (backend.kind === 'ended') return [key, 'ended'] as const;
    const { number } = backend.port ?? {};
    return [key, `${backend.addresses.map(({ address }) => address).join()}:${number}`] as const;
  });
  return Object.fromEntries(backends);
}

/** Calls `read` in each notification from now on, and keeps the different results in order. */
function watch<T>({ registrar }: Running, read: () => T): { readonly seen: T[]; stop(): void } {
  const seen: T[] = [read()];
  const stop = registrar.host.onChange(() => {
    const now = read();
    if (JSON.stringify(now) !== JSON.stringify(seen.at(-1))) seen.push(now);
  });
  return { seen, stop };
}

async function withApp(
  body: (fixture: RegistrarFixture, running: Running) => Promise<void>,
): Promise<void> {
  await withRegistrarFixture(async (fixture) => {
    const running = fixture.start();
    await fixture.settle();
    await body(fixture, running);
  });
}

describe('the consumers of a registrar', () => {
  it('A container with links is a consumer from its start until its death, and gets no record', () =>
    withApp(async (fixture, running) => {
      const { seen } = watch(running, () => addresses(running.registrar));
      const app = fixture.engine.run({ ...APP, ip: '172.17.0.9' });
      await fixture.settle();
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.die(app);
      await fixture.settle();
      fixture.engine.start(app);
      await fixture.settle();
      assert.deepEqual(seen, [[], ['app 172.17.0.9'], [], ['app 172.17.0.9']]);
      const [container] = running.registrar.status().containers;
      assert.equal(container?.reason, 'has links and asks for no name');
      assert.deepEqual(container?.refusals, []);
    }));

  it('A consumer is gone in the handling of its death event, before the store or the engine is asked', () =>
    withApp(async (fixture, running) => {
      const { engine, store } = fixture;
      const app = engine.run({ ...APP, ip: '172.17.0.9', labels: { 'dns.name': 'app' } });
      await fixture.settle();
      assert.deepEqual(addresses(running.registrar), ['app 172.17.0.9']);
      const calls = { ...engine.calls };
      const counts = { ...running.link.counts };
      const asked: unknown[] = [];
      running.registrar.host.onChange(() =>
        asked.push([
          addresses(running.registrar),
          // The reconciler has not been woken yet.
          running.registrar.isUpToDate(),
          engine.calls.inspect - calls.inspect,
          running.link.counts.delete - counts.delete,
        ]),
      );
      engine.die(app);
      await fixture.settle();
      assert.deepEqual(asked[0], [[], true, 0, 0]);
      assert.equal(running.link.counts.delete - counts.delete, 1);
      assert.equal((await store.get('/skydns/local/skydns/app')).entry, undefined);
    }));

  it('A consumer is gone at its death while the store is unreachable', () =>
    withApp(async (fixture, running) => {
      const app = fixture.engine.run({ ...APP, ip: '172.17.0.9' });
      await fixture.settle();
      running.link.lose();
      await fixture.advance(60_000);
      const { seen } = watch(running, () => addresses(running.registrar));
      fixture.engine.die(app);
      await fixture.settle();
      assert.deepEqual(seen, [['app 172.17.0.9'], []]);
    }));

  for (const action of ['died', 'destroy'])
    it(`A consumer is gone at the event ${action}`, () =>
      withApp(async (fixture, { registrar }) => {
        const app = fixture.engine.run(APP);
        await fixture.settle();
        fixture.engine.faults.beforeAnswer = () => new Promise(() => {});
        app.state = 'exited';
        fixture.engine.emit(app, action);
        await fixture.settle();
        assert.deepEqual(registrar.host.consumers(), []);
      }));

  it('A container that gets a dead consumer’s address never has its links', () =>
    withApp(async (fixture, running) => {
      const { seen } = watch(running, () => addresses(running.registrar));
      const ip = '172.17.0.50';
      const lost = (event: EngineEvent): boolean => event.action !== 'start';
      for (let round = 0; round < 5; round++) {
        const app = fixture.engine.run({ ...APP, ip });
        await fixture.settle();
        fixture.engine.faults.drop = round % 2 === 0 ? undefined : lost;
        fixture.engine.die(app);
        const other = fixture.engine.run({ name: 'other', ip });
        fixture.engine.faults.drop = undefined;
        await fixture.settle();
        assert.deepEqual(addresses(running.registrar), [], `round ${round}`);
        fixture.engine.remove(app);
        fixture.engine.remove(other);
        await fixture.settle();
      }
      assert.equal(seen.length, 11);
    }));

  it('A consumer has a second address after network connect, and loses it after disconnect', () =>
    withApp(async (fixture, running) => {
      const { seen } = watch(running, () => addresses(running.registrar));
      const app = fixture.engine.run({ ...APP, ip: '172.17.0.9' });
      await fixture.settle();
      fixture.engine.connect(app, 'back', '10.2.0.9');
      await fixture.settle();
      fixture.engine.disconnect(app, 'bridge');
      await fixture.settle();
      assert.deepEqual(seen, [
        [],
        ['app 172.17.0.9'],
        ['app 10.2.0.9', 'app 172.17.0.9'],
        ['app 10.2.0.9'],
      ]);
    }));

  it('A stopping, paused or unhealthy consumer keeps its links until its death', () =>
    withApp(async (fixture, { registrar }) => {
      const app = fixture.engine.run({ ...APP, ip: '172.17.0.9', health: 'healthy' });
      await fixture.settle();
      const here = ['app 172.17.0.9'];
      for (const happen of [
        () => fixture.engine.setHealth(app, 'unhealthy'),
        () => fixture.engine.signal(app, '15'),
        () => fixture.engine.pause(app),
        () => fixture.engine.unpause(app),
      ]) {
        happen();
        await fixture.settle();
        assert.deepEqual(addresses(registrar), here);
      }
    }));

  it('The links of a container on the host’s network are refused, reported once, and shown', () =>
    withApp(async (fixture, running) => {
      fixture.engine.run({ ...APP, network: 'host' });
      fixture.engine.run({ name: 'bad', env: { DNS_LINK_80: 'etcd://a/b' } });
      await fixture.settle();
      await fixture.advance(60_000);
      const [host, bad] = running.registrar.status().containers;
      assert.match(host?.refusals.map(({ about }) => about).join() ?? '', /^DNS_LINK_6379$/);
      assert.equal(host?.links, undefined);
      assert.match(bad?.refusals[0]?.reason ?? '', /no key of a store$/);
      const refused = running.events.filter(({ kind }) => kind === 'refused');
      assert.equal(refused.length, 1);
      assert.equal(running.registrar.status().counters.refusals, 2);
    }));

  it('The status shows the links of a container', () =>
    withApp(async (fixture, { registrar }) => {
      fixture.engine.run({ ...APP, labels: { 'dns.link.local': 'true', 'dns.link.db': 'db.x' } });
      await fixture.settle();
      assert.deepEqual(registrar.status().containers[0]?.links, [
        {
          kind: 'port',
          port: { number: 6379, protocol: 'tcp' },
          isLocal: true,
          target: 'redis.skydns.local',
          source: 'DNS_LINK_6379',
        },
        { kind: 'alias', alias: 'db', target: 'db.x', source: 'dns.link.db' },
      ]);
    }));

  it('--link-allow refuses links of consumers', () =>
    withRegistrarFixture(async (fixture) => {
      const policy = policyOf({ links: { names: ['db.skydns.local'], networks: [] } });
      const { registrar } = fixture.start({ context: { policy } });
      fixture.engine.run(APP);
      await fixture.settle();
      const [consumer] = registrar.host.consumers();
      assert.deepEqual(consumer?.links, []);
      assert.match(consumer?.refusals[0]?.reason ?? '', /^leads to redis\.skydns\.local, where/);
    }));

  it('A user network is asked for once, and its consumers wait for the answer', () =>
    withApp(async (fixture, running) => {
      const { engine } = fixture;
      engine.drivers.set(networkId('mac1'), 'macvlan');
      const { seen } = watch(running, () => addresses(running.registrar));
      for (const [i, network] of ['back', 'back', 'mac1', 'bridge'].entries())
        engine.run({ ...APP, name: `app${i}`, network, ip: `10.2.0.${i + 2}` });
      await fixture.settle();
      assert.deepEqual(seen.at(-1), ['app0 10.2.0.2', 'app1 10.2.0.3', 'app3 10.2.0.5']);
      assert.equal(engine.calls.networkDriver, 2);
    }));

  it('A consumer appears when a proxy no longer refuses questions about networks', () =>
    withApp(async (fixture, running) => {
      const { registrar } = running;
      watch(running, () => addresses(registrar));
      fixture.engine.faults.failNetworks = true;
      fixture.engine.run({ ...APP, network: 'back', ip: '10.2.0.9' });
      await fixture.settle();
      assert.match(registrar.host.consumers()[0]?.waiting ?? '', /\(GET \/networks\)$/);
      assert.equal(registrar.host.isSettled, true);
      fixture.engine.faults.failNetworks = false;
      await fixture.advance(1_000);
      assert.deepEqual(addresses(registrar), ['app 10.2.0.9']);
    }));

  it('Consumers stay while the engine is unreachable, and those that died meanwhile go after it', () =>
    withApp(async (fixture, { registrar }) => {
      const app = fixture.engine.run({ ...APP, ip: '172.17.0.9' });
      fixture.engine.run({ ...APP, name: 'two', ip: '172.17.0.10' });
      await fixture.settle();
      fixture.engine.lose();
      await fixture.advance(60_000);
      assert.deepEqual(addresses(registrar), ['app 172.17.0.9', 'two 172.17.0.10']);
      app.state = 'exited';
      fixture.engine.restore();
      await fixture.advance(10_000);
      assert.deepEqual(addresses(registrar), ['two 172.17.0.10']);
    }));

  it('The consumers of another engine replace those of the former one', () =>
    withApp(async (fixture, running) => {
      const { seen } = watch(running, () => addresses(running.registrar));
      fixture.engine.run({ ...APP, ip: '172.17.0.9' });
      await fixture.settle();
      fixture.engine.lose();
      fixture.engine.containers.clear();
      fixture.engine.engineInfo = { ...fixture.engine.engineInfo, id: 'ENGINE:2' };
      fixture.engine.run({ ...APP, name: 'new', ip: '172.17.0.9' });
      fixture.engine.restore();
      await fixture.advance(10_000);
      assert.deepEqual(seen, [[], ['app 172.17.0.9'], [], ['new 172.17.0.9']]);
    }));
});

describe('the local backends of a registrar', () => {
  it('A record’s backend is known before the record is in the store, and ends with its container', () =>
    withApp(async (fixture, running) => {
      const { registrar, link } = running;
      const puts = link.counts.put;
      const { seen } = watch(running, () => [
        states(registrar)[WEB_KEY] ?? 'none',
        link.counts.put > puts,
      ]);
      const web = fixture.engine.run({ ...WEB, ip: '10.1.0.2' });
      await fixture.settle();
      assert.deepEqual(await fixture.keys(), [KEY]);
      assert.ok(seen.some(([state, isPut]) => state === '10.1.0.2:80' && isPut === false));
      fixture.engine.die(web);
      await fixture.settle();
      const last = seen.slice(-2).map(([state]) => state);
      assert.deepEqual(last, ['ended', 'none']);
    }));

  it('Backends have their keys: a number, the families, a sibling, a UDP port', () =>
    withApp(async (fixture, { registrar }) => {
      const base = { exposed: ['80/tcp'] };
      fixture.engine.run({
        ...{ ...base, env: { DNS_NAME: 'many', DNS_INSTANCE: 'auto' }, ip: '10.1.0.2' },
      });
      fixture.engine.run({ ...named('both'), ip: '10.1.0.3', ip6: 'fd00::3' });
      fixture.engine.run({
        ...{ env: { DNS_53_UDP_NAME: 'names' }, exposed: ['53/udp'], ip: '10.1.0.4' },
      });
      fixture.engine.run({ ...base, env: { DNS_NAME: 'alone', DNS_PORT: '0' }, ip: '10.1.0.5' });
      await fixture.settle();
      assert.deepEqual(states(registrar), {
        '/skydns/local/skydns/many/1': '10.1.0.2:80',
        '/skydns/local/skydns/both/ipv4': '10.1.0.3,fd00::3:80',
        '/skydns/local/skydns/both/ipv6': '10.1.0.3,fd00::3:80',
        '/skydns/local/skydns/names': '10.1.0.4:53',
        '/skydns/local/skydns/alone': '10.1.0.5:undefined',
      });
      assert.deepEqual(
        Object.keys(states(registrar)).sort(),
        (await fixture.keys()).map((key) => `/skydns/${key}`).sort(),
      );
    }));

  it('After a restart the registrar knows its backends once it is settled', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start();
      const web = fixture.engine.run({ ...WEB, ip: '10.1.0.2' });
      const gone = fixture.engine.run({ ...named('gone'), ip: '10.1.0.3' });
      await fixture.settle();
      await fixture.end(first);
      fixture.engine.remove(gone);
      fixture.engine.connect(web, 'back', '10.2.0.2');
      const second = fixture.start();
      const { host } = second.registrar;
      assert.equal(host.isSettled, false);
      const { seen } = watch(second, () => [host.isSettled, states(second.registrar)] as const);
      await fixture.settle();
      await fixture.advance(30_000);
      const settled = seen.filter(([isSettled]) => isSettled).map(([, backends]) => backends);
      for (const backends of settled) assert.equal(backends[WEB_KEY], '10.2.0.2,10.1.0.2:80');
      assert.equal(settled[0]?.['/skydns/local/skydns/gone'], 'ended');
      assert.deepEqual(Object.keys(settled.at(-1) ?? {}), [WEB_KEY]);
    }));

  it('A record whose container is not inspected yet has no local backend', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start();
      fixture.engine.run({ ...WEB, ip: '10.1.0.2' });
      await fixture.settle();
      await fixture.end(first);
      let answer = (): void => {};
      fixture.engine.faults.beforeAnswer = () => new Promise((resolve) => (answer = resolve));
      const { registrar } = fixture.start();
      await fixture.settle();
      assert.deepEqual(states(registrar), {});
      assert.equal(registrar.host.isSettled, false);
      answer();
      await fixture.settle();
      assert.deepEqual(states(registrar), { [WEB_KEY]: '10.1.0.2:80' });
      assert.equal(registrar.host.isSettled, true);
    }));

  it('A restarted container’s record has ended until the record is the new life’s', () =>
    withApp(async (fixture, running) => {
      const web = fixture.engine.run({ ...WEB, ip: '10.1.0.2' });
      await fixture.settle();
      const { seen } = watch(running, () => states(running.registrar)[WEB_KEY]);
      fixture.engine.restart(web);
      await fixture.settle();
      assert.equal(seen[0], '10.1.0.2:80');
      assert.equal(seen[1], 'ended');
      assert.equal(seen.at(-1), '10.1.0.2:80');
    }));

  it('A record of another owner has no local backend', () =>
    withApp(async (fixture, { registrar }) => {
      const owner = { r: 'ENGINE:9/0123456789ab', c: '0123456789ab', s: '2026-01-01T00:00:00Z' };
      const byHand = { host: '192.0.2.99' };
      for (const [name, value] of [
        ['web', byHand],
        ['db', { ...byHand, owner }],
      ] as const) {
        await fixture.store.put(`/skydns/local/skydns/${name}`, Buffer.from(JSON.stringify(value)));
        fixture.engine.run(named(name));
      }
      await fixture.settle();
      assert.equal(registrar.status().counters.conflicts, 2);
      assert.deepEqual(states(registrar), {});
    }));

  it('A stopping container’s record keeps its backend until the record is gone', () =>
    withApp(async (fixture, running) => {
      const web = fixture.engine.run({ ...WEB, ip: '10.1.0.2' });
      await fixture.settle();
      const { seen } = watch(running, () => states(running.registrar)[WEB_KEY]);
      running.link.fault = (operation) => (operation === 'delete' ? 'unavailable' : undefined);
      fixture.engine.signal(web, '15');
      await fixture.settle();
      assert.deepEqual(seen, ['10.1.0.2:80']);
      running.link.fault = undefined;
      await fixture.advance(60_000);
      assert.equal(states(running.registrar)[WEB_KEY], undefined);
    }));

  it('Listeners are called no more after they end', () =>
    withApp(async (fixture, running) => {
      const { seen, stop } = watch(running, () => addresses(running.registrar));
      stop();
      fixture.engine.run(APP);
      await fixture.settle();
      assert.equal(seen.length, 1);
    }));
});
