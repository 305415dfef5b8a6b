/** The faults in the issues of gliderlabs/registrator, by their numbers, do not occur here. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { withRegistrarFixture } from '../../support/registrarFixture.ts';

const COMPAT = {
  compat: ['registrator'],
  exposedByDefault: true,
  registrator: { hostName: '', rawIds: false, tags: [] },
} as const;

const WEB = { env: { DNS_NAME: 'web' }, exposed: ['80/tcp'] };
const KEY = 'local/skydns/web';

describe('registrator’s issues', () => {
  it('#155: The registrar keeps running while its store is down, at the start or later', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      running.link.lose();
      fixture.engine.run(WEB);
      await fixture.advance(600_000);
      running.link.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
      running.link.lose();
      await fixture.advance(600_000);
      running.link.restore();
      await fixture.advance(6_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('#184, #190: The registrar removes services of containers that ended while it was not running', () =>
    withRegistrarFixture(async (fixture) => {
      const gone = fixture.engine.run({ ...WEB, env: { DNS_NAME: 'gone' } });
      const removed = fixture.engine.run({ ...WEB, env: { DNS_NAME: 'removed' } });
      fixture.engine.run(WEB);
      const first = fixture.start();
      await fixture.settle();
      await fixture.end(first);
      fixture.engine.die(gone);
      fixture.engine.remove(removed);
      fixture.start();
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('#277: The registrar removes records without a container on its own', () =>
    withRegistrarFixture(async (fixture) => {
      const owner = { r: 'ENGINE:1', c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
      const value = Buffer.from(JSON.stringify({ host: '172.17.0.99', ttl: 30, owner }));
      await fixture.store.put('/skydns/local/skydns/dangling', value);
      const elsewhere = Buffer.from(
        JSON.stringify({ host: '192.0.2.9', ttl: 30, owner: { ...owner, r: 'ENGINE:2' } }),
      );
      await fixture.store.put('/skydns/local/skydns/elsewhere', elsewhere);
      fixture.start();
      assert.deepEqual(await fixture.keys(), ['local/skydns/elsewhere']);
    }));

  it('#325: The registrar corrects a missed event within half a minute', () =>
    withRegistrarFixture(async (fixture) => {
      const web = fixture.engine.run(WEB);
      fixture.start();
      await fixture.settle();
      fixture.engine.faults.drop = () => true;
      fixture.engine.remove(web);
      await fixture.advance(31_000);
      assert.deepEqual(await fixture.keys(), []);
    }));

  it('#644: A registrar that is recreated under another host name leaves no duplicates', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.engine.run({ name: 'web', image: 'nginx', exposed: ['80/tcp'] });
      const first = fixture.start({ context: COMPAT, host: '1a2b3c4d5e6f' });
      const before = await fixture.keys();
      assert.equal(before.length, 1);
      fixture.kill(first);
      fixture.start({ context: COMPAT, host: 'f6e5d4c3b2a1' });
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.keys(), before);
    }));

  it('#248: The registrar removes a stopping container’s records at its signal, before it ends', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: COMPAT });
      const web = fixture.engine.run({ name: 'web', image: 'nginx', exposed: ['80/tcp'] });
      assert.equal((await fixture.keys()).length, 1);
      fixture.engine.signal(web, '15');
      assert.deepEqual(await fixture.keys(), []);
      assert.ok(web.isRunning);
    }));

  it('#337: The address and port of a record belong together on a user network', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { ...COMPAT, mode: 'published' } });
      const setup = { name: 'web', image: 'nginx', network: 'shop', ip: '172.20.0.5' };
      fixture.engine.run({ ...setup, publish: ['32768:80'] });
      const [record] = Object.values(await fixture.records());
      assert.deepEqual([record?.host, record?.port], ['192.0.2.1', 32768]);
    }));

  it('#337: The address and port of a record belong together in internal mode', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { ...COMPAT, mode: 'internal' } });
      const setup = { name: 'web', image: 'nginx', network: 'shop', ip: '172.20.0.5' };
      fixture.engine.run({ ...setup, publish: ['32768:80'] });
      const [record] = Object.values(await fixture.records());
      assert.deepEqual([record?.host, record?.port], ['172.20.0.5', 80]);
    }));
});
