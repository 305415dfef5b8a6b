/** Conflicts, changes of names, addresses and zones, and dry runs: cases 11 to 17 of the specification. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  KEY,
  kindsOf,
  LEASE_MS,
  named,
  WEB,
  withRegistrarFixture,
} from '../support/registrarFixture.ts';
import { entriesOf } from '../support/storeCalls.ts';

const ZONES = [['skydns', 'local']];

describe('changes of records', () => {
  it('A container waits for a key of another owner and gets it when it is free', () =>
    withRegistrarFixture(async (fixture) => {
      const foreign = Buffer.from('{"host":"192.0.2.99"}');
      await fixture.store.put(`/skydns/${KEY}`, foreign);
      const running = fixture.start();
      fixture.engine.run(WEB);
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.99' });
      const [container] = running.registrar.status().containers;
      assert.equal(container?.records[0]?.state, 'conflict');
      assert.match(
        container?.records[0]?.reason ?? '',
        /^was set by hand; remove it with: soradns rm web\.skydns\.local$/,
      );
      assert.equal(running.registrar.status().counters.conflicts, 1);
      assert.equal(kindsOf(running).filter((kind) => kind === 'conflict').length, 1);
      await fixture.store.delete(`/skydns/${KEY}`);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
    }));

  it('Of two containers with one name the first has the record, and then the other', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const first = fixture.engine.run(WEB);
      await fixture.settle();
      const second = fixture.engine.run(WEB);
      await fixture.settle();
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
      fixture.engine.die(first);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.3' });
      assert.ok(second.isRunning);
    }));

  it('A deleted key is written again, and a key that another writer overwrote is left', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      fixture.engine.run(WEB);
      await fixture.settle();
      await fixture.store.delete(`/skydns/${KEY}`);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.2' });
      await fixture.store.put(`/skydns/${KEY}`, Buffer.from('{"host":"192.0.2.99"}'));
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.99' });
    }));

  it("A dead container's record never has an address that another container uses again", () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const first = fixture.engine.run({ ...named('first'), ip: '172.17.0.50' });
      await fixture.settle();
      fixture.engine.die(first);
      fixture.engine.run({ ...named('second'), ip: '172.17.0.50' });
      assert.deepEqual(await fixture.hosts(), { 'local/skydns/second': '172.17.0.50' });
    }));

  it('A container that joined the network of another container loses its record when that container ends', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const parent = fixture.engine.run({ ip: '172.17.0.7' });
      const child = fixture.engine.run({ ...WEB, network: `container:${parent.id}` });
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.7' });
      fixture.engine.die(parent);
      assert.deepEqual(await fixture.keys(), []);
      fixture.engine.start(parent);
      await fixture.advance(100);
      assert.deepEqual(await fixture.keys(), [], 'its network is dead until it restarts itself');
      fixture.engine.restart(child);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.7' });
    }));

  it('A new host address is written to all records without an inspection', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { mode: 'published' } });
      fixture.engine.run({ env: { DNS_NAME: 'web' }, publish: ['8080:80'] });
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.1' });
      const { inspect } = fixture.engine.calls;
      fixture.hostAddress = '192.0.2.2';
      await fixture.advance(16_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.2' });
      assert.equal(fixture.engine.calls.inspect, inspect);
    }));

  it("A closed registrar no longer reads the host's address", () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      await fixture.advance(16_000);
      await fixture.end(running, 'revoke');
      const { fired } = fixture.clock;
      await fixture.advance(60_000);
      assert.equal(fixture.clock.fired, fired, 'a timer was left');
    }));

  it('A jump of the wall clock changes nothing', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run(WEB);
      fixture.start();
      await fixture.advance(1_000);
      for (const ms of [3_600_000, -7_200_000]) {
        fixture.clock.jumpWall(ms);
        await fixture.assertQuiet(2 * LEASE_MS);
        assert.deepEqual(await fixture.keys(), [KEY]);
      }
      fixture.engine.run(named('new'));
      assert.equal((await fixture.keys()).length, 2);
    }));

  it('A rename writes the new name before it deletes the old one', () =>
    withRegistrarFixture(async (fixture) => {
      const context = { compat: ['registrator'], exposedByDefault: true } as const;
      const registrator = { hostName: 'node1', rawIds: false, tags: [] };
      fixture.start({ context: { ...context, registrator } });
      const web = fixture.engine.run({ name: 'old', image: 'web', exposed: ['80/tcp'] });
      assert.deepEqual(await fixture.keys(), ['local/skydns/web/node1-old-80']);
      const before = await fixture.revision();
      fixture.engine.rename(web, 'new');
      assert.deepEqual(await fixture.keys(), ['local/skydns/web/node1-new-80']);
      const [entry] = await entriesOf(fixture.store, '/skydns/');
      assert.equal(entry?.modRevision, before + 1);
    }));

  it('A rename of a container writes nothing if no key contains the container’s name', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      const before = await fixture.revision();
      fixture.engine.rename(web, 'new');
      await fixture.advance(1_000);
      assert.equal(await fixture.revision(), before);
    }));

  it('Bad metadata costs only its own record and is reported once', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      fixture.engine.run(named('web', { DNS_WEIGHT: '99999999' }));
      fixture.engine.run({
        env: { DNS_NAME: 'a.skydns.local,x.other.tld,../../etc' },
        exposed: ['1/tcp'],
      });
      fixture.engine.run(named('good'));
      await fixture.advance(120_000);
      assert.ok((await fixture.keys()).includes('local/skydns/good'));
      assert.ok((await fixture.keys()).every((key) => key.startsWith('local/skydns/')));
      const refused = running.events.filter(({ kind }) => kind === 'refused');
      assert.equal(refused.length, running.registrar.status().counters.refusals);
      assert.equal(refused.length, 2);
    }));

  it('A container without an address has no record and is inspected again', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      const web = fixture.engine.run({ ...WEB, ip: '' });
      assert.deepEqual(await fixture.keys(), []);
      assert.match(running.registrar.status().containers[0]?.reason ?? '', /./);
      const { inspect } = fixture.engine.calls;
      await fixture.advance(25_000);
      assert.equal(fixture.engine.calls.inspect - inspect, 3, 'after 0.2, 1 and 5 s');
      web.join('bridge', '172.17.0.9');
      await fixture.advance(10_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '172.17.0.9' });
    }));

  it('The record of another engine at a key of ours stays', () =>
    withRegistrarFixture(async (fixture) => {
      const owner = { r: 'ENGINE:2', c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
      const value = Buffer.from(JSON.stringify({ host: '192.0.2.9', ttl: 30, owner }));
      await fixture.store.put(`/skydns/${KEY}`, value);
      const running = fixture.start();
      fixture.engine.run(WEB);
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [KEY]: '192.0.2.9' });
      const [record] = running.registrar.status().containers[0]?.records ?? [];
      assert.match(record?.reason ?? '', /0123456789ab of engine ENGINE:2/);
    }));

  it('New zones move names that end in no zone, refuse names outside, and touch no other record', () =>
    withRegistrarFixture(async (fixture) => {
      const { registrar, events } = fixture.start();
      for (const name of ['fixed.skydns.local', 'moves', 'later.example.org']) {
        fixture.engine.run({ env: { DNS_NAME: name }, exposed: ['80/tcp'] });
      }
      fixture.engine.run({
        env: { DNS_SERVICE: 'n', DNS_INSTANCE: 'auto' },
        exposed: ['80/tcp'],
      });
      const before = ['local/skydns/fixed', 'local/skydns/moves', 'local/skydns/n/1'];
      assert.deepEqual(await fixture.keys(), before);
      const { entry } = await fixture.store.get('/skydns/local/skydns/fixed');

      const org = ['example', 'org'];
      registrar.setZones({ zones: [org, ...ZONES], defaultZone: org });
      const both = [
        'local/skydns/fixed',
        ...['later', 'moves', 'n/1'].map((n) => `org/example/${n}`),
      ];
      assert.deepEqual(await fixture.keys(), both);
      const after = await fixture.store.get('/skydns/local/skydns/fixed');
      assert.equal(after.entry?.modRevision, entry?.modRevision, 'it was written again');

      const revision = await fixture.revision();
      registrar.setZones({ zones: [org, ...ZONES], defaultZone: org });
      await fixture.settle();
      assert.equal(await fixture.revision(), revision);

      registrar.setZones({ zones: [org], defaultZone: org });
      assert.deepEqual(await fixture.keys(), both.slice(1));
      const refusals = events.flatMap((event) => (event.kind === 'refused' ? [event.refusal] : []));
      assert.deepEqual(
        refusals.map(({ about }) => about),
        ['later.example.org', 'fixed.skydns.local'],
      );
    }));

  it('A change of zones before the engine answers takes effect', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.lose();
      const { registrar } = fixture.start();
      fixture.engine.run({ env: { DNS_NAME: 'web' }, exposed: ['80/tcp'] });
      await fixture.settle();
      registrar.setZones({ zones: [['example']], defaultZone: ['example'] });
      fixture.engine.restore();
      await fixture.advance(10_000);
      assert.deepEqual(await fixture.keys(), ['example/web']);
    }));

  it('A dry run reports what it would write and writes nothing', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start({ dryRun: true });
      fixture.engine.run(WEB);
      await fixture.assertQuiet(60_000);
      assert.deepEqual(await fixture.keys(), []);
      const would = running.events.filter(({ kind }) => kind === 'would');
      assert.deepEqual(
        would.map((event) => event.kind === 'would' && [event.operation.kind, event.operation.key]),
        [['put', `/skydns/${KEY}`]],
      );
      assert.equal(running.registrar.status().role, 'dry-run');
    }));
});
