/** The ACME challenge of a name goes to the container that has the name, not to one that only asks for it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { onBench, type Running } from '../../support/registrarBench.ts';

const WEB = 'local/skydns/web';
const CHALLENGE = `${WEB}/_acme-challenge`;

function asking(names: string, more: { readonly ip: string; readonly ip6?: string }) {
  return { env: { DNS_NAME: names }, exposed: ['80/tcp'], ...more };
}

/** Of one container: the state of each record, with the reason if there is one. */
function states({ registrar }: Running, id: string): string[] {
  const one = registrar.status().containers.find((container) => id.startsWith(container.id));
  return (one?.records ?? []).map(({ state, reason }) =>
    reason === undefined ? state : `${state}: ${reason}`,
  );
}

describe('the ACME challenge of a name', () => {
  it('stands beside the name of its container, and goes with it', () =>
    onBench(async (bench) => {
      const running = bench.start();
      const web = bench.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.2' }));
      assert.deepEqual(await bench.hosts(), { [WEB]: '10.1.0.2', [CHALLENGE]: '10.1.0.2' });
      assert.deepEqual(states(running, web.id), ['published', 'published']);
      await bench.assertQuiet(120_000);
      bench.engine.die(web);
      assert.deepEqual(await bench.hosts(), {});
    }));

  it('stands beside a name with both families', () =>
    onBench(async (bench) => {
      bench.start();
      bench.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.2', ip6: 'fd00::2' }));
      assert.deepEqual(await bench.keys(), [
        `${CHALLENGE}/ipv4`,
        `${CHALLENGE}/ipv6`,
        `${WEB}/ipv4`,
        `${WEB}/ipv6`,
      ]);
    }));

  it('is not given to a container whose name another one has, until it has the name', () =>
    onBench(async (bench) => {
      const running = bench.start();
      const victim = bench.engine.run(asking('web', { ip: '10.1.0.2' }));
      await bench.settle();
      const names = '_acme-challenge.web,web,x._acme-challenge.web';
      const attacker = bench.engine.run(asking(names, { ip: '10.1.0.3' }));
      assert.deepEqual(await bench.hosts(), { [WEB]: '10.1.0.2' });
      const told = states(running, attacker.id);
      assert.match(told[0] ?? '', /^conflict: held by container /);
      for (const state of told.slice(1))
        assert.match(state, /waits until this container has the name above$/);
      await bench.assertQuiet(120_000);
      bench.engine.die(victim);
      assert.deepEqual(await bench.hosts(), {
        [WEB]: '10.1.0.3',
        [CHALLENGE]: '10.1.0.3',
        [`${CHALLENGE}/x`]: '10.1.0.3',
      });
    }));

  it('is not given beside instances of the name that another container has', () =>
    onBench(async (bench) => {
      const running = bench.start();
      bench.engine.run(asking('1.web', { ip: '10.1.0.2' }));
      await bench.settle();
      const stranger = bench.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.3' }));
      assert.deepEqual(await bench.hosts(), { [`${WEB}/1`]: '10.1.0.2' });
      const told = states(running, stranger.id).join('\n');
      assert.match(told, /^conflict: would be hidden by 1\.web\.skydns\.local, which container /m);
      assert.match(told, /waits until this container has the name above$/m);
    }));

  it('is taken back when a record that was set by hand takes the name’s place', () =>
    onBench(async (bench) => {
      const running = bench.start();
      bench.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.2' }));
      await bench.settle();
      const value = new TextEncoder().encode('{"host":"10.9.9.9"}');
      await bench.store.put(`/skydns/${WEB}`, value);
      await bench.advance(60_000);
      assert.deepEqual(await bench.hosts(), { [WEB]: '10.9.9.9' });
      assert.equal(running.registrar.status().containers[0]?.records.length, 2);
    }));
});
