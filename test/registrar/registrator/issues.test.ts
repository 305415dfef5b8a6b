/** What gliderlabs/registrator was reported for, by the numbers of its issues, does not happen here. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { onBench } from '../../support/registrarBench.ts';

const COMPAT = {
  compat: 'registrator',
  exposedByDefault: true,
  registrator: { hostName: '', rawIds: false, tags: [] },
} as const;

const WEB = { env: { DNS_NAME: 'web' }, exposed: ['80/tcp'] };
const KEY = 'local/skydns/web';

describe('registrator’s issues', () => {
  it('#155: a backend that is down at the start or later ends nothing', () =>
    onBench(async (bench) => {
      const running = bench.start();
      running.link.lose();
      bench.engine.run(WEB);
      await bench.advance(600_000);
      running.link.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), [KEY]);
      running.link.lose();
      await bench.advance(600_000);
      running.link.restore();
      await bench.advance(6_000);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('#184, #190: services of containers that ended while it was not running are removed', () =>
    onBench(async (bench) => {
      const gone = bench.engine.run({ ...WEB, env: { DNS_NAME: 'gone' } });
      const removed = bench.engine.run({ ...WEB, env: { DNS_NAME: 'removed' } });
      bench.engine.run(WEB);
      const first = bench.start();
      await bench.settle();
      await bench.end(first);
      bench.engine.die(gone);
      bench.engine.remove(removed);
      bench.start();
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('#277: what dangles in the backend goes without anybody asking for it', () =>
    onBench(async (bench) => {
      const owner = { r: 'ENGINE:1', c: '0123456789ab', s: '2020-01-01T00:00:00Z' };
      const value = Buffer.from(JSON.stringify({ host: '172.17.0.99', ttl: 30, owner }));
      await bench.store.put('/skydns/local/skydns/dangling', value);
      const elsewhere = Buffer.from(
        JSON.stringify({ host: '192.0.2.9', ttl: 30, owner: { ...owner, r: 'ENGINE:2' } }),
      );
      await bench.store.put('/skydns/local/skydns/elsewhere', elsewhere);
      bench.start();
      assert.deepEqual(await bench.keys(), ['local/skydns/elsewhere']);
    }));

  it('#325: an event that was missed is made up for in half a minute', () =>
    onBench(async (bench) => {
      const web = bench.engine.run(WEB);
      bench.start();
      await bench.settle();
      bench.engine.faults.drop = () => true;
      bench.engine.remove(web);
      await bench.advance(31_000);
      assert.deepEqual(await bench.keys(), []);
    }));

  it('#644: a registrar that is recreated under another host name leaves no duplicates', () =>
    onBench(async (bench) => {
      bench.engine.run({ name: 'web', image: 'nginx', exposed: ['80/tcp'] });
      const first = bench.start({ context: COMPAT, host: '1a2b3c4d5e6f' });
      const before = await bench.keys();
      assert.equal(before.length, 1);
      bench.kill(first);
      bench.start({ context: COMPAT, host: 'f6e5d4c3b2a1' });
      await bench.advance(60_000);
      assert.deepEqual(await bench.keys(), before);
    }));

  it('#248: a container that is being stopped is withdrawn at the signal, before it ends', () =>
    onBench(async (bench) => {
      bench.start({ context: COMPAT });
      const web = bench.engine.run({ name: 'web', image: 'nginx', exposed: ['80/tcp'] });
      assert.equal((await bench.keys()).length, 1);
      bench.engine.signal(web, '15');
      assert.deepEqual(await bench.keys(), []);
      assert.ok(web.isRunning);
    }));

  it('#337: on a user network address and port belong together', () =>
    onBench(async (bench) => {
      bench.start({ context: { ...COMPAT, mode: 'published' } });
      const setup = { name: 'web', image: 'nginx', network: 'shop', ip: '172.20.0.5' };
      bench.engine.run({ ...setup, publish: ['32768:80'] });
      const [record] = Object.values(await bench.records());
      assert.deepEqual([record?.host, record?.port], ['192.0.2.1', 32768]);
    }));

  it('#337: inside as well', () =>
    onBench(async (bench) => {
      bench.start({ context: { ...COMPAT, mode: 'internal' } });
      const setup = { name: 'web', image: 'nginx', network: 'shop', ip: '172.20.0.5' };
      bench.engine.run({ ...setup, publish: ['32768:80'] });
      const [record] = Object.values(await bench.records());
      assert.deepEqual([record?.host, record?.port], ['172.20.0.5', 80]);
    }));
});
