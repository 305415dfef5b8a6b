import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  readContainer,
  whyNotHealthy,
  whyNotUp,
} from '../../../src/registrar/describe/container.ts';
import { summaryOf } from '../../support/descriptions.ts';
import { type ContainerSpec, inspection, registrarContext } from '../../support/inspection.ts';

const web: ContainerSpec = { publish: { '80/tcp': ['0.0.0.0:80'] } };

describe('state and health', () => {
  for (const [health, auto, ignore, require] of [
    [undefined, undefined, undefined, 'has no HEALTHCHECK, and health is required'],
    ['healthy', undefined, undefined, undefined],
    [
      'starting',
      'has not passed its HEALTHCHECK yet',
      undefined,
      'has not passed its HEALTHCHECK yet',
    ],
    ['unhealthy', 'is unhealthy', undefined, 'is unhealthy'],
  ] as const) {
    const accepting = Object.entries({ auto, ignore, require }).filter(
      ([, why]) => why === undefined,
    );
    const policies = accepting.map(([policy]) => policy).join(', ');
    it(`A container with the health ${health ?? 'none'} is accepted by the policies ${policies}`, () => {
      const container = readContainer(inspection(health === undefined ? {} : { health }));
      assert.equal(whyNotHealthy(container, 'auto'), auto);
      assert.equal(whyNotHealthy(container, 'ignore'), ignore);
      assert.equal(whyNotHealthy(container, 'require'), require);
    });
  }

  for (const [why, state, config, health] of [
    ['no check', { Health: null }, {}, 'none'],
    ['--no-healthcheck', { Health: null }, { Healthcheck: { Test: ['NONE'] } }, 'none'],
    ['Podman’s status none', { Health: { Status: 'none' } }, {}, 'none'],
    ['a check without a result', {}, { Healthcheck: { Test: ['CMD', 'true'] } }, 'starting'],
    ['an empty check', { Health: {} }, { Healthcheck: { Test: [] } }, 'none'],
    ['a check that passed', { Health: { Status: 'healthy' } }, {}, 'healthy'],
  ] as const) {
    it(`A container with ${why} has the health ${health}`, () => {
      const plain = inspection();
      const container = readContainer({
        ...plain,
        State: { ...plain.State, ...state },
        Config: { ...plain.Config, ...config },
      });
      assert.equal(container.health, health);
    });
  }

  for (const [state, reason] of [
    ['running', undefined],
    ['created', 'is created'],
    ['paused', 'is paused'],
    ['restarting', 'is restarting'],
    ['removing', 'is removing'],
    ['exited', 'is exited'],
    ['dead', 'is dead'],
    ['\u001b[2J', 'is not running'],
    ['', 'is not running'],
  ] as const) {
    it(`A container with the state ${JSON.stringify(state)} is ${reason === undefined ? 'up' : 'not up'}`, () =>
      assert.equal(whyNotUp(readContainer(inspection({ state }))), reason));
  }

  it('A container that is both running and restarting is not up', () => {
    const State = { Status: 'restarting', Running: true, Restarting: true };
    assert.equal(whyNotUp(readContainer({ ...inspection(), State })), 'is restarting');
  });

  for (const [engine, State] of [
    ['Podman 4', { Status: 'stopping', Running: false }],
    ['Podman 5', { Status: 'running', Running: false }],
  ] as const) {
    it(`A container that ${engine} is stopping is not up`, () =>
      assert.equal(whyNotUp(readContainer({ ...inspection(), State })), 'is stopping'));
  }

  it('A container that has the status running and no other field of its state is up', () => {
    const State = { Status: 'running' };
    assert.equal(whyNotUp(readContainer({ ...inspection(), State })), undefined);
  });

  for (const [env, context, isPublished] of [
    [{}, {}, false],
    [{ DNS_HEALTH: 'ignore' }, {}, true],
    [{ DNS_HEALTH: 'IGNORE' }, {}, true],
    [{ DNS_HEALTH: 'auto' }, { health: 'ignore' }, false],
    [{}, { health: 'ignore' }, true],
    [{ DNS_HEALTH: 'require' }, { health: 'ignore' }, false],
    [{ DNS_HEALTH: 'never' }, { health: 'ignore' }, false],
  ] as const) {
    it(`An unhealthy container with ${JSON.stringify({ ...env, ...context })} has ${isPublished ? 'a record' : 'no record'}`, () => {
      const spec = { ...web, health: 'unhealthy', env: { DNS_NAME: 'a', ...env } } as const;
      const { records } = summaryOf(inspection(spec), registrarContext(context));
      assert.equal(Object.keys(records).length > 0, isPublished);
    });
  }
});
