/** A container gets the ACME challenge of a name if it holds the name, and not if it only claims the name. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Running, withRegistrarFixture } from '../../support/registrarFixture.ts';

const WEB = 'local/skydns/web';
const CHALLENGE = `${WEB}/_acme-challenge`;

function asking(names: string, more: { readonly ip: string; readonly ip6?: string }) {
  return { env: { DNS_NAME: names }, exposed: ['80/tcp'], ...more };
}

/** The state of each record of one container, with the reason if there is one. */
function states({ registrar }: Running, id: string): string[] {
  const one = registrar.status().containers.find((container) => id.startsWith(container.id));
  return (one?.records ?? []).map(({ state, reason }) =>
    reason === undefined ? state : `${state}: ${reason}`,
  );
}

describe('ACME challenges', () => {
  it('The ACME challenge of a name is stored beside the name of its container and removed with it', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      const web = fixture.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.2' }));
      assert.deepEqual(await fixture.hosts(), { [WEB]: '10.1.0.2', [CHALLENGE]: '10.1.0.2' });
      assert.deepEqual(states(running, web.id), ['published', 'published']);
      await fixture.assertQuiet(120_000);
      fixture.engine.die(web);
      assert.deepEqual(await fixture.hosts(), {});
    }));

  it('The ACME challenge of a dual-stack name is stored beside the name', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      fixture.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.2', ip6: 'fd00::2' }));
      assert.deepEqual(await fixture.keys(), [
        `${CHALLENGE}/ipv4`,
        `${CHALLENGE}/ipv6`,
        `${WEB}/ipv4`,
        `${WEB}/ipv6`,
      ]);
    }));

  it('A container gets the ACME challenge of a name only when it holds the name', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      const victim = fixture.engine.run(asking('web', { ip: '10.1.0.2' }));
      await fixture.settle();
      const names = '_acme-challenge.web,web,x._acme-challenge.web';
      const attacker = fixture.engine.run(asking(names, { ip: '10.1.0.3' }));
      assert.deepEqual(await fixture.hosts(), { [WEB]: '10.1.0.2' });
      const texts = states(running, attacker.id);
      assert.match(texts[0] ?? '', /^conflict: held by container /);
      for (const state of texts.slice(1))
        assert.match(state, /waits until this container has the name above$/);
      await fixture.assertQuiet(120_000);
      fixture.engine.die(victim);
      assert.deepEqual(await fixture.hosts(), {
        [WEB]: '10.1.0.3',
        [CHALLENGE]: '10.1.0.3',
        [`${CHALLENGE}/x`]: '10.1.0.3',
      });
    }));

  it('A container does not get the ACME challenge of a name whose instances another container holds', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      fixture.engine.run(asking('1.web', { ip: '10.1.0.2' }));
      await fixture.settle();
      const stranger = fixture.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.3' }));
      assert.deepEqual(await fixture.hosts(), { [`${WEB}/1`]: '10.1.0.2' });
      const texts = states(running, stranger.id).join('\n');
      assert.match(texts, /^conflict: would be hidden by 1\.web\.skydns\.local, which container /m);
      assert.match(texts, /waits until this container has the name above$/m);
    }));

  it('A container loses the ACME challenge when its name is set by hand', () =>
    withRegistrarFixture(async (fixture) => {
      const running = fixture.start();
      fixture.engine.run(asking('web,_acme-challenge.web', { ip: '10.1.0.2' }));
      await fixture.settle();
      const value = new TextEncoder().encode('{"host":"10.9.9.9"}');
      await fixture.store.put(`/skydns/${WEB}`, value);
      await fixture.advance(60_000);
      assert.deepEqual(await fixture.hosts(), { [WEB]: '10.9.9.9' });
      assert.equal(running.registrar.status().containers[0]?.records.length, 2);
    }));
});
