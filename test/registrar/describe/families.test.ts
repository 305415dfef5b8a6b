/** A container with IPv4 and IPv6 has both at its one name, which is one claim. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FakeEngine } from '../../support/fakeEngine.ts';
import { onBench, type RegistrarBench } from '../../support/registrarBench.ts';

const WEB = { env: { DNS_NAME: 'web.skydns.local' }, exposed: ['80/tcp'] };
const NAME = 'local/skydns/web';
const DUAL = { ...WEB, ip: '10.1.0.2', ip6: 'fd00::2' };
const BOTH = { [`${NAME}/ipv4`]: '10.1.0.2', [`${NAME}/ipv6`]: 'fd00::2' };

/** A second machine of the same store. */
function otherEngine(bench: RegistrarBench): FakeEngine {
  const engine = new FakeEngine(bench.clock);
  engine.engineInfo = { ...engine.engineInfo, id: 'ENGINE:2', name: 'other' };
  return engine;
}

/** What is answered at the name after each change of the store: a value with keys below it is hidden. */
async function answersDuring(
  bench: RegistrarBench,
  change: () => Promise<void>,
): Promise<readonly (readonly string[])[]> {
  const values = new Map(Object.entries(await bench.hosts()));
  const answers: string[][] = [];
  const abort = new AbortController();
  const { revision } = await bench.store.get('/x');
  const watching = (async () => {
    for await (const { changes } of bench.store.watch('/skydns/', revision + 1, abort.signal)) {
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
  await bench.settle();
  abort.abort();
  await watching;
  return answers;
}

describe('a container with both families', () => {
  it('has a record for each below its name, with that name as SRV target', () =>
    onBench(async (bench) => {
      const { registrar } = bench.start();
      bench.engine.run(DUAL);
      assert.deepEqual(await bench.hosts(), BOTH);
      const records = Object.values(await bench.records());
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
      await bench.assertQuiet(120_000);
    }));

  it('gets its second family and loses it again without a moment without the first', () =>
    onBench(async (bench) => {
      bench.start({ context: { networks: ['six', 'bridge'] } });
      const web = bench.engine.run({ ...WEB, ip: '10.1.0.2' });
      await bench.settle();
      const widened = await answersDuring(bench, async () => {
        web.join('six', '10.1.0.2', 'fd00::2');
        bench.engine.connect(web, 'extra');
      });
      assert.deepEqual(widened, [['10.1.0.2'], ['10.1.0.2', 'fd00::2'], ['10.1.0.2', 'fd00::2']]);
      assert.deepEqual(await bench.hosts(), BOTH);
      const narrowed = await answersDuring(bench, async () => bench.engine.disconnect(web, 'six'));
      assert.deepEqual(narrowed, [['10.1.0.2'], ['10.1.0.2'], ['10.1.0.2']]);
      assert.deepEqual(await bench.hosts(), { [NAME]: '10.1.0.2' });
    }));

  it('and one with a single address have one name between them', () =>
    onBench(async (bench) => {
      const running = bench.start();
      const dual = bench.engine.run(DUAL);
      await bench.settle();
      const single = bench.engine.run({ ...WEB, ip: '10.1.0.3' });
      const below = bench.engine.run({
        env: { DNS_NAME: 'ipv4.web.skydns.local' },
        exposed: ['80/tcp'],
      });
      assert.deepEqual(await bench.hosts(), BOTH);
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
      bench.engine.die(dual);
      assert.deepEqual(await bench.hosts(), { [NAME]: '10.1.0.3' });
      bench.engine.die(single);
      const own = [...below.networks.values()][0]?.ip;
      assert.deepEqual(await bench.hosts(), { [`${NAME}/ipv4`]: own });
    }));

  it('hold their names across engines, too: one has all keys of a name, the others wait', () =>
    onBench(async (bench) => {
      const other = otherEngine(bench);
      bench.start();
      const dual = bench.engine.run(DUAL);
      await bench.settle();
      const { registrar } = bench.start({ engine: other });
      other.run({ ...WEB, ip: '10.2.0.2' });
      assert.deepEqual(await bench.hosts(), BOTH);
      const [record] = registrar.status().containers[0]?.records ?? [];
      assert.equal(record?.state, 'conflict');
      assert.match(record?.reason ?? '', /^held by container [0-9a-f]{12} of engine ENGINE:1/);
      bench.engine.die(dual);
      assert.deepEqual(await bench.hosts(), { [NAME]: '10.2.0.2' });
    }));

  it('wait for a name that another engine had at its own key before they started', () =>
    onBench(async (bench) => {
      const other = otherEngine(bench);
      bench.start({ engine: other });
      const single = other.run({ ...WEB, ip: '10.2.0.2' });
      await bench.settle();
      bench.start();
      await bench.settle();
      bench.engine.run(DUAL);
      await bench.advance(10_000);
      assert.deepEqual(await bench.hosts(), { [NAME]: '10.2.0.2' });
      other.die(single);
      assert.deepEqual(await bench.hosts(), BOTH);
    }));

  it('of two engines that take a name at the same time one gives it up', () =>
    onBench(async (bench) => {
      const other = otherEngine(bench);
      const running = [bench.start(), bench.start({ engine: other })];
      await bench.settle();
      // Each finds all of its keys free, and writes only once the other one has looked, too.
      let go = (): void => {};
      const both = new Promise<void>((resolve) => {
        go = resolve;
      });
      for (const { link } of running)
        link.delay = (operation) => (operation === 'put' ? both : undefined);
      bench.engine.run(DUAL);
      other.run({ ...WEB, ip: '10.2.0.2' });
      await bench.settle();
      for (const { link } of running) link.delay = undefined;
      go();
      await bench.advance(10_000);
      const hosts = await bench.hosts();
      const isDual = Object.keys(hosts).length === 2;
      assert.deepEqual(hosts, isDual ? BOTH : { [NAME]: '10.2.0.2' });
      await bench.assertQuiet(120_000);
    }));

  it('has one number among others, and its addresses point to that', () =>
    onBench(async (bench) => {
      bench.start({ context: { ptr: true } });
      const auto = { env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] };
      const first = bench.engine.run({ ...auto, ip: '10.1.0.1' });
      bench.engine.run({ ...auto, ip: '10.1.0.2', ip6: 'fd00::2' });
      assert.deepEqual(await bench.hosts(), {
        'arpa/in-addr/10/1/0/1': '1.web.skydns.local',
        'arpa/in-addr/10/1/0/2': '2.web.skydns.local',
        [`arpa/ip6/f/d/0/0${'/0'.repeat(27)}/2`]: '2.web.skydns.local',
        [`${NAME}/1`]: '10.1.0.1',
        [`${NAME}/2/ipv4`]: '10.1.0.2',
        [`${NAME}/2/ipv6`]: 'fd00::2',
      });
      bench.engine.die(first);
      await bench.settle();
      const { registrar } = bench.start();
      await bench.advance(60_000);
      assert.equal(registrar.status().role, 'standby');
      assert.equal((await bench.hosts())[`${NAME}/2/ipv4`], '10.1.0.2');
    }));

  it('keeps its records, number and all, when the registrar is restarted', () =>
    onBench(async (bench) => {
      const auto = { env: { DNS_SERVICE: 'web', DNS_INSTANCE: 'auto' }, exposed: ['80/tcp'] };
      bench.engine.run(DUAL);
      const first = bench.start();
      const gone = bench.engine.run({ ...auto, ip: '10.1.0.1' });
      await bench.settle();
      bench.engine.run({ ...auto, ip: '10.1.0.9', ip6: 'fd00::9' });
      await bench.settle();
      bench.engine.die(gone);
      const before = await bench.records();
      await bench.end(first);
      bench.start();
      const revision = await bench.revision();
      await bench.advance(1_000);
      assert.deepEqual(await bench.records(), before);
      const locks = 3; // the lock changes hands
      assert.ok((await bench.revision()) - revision <= locks, 'records were written anew');
    }));
});
