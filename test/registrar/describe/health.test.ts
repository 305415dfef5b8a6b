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
    it(`A container with the health ${health ?? 'no check'} is judged by auto, ignore and require`, () => {
      const container = readContainer(inspection(health === undefined ? {} : { health }));
      assert.equal(whyNotHealthy(container, 'auto'), auto);
      assert.equal(whyNotHealthy(container, 'ignore'), ignore);
      assert.equal(whyNotHealthy(container, 'require'), require);
    });
  }

  for (const [why, state, config, health] of [
    ['no check', { Health: null }, {}, 'none'],
    ['--no-healthcheck', { Health: null }, { Healthcheck: { Test: ['NONE'] } }, 'none'],
    ['Podman’s word for none', { Health: { Status: 'none' } }, {}, 'none'],
    ['a check without result', {}, { Healthcheck: { Test: ['CMD', 'true'] } }, 'starting'],
    ['an empty check', { Health: {} }, { Healthcheck: { Test: [] } }, 'none'],
    ['a result', { Health: { Status: 'healthy' } }, {}, 'healthy'],
  ] as const) {
    it(`The container’s health is read: ${why}`, () => {
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
    it(`A container with the state ${JSON.stringify(state)} is up or not`, () =>
      assert.equal(whyNotUp(readContainer(inspection({ state }))), reason));
  }

  it('A container that is Running and restarting at once is not up', () => {
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

  it('A container with only the status running is up', () => {
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
    it(`An unhealthy container with ${JSON.stringify({ ...env, ...context })} is described by its policy`, () => {
      const spec = { ...web, health: 'unhealthy', env: { DNS_NAME: 'a', ...env } } as const;
      const { records } = summaryOf(inspection(spec), registrarContext(context));
      assert.equal(Object.keys(records).length > 0, isPublished);
    });
  }
});
