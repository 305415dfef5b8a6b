/** A container with IPv4 and IPv6 has both addresses at one name, and claims that name once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeEngine } from '../../support/fakeEngine.ts';
import { type RegistrarFixture, withRegistrarFixture } from '../../support/registrarFixture.ts';

const WEB = { env: { DNS_NAME: 'web.skydns.local' }, exposed: ['80/tcp'] };
const NAME = 'local/skydns/web';
const DUAL = { ...WEB, ip: '10.1.0.2', ip6: 'fd00::2' };
const BOTH = { [`${NAME}/ipv4`]: '10.1.0.2', [`${NAME}/ipv6`]: 'fd00::2' };

/** The engine of a second machine that uses the same store. */
function otherEngine(fixture: RegistrarFixture): FakeEngine {
  const engine = new FakeEngine(fixture.clock);
  engine.engineInfo = { ...engine.engineInfo, id: 'ENGINE:2', name: 'other' };
  return engine;
}

/**
 * The addresses in the answer for the name after each change of the store. The server does not answer with a value that
 * has keys below it.
 */
async function answersDuring(
  fixture: RegistrarFixture,
  change: () => Promise<void>,
): Promise<readonly (readonly string[])[]> {
  const values = new Map(Object.entries(await fixture.hosts()));
  const answers: string[][] = [];
  const abort = new AbortController();
  const { revision } = await fixture.store.get('/x');
  const watching = (async () => {
    for await (const { changes } of fixture.store.watch('/skydns/', revision + 1, abort.signal)) {
      for (const one of changes) {
        const key = (one.kind === 'put' ? one.entry.key : one.key).slice('/skydns/'.length);
        if (one.kind === 'delete') values.delete(key);
        else values.set(key, JSON.parse(Buffer.from(one.entry.value).toString()).host);
        const below = [...values].filter(([at]) => at.startsWith(`${NAME}/`));
        const shown = below.length > 0 ? below : [...values].filter(([at]) => at === NAME);
        answers.push(shown.map(([, host]) => host).sort());
      }
    }
  })();
  await change();
  await fixture.settle();
  abort.abort();
  await watching;
  return answers;
}

describe('dual-stack containers', () => {
  it('A dual-stack container has a record for each family below its name, which is their SRV target', () =>
    withRegistrarFixture(async (fixture) => {
      const { registrar } = fixture.start();
      fixture.engine.run(DUAL);
      assert.deepEqual(await fixture.hosts(), BOTH);
      const records = Object.values(await fixture.records());
      assert.deepEqual(
        records.map((record) => (record as { targetstrip?: number }).targetstrip),
        [1, 1],
      );
      assert.deepEqual(
        registrar.status().containers[0]?.records.map(({ nameKey, state }) => [nameKey, state]),
        [
          [`/skydns/${NAME}`, 'published'],
          [`/skydns/${NAME}`, 'published'],
        ],
      );
      await fixture.assertQuiet(120_000);
    }));

  it('A container that gains and loses its second family always has a record of the first', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { networks: ['six', 'bridge'] } });
      const web = fixture.engine.run({ ...WEB, ip: '10.1.0.2' });
      await fixture.settle();
      const widened = await answersDuring(fixture, async () => {
        web.join('six', '10.1.0.2', 'fd00::2');
        fixture.engine.connect(web, 'extra');
      });
      assert.deepEqual(widened, [['10.1.0.2'], ['10.1.0.2', 'fd00::2'], ['10.1.0.2', 'fd00::2']]);
      assert.deepEqual(await fixture.hosts(), BOTH);
      const narrowed = await answersDuring(fixture, async () =>
        fixture.engine.disconnect(web, 'six'),
      );
      assert.deepEqual(narrowed, [['10.1.0.2'], ['10.1.0.2'], ['10.1.0.2']]);
      assert.deepEqual(await fixture.hosts(), { [NAME]: '10.1.0.2' });
    }));

  it('A dual-stack container and a container with a single address cannot hold the same name together', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      const dual = fixture.engine.run(DUAL);
      await fixture.settle();
      const single = fixture.engine.run({ ...WEB, ip: '10.1.0.3' });
      const below = fixture.engine.run({
        env: { DNS_NAME: 'ipv4.web.skydns.local' },
        exposed: ['80/tcp'],
      });
      assert.deepEqual(await fixture.hosts(), BOTH);
      const reasons = running.registrar
        .status()
        .containers.flatMap(({ records }) => records.flatMap(({ reason }) => reason ?? []));
      assert.equal(reasons.length, 2);
      for (const reason of reasons)
        assert.match(
          reason,
          new RegExp(
            `^(held by|stands below web.skydns.local, which) container ${dual.id.slice(0, 12)} of this engine`,
          ),
        );
      fixture.engine.die(dual);
      assert.deepEqual(await fixture.hosts(), { [NAME]: '10.1.0.3' });
      fixture.engine.die(single);
      const own = [...below.networks.values()][0]?.ip;
      assert.deepEqual(await fixture.hosts(), { [`${NAME}/ipv4`]: own });
    }));

  it('Across engines one dual-stack container holds all keys of a name and the others wait', () =>
    withRegistrarFixture(async (fixture) => {
      const other = otherEngine(fixture);
      fixture.start();
      const dual = fixture.engine.run(DUAL);
      await fixture.settle();
      const { registrar } = fixture.start({ engine: other });
      other.run({ ...WEB, ip: '10.2.0.2' });
      assert.deepEqual(await fixture.hosts(), BOTH);
      const [record] = registrar.status().containers[0]?.records ?? [];
      assert.equal(record?.state, 'conflict');
      assert.match(record?.reason ?? '', /^held by container [0-9a-f]{12} of engine ENGINE:1/);
      fixture.engine.die(dual);
      assert.deepEqual(await fixture.hosts(), { [NAME]: '10.2.0.2' });
    }));

  it('A dual-stack container waits for a name that another engine holds at its own key', () =>
    withRegistrarFixture(async (fixture) => {
      const other = otherEngine(fixture);
      fixture.start({ engine: other });
      const single = other.run({ ...WEB, ip: '10.2.0.2' });
      await fixture.settle();
      fixture.start();
      await fixture.settle();
      fixture.engine.run(DUAL);
      await fixture.advance(10_000);
      assert.deepEqual(await fixture.hosts(), { [NAME]: '10.2.0.2' });
      other.die(single);
      assert.deepEqual(await fixture.hosts(), BOTH);
    }));

  it('Of two engines that take a dual-stack name at the same time one gives it up', () =>
    withRegistrarFixture(async (fixture) => {
      const other = otherEngine(fixture);
      const running = [fixture.start(), fixture.start({ engine: other })];
      await fixture.settle();
      // Each registrar finds its keys free, and writes only after the other one has read them too.
      let go = (): void => {};
      const both = new Promise<void>((resolve) => {
        go = resolve;
      });
      for (const { link } of running)
        link.delay = (operation) => (operation === 'put' ? both : undefined);
      fixture.engine.run(DUAL);
      other.run({ ...WEB, ip: '10.2.0.2' });
      await fixture.settle();
      for (const { link } of running) link.delay = undefined;
      go();
      await fixture.advance(10_000);
      const hosts = await fixture.hosts();
      const isDual = Object.keys(hosts).length === 2;
      assert.deepEqual(hosts, isDual ? BOTH : { [NAME]: '10.2.0.2' });
      await fixture.assertQuiet(120_000);
    }));

  it('A dual-stack instance has one number, and PTR records of both addresses point to it', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { ptr: true } });
      const auto = { env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] };
      const first = fixture.engine.run({ ...auto, ip: '10.1.0.1' });
      fixture.engine.run({ ...auto, ip: '10.1.0.2', ip6: 'fd00::2' });
      assert.deepEqual(await fixture.hosts(), {
        'arpa/in-addr/10/1/0/1': '1.web.skydns.local',
        'arpa/in-addr/10/1/0/2': '2.web.skydns.local',
        [`arpa/ip6/f/d/0/0${'/0'.repeat(27)}/2`]: '2.web.skydns.local',
        [`${NAME}/1`]: '10.1.0.1',
        [`${NAME}/2/ipv4`]: '10.1.0.2',
        [`${NAME}/2/ipv6`]: 'fd00::2',
      });
      fixture.engine.die(first);
      await fixture.settle();
      const { registrar } = fixture.start();
      await fixture.advance(60_000);
      assert.equal(registrar.status().role, 'standby');
      assert.equal((await fixture.hosts())[`${NAME}/2/ipv4`], '10.1.0.2');
    }));

  it('A dual-stack instance keeps its records and number through a restart of the registrar', () =>
    withRegistrarFixture(async (fixture) => {
      const auto = { env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] };
      fixture.engine.run(DUAL);
      const first = fixture.start();
      const gone = fixture.engine.run({ ...auto, ip: '10.1.0.1' });
      await fixture.settle();
      fixture.engine.run({ ...auto, ip: '10.1.0.9', ip6: 'fd00::9' });
      await fixture.settle();
      fixture.engine.die(gone);
      const before = await fixture.records();
      await fixture.end(first);
      fixture.start();
      const revision = await fixture.revision();
      await fixture.advance(1_000);
      assert.deepEqual(await fixture.records(), before);
      const locks = 3; // the lock changes hands
      assert.ok((await fixture.revision()) - revision <= locks, 'records were written anew');
    }));
});
