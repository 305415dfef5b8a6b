import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { describeContainer } from '../../../src/registrar/describeContainer.ts';
import type { ContainerId } from '../../../src/registrar/engine/containerId.ts';
import type { EngineEvent } from '../../../src/registrar/engine/engine.ts';
import { Containers } from '../../../src/registrar/observe/containers.ts';
import { FakeClock } from '../../support/fakeClock.ts';
import { fakeId } from '../../support/fakeContainer.ts';
import { inspection, registrarContext } from '../../support/inspection.ts';

type Happening = readonly [type: 'container' | 'network', action: string];

function eventOf([type, action]: Happening, containerId: ContainerId): EngineEvent {
  return { type, action, containerId, signal: undefined, timeNano: '1767225610000000000' };
}

describe('inspections', () => {
  /** The container ids of the requested inspections, and by id the function that answers an inspection. */
  let asked: string[] = [];
  let unanswered = new Map<string, () => void>();
  let clock: FakeClock;
  /** The health of every container in inspections; undefined: no HEALTHCHECK. */
  let health: 'starting' | 'healthy' | 'unhealthy' | undefined;
  let containers: Containers;

  beforeEach(() => {
    asked = [];
    unanswered = new Map();
    clock = new FakeClock();
    health = undefined;
    const startedAt = '2026-01-01T00:00:01.000000000Z';
    containers = new Containers({
      engine: {
        inspect: (id) =>
          new Promise((resolve) => {
            asked.push(id);
            unanswered.set(id, () =>
              resolve(inspection({ id, startedAt, ...(health && { health }) })),
            );
          }),
      },
      leadership: { identity: { engineId: 'ENGINE:1', hostPart: '0123456789ab' } },
      describe: (one, parent) => describeContainer(one, registrarContext(), parent),
      clock,
      onChange: () => {},
      onFailure: (_, error) => assert.fail(error),
    });
  });

  /** Passes on an event; returns the number of inspections that it causes. */
  const happens = async (happening: Happening, id: ContainerId): Promise<number> => {
    const before = asked.length;
    containers.onEvent(eventOf(happening, id));
    await clock.advance(100);
    return asked.length - before;
  };
  const answer = async (id: string): Promise<void> => {
    unanswered.get(id)?.();
    await clock.advance(100);
  };

  it('A started container is inspected before many that have not started yet', async () => {
    // Docker sends a network event before it has started the container, and answers inspections only after the start.
    for (let i = 0; i < 100; i++) await happens(['network', 'connect'], fakeId());
    const id = fakeId();
    await happens(['container', 'start'], id);
    assert.deepEqual(asked, [id]);
  });

  it('Network events cause an inspection while a container runs and not between two runs', async () => {
    const id = fakeId();
    for (const [happening, inspections] of [
      [['container', 'start'], 1],
      [['network', 'connect'], 1],
      [['container', 'die'], 0],
      [['network', 'disconnect'], 0],
      [['network', 'connect'], 0],
      [['container', 'start'], 1],
    ] as const) {
      assert.equal(await happens(happening, id), inspections, happening.join(' '));
      await answer(id);
    }
  });

  it('A starting container is inspected before many dead ones', async () => {
    // Docker answers an inspection of a dead container only after it has cleaned up.
    for (let i = 0; i < 100; i++) {
      const id = fakeId();
      await happens(['container', 'start'], id);
      await answer(id);
      await happens(['container', 'die'], id);
    }
    assert.equal(await happens(['container', 'start'], fakeId()), 1);
  });

  it('An inspection that a death overtakes is repeated', async () => {
    const id = fakeId();
    await happens(['container', 'start'], id);
    await answer(id);
    await happens(['container', 'rename'], id);
    assert.equal(await happens(['container', 'die'], id), 0);
    const before = asked.length;
    await answer(id);
    assert.equal(asked.length, before + 1);
  });

  it('An inspection that a pause overtakes is not used, however many events follow', async () => {
    const id = fakeId();
    const status = () => [...containers.all()][0]?.inspection?.State?.Status;
    await happens(['container', 'start'], id);
    await answer(id);
    await happens(['container', 'rename'], id);
    for (let late = 0; late < 3; late++) {
      await happens(['container', 'rename'], id);
      await answer(id);
    }
    assert.equal(status(), 'running');
    await happens(['container', 'pause'], id);
    await answer(id);
    assert.equal(status(), 'paused');
  });

  it('A container that runs in spite of a death event is noticed in the next list', async () => {
    const id = fakeId();
    const list = async (): Promise<void> => {
      containers.onList([{ id, state: 'running', fingerprint: 'the same' }], { all: false });
      await answer(id);
    };
    await list();
    await list();
    assert.equal(asked.length, 1);
    await happens(['container', 'die'], id);
    await list();
    assert.equal(asked.length, 2);
  });

  it('After a reconnect a container that is gone is handled before many that still run', async () => {
    const ids = Array.from({ length: 100 }, fakeId);
    const gone = fakeId();
    for (const id of [...ids, gone]) {
      await happens(['container', 'start'], id);
      await answer(id);
    }
    const before = asked.length;
    const listed = ids.map((id) => ({ id, state: 'running', fingerprint: 'the same' }));
    containers.onList(listed, { all: true });
    assert.equal(asked[before], gone);
  });

  it('Network events cause an inspection as soon as a container has started again', async () => {
    const id = fakeId();
    for (const action of ['start', 'die']) {
      await happens(['container', action], id);
      await answer(id);
    }
    await happens(['container', 'start'], id);
    const before = asked.length;
    await happens(['network', 'disconnect'], id);
    await answer(id);
    assert.equal(asked.length, before + 1); // the first answer may be older than the event
  });

  it('A container is inspected again when its health event comes before the result', async () => {
    for (const action of ['health_status', 'exec_died']) {
      const id = fakeId();
      const seen = () =>
        [...containers.all()].find((one) => one.id === id)?.inspection?.State?.Health?.Status;
      health = 'healthy';
      await happens(['container', 'start'], id);
      await answer(id);
      await happens(['container', action], id);
      await answer(id);
      assert.equal(seen(), 'healthy', action);
      health = 'unhealthy';
      await clock.advance(1_000);
      for (let late = 0; late < 2; late++) await answer(id);
      assert.equal(seen(), 'unhealthy', action);
    }
  });

  it('The end of an exec command causes no inspection of a container without a health check', async () => {
    const id = fakeId();
    assert.equal(await happens(['container', 'exec_died'], id), 0);
    await happens(['container', 'start'], id);
    await answer(id);
    assert.equal(await happens(['container', 'exec_died'], id), 0);
    await clock.advance(10_000);
    assert.equal(asked.length, 1);
  });

  it('A container whose health is not in the list is inspected with each list', async () => {
    const inspections = async (told?: string): Promise<number> => {
      const id = fakeId();
      const listed = { id, state: 'running', health: told, fingerprint: 'the same' };
      let before = 0;
      for (let lists = 0; lists < 3; lists++) {
        if (lists === 1) before = asked.length;
        containers.onList([listed], { all: false });
        await answer(id);
      }
      return asked.filter((one, at) => at >= before && one === id).length;
    };
    assert.equal(await inspections(), 0, 'there is no check');
    health = 'healthy';
    assert.equal(await inspections(), 2, 'as of Podman');
    assert.equal(await inspections('healthy'), 0, 'as of Docker');
  });
});
