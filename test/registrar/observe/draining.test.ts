/** A container that got its stop signal: out of DNS at once, and back only once it is seen to have survived. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { FakeContainerSetup } from '../../support/fakeContainer.ts';
import { onBench, type RegistrarBench } from '../../support/registrarBench.ts';

const KEY = 'local/skydns/web';
const TERM = '15';
const WEB = { env: { DNS_NAME: 'web.skydns.local' }, exposed: ['80/tcp'] };

const setup = (more: FakeContainerSetup): FakeContainerSetup => {
  return { ...WEB, ...more, env: { ...WEB.env, ...more.env } };
};

/** After so many seconds the name is there, or not. */
async function assertAfter(bench: RegistrarBench, seconds: number, isThere: boolean) {
  await bench.advance(seconds * 1000);
  assert.deepEqual(await bench.keys(), isThere ? [KEY] : [], `${seconds} s later`);
}

/** Has answers to inspections wait until what it gives is called. */
function holdInspections({ engine: { faults } }: RegistrarBench): () => void {
  const answers: (() => void)[] = [];
  faults.beforeAnswer = () => new Promise((resolve) => answers.push(resolve));
  return () => {
    faults.beforeAnswer = undefined;
    for (const answer of answers) answer();
  };
}

/** Has its HEALTHCHECK pass every second. */
async function passFor(
  bench: RegistrarBench,
  web: ReturnType<typeof bench.engine.run>,
  seconds: number,
): Promise<void> {
  for (let second = 0; second < seconds; second++) {
    bench.engine.passCheck(web);
    await bench.advance(1_000);
  }
}

describe('a container that got its stop signal', () => {
  for (const [why, more] of [
    ['that says nothing of its stops (docker stop -t 40, swarm)', {}],
    ['with a short timeout of its own, stopped with a longer one', { stopTimeout: 2 }],
    ['that is unhealthy', { health: 'unhealthy', env: { DNS_HEALTH: 'ignore' } }],
  ] as const satisfies readonly [string, FakeContainerSetup][]) {
    it(`stays out for five minutes, ${why}`, () =>
      onBench(async (bench) => {
        bench.start();
        const web = bench.engine.run(setup(more));
        await bench.settle();
        bench.engine.signal(web, TERM);
        await assertAfter(bench, 0, false);
        await assertAfter(bench, 40, false);
        await assertAfter(bench, 259, false);
        await assertAfter(bench, 2, true);
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
    ['the registrar says', {}, { stopSeconds: 20 }, 20],
    ['its own timeout says, and a little more', { stopTimeout: 400 }, {}, 402],
  ] as const) {
    it(`stays out as long as ${why}`, () =>
      onBench(async (bench) => {
        bench.start({ context });
        const web = bench.engine.run(setup(more));
        await bench.settle();
        bench.engine.signal(web, TERM);
        await assertAfter(bench, seconds - 1, false);
        await assertAfter(bench, 2, true);
      }));
  }

  for (const stopTimeout of [10_000_000, -1]) {
    it(`drains as long as it likes with a stop timeout of ${stopTimeout} s`, () =>
      onBench(async (bench) => {
        bench.start();
        const web = bench.engine.run(setup({ stopTimeout, health: 'healthy' }));
        await bench.settle();
        bench.engine.signal(web, TERM);
        await passFor(bench, web, 60);
        await assertAfter(bench, 3_600, false);
        bench.engine.restart(web);
        await assertAfter(bench, 0, true);
      }));
  }

  it('is back with its next HEALTHCHECK that passes when a stop would be over', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(setup({ health: 'healthy', stopTimeout: 3 }));
      await bench.settle();
      bench.engine.signal(web, TERM);
      await passFor(bench, web, 3);
      await assertAfter(bench, 20, false);
      bench.engine.passCheck(web);
      await assertAfter(bench, 2, true);
    }));

  it('is not back with a HEALTHCHECK that passes while it may be draining', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(setup({ health: 'healthy' }));
      await bench.settle();
      bench.engine.signal(web, TERM);
      await passFor(bench, web, 9);
      // Docker tells a health that changes, and that is none that began late enough either.
      bench.engine.setHealth(web, 'unhealthy');
      bench.engine.setHealth(web, 'healthy');
      await assertAfter(bench, 60, false);
    }));

  for (const [why, more] of [
    [
      'a task of swarm, which is signalled only to end it',
      { labels: { 'com.docker.swarm.task.id': 'x1y2z3' } },
    ],
    ['one that says how long its stops take', { env: { DNS_STOP_TIMEOUT: '60' } }],
  ] as const) {
    it(`is not back for its health: ${why}`, () =>
      onBench(async (bench) => {
        bench.start();
        const web = bench.engine.run(setup({ health: 'healthy', ...more }));
        await bench.settle();
        bench.engine.signal(web, TERM);
        await passFor(bench, web, 50);
        await assertAfter(bench, 0, false);
      }));
  }

  it('is out also when it was not healthy at its signal, and is since', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(setup({ health: 'unhealthy' }));
      await bench.settle();
      bench.engine.signal(web, TERM);
      await passFor(bench, web, 5);
      await assertAfter(bench, 0, false);
    }));

  it('is out when the signal came before it was first inspected', () =>
    onBench(async (bench) => {
      bench.start();
      await bench.settle();
      const release = holdInspections(bench);
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.signal(web, TERM);
      await bench.settle();
      release();
      await assertAfter(bench, 60, false);
      await assertAfter(bench, 241, true);
    }));

  it('is out when the signal came before the inspection of its new life', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      const release = holdInspections(bench);
      bench.engine.restart(web);
      await bench.settle();
      bench.engine.signal(web, TERM);
      await bench.settle();
      release();
      await assertAfter(bench, 60, false);
      await assertAfter(bench, 241, true);
    }));

  it('is in when the signal was for the life before', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.signal(web, TERM);
      bench.engine.restart(web);
      await assertAfter(bench, 0, true);
    }));

  it('begins its time anew with a second signal, and is not back because it is resumed', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.signal(web, TERM);
      await assertAfter(bench, 290, false);
      bench.engine.signal(web, TERM);
      bench.engine.pause(web);
      bench.engine.unpause(web);
      await assertAfter(bench, 290, false);
      await assertAfter(bench, 11, true);
    }));

  it('stays out when the registrar starts anew, for no longer than it would have', () =>
    onBench(async (bench) => {
      const first = bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.signal(web, TERM);
      await assertAfter(bench, 100, false);
      await bench.end(first);
      bench.start();
      await assertAfter(bench, 190, false);
      await assertAfter(bench, 20, true);
    }));

  it('is out when it got its signal while the registrar could not reach the engine', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.lose();
      bench.engine.signal(web, TERM);
      await assertAfter(bench, 1, true);
      bench.engine.restore();
      await assertAfter(bench, 5, false);
      await assertAfter(bench, 300, true);
    }));

  it('stays in once it has survived, when the registrar connects to the engine again', () =>
    onBench(async (bench) => {
      bench.start();
      const web = bench.engine.run(WEB);
      await bench.settle();
      bench.engine.signal(web, TERM);
      await assertAfter(bench, 301, true);
      bench.engine.cutEvents();
      await bench.assertQuiet(20_000);
      assert.deepEqual(await bench.keys(), [KEY]);
    }));

  it('is told to be stopped, and when it comes back', () =>
    onBench(async (bench) => {
      const { registrar } = bench.start();
      const reasonOf = async (more: FakeContainerSetup): Promise<string | undefined> => {
        const web = bench.engine.run(setup(more));
        await bench.settle();
        bench.engine.signal(web, TERM);
        await bench.settle();
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
