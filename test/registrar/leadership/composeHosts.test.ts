/** One Compose project on several hosts: Compose numbers the containers of each host alone, and all of them are served. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FakeContainer, FakeContainerSetup } from '../../support/fakeContainer.ts';
import { FakeEngine } from '../../support/fakeEngine.ts';
import { type RegistrarFixture, withRegistrarFixture } from '../../support/registrarFixture.ts';

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

/** A second host with its own registrar. */
function startOther(fixture: RegistrarFixture): FakeEngine {
  const engine = new FakeEngine(fixture.clock);
  engine.engineInfo = { ...engine.engineInfo, id: 'ENGINE:2', name: 'other' };
  fixture.start({ engine });
  return engine;
}

/** The container of each number. */
async function numbers(
  fixture: RegistrarFixture,
  containers: Record<string, FakeContainer>,
): Promise<Record<string, string>> {
  const records = Object.entries(await fixture.records());
  return Object.fromEntries(
    records.map(([key, { owner }]) => {
      const [name = owner?.c ?? ''] =
        Object.entries(containers).find(([, { id }]) => id.startsWith(owner?.c ?? '-')) ?? [];
      return [key.replace(`${BASE}/`, ''), name];
    }),
  );
}

describe('Compose projects on two hosts', () => {
  it('A Compose project on two hosts is served on both: the first keeps its numbers and the other has the next ones', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const a1 = fixture.engine.run(api(1));
      const a2 = fixture.engine.run(api(2));
      await fixture.settle();
      const other = startOther(fixture);
      const b1 = other.run(api(1));
      const b2 = other.run(api(2));
      const all = { a1, a2, b1, b2 };
      assert.deepEqual(await numbers(fixture, all), { 1: 'a1', 2: 'a2', 3: 'b1', 4: 'b2' });
      // Containers keep their numbers, even if a smaller one becomes free.
      fixture.engine.die(a1);
      other.restart(b1);
      assert.deepEqual(await numbers(fixture, all), { 2: 'a2', 3: 'b1', 4: 'b2' });
      fixture.engine.start(a1);
      assert.deepEqual(await numbers(fixture, all), { 1: 'a1', 2: 'a2', 3: 'b1', 4: 'b2' });
      await fixture.assertQuiet(120_000);
    }));

  it('A Compose project on two hosts keeps its numbers through restarts of both registrars and `up --force-recreate`', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start();
      const a1 = fixture.engine.run(api(1));
      await fixture.settle();
      const other = new FakeEngine(fixture.clock);
      other.engineInfo = { ...other.engineInfo, id: 'ENGINE:2', name: 'other' };
      const second = fixture.start({ engine: other });
      const b1 = other.run(api(1));
      await fixture.settle();
      for (const running of [first, second]) await fixture.end(running);
      fixture.start({ engine: other });
      fixture.start();
      await fixture.advance(1_000);
      assert.deepEqual(await numbers(fixture, { a1, b1 }), { 1: 'a1', 2: 'b1' });
      other.remove(b1);
      await fixture.settle();
      const again = other.run(api(1));
      assert.deepEqual(await numbers(fixture, { a1, again }), { 1: 'a1', 2: 'again' });
    }));

  it('A Compose project has each number once when both hosts start at the same time', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const other = startOther(fixture);
      await fixture.settle();
      for (let number = 1; number <= 5; number++) {
        fixture.engine.run(api(number));
        other.run(api(number));
      }
      await fixture.advance(10_000);
      const keys = Object.keys(await fixture.records());
      assert.deepEqual(
        keys.map((key) => Number(key.split('/').at(-1))).sort((a, b) => a - b),
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
      );
    }));

  it('A Compose project does not use a number that was set by hand or given to another container', () =>
    withRegistrarFixture(async (fixture) => {
      await fixture.store.put(`/skydns/${BASE}/1`, Buffer.from('{"host":"192.0.2.99"}'));
      fixture.start();
      const a1 = fixture.engine.run(api(1));
      const a7 = fixture.engine.run(api(2, { 'dns.instance': '7' }));
      assert.deepEqual(await numbers(fixture, { a1, a7 }), { 1: '', 2: 'a1', 7: 'a7' });
    }));

  it('Two services with one name are both served on one host', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(api(1));
      const worker = fixture.engine.run(api(1, { 'com.docker.compose.service': 'worker' }));
      assert.deepEqual(await numbers(fixture, { web, worker }), { 1: 'web', 2: 'worker' });
    }));

  it('The reverse names of a Compose project point to its assigned numbers', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start({ context: { ptr: true } });
      fixture.engine.run({ ...api(1), ip: '10.1.0.1' });
      await fixture.settle();
      fixture.engine.run({ ...api(1), ip: '10.1.0.2' });
      const hosts = await fixture.hosts();
      assert.equal(hosts['arpa/in-addr/10/1/0/1'], '1.api.my-app.skydns.local');
      assert.equal(hosts['arpa/in-addr/10/1/0/2'], '2.api.my-app.skydns.local');
    }));
});
