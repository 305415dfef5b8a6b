/** A container that got its stop signal: out of DNS at once, and back only once it is seen to have survived. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FakeContainerSetup } from '../../support/fakeContainer.ts';
import { type RegistrarFixture, withRegistrarFixture } from '../../support/registrarFixture.ts';

const KEY = 'local/skydns/web';
const TERM = '15';
const WEB = { env: { DNS_NAME: 'web.skydns.local' }, exposed: ['80/tcp'] };

const setup = (more: FakeContainerSetup): FakeContainerSetup => {
  return { ...WEB, ...more, env: { ...WEB.env, ...more.env } };
};

/** After so many seconds the name is there, or not. */
async function assertAfter(fixture: RegistrarFixture, seconds: number, isThere: boolean) {
  await fixture.advance(seconds * 1000);
  assert.deepEqual(await fixture.keys(), isThere ? [KEY] : [], `${seconds} s later`);
}

/** Has answers to inspections wait until what it gives is called. */
function holdInspections({ engine: { faults } }: RegistrarFixture): () => void {
  const answers: (() => void)[] = [];
  faults.beforeAnswer = () => new Promise((resolve) => answers.push(resolve));
  return () => {
    faults.beforeAnswer = undefined;
    for (const answer of answers) answer();
  };
}

/** Has its HEALTHCHECK pass every second. */
async function passFor(
  fixture: RegistrarFixture,
  web: ReturnType<typeof fixture.engine.run>,
  seconds: number,
): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    fixture.engine.passCheck(web);
    await fixture.advance(1_000);
  }
}

describe('a container that got its stop signal', () => {
  for (const [why, more] of [
    ['that says nothing of its stops (docker stop -t 40, swarm)', {}],
    ['with a short timeout of its own, stopped with a longer one', { stopTimeout: 2 }],
    ['that is unhealthy', { health: 'unhealthy', env: { DNS_HEALTH: 'ignore' } }],
  ] as const satisfies readonly [string, FakeContainerSetup][]) {
    it(`stays out for five minutes, ${why}`, () =>
      withRegistrarFixture(async (fixture) => {
        fixture.start();
        const web = fixture.engine.run(setup(more));
        await fixture.settle();
        fixture.engine.signal(web, TERM);
        await assertAfter(fixture, 0, false);
        await assertAfter(fixture, 40, false);
        await assertAfter(fixture, 259, false);
        await assertAfter(fixture, 2, true);
      }));
  }

  for (const [why, more, context, seconds] of [
    ['its metadata say', { env: { DNS_STOP_TIMEOUT: '7' } }, {}, 7],
    [
      'its metadata say, though they say more than others get',
      { env: { DNS_STOP_TIMEOUT: '900' } },
      {},
      900,
    ],
    ['its label says', { labels: { 'dns.stop-timeout': '7' } }, {}, 7],
    ['the registrar says', {}, { stopTimeoutSeconds: 20 }, 20],
    ['its own timeout says, and a little more', { stopTimeout: 400 }, {}, 402],
  ] as const) {
    it(`stays out as long as ${why}`, () =>
      withRegistrarFixture(async (fixture) => {
        fixture.start({ context });
        const web = fixture.engine.run(setup(more));
        await fixture.settle();
        fixture.engine.signal(web, TERM);
        await assertAfter(fixture, seconds - 1, false);
        await assertAfter(fixture, 2, true);
      }));
  }

  for (const stopTimeout of [10_000_000, -1]) {
    it(`drains as long as it likes with a stop timeout of ${stopTimeout} s`, () =>
      withRegistrarFixture(async (fixture) => {
        fixture.start();
        const web = fixture.engine.run(setup({ stopTimeout, health: 'healthy' }));
        await fixture.settle();
        fixture.engine.signal(web, TERM);
        await passFor(fixture, web, 60);
        await assertAfter(fixture, 3_600, false);
        fixture.engine.restart(web);
        await assertAfter(fixture, 0, true);
      }));
  }

  it('is back with its next HEALTHCHECK that passes when a stop would be over', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(setup({ health: 'healthy', stopTimeout: 3 }));
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await passFor(fixture, web, 3);
      await assertAfter(fixture, 20, false);
      fixture.engine.passCheck(web);
      await assertAfter(fixture, 2, true);
    }));

  it('is not back with a HEALTHCHECK that passes while it may be draining', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(setup({ health: 'healthy' }));
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await passFor(fixture, web, 9);
      // Docker tells a health that changes, and that is none that began late enough either.
      fixture.engine.setHealth(web, 'unhealthy');
      fixture.engine.setHealth(web, 'healthy');
      await assertAfter(fixture, 60, false);
    }));

  for (const [why, more] of [
    [
      'a task of swarm, which is signalled only to end it',
      { labels: { 'com.docker.swarm.task.id': 'x1y2z3' } },
    ],
    ['one that says how long its stops take', { env: { DNS_STOP_TIMEOUT: '60' } }],
  ] as const) {
    it(`is not back for its health: ${why}`, () =>
      withRegistrarFixture(async (fixture) => {
        fixture.start();
        const web = fixture.engine.run(setup({ health: 'healthy', ...more }));
        await fixture.settle();
        fixture.engine.signal(web, TERM);
        await passFor(fixture, web, 50);
        await assertAfter(fixture, 0, false);
      }));
  }

  it('is out also when it was not healthy at its signal, and is since', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(setup({ health: 'unhealthy' }));
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await passFor(fixture, web, 5);
      await assertAfter(fixture, 0, false);
    }));

  it('is out when the signal came before it was first inspected', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      await fixture.settle();
      const release = holdInspections(fixture);
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await fixture.settle();
      release();
      await assertAfter(fixture, 60, false);
      await assertAfter(fixture, 241, true);
    }));

  it('is out when the signal came before the inspection of its new life', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      const release = holdInspections(fixture);
      fixture.engine.restart(web);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await fixture.settle();
      release();
      await assertAfter(fixture, 60, false);
      await assertAfter(fixture, 241, true);
    }));

  it('is in when the signal was for the life before', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      fixture.engine.restart(web);
      await assertAfter(fixture, 0, true);
    }));

  it('begins its time anew with a second signal, and is not back because it is resumed', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await assertAfter(fixture, 290, false);
      fixture.engine.signal(web, TERM);
      fixture.engine.pause(web);
      fixture.engine.unpause(web);
      await assertAfter(fixture, 290, false);
      await assertAfter(fixture, 11, true);
    }));

  it('stays out when the registrar starts anew, for no longer than it would have', () =>
    withRegistrarFixture(async (fixture) => {
      const first = fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await assertAfter(fixture, 100, false);
      await fixture.end(first);
      fixture.start();
      await assertAfter(fixture, 190, false);
      await assertAfter(fixture, 20, true);
    }));

  it('is out when it got its signal while the registrar could not reach the engine', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.lose();
      fixture.engine.signal(web, TERM);
      await assertAfter(fixture, 1, true);
      fixture.engine.restore();
      await assertAfter(fixture, 5, false);
      await assertAfter(fixture, 300, true);
    }));

  it('stays in once it has survived, when the registrar connects to the engine again', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await assertAfter(fixture, 301, true);
      fixture.engine.cutEvents();
      await fixture.assertQuiet(20_000);
      assert.deepEqual(await fixture.keys(), [KEY]);
    }));

  it('is told to be stopped, and when it comes back', () =>
    withRegistrarFixture(async (fixture) => {
      const { registrar } = fixture.start();
      const reasonOf = async (more: FakeContainerSetup): Promise<string | undefined> => {
        const web = fixture.engine.run(setup(more));
        await fixture.settle();
        fixture.engine.signal(web, TERM);
        await fixture.settle();
        const { containers } = registrar.status();
        return containers.find(({ id }) => web.id.startsWith(id))?.reason;
      };
      const back = 'is being stopped; it comes back';
      assert.equal(await reasonOf({}), `${back} if it still runs after 300 s`);
      assert.equal(
        await reasonOf({ health: 'healthy' }),
        `${back} if it passes its HEALTHCHECK after 10 s, or still runs after 300 s`,
      );
      assert.equal(await reasonOf({ stopTimeout: -1 }), `${back} when it starts again`);
    }));
});
