/** The same compose project on several hosts: compose counts on each for itself, and all of them are served. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FakeContainer, FakeContainerSetup } from '../../support/fakeContainer.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import { onBench, type RegistrarBench } from '../../support/registrarBench.ts';

const BASE = 'local/skydns/my-app/api';

function api(number: number, more: Record<string, string> = {}): FakeContainerSetup {
  return {
    labels: {
      'com.docker.compose.project': 'my_app',
      'com.docker.compose.service': 'api',
      'com.docker.compose.container-number': `${number}`,
      'dns.service': 'api',
      ...more,
    },
    exposed: ['80/tcp'],
  };
}

/** A second host with a registrar of its own. */
function startOther(bench: RegistrarBench): FakeEngine {
  const engine = new FakeEngine(bench.clock);
  engine.engineInfo = { ...engine.engineInfo, id: 'ENGINE:2', name: 'other' };
  bench.start({ engine });
  return engine;
}

/** Which container has which number. */
async function numbers(
  bench: RegistrarBench,
  containers: Record<string, FakeContainer>,
): Promise<Record<string, string>> {
  const records = Object.entries(await bench.records());
  return Object.fromEntries(
    records.map(([key, { owner }]) => {
      const [name = owner?.c ?? ''] =
        Object.entries(containers).find(([, { id }]) => id.startsWith(owner?.c ?? '-')) ?? [];
      return [key.replace(`${BASE}/`, ''), name];
    }),
  );
}

describe('a compose project on two hosts', () => {
  it('has both served: the first keeps compose’s numbers, the other has the next ones', () =>
    onBench(async (bench) => {
      bench.start();
      const a1 = bench.engine.run(api(1));
      const a2 = bench.engine.run(api(2));
      await bench.settle();
      const other = startOther(bench);
      const b1 = other.run(api(1));
      const b2 = other.run(api(2));
      const all = { a1, a2, b1, b2 };
      assert.deepEqual(await numbers(bench, all), { 1: 'a1', 2: 'a2', 3: 'b1', 4: 'b2' });
      // Numbers stay with their containers, whatever becomes free.
      bench.engine.die(a1);
      other.restart(b1);
      assert.deepEqual(await numbers(bench, all), { 2: 'a2', 3: 'b1', 4: 'b2' });
      bench.engine.start(a1);
      assert.deepEqual(await numbers(bench, all), { 1: 'a1', 2: 'a2', 3: 'b1', 4: 'b2' });
      await bench.assertQuiet(120_000);
    }));

  it('has its numbers over a restart of both registrars, and over `up --force-recreate`', () =>
    onBench(async (bench) => {
      const first = bench.start();
      const a1 = bench.engine.run(api(1));
      await bench.settle();
      const other = new FakeEngine(bench.clock);
      other.engineInfo = { ...other.engineInfo, id: 'ENGINE:2', name: 'other' };
      const second = bench.start({ engine: other });
      const b1 = other.run(api(1));
      await bench.settle();
      for (const running of [first, second]) await bench.end(running);
      bench.start({ engine: other });
      bench.start();
      await bench.advance(1_000);
      assert.deepEqual(await numbers(bench, { a1, b1 }), { 1: 'a1', 2: 'b1' });
      other.remove(b1);
      await bench.settle();
      const again = other.run(api(1));
      assert.deepEqual(await numbers(bench, { a1, again }), { 1: 'a1', 2: 'again' });
    }));

  it('has each number once when both hosts start at the same time', () =>
    onBench(async (bench) => {
      bench.start();
      const other = startOther(bench);
      await bench.settle();
      for (let number = 1; number <= 5; number++) {
        bench.engine.run(api(number));
        other.run(api(number));
      }
      await bench.advance(10_000);
      const keys = Object.keys(await bench.records());
      assert.deepEqual(
        keys.map((key) => Number(key.split('/').at(-1))).sort((a, b) => a - b),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      );
    }));

  it('leaves a number that somebody wrote by hand, and one that is said to its container', () =>
    onBench(async (bench) => {
      await bench.store.put(`/skydns/${BASE}/1`, Buffer.from('{"host":"192.0.2.99"}'));
      bench.start();
      const a1 = bench.engine.run(api(1));
      const a7 = bench.engine.run(api(2, { 'dns.instance': '7' }));
      assert.deepEqual(await numbers(bench, { a1, a7 }), { 1: '', 2: 'a1', 7: 'a7' });
    }));

  it('serves two services that were given one name, on one host as well', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(api(1));
      const worker = bench.engine.run(api(1, { 'com.docker.compose.service': 'worker' }));
      assert.deepEqual(await numbers(bench, { web, worker }), { 1: 'web', 2: 'worker' });
    }));

  it('points from its addresses to the numbers that they got', () =>
    onBench(async (bench) => {
      bench.start({ context: { ptr: true } });
      bench.engine.run({ ...api(1), ip: '10.1.0.1' });
      await bench.settle();
      bench.engine.run({ ...api(1), ip: '10.1.0.2' });
      const hosts = await bench.hosts();
      assert.equal(hosts['arpa/in-addr/10/1/0/1'], '1.api.my-app.skydns.local');
      assert.equal(hosts['arpa/in-addr/10/1/0/2'], '2.api.my-app.skydns.local');
    }));
});
