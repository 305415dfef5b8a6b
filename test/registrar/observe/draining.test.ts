/** A container that got its stop signal: out of DNS at once, and back only once the registrar sees that it survived. */
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

/** Advances the clock by so many seconds and checks whether the record exists. */
async function assertAfter(fixture: RegistrarFixture, seconds: number, isThere: boolean) {
  await fixture.advance(seconds * 1000);
  assert.deepEqual(await fixture.keys(), isThere ? [KEY] : [], `${seconds} s later`);
}

/** Delays the answers to inspections until the returned function is called. */
function holdInspections({ engine: { faults } }: RegistrarFixture): () => void {
  const answers: (() => void)[] = [];
  faults.beforeAnswer = () => new Promise((resolve) => answers.push(resolve));
  return () => {
    faults.beforeAnswer = undefined;
    for (const answer of answers) answer();
  };
}

/** Makes the container's HEALTHCHECK pass every second. */
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

describe('stop signals', () => {
  for (const [why, more] of [
    ['without a stop timeout (docker stop -t 40, swarm)', {}],
    ['with a stop timeout shorter than that of the stop', { stopTimeout: 2 }],
    ['even when it is unhealthy', { health: 'unhealthy', env: { DNS_HEALTH: 'ignore' } }],
  ] as const satisfies readonly [string, FakeContainerSetup][]) {
    it(`A container stays out of DNS for five minutes after its stop signal, ${why}`, () =>
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
    ['DNS_STOP_TIMEOUT says', { env: { DNS_STOP_TIMEOUT: '7' } }, {}, 7],
    [
      'DNS_STOP_TIMEOUT says, even if that is longer than the default',
      { env: { DNS_STOP_TIMEOUT: '900' } },
      {},
      900,
    ],
    ['its label says', { labels: { 'dns.stop-timeout': '7' } }, {}, 7],
    ['the registrar says', {}, { stopTimeoutSeconds: 20 }, 20],
    ['its own stop timeout says, and a little longer', { stopTimeout: 400 }, {}, 402],
  ] as const) {
    it(`A container stays out of DNS after its stop signal as long as ${why}`, () =>
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
    it(`A container with a stop timeout of ${stopTimeout} s drains without a limit`, () =>
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

  it('A container returns to DNS with its next passing HEALTHCHECK after the stop timeout', () =>
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

  it('A container does not return to DNS with a passing HEALTHCHECK while it may be draining', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(setup({ health: 'healthy' }));
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await passFor(fixture, web, 9);
      // Docker sends an event when the health changes. This check, too, began before the stop timeout was over.
      fixture.engine.setHealth(web, 'unhealthy');
      fixture.engine.setHealth(web, 'healthy');
      await assertAfter(fixture, 60, false);
    }));

  for (const [why, more] of [
    [
      'a task of swarm, which gets a signal only to end it',
      { labels: { 'com.docker.swarm.task.id': 'x1y2z3' } },
    ],
    ['a container with DNS_STOP_TIMEOUT', { env: { DNS_STOP_TIMEOUT: '60' } }],
  ] as const) {
    it(`A draining container does not return to DNS for its health: ${why}`, () =>
      withRegistrarFixture(async (fixture) => {
        fixture.start();
        const web = fixture.engine.run(setup({ health: 'healthy', ...more }));
        await fixture.settle();
        fixture.engine.signal(web, TERM);
        await passFor(fixture, web, 50);
        await assertAfter(fixture, 0, false);
      }));
  }

  it('A container that becomes healthy after its stop signal stays out of DNS', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(setup({ health: 'unhealthy' }));
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      await passFor(fixture, web, 5);
      await assertAfter(fixture, 0, false);
    }));

  it('A container whose stop signal came before its first inspection is out of DNS', () =>
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

  it('A container whose stop signal came before the inspection of its restart is out of DNS', () =>
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

  it('A restarted container whose stop signal came before the restart is in DNS', () =>
    withRegistrarFixture(async (fixture) => {
      fixture.start();
      const web = fixture.engine.run(WEB);
      await fixture.settle();
      fixture.engine.signal(web, TERM);
      fixture.engine.restart(web);
      await assertAfter(fixture, 0, true);
    }));

  it('A second stop signal restarts the drain time, and a resume does not end it', () =>
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

  it('A draining container stays out of DNS through a restart of the registrar, for no longer than before', () =>
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

  it('A container that got its stop signal while the engine was unreachable is out of DNS', () =>
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

  it('A container that survived its stop signal stays in DNS when the registrar reconnects', () =>
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

  it('The status of a draining container says that it is being stopped and when it returns', () =>
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
